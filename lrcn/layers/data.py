"""Layers that read training data from files, and layers of the user's own."""

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prototxt_import import Message

from ..data import video_sequence
from ..data.hdf5 import HDF5Reader
from ..data.image_list import ImageListReader
from ..data.lmdb_reader import LMDBReader
from ..data.python_layer import PythonFunction
from ..data.transform import Transform
from ..errors import Error
from ..processes import ALONE, Processes
from .base import Layer, register, require_positive
from .input import Source


class Reader(Protocol):
    """What hands out batches: the readers in `lrcn.data`."""

    shapes: list[tuple[int, ...]]

    def read(self) -> tuple[np.ndarray, ...]:
        """The next batch, float32, one array per top."""

    def skip(self) -> None:
        """Pass over a batch: what follows is the same as after `read`."""


class DataLayer(Source):
    """A layer whose every forward pass is the next batch of its `reader`.

    Attributes:
        reader (Reader): made in `setup`.
        batches_used (int): how many batches forward passes took; a run that goes on where another stopped skips them.
    """

    reader: Reader
    batches_used = 0

    def batch_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of a batch; the last tops (labels, clip markers) may be left out."""
        tops, most = len(self.definition.top), len(self.reader.shapes)
        if not 1 <= tops <= most:
            raise Error(f"at most {most} tops were expected, {tops} were found")
        return self.reader.shapes[:tops]

    def batch(self) -> tuple[Tensor, ...]:
        """The next batch."""
        self.batches_used += 1
        return tuple(torch.from_numpy(values) for values in self.reader.read())[: len(self.definition.top)]

    def carried(self) -> list[Tensor]:
        """How many batches were used."""
        return [torch.tensor(self.batches_used)]

    def carry_on(self, carried: Sequence[Tensor]) -> None:
        """Skip the batches that were used."""
        for used in carried:
            self.batches_used = int(used)
            for _ in range(self.batches_used):
                self.reader.skip()


@register("HDF5Data")
class HDF5Data(DataLayer):
    """Rows of HDF5 files; each top is the dataset of its name."""

    def setup(self) -> None:
        definition = self.definition.hdf5_data_param
        if self.definition.has("transform_param"):
            raise Error("HDF5Data does not transform its data; remove transform_param")
        batch_size = require_positive(definition, "batch_size")
        self.reader = HDF5Reader(definition.source, self.definition.top, batch_size, definition.shuffle)


@register("ImageData")
class ImageData(DataLayer):
    """Images and labels from a list.

    As in the authors' code, `transform_param { flow: true }` changes nothing here: mirrored flow images keep their
    horizontal flow.
    """

    loads_share = True

    def setup(self) -> None:
        require_positive(self.definition.image_data_param, "batch_size")
        transform = Transform(self.definition.transform_param, self.definition.phase)
        depth = require_positive(self.definition.data_param, "prefetch")
        if self.definition.transform_param.flow:
            warnings.warn("ImageData: flow has no effect; mirrored images keep their horizontal flow", stacklevel=2)
        self.reader = ImageListReader(self.definition.image_data_param, transform, depth, self.processes)


@register("Data")
class Data(DataLayer):
    """Examples and labels from an LMDB data base."""

    loads_share = True

    def setup(self) -> None:
        for field in ("batch_size", "prefetch"):
            require_positive(self.definition.data_param, field)
        transform = Transform(self.definition.transform_param, self.definition.phase)
        self.reader = LMDBReader(self.definition.data_param, transform, self.processes)


@register("MemoryData")
class MemoryData(DataLayer):
    """Arrays that `reset` hands over, batch by batch, over and over; not transformed."""

    def setup(self) -> None:
        definition = self.definition.memory_data_param
        sizes = (require_positive(definition, name) for name in ("batch_size", "channels", "height", "width"))
        self.reader = _ArrayReader(*sizes)

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Begin with the first batch of these arrays.

        Args:
            data: (n, channels, height, width), n a multiple of batch_size.
            labels: n numbers, of any shape.

        Raises:
            Error: shapes that do not fit.
        """
        self.reader.reset(data, labels)


class _ArrayReader:
    def __init__(self, batch_size: int, *sizes: int):
        self.shapes = [(batch_size, *sizes), (batch_size,)]
        self._batches: list[tuple[np.ndarray, np.ndarray]] = []
        self._position = 0

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        shape, (batch_size,) = self.shapes
        data, labels = np.asarray(data, np.float32), np.asarray(labels, np.float32).ravel()
        if data.shape[1:] != shape[1:] or len(data) % batch_size or len(data) == 0 or len(labels) != len(data):
            raise Error(
                f"data of shape (n, {', '.join(map(str, shape[1:]))}) and n labels were expected, n a multiple of "
                f"{batch_size}; found shapes {data.shape} and {labels.shape}"
            )
        count = len(data) // batch_size
        self._batches = list(zip(np.split(data, count), np.split(labels, count), strict=True))
        self._position = 0

    def read(self) -> tuple[np.ndarray, ...]:
        if not self._batches:
            raise Error("there is no data yet; hand it over with the layer's reset(data, labels)")
        batch = self._batches[self._position]
        self.skip()
        return tuple(values.copy() for values in batch)

    def skip(self) -> None:
        self._position = (self._position + 1) % max(len(self._batches), 1)


class VideoSequence(DataLayer):
    """The authors' video layers, by their names in module `sequence_input_layer`: images, labels, clip markers."""

    loads_share = True
    shares_streams = True

    def setup(self) -> None:
        definition = self.definition.python_param
        if definition.layer not in video_sequence.LAYERS:
            known = ", ".join(video_sequence.LAYERS)
            raise Error(f"python_param: layer {definition.layer!r} of {definition.module} is not known; known: {known}")
        settings = video_sequence.LAYERS[definition.layer].changed(definition.param_str)
        self.reader = video_sequence.VideoSequenceReader(settings, self.processes)


class PythonSource(Source):
    """A layer class of the user's own that has no bottoms; in several processes each must make the same batches."""

    def setup(self) -> None:
        self.function = PythonFunction(self.definition, [])

    def batch_shapes(self) -> list[tuple[int, ...]]:
        """What the class's `reshape` gave the tops."""
        return [top.shape for top in self.function.tops]

    def batch(self) -> tuple[Tensor, ...]:
        """What the class's `forward` computes."""
        return self.function()


class Python(Layer):
    """A layer class of the user's own, computed in numpy on the CPU."""

    def setup(self, *bottoms: Tensor) -> None:
        self.function = PythonFunction(self.definition, [tuple(bottom.shape) for bottom in bottoms])

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        """What the class's `forward` computes; on the meta device, what its `reshape` says."""
        if all(bottom.is_meta for bottom in bottoms):
            shapes = self.function.reshape([tuple(bottom.shape) for bottom in bottoms])
            return tuple(torch.empty(shape, device="meta") for shape in shapes)
        return self.function(*bottoms)


@register("Python")
def python_layer(
    definition: Message, ops: ModuleType, bottoms: Sequence[Tensor], processes: Processes = ALONE
) -> Layer:
    """The layer that a `python_param` means: a video layer of the authors, or a class of the user's own."""
    if definition.python_param.module == video_sequence.MODULE:
        return VideoSequence(definition, ops, bottoms, processes)
    return (Python if bottoms else PythonSource)(definition, ops, bottoms, processes)
