"""Layers without bottoms: where data comes in."""

import torch
from torch import Tensor

from ..errors import Error
from .base import Layer, register


class Source(Layer):
    """A layer whose tops a caller may set by name, and whose declared shapes the network is built with.

    Several processes share a batch: every process makes all of it and takes its share, unless `loads_share`. A top
    without that axis goes to every process whole.

    Attributes:
        item_axis (int): the axis along which a batch is shared: 0, or 1 where axis 0 is time, which the network finds
            out.
        loads_share (bool): whether `batch` is this process's share already.
        shares_streams (bool): whether, of flat time-major rows, a share is one of whole streams.
    """

    item_axis = 0
    loads_share = False
    shares_streams = False

    def batch_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, as the definition has it."""
        raise NotImplementedError

    def batch(self) -> tuple[Tensor, ...]:
        """The tops."""
        raise NotImplementedError

    def declared_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, that of this process's share."""
        return self.batch_shapes() if self.loads_share else [self._share_of_shape(s) for s in self.batch_shapes()]

    def whole_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, that of the batch of all processes."""
        count = self.processes.count
        return [
            tuple(size * count if axis == self.item_axis else size for axis, size in enumerate(shape))
            for shape in self.declared_shapes()
        ]

    def forward(self) -> tuple[Tensor, ...]:
        """This process's share of the next batch."""
        return self.batch() if self.loads_share else tuple(self._share(top) for top in self.batch())

    def _share_of_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(
            self.processes.share_size(size) if axis == self.item_axis else size for axis, size in enumerate(shape)
        )

    def _share(self, top: Tensor) -> Tensor:
        axis = self.item_axis
        return (
            top if top.dim() <= axis else self.processes.share(top.transpose(0, axis)).transpose(0, axis).contiguous()
        )

    def one_per_top(self, values: list, what: str) -> list:
        """A list given once for all tops or once for each."""
        tops = len(self.definition.top)
        if len(values) not in (1, tops):
            raise Error(f"one {what} for all {tops} tops or one for each was expected, {len(values)} were found")
        return values * tops if len(values) == 1 else values


@register("Input")
class Input(Source):
    """Blobs that the caller sets; each process is given its share."""

    def declared_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top."""
        return self.one_per_top([tuple(shape.dim) for shape in self.definition.input_param.shape], "shape")

    def whole_shapes(self) -> list[tuple[int, ...]]:
        """What is declared: it binds neither a share nor the whole."""
        return self.declared_shapes()


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

    def batch_shapes(self) -> list[tuple[int, ...]]:
        """One shape per top, given as a shape or as num, channels, height and width."""
        definition = self.definition.dummy_data_param
        shapes = [tuple(shape.dim) for shape in definition.shape]
        if not shapes:
            sizes = (definition.num, definition.channels, definition.height, definition.width)
            shapes = list(zip(*sizes, strict=True))
        return self.one_per_top(shapes, "shape")

    def batch(self) -> tuple[Tensor, ...]:
        """The constants, in the declared shapes."""
        return tuple(torch.full(shape, value) for shape, value in zip(self.batch_shapes(), self.values, strict=True))
