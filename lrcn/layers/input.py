"""Layers without bottoms: where data comes in."""

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, register


class Source(Layer):
    """A layer whose tops a caller may set by name, and whose declared shapes the network is built with."""

    def declared_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, as the definition has it."""
        raise NotImplementedError

    def one_per_top(self, values: list, what: str) -> list:
        """A list given once for all tops or once for each."""
        tops = len(self.definition.top)
        if len(values) not in (1, tops):
            raise Error(f"one {what} for all {tops} tops or one for each was expected, {len(values)} were found")
        return values * tops if len(values) == 1 else values


@register("Input")
class Input(Source):
    """Blobs that the caller sets."""

    def declared_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top."""
        return self.one_per_top([tuple(shape.dim) for shape in self.definition.input_param.shape], "shape")


@register("DummyData")
class DummyData(Source):
    """Blobs filled with constants, which a caller may set all the same."""

    def setup(self) -> None:
        fillers = self.definition.dummy_data_param.data_filler
        for filler in fillers:
            if filler.type != "constant":
                raise Error(f"data_filler {filler.type!r} is random; only 'constant' is reproducible here")
        values = [filler.value for filler in fillers] or [0.0]
        self.values = self.one_per_top(values, "data_filler")

    def declared_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, given as a shape or as num, channels, height and width."""
        definition = self.definition.dummy_data_param
        shapes = [tuple(shape.dim) for shape in definition.shape]
        if not shapes:
            sizes = (definition.num, definition.channels, definition.height, definition.width)
            shapes = list(zip(*sizes, strict=True))
        return self.one_per_top(shapes, "shape")

    def forward(self) -> tuple[Tensor, ...]:
        """The constants, in the declared shapes."""
        return tuple(torch.full(shape, value) for shape, value in zip(self.declared_shapes(), self.values, strict=True))
