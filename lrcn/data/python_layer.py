"""Layer classes of the user's own, with the protocol of Caffe's Python layers: setup, reshape, forward, backward."""

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prototxt_import import Message

from ..errors import Error


class Blob:
    """What such a class sees of a blob: `data` and `diff`, float32 arrays of one shape, and `reshape`."""

    def __init__(self) -> None:
        self.reshape(0)

    def reshape(self, *shape: int) -> None:
        """Take a new shape; values are zero after a change."""
        if not hasattr(self, "data") or self.data.shape != shape:
            self.data = np.zeros(shape, np.float32)
            self.diff = np.zeros(shape, np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both arrays."""
        return self.data.shape

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.data.size

    @property
    def num(self) -> int:
        """The first of four axes."""
        return self._legacy_axis(0)

    @property
    def channels(self) -> int:
        """The second of four axes."""
        return self._legacy_axis(1)

    @property
    def height(self) -> int:
        """The third of four axes."""
        return self._legacy_axis(2)

    @property
    def width(self) -> int:
        """The fourth of four axes."""
        return self._legacy_axis(3)

    def _legacy_axis(self, axis: int) -> int:
        """As in Caffe, an axis that is not there has length 1."""
        if len(self.shape) > 4:
            raise Error(f"num, channels, height and width are of blobs with four axes; this has shape {self.shape}")
        return self.shape[axis] if axis < len(self.shape) else 1


class PythonFunction:
    """One layer computed by an object of the user's class.

    The class is found by the module and layer names of the definition, on Python's path. It needs no base class and no
    installed Caffe; it gets the attributes `param_str` and `phase` (0 in TRAIN, 1 in TEST) before `setup`. Parameters
    of such a layer (`self.blobs`) are not supported.

    Args:
        definition (Message): the LayerParameter.
        shapes (list[tuple[int, ...]]): of the bottoms.

    Raises:
        Error: a module or a class that is not there.
    """

    def __init__(self, definition: Message, shapes: list[tuple[int, ...]]):
        self.bottoms = [Blob() for _ in definition.bottom]
        self.tops = [Blob() for _ in definition.top]
        self.layer = _find_class(definition.python_param)()
        self.layer.param_str = definition.python_param.param_str
        self.layer.phase = ("TRAIN", "TEST").index(definition.phase)
        self._take_shapes(shapes)
        self.layer.setup(self.bottoms, self.tops)
        self.reshape(shapes)

    def reshape(self, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The shapes of the tops for these of the bottoms."""
        self._take_shapes(shapes)
        self.layer.reshape(self.bottoms, self.tops)
        return [top.shape for top in self.tops]

    def __call__(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        """The tops; differentiable as far as the class has `backward`."""
        return _Apply.apply(self, *bottoms)

    def _take_shapes(self, shapes: list[tuple[int, ...]]) -> None:
        for blob, shape in zip(self.bottoms, shapes, strict=True):
            blob.reshape(*shape)


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: PythonFunction, *bottoms: Tensor) -> tuple[Tensor, ...]:
        function.reshape([tuple(bottom.shape) for bottom in bottoms])
        for blob, bottom in zip(function.bottoms, bottoms, strict=True):
            blob.data[...] = bottom.detach().float().cpu().numpy()
        function.layer.forward(function.bottoms, function.tops)
        ctx.function = function
        ctx.save_for_backward(*bottoms)
        device = bottoms[0].device if bottoms else "cpu"
        return tuple(torch.tensor(top.data, device=device) for top in function.tops)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        function = ctx.function
        for blob, bottom in zip(function.bottoms, ctx.saved_tensors, strict=True):
            blob.data[...] = bottom.detach().float().cpu().numpy()
            blob.diff[...] = 0
        for blob, gradient in zip(function.tops, gradients, strict=True):
            blob.diff[...] = gradient.float().cpu().numpy()
        wanted = list(ctx.needs_input_grad[1:])
        if not hasattr(function.layer, "backward"):
            raise Error(f"python_param: class {type(function.layer).__name__!r} has no method 'backward'")
        function.layer.backward(function.tops, wanted, function.bottoms)
        return None, *(
            torch.tensor(blob.diff, dtype=bottom.dtype, device=bottom.device) if needed else None
            for blob, bottom, needed in zip(function.bottoms, ctx.saved_tensors, wanted, strict=True)
        )


def _find_class(definition: Message) -> type:
    try:
        module = importlib.import_module(definition.module)
    except (ImportError, ValueError) as error:
        raise Error(
            f"python_param: module {definition.module!r} cannot be imported: {error}; put its folder on PYTHONPATH "
            "(its class needs no base class of Caffe's)"
        ) from error
    found = getattr(module, definition.layer, None)
    if found is None:
        raise Error(f"python_param: {module.__file__} has no class {definition.layer!r}")
    for method in ("setup", "reshape", "forward"):
        if not callable(getattr(found, method, None)):
            raise Error(f"python_param: class {definition.layer!r} of {module.__file__} has no method {method!r}")
    return found
