"""Local response normalization."""

from torch import Tensor

from ..errors import Error
from .base import Layer, register, require_axes


@register("LRN")
class LRN(Layer):
    """Local response normalization (Krizhevsky et al., 2012), across channels or within each."""

    def setup(self, x: Tensor) -> None:
        definition = self.definition.lrn_param
        self.size, self.alpha, self.beta, self.k = (
            definition.local_size,
            definition.alpha,
            definition.beta,
            definition.k,
        )
        self.within_channel = definition.norm_region == "WITHIN_CHANNEL"
        if self.size % 2 == 0:
            raise Error(f"local_size must be odd, {self.size} was found")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        require_axes(x, 4)
        if self.within_channel:
            return self.ops.lrn_within_channel(x, self.size, self.alpha, self.beta)
        return self.ops.lrn_across_channels(x, self.size, self.alpha, self.beta, self.k)
