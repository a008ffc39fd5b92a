"""Layers that combine, scale, sum up and rank values."""

import torch
from torch import Tensor

from prototxt_import import Message

from ..errors import Error
from .base import Layer, canonical_axis, register


@register("Eltwise")
class Eltwise(Layer):
    """Product, weighted sum or maximum of bottoms of one shape."""

    def setup(self, *bottoms: Tensor) -> None:
        definition = self.definition.eltwise_param
        self.operation = definition.operation
        self.coefficients = list(definition.coeff) or [1.0] * len(bottoms)
        if definition.has("coeff") and len(definition.coeff):
            if self.operation != "SUM":
                raise Error("coefficients belong to the operation SUM only")
            if len(self.coefficients) != len(bottoms):
                raise Error(f"{len(self.coefficients)} coefficients were found for {len(bottoms)} bottoms")

    def forward(self, *bottoms: Tensor) -> Tensor:
        """Bottoms of one shape to a top of that shape."""
        if any(bottom.shape != bottoms[0].shape for bottom in bottoms):
            raise Error(f"bottoms of one shape were expected, {[tuple(b.shape) for b in bottoms]} were found")
        if self.operation == "SUM":
            return self.ops.weighted_sum(bottoms, self.coefficients)
        if self.operation == "PROD":
            return self.ops.product(bottoms, self.definition.eltwise_param.stable_prod_grad)
        return self.ops.maximum(bottoms)


@register("Scale")
class Scale(Layer):
    """Product with a scale that lies along some axes, its own blob or a second bottom; then perhaps a bias."""

    def setup(self, x: Tensor, scale: Tensor | None = None) -> None:
        definition = self.definition.scale_param
        if scale is None:
            axis = canonical_axis(definition.axis, x)
            end = x.dim() if definition.num_axes == -1 else axis + definition.num_axes
            if not axis <= end <= x.dim():
                raise Error(f"axis {axis} and num_axes {definition.num_axes} reach beyond shape {tuple(x.shape)}")
            shape = tuple(x.shape[axis:end])
            unchanged = Message("FillerParameter", value=1.0)
            self.add_blob(*shape, filler=definition.filler if definition.has("filler") else unchanged)
        else:
            shape = tuple(scale.shape)
        self.has_bias = definition.bias_term
        if self.has_bias:
            self.add_blob(*shape, filler=definition.bias_filler)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """x of any shape; scale of the shape of consecutive axes of x."""
        factor = self.blobs[0] if scale is None else scale
        axis = canonical_axis(self.definition.scale_param.axis, x) if factor.dim() else 0
        if x.shape[axis : axis + factor.dim()] != factor.shape:
            raise Error(
                f"a scale of shape {tuple(factor.shape)} does not lie along {tuple(x.shape)} from axis {axis} on"
            )
        parts = x.reshape(x.shape[:axis].numel(), factor.numel(), -1)
        return self.ops.scale(parts, factor, self.blobs[-1] if self.has_bias else None).view(x.shape)


@register("Reduction")
class Reduction(Layer):
    """Sum, mean, sum of absolute values or of squares over all axes from `axis` on, times coeff."""

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the axes before `axis`."""
        definition = self.definition.reduction_param
        axis = canonical_axis(definition.axis, x)
        rows = x.reshape(*x.shape[:axis], -1).reshape(-1, x.shape[axis:].numel())
        y = self.ops.sum_rows(rows, definition.operation == "ASUM", definition.operation == "SUMSQ")
        coefficient = torch.tensor(definition.coeff, dtype=torch.float32)
        if definition.operation == "MEAN":
            coefficient = coefficient / rows.shape[1]
        return (y * coefficient.item()).view(x.shape[:axis])


@register("ArgMax")
class ArgMax(Layer):
    """The indices (or values, or both) of the top_k largest, along `axis` or of each whole item; ties: larger index."""

    def setup(self, x: Tensor) -> None:
        definition = self.definition.argmax_param
        self.axis = canonical_axis(definition.axis, x) if definition.has("axis") else None
        self.top_k, self.out_max_val = definition.top_k, definition.out_max_val
        size = x[0].numel() if self.axis is None else x.shape[self.axis]
        if not 1 <= self.top_k <= size:
            raise Error(f"top_k {self.top_k} is not between 1 and the {size} values to choose from")

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) to (N, 1, top_k), with both to (N, 2, top_k), along an axis to x's shape with top_k there."""
        axis = -1 if self.axis is None else self.axis
        candidates = x.flatten(1) if self.axis is None else x
        # A stable sort of the reversed values puts the larger index first among equals.
        order = candidates.flip(axis).argsort(dim=axis, descending=True, stable=True).narrow(axis, 0, self.top_k)
        index = candidates.shape[axis] - 1 - order
        value = candidates.gather(axis, index)
        if self.axis is not None:
            return value if self.out_max_val else index.to(x.dtype)
        chosen = [index.to(x.dtype), value] if self.out_max_val else [index.to(x.dtype)]
        return torch.stack(chosen, dim=1).view(len(x), len(chosen), self.top_k, *[1] * (x.dim() - 3))
