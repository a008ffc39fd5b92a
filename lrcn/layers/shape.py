"""Layers that move values about without computing."""

from itertools import pairwise

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, canonical_axis, register


@register("Reshape")
class Reshape(Layer):
    """Another shape for the same values: 0 keeps an axis, -1 is what remains; axis and num_axes choose a part."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to one of as many values."""
        definition = self.definition.reshape_param
        start = definition.axis if definition.axis >= 0 else x.dim() + definition.axis + 1
        end = x.dim() if definition.num_axes == -1 else start + definition.num_axes
        if not 0 <= start <= end <= x.dim():
            raise Error(f"axis {definition.axis} and num_axes {definition.num_axes} do not fit {tuple(x.shape)}")
        wanted = list(definition.shape.dim)
        for i, dim in enumerate(wanted):
            if dim == 0:
                if start + i >= x.dim():
                    raise Error(f"dim {i} of shape {wanted} is 0, but {tuple(x.shape)} has no such axis to keep")
                wanted[i] = x.shape[start + i]
        shape = [*x.shape[:start], *wanted, *x.shape[end:]]
        try:
            return x.reshape(shape)
        except RuntimeError as error:
            raise Error(
                f"an input of shape {tuple(x.shape)} does not fill the shape {shape} of reshape_param; "
                "write dim: -1 for the number of items or streams, which changes with the batch"
            ) from error


@register("Flatten")
class Flatten(Layer):
    """The axes from `axis` to `end_axis` become one."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to one of as many values."""
        definition = self.definition.flatten_param
        return x.flatten(canonical_axis(definition.axis, x), canonical_axis(definition.end_axis, x))


@register("Concat")
class Concat(Layer):
    """The bottoms one after the other along `axis`."""

    def forward(self, *bottoms: Tensor) -> Tensor:
        """Shapes that differ at most along the axis."""
        definition = self.definition.concat_param
        axis = definition.concat_dim if definition.has("concat_dim") else definition.axis
        return torch.cat(bottoms, canonical_axis(axis, bottoms[0]))


@register("Slice")
class Slice(Layer):
    """The bottom cut along `axis` at the slice points, or into equal parts."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """One top per part."""
        definition = self.definition.slice_param
        axis = canonical_axis(definition.slice_dim if definition.has("slice_dim") else definition.axis, x)
        parts, size, points = len(self.definition.top), x.shape[axis], list(definition.slice_point)
        if not points:
            if size % parts:
                raise Error(f"axis {axis} of shape {tuple(x.shape)} does not divide into {parts} tops")
            return x.split(size // parts, axis)
        bounds = [0, *points, size]
        if len(points) != parts - 1 or any(a >= b for a, b in pairwise(bounds)):
            raise Error(f"slice points {points} do not cut axis {axis} of shape {tuple(x.shape)} into {parts} tops")
        return x.split([b - a for a, b in pairwise(bounds)], axis)


@register("Split")
class Split(Layer):
    """The bottom again, once for every reader."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """As many tops as the definition has."""
        return self.ops.split(x, len(self.definition.top))


@register("Silence")
class Silence(Layer):
    """Reads blobs so that they are not outputs of the network."""

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        """No tops."""
        return ()
