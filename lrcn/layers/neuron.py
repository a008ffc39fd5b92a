"""Layers that treat every value by itself."""

from torch import Tensor

from .base import Layer, register


@register("ReLU")
class ReLU(Layer):
    """max(x, 0) + negative_slope * min(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return self.ops.relu(x, self.definition.relu_param.negative_slope)


@register("Sigmoid")
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return self.ops.sigmoid(x)


@register("TanH")
class TanH(Layer):
    """The hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return self.ops.tanh(x)


@register("Power")
class Power(Layer):
    """(shift + scale * x) ^ power."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        definition = self.definition.power_param
        return self.ops.power(x, definition.power, definition.scale, definition.shift)


@register("Dropout")
class Dropout(Layer):
    """In training each value is dropped with probability dropout_ratio and the rest scaled up; nothing in testing."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if not self.training:
            return x
        return self.ops.dropout(x, self.definition.dropout_param.dropout_ratio)
