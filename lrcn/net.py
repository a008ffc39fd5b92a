"""A Caffe network as an `nn.Module`."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prototxt_import import Message, Weights, read_net, select_layers

from . import ops
from .convert import load_weights
from .errors import Error
from .fillers import fill
from .graph import clip_marker_origins, insert_splits, time_major_sources
from .layers import LAYERS, Layer, Source
from .loading import LoadReport, load
from .processes import ALONE, Processes


class Net(nn.Module):
    """A network built from its prototxt, computing what Caffe computes.

        net = lrcn.Net("deploy.prototxt", weights="x.caffemodel")
        probs = net(data=frames, clip_markers=cont)["probs"]

        net = lrcn.Net("train.prototxt", weights="x.caffemodel", phase="TRAIN")
        net.loss(net(data=frames, clip_markers=cont, label=labels)).backward()  # gradients: parameter.grad

    Blobs, layers and parameters have their names and shapes from the definition. The first axis of an input, and the
    numbers of time steps and streams of a sequence, may change from call to call as far as the definition allows
    (a Reshape to fixed sizes does not).

    Args:
        definition (str | os.PathLike | Message): the prototxt's path, or what `prototxt_import.read_net` returned.
        weights (str | os.PathLike | Weights | None): the weights file, `.caffemodel`, HDF5, safetensors or `.pt`, or
            what `prototxt_import.read_weights` returned; None leaves the initial values of the fillers.
        numerics (str): "exact" has the bits of Caffe on a CPU; "fast" uses PyTorch's kernels, on CPU or CUDA.
        phase (str): "TEST" or "TRAIN"; chooses layers, and dropout follows it.
        level (int): chooses layers by their rules.
        stages (Iterable[str]): likewise.
        allow_missing (bool): whether layers that the weights file lacks may keep their initial values.
        processes (Processes): those that share every batch. Data layers hand out this process's share; losses and
            accuracies are those of the whole batch, and what each process finds as gradient adds up to its gradient.

    Attributes:
        definition (Message): the definition after the rules chose its layers, in the current format.
        inputs (dict[str, tuple[int, ...]]): the blobs that a caller sets, with their declared shapes.
        outputs (list[str]): the blobs that no layer reads.
        loss_weights (dict[str, float]): the blobs that make up the loss, and what each counts for.
        blob_shapes (dict[str, tuple[int, ...]]): every blob with its shape for the declared inputs.
        load_report (LoadReport): what came from the weights file and what did not.

    Raises:
        Error: a layer type that is not known, settings or shapes that do not fit, weights of another network.
        FormatError: a file that cannot be read.
    """

    def __init__(
        self,
        definition: str | os.PathLike | Message,
        weights: str | os.PathLike | Weights | None = None,
        *,
        numerics: str = "exact",
        phase: str = "TEST",
        level: int = 0,
        stages: Iterable[str] = (),
        allow_missing: bool = False,
        processes: Processes = ALONE,
    ):
        super().__init__()
        self.processes = processes
        self.ops = ops.numerics(numerics)
        self.numerics = numerics
        if phase not in ("TEST", "TRAIN"):
            raise Error(f"phase {phase!r} is not known: TEST or TRAIN expected")
        if not isinstance(definition, Message):
            definition = read_net(definition)
        self.definition = select_layers(definition, phase, level, stages)
        self.graph = insert_splits(self.definition)
        self._layers: dict[str, Layer] = {}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.blob_shapes: dict[str, tuple[int, ...]] = {}
        self.loss_weights: dict[str, float] = {}
        self._batch_losses: set[str] = set()
        self.training = phase == "TRAIN"
        self._build()
        self.outputs = self._unread(list(self._layers))
        self.load_report = LoadReport()
        if weights is not None:
            source = (weights.path or "weights") if isinstance(weights, Weights) else os.fspath(weights)
            found = weights if isinstance(weights, Weights) else load_weights(weights)
            self.load_report = load(self.params, found, source, allow_missing)
        self._fill_missing()

    def _build(self) -> None:
        """Make the layers in order, following the shapes on the meta device, then give the blobs their memory."""
        self.layers = nn.ModuleList()
        shared: dict[str, nn.Parameter] = {}
        blobs: dict[str, Tensor] = {}
        time_major = time_major_sources(self.graph)
        for definition in self.graph.layer:
            if definition.name in self._layers:
                raise Error(f"two layers are called {definition.name!r}; layers are known by their names")
            if definition.type not in LAYERS:
                raise Error(
                    f"layer {definition.name!r}: type {definition.type!r} is not known; "
                    f"known are {', '.join(sorted(LAYERS))}"
                )
            definition.phase = "TRAIN" if self.training else "TEST"
            with _naming(definition):
                bottoms = [blobs[name] for name in definition.bottom]
                layer = LAYERS[definition.type](definition, self.ops, bottoms, self.processes).train(self.training)
                _share_blobs(layer, shared)
                if isinstance(layer, Source):
                    layer.item_axis = int(definition.name in time_major)
                    self.inputs.update(zip(definition.top, layer.declared_shapes(), strict=True))
                    tops = tuple(torch.empty(shape, device="meta") for shape in layer.declared_shapes())
                else:
                    tops = _as_tuple(layer(*bottoms))
                _check_tops(definition, tops)
            blobs.update(zip(definition.top, tops, strict=True))
            self.loss_weights.update((top, w) for top, w in zip(definition.top, layer.loss_weights, strict=False) if w)
            if layer.is_loss:
                self._batch_losses.update(definition.top)
            self._layers[definition.name] = layer
            self.layers.append(layer)
        self.blob_shapes = {name: tuple(blob.shape) for name, blob in blobs.items()}
        if self.processes.count > 1:
            self._check_streams()
        self._give_blobs_memory()

    def _check_streams(self) -> None:
        """Raise `Error` where a recurrent layer would not get whole streams as this process's share.

        Its steps must be as many as they would be for the whole batch.
        """
        ways = clip_marker_origins(self.graph)
        blobs: dict[str, Tensor] = {}
        for layer in self.layers:
            definition = layer.definition
            bottoms = [blobs[name] for name in definition.bottom]
            with _naming(definition):
                if isinstance(layer, Source):
                    tops = tuple(torch.empty(shape, device="meta") for shape in layer.whole_shapes())
                else:
                    tops = _as_tuple(layer(*bottoms))
                if definition.name in ways:
                    *between, source = ways[definition.name]
                    self._check_steps(definition.bottom[0], len(bottoms[0]))
                    self._check_clip_markers(self._layers[source.name], between)
            blobs.update(zip(definition.top, tops, strict=True))

    def _check_steps(self, blob: str, steps: int) -> None:
        shape = self.blob_shapes[blob]
        if shape[0] != steps:
            raise Error(
                f"{self.processes.count} processes share its streams, and its input {blob!r} should keep its {steps} "
                f"steps; it has shape {shape}: a Reshape before it fixes the number of streams; write dim: -1 for that"
            )

    def _check_clip_markers(self, source: Layer, between: list[Message]) -> None:
        if isinstance(source, Source) and not source.shares_streams and any(way.type == "Reshape" for way in between):
            raise Error(
                f"{self.processes.count} processes cannot share its streams: its clip markers come from "
                f"{source.definition.name!r} as flat rows; let that layer hand them out as (T, N), without a Reshape"
            )

    def _give_blobs_memory(self) -> None:
        given: dict[nn.Parameter, nn.Parameter] = {}
        for layer in self.layers:
            for index, blob in enumerate(layer.blobs):
                if blob not in given:
                    values = torch.zeros_like(blob, device="cpu", requires_grad=False)
                    given[blob] = nn.Parameter(values, requires_grad=blob.requires_grad)
                layer.blobs[index] = given[blob]

    def _fill_missing(self) -> None:
        """Give the blobs that no weights file filled their initial values, shared ones as their first layer says."""
        filled = {blob for name in self.load_report.loaded for blob in self._layers[name].blobs}
        for layer in self.layers:
            for blob, filler in zip(layer.blobs, layer.fillers, strict=True):
                if blob not in filled:
                    with _naming(layer.definition):
                        fill(blob, filler)
                    filled.add(blob)

    def forward(
        self, *, blobs: Iterable[str] = (), start: str | None = None, end: str | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        """Run the network, or its layers from `start` to `end`, both included.

        Inside `torch.no_grad()` nothing is kept for a backward pass, which saves the memory of all blobs.

        Args:
            blobs (Iterable[str]): blobs to return besides the outputs, as they are after their last in-place layer.
            start (str | None): the first layer to run; blobs that layers before it would write are passed by name.
            end (str | None): the last layer to run.
            **inputs: arrays or tensors by blob name.

        Returns:
            The blobs that no layer among those that ran reads, and those asked for, by name.

        Raises:
            Error: a blob that is missing or unknown, or a shape that a layer cannot take.
        """
        names = list(self._layers)
        first, last = self._position(start, 0), self._position(end, len(names) - 1)
        running = names[first : last + 1]
        available = self._inputs(inputs)
        self._pass_through_splits(available, names[:first])
        wanted = dict.fromkeys([*self._unread(running), *blobs])
        definitions = self.ops.arrange([self._layers[name].definition for name in running], wanted)
        remaining = Counter(bottom for definition in definitions for bottom in definition.bottom)
        self.ops.prepare(self.device)
        for definition in definitions:
            layer = self._layers[definition.name]
            if isinstance(layer, Source) and all(top in available for top in definition.top):
                continue
            if definition.type == "Input":
                continue  # a blob that nobody reads need not be passed; a reader that misses it says so
            missing = [bottom for bottom in definition.bottom if bottom not in available]
            if missing:
                raise Error(self._missing_message(definition, missing[0]))
            with _naming(definition):
                tops = _as_tuple(layer(*(available[bottom] for bottom in definition.bottom)))
            for bottom in definition.bottom:
                remaining[bottom] -= 1
                if not remaining[bottom] and bottom not in wanted:
                    del available[bottom]
            for top, value in zip(definition.top, tops, strict=True):
                if top not in inputs or not isinstance(layer, Source):
                    available[top] = value.to(self.device)
        for name in wanted:
            if name not in available and name in blobs:
                raise Error(f"blob {name!r} is not computed; the network has {', '.join(self.blob_shapes)}")
        return {name: available[name] for name in wanted if name in available}

    def loss(self, blobs: Mapping[str, Tensor]) -> Tensor:
        """The sum of the losses times their weights, from what `forward` returned: a scalar, where `backward` starts.

        Raises:
            Error: the network has no loss, or `blobs` lacks one.
        """
        if not self.loss_weights:
            raise Error("the network has no loss: no layer of a type ...Loss, and no loss_weight")
        missing = [name for name in self.loss_weights if name not in blobs]
        if missing:
            raise Error(f"blob {missing[0]!r} is part of the loss and was not passed; ask forward for it by blobs=")
        return sum(self._whole_batch(name, (blobs[name] * weight).sum()) for name, weight in self.loss_weights.items())

    def _whole_batch(self, name: str, loss: Tensor) -> Tensor:
        """Layers that are losses know the whole batch; what others add to the loss is this process's part."""
        return loss if name in self._batch_losses else self.processes.sum(loss)

    @property
    def params(self) -> dict[str, list[nn.Parameter]]:
        """The blobs of each layer that has any, in Caffe's order."""
        return {name: list(layer.blobs) for name, layer in self._layers.items() if len(layer.blobs)}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        parameter = next(self.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    def reset_state(self) -> None:
        """Make all recurrent layers begin the next pass with zeros."""
        for layer in self.layers:
            layer.reset_state()

    def state(self, streams: int) -> dict[str, list[Tensor]]:
        """What the recurrent layers carry into the next pass, by layer: for an LSTM h and c, (streams, H) each.

        Rows may be left out, reordered and repeated before they go to `set_state`, as a beam search needs it.

        Args:
            streams (int): N of the last pass.
        """
        return {name: state for name, layer in self._layers.items() if (state := layer.state(streams))}

    def set_state(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Begin the next pass, of as many streams as there are rows, from what `state` returned."""
        for name, values in state.items():
            self._layers[name].set_state(values)

    def _apply(self, fn, recurse=True):
        moved = fn(torch.empty(0))
        if self.numerics == "exact" and (moved.dtype, moved.device.type) != (torch.float32, "cpu"):
            raise Error(
                f"exact numerics is float32 on the CPU and cannot go to {moved.dtype} on {moved.device}; "
                "build the network with numerics='fast'"
            )
        return super()._apply(fn, recurse)

    def _position(self, layer: str | None, default: int) -> int:
        if layer is None:
            return default
        if layer not in self._layers:
            raise Error(f"layer {layer!r} is not in the network, which has {', '.join(self._layers)}")
        return list(self._layers).index(layer)

    def _inputs(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        available = {}
        for name, value in inputs.items():
            if name not in self.blob_shapes:
                raise Error(f"blob {name!r} is not in the network; its inputs are {', '.join(self.inputs)}")
            if not isinstance(value, Tensor):
                value = torch.from_numpy(np.require(value, np.float32, ["C_CONTIGUOUS", "WRITEABLE"]))
            keeps_dtype = value.is_floating_point() and self.numerics == "fast"
            available[name] = value.to(self.device, value.dtype if keeps_dtype else torch.float32)
        return available

    def _pass_through_splits(self, available: dict[str, Tensor], skipped: list[str]) -> None:
        """Blobs passed by the caller go by their own names; let the layers behind a skipped split find them."""
        for name in skipped:
            definition = self._layers[name].definition
            if definition.type == "Split" and definition.bottom[0] in available:
                available.update(dict.fromkeys(definition.top, available[definition.bottom[0]]))

    def _unread(self, running: Iterable[str]) -> list[str]:
        unread: dict[str, None] = {}
        for name in running:
            definition = self._layers[name].definition
            for bottom in definition.bottom:
                unread.pop(bottom, None)
            unread.update(dict.fromkeys(definition.top))
        return list(unread)

    def _missing_message(self, definition: Message, blob: str) -> str:
        what = f"layer {definition.name!r} needs blob {blob!r}, which was not passed"
        if blob in self.inputs:
            return f"{what}; its declared shape is {self.inputs[blob]}"
        return f"{what} and which no layer of this part computes"


def _as_tuple(tops: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tops if isinstance(tops, tuple) else (tops,)


def _check_tops(definition: Message, tops: tuple[Tensor, ...]) -> None:
    if len(tops) != len(definition.top):
        raise Error(f"{len(definition.top)} tops are declared, the layer has {len(tops)}")


def _share_blobs(layer: Layer, shared: dict[str, nn.Parameter]) -> None:
    """Blobs that `param { name: ... }` gives the same name are one parameter, that of the first such layer."""
    for index, param in enumerate(layer.definition.param):
        if not param.name or index >= len(layer.blobs):
            continue
        owner = shared.setdefault(param.name, layer.blobs[index])
        if owner.shape != layer.blobs[index].shape:
            raise Error(
                f"blob {index} of shape {tuple(layer.blobs[index].shape)} cannot share {param.name!r}, "
                f"which has shape {tuple(owner.shape)}"
            )
        layer.blobs[index] = owner


class _naming:
    """Puts the layer's name and type before the message of what goes wrong inside it."""

    def __init__(self, definition: Message):
        self.definition = definition

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, (Error, RuntimeError, TypeError)) and not isinstance(error, torch.OutOfMemoryError):
            raise Error(f"layer {self.definition.name!r} ({self.definition.type}): {error}") from error
