"""What all layers share: definition, blobs, the numerics they compute with; and the table of their types."""

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from prototxt_import import Message

from ..errors import Error
from ..processes import ALONE, Processes

LAYERS: dict[str, type["Layer"]] = {}


def register(layer_type: str) -> Callable[[type["Layer"]], type["Layer"]]:
    """Class decorator: this class is what a definition's `type: "..."` means."""

    def add(cls: type["Layer"]) -> type["Layer"]:
        LAYERS[layer_type] = cls
        return cls

    return add


class Layer(nn.Module):
    """One layer of a network.

    A subclass declares its blobs in `setup`, from the shapes of its bottoms, and computes its tops in `forward`. Shapes
    may change from call to call as far as the blobs allow. Dropout and its like follow `self.training`, which is
    Caffe's phase.

    Args:
        definition (Message): the LayerParameter.
        ops (ModuleType): the numerics, `lrcn.ops.exact` or `lrcn.ops.fast`.
        bottoms (Sequence[Tensor]): tensors on the meta device; only their shapes count.
        processes (Processes): those that share every batch. What describes a whole batch (a loss, an accuracy) is that
            of the batch of all processes.

    Attributes:
        loss_weights (list[float]): for each top what it counts for in the network's loss; 0 for what is no loss.
        blobs (nn.ParameterList): the parameters in Caffe's order; on the meta device until the network fills them.
        fillers (list[Message]): for each blob, the FillerParameter of its initial values.
    """

    is_loss = False  # whether the first top is a loss unless the definition says otherwise

    def __init__(self, definition: Message, ops: ModuleType, bottoms: Sequence[Tensor], processes: Processes = ALONE):
        super().__init__()
        self.definition = definition
        self.ops = ops
        self.processes = processes
        self.loss_weights = list(definition.loss_weight) or [float(self.is_loss)]
        self.blobs = nn.ParameterList()
        self.fillers: list[Message] = []
        self.setup(*bottoms)

    def setup(self, *bottoms: Tensor) -> None:
        """Read the definition, check it and declare the blobs. Raises `Error` for what does not fit."""

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The tops, one tensor or a tuple in the order of the definition."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forget what a forward pass left for the next one; only recurrent layers have such a thing."""

    def state(self, streams: int) -> list[Tensor]:
        """What the first `streams` streams carry into the next pass, (streams, H) each; empty unless recurrent.

        See `Net.state`.
        """
        return []

    def set_state(self, state: Sequence[Tensor]) -> None:
        """Begin the next pass from what `state` returned."""

    def carried(self) -> list[Tensor]:
        """What the layer carries from one pass to the next, for a snapshot of training: state, a place in the data."""
        return []

    def carry_on(self, carried: Sequence[Tensor]) -> None:
        """Go on from what `carried` returned."""

    def add_blob(self, *shape: int, filler: Message) -> None:
        """Declare the next parameter blob and the FillerParameter of its initial values."""
        values = torch.empty(shape, device="meta")
        self.blobs.append(nn.Parameter(values, requires_grad=self._learns(len(self.blobs))))
        self.fillers.append(filler)

    def _learns(self, index: int) -> bool:
        """Whether blob `index` has a gradient: all do but those with lr_mult 0."""
        return index >= len(self.definition.param) or self.definition.param[index].lr_mult != 0

    def blob(self, index: int) -> Tensor | None:
        """Blob `index`, or None where the layer was declared without it (no bias, no static input)."""
        return self.blobs[index] if index < len(self.blobs) else None


def canonical_axis(axis: int, tensor: Tensor) -> int:
    """`axis` counted from the front; negative ones count from the back. Raises `Error` beyond the tensor's axes."""
    if not -tensor.dim() <= axis < tensor.dim():
        raise Error(f"axis {axis} is out of range for an input of shape {tuple(tensor.shape)}")
    return axis % tensor.dim()


def require_axes(tensor: Tensor, count: int) -> None:
    """Raise `Error` unless the tensor has `count` axes."""
    if tensor.dim() != count:
        raise Error(f"an input with {count} axes was expected, one of shape {tuple(tensor.shape)} was found")


def require_positive(definition: Message, field: str) -> int:
    """The value of a field that must be given and positive."""
    value = getattr(definition, field)
    if value <= 0:
        raise Error(f"{definition.type_name}.{field} must be positive, {value} was found")
    return value


def spatial_pair(definition: Message, size_field: str, height_field: str, width_field: str) -> tuple[int, int]:
    """A size along (height, width), given once for both, twice in one field, or in two fields of its own.

    Raises `Error` when it is given both ways or half.
    """
    given_apart = definition.has(height_field) or definition.has(width_field)
    common = getattr(definition, size_field)
    values = list(common) if isinstance(common, (list, tuple)) else [common]
    if given_apart:
        if definition.has(size_field) and values:
            raise Error(f"{definition.type_name}: {size_field} or {height_field} and {width_field}, not both")
        return getattr(definition, height_field), getattr(definition, width_field)
    if len(values) not in (0, 1, 2):
        raise Error(f"{definition.type_name}.{size_field}: at most two values for two axes, {len(values)} were found")
    return (values[0], values[-1]) if values else (0, 0)
