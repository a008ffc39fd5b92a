"""Pooling."""

import math

from torch import Tensor

from ..errors import Error
from .base import Layer, register, require_axes, spatial_pair


def pooled_size(size: int, kernel: int, stride: int, pad: int, round_mode: str) -> int:
    """How many windows lie along one axis: rounded up by default; one that would begin in the padding is dropped."""
    steps = (size + 2 * pad - kernel) / stride
    pooled = (math.ceil(steps) if round_mode == "CEIL" else math.floor(steps)) + 1
    if pad > 0 and (pooled - 1) * stride >= size + pad:
        pooled -= 1
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
        output_size = [
            pooled_size(x.shape[2 + i], kernel[i], self.stride[i], self.pad[i], self.round_mode) for i in (0, 1)
        ]
        if min(output_size) <= 0:
            raise Error(f"kernel {kernel} does not fit an input of shape {tuple(x.shape)}")
        if self.method == "AVE":
            return self.ops.average_pool(x, kernel, self.stride, self.pad, output_size)
        y, index = self.ops.max_pool(x, kernel, self.stride, self.pad, output_size)
        return (y, index) if len(self.definition.top) > 1 else y
