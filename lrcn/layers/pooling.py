"""Pooling."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, register, require_axes, spatial_pair

Pair = Sequence[int]


def pooled_size(size: Pair, kernel: Pair, stride: Pair, pad: Pair, round_mode: str) -> list[int]:
    """How many windows lie along each axis: rounded up by default.

    With padding along either axis, a last window that would begin in the padding is dropped along both.
    """
    rounded = math.ceil if round_mode == "CEIL" else math.floor
    pooled = [rounded((size[i] + 2 * pad[i] - kernel[i]) / stride[i]) + 1 for i in (0, 1)]
    if any(pad):
        pooled = [n - 1 if (n - 1) * stride[i] >= size[i] + pad[i] else n for i, n in enumerate(pooled)]
    return pooled


@register("Pooling")
class Pooling(Layer):
    """Maximum or average over windows; a second top of MAX holds where each maximum lies in its plane."""

    def setup(self, *bottoms: Tensor) -> None:
        definition = self.definition.pooling_param
        self.method = definition.pool
        self.global_pooling = definition.global_pooling
        self.round_mode = definition.round_mode
        self.kernel = spatial_pair(definition, "kernel_size", "kernel_h", "kernel_w")
        self.stride = tuple(s or 1 for s in spatial_pair(definition, "stride", "stride_h", "stride_w"))
        self.pad = spatial_pair(definition, "pad", "pad_h", "pad_w")
        if self.method not in ("MAX", "AVE"):
            raise Error(f"pooling method {self.method} has no CPU form in Caffe either; MAX or AVE expected")
        if self.global_pooling:
            if self.kernel != (0, 0) or self.pad != (0, 0) or self.stride != (1, 1):
                raise Error("global pooling takes no kernel_size, pad or stride")
        elif min(self.kernel) <= 0:
            raise Error(f"kernel_size must be positive, {self.kernel} was found")
        elif any(p >= k for p, k in zip(self.pad, self.kernel, strict=True)):
            raise Error(f"pad {self.pad} must be smaller than the kernel {self.kernel}")

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) to (N, C, H', W')."""
        require_axes(x, 4)
        kernel = tuple(x.shape[2:]) if self.global_pooling else self.kernel
        output_size = pooled_size(x.shape[2:], kernel, self.stride, self.pad, self.round_mode)
        if min(output_size) <= 0:
            raise Error(f"kernel {kernel} does not fit an input of shape {tuple(x.shape)}")
        if self.method == "AVE":
            return self.ops.average_pool(x, kernel, self.stride, self.pad, output_size)
        y, index = self.ops.max_pool(x, kernel, self.stride, self.pad, output_size)
        return (y, index.to(torch.float32)) if len(self.definition.top) > 1 else y
