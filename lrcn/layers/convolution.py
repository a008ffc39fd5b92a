"""Convolution."""

from torch import Tensor

from ..errors import Error
from .base import Layer, register, require_axes, require_positive, spatial_pair


@register("Convolution")
class Convolution(Layer):
    """2-D convolution; blobs: weight (O, C / group, h, w) and, with a bias term, bias (O)."""

    def setup(self, *bottoms: Tensor) -> None:
        definition = self.definition.convolution_param
        for bottom in bottoms:
            require_axes(bottom, 4)
        channels = bottoms[0].shape[1]
        outputs = require_positive(definition, "num_output")
        self.kernel = spatial_pair(definition, "kernel_size", "kernel_h", "kernel_w")
        self.stride = tuple(s or 1 for s in spatial_pair(definition, "stride", "stride_h", "stride_w"))
        self.pad = spatial_pair(definition, "pad", "pad_h", "pad_w")
        dilation = list(definition.dilation) or [1]
        self.dilation = (dilation[0], dilation[-1])
        self.group = require_positive(definition, "group")
        if min(self.kernel) <= 0:
            raise Error(f"kernel_size must be positive, {self.kernel} was found")
        if channels % self.group or outputs % self.group:
            raise Error(f"{channels} input and {outputs} output channels do not divide into {self.group} groups")
        self.add_blob(outputs, channels // self.group, *self.kernel, filler=definition.weight_filler)
        if definition.bias_term:
            self.add_blob(outputs, filler=definition.bias_filler)

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        """Each bottom (N, C, H, W) gives a top (N, O, H', W')."""
        return tuple(
            self.ops.convolution(x, self.blobs[0], self.blob(1), self.stride, self.pad, self.dilation, self.group)
            for x in bottoms
        )
