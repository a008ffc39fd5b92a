"""Fully connected layers: InnerProduct, and Embed, its form for one-hot inputs."""

from torch import Tensor

from ..errors import Error
from .base import Layer, canonical_axis, register, require_positive


@register("InnerProduct")
class InnerProduct(Layer):
    """Axes from `axis` on are flattened to K and multiplied; blobs: weight (O, K) and bias (O)."""

    def setup(self, x: Tensor) -> None:
        definition = self.definition.inner_product_param
        self.axis = canonical_axis(definition.axis, x)
        self.outputs = require_positive(definition, "num_output")
        self.transposed_weight = definition.transpose
        self.inputs = x.shape[self.axis :].numel()
        shape = (self.outputs, self.inputs)
        self.add_blob(*(reversed(shape) if self.transposed_weight else shape), filler=definition.weight_filler)
        if definition.bias_term:
            self.add_blob(self.outputs, filler=definition.bias_filler)

    def forward(self, x: Tensor) -> Tensor:
        """(..., axes from `axis` on) to (..., O)."""
        if x.shape[self.axis :].numel() != self.inputs:
            raise Error(
                f"{self.inputs} inputs from axis {self.axis} on were expected, "
                f"an input of shape {tuple(x.shape)} was found"
            )
        rows = x.reshape(-1, self.inputs)
        y = self.ops.inner_product(rows, self.blobs[0], self.blob(1), self.transposed_weight)
        return y.view(*x.shape[: self.axis], self.outputs)


@register("Embed")
class Embed(Layer):
    """Row `index` of the weight for every index of the input; blobs: weight (input_dim, O) and bias (O).

    The index -1, with which the authors pad sentences, stands for zeros that learn nothing. (Caffe reads whatever lies
    in memory before the weights there; no loss looks at it.)
    """

    def setup(self, x: Tensor) -> None:
        definition = self.definition.embed_param
        self.input_dim = require_positive(definition, "input_dim")
        self.outputs = require_positive(definition, "num_output")
        self.add_blob(self.input_dim, self.outputs, filler=definition.weight_filler)
        if definition.bias_term:
            self.add_blob(self.outputs, filler=definition.bias_filler)

    def forward(self, x: Tensor) -> Tensor:
        """Indices of any shape, as floats, to that shape with O appended."""
        # On CUDA the kernel itself checks: looking at the values here would wait for the device.
        if x.device.type == "cpu" and x.numel() and not -1 <= x.long().min() <= x.long().max() < self.input_dim:
            found = f"{int(x.min())} to {int(x.max())}"
            raise Error(f"indices from 0 to {self.input_dim - 1}, or -1, were expected, {found} were found")
        padding = x == -1
        y = self.ops.embed(x.masked_fill(padding, 0), self.blobs[0], self.blob(1))
        return y.masked_fill(padding.unsqueeze(-1), 0)
