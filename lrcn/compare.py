"""Comparing a network with what Caffe computed: recorded cases, ULP distances and the limits that a run must keep.

A case is a folder with `net.prototxt`, `weights.caffemodel` and `dump.h5`; `scripts/dump_caffe.py` writes one under a
user's own Caffe. `dump.h5` (format 1) has the attributes `engine`, `phase`, `blas` and `note`, and for every forward
pass a group `step_NNN` with `input/BLOB` (set before the pass; an input that a step does not list keeps its value) and
`data/BLOB` (after the pass). The steps run one after the other on one network, so recurrent state carries over.

Where a backward pass was recorded, the step has `diff/BLOB` and `param_diff/LAYER/INDEX`, the gradients after it, and
`top_diff/BLOB` where gradients of blobs were set before it. Gradients of parameters start at zero in every step. Of a
blob that an in-place layer overwrites, `diff` is the gradient of the value before that layer; of a blob with several
readers, the sum over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from .errors import Error
from .net import Net

FORMAT = 1

# The limits, each with its reason.
EXACT_ULP = 0  # exact numerics promises Caffe's own bits
PROBABILITY_TOLERANCE = 1e-5  # absolute, for probabilities in fast numerics: a whole model of float32 sums, reordered
PRODUCT_ORDER_TOLERANCE = 1e-4  # for other blobs in fast numerics, relative to the blob's largest magnitude: another
# order of a sum moves it by a share of its terms, and cancellation can make its own value as small as it likes

_ELEMENTS_AT_ONCE = 1 << 20  # bounds the memory that a comparison takes beside the two blobs


def ulp_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many float32 numbers lie between `a` and `b`, element by element (int64, the shape of the inputs).

    Every bit pattern has its own place on the line, -0 right below +0 and the NaNs beyond the infinities, so that a
    distance of 0 means the same bits: -0 and +0 are 1 apart, and two NaNs are equal only with equal sign and payload.

    Raises:
        ValueError: if `a` or `b` is not float32, or their shapes differ.
    """
    if a.dtype != np.float32 or b.dtype != np.float32 or a.shape != b.shape:
        raise ValueError(f"expected two float32 arrays of one shape, found {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    return np.abs(_place_on_line(a) - _place_on_line(b))


def _place_on_line(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.int32).astype(np.int64)
    magnitude = bits & 0x7FFFFFFF
    return np.where(bits < 0, -magnitude - 1, magnitude)


@dataclass
class BlobComparison:
    """How far one blob is from the recorded one: the largest differences over all its elements and steps.

    name (str): the blob.
    shape (tuple): its shape in the last step.
    steps (int): in how many steps it was recorded.
    max_ulp (int): largest ULP distance.
    max_abs (float): largest absolute difference.
    max_rel (float): largest difference relative to the larger of the two numbers.
    max_scaled (float): largest difference relative to the largest number that was recorded for the blob in its step.
    same_argmax (bool or None): for probabilities, whether the most probable class is always the same.
    within (bool): whether all of it is within the limit.
    """

    name: str
    shape: tuple[int, ...] = ()
    steps: int = 0
    max_ulp: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_scaled: float = 0.0
    same_argmax: bool | None = None
    within: bool = False

    def add(self, found: np.ndarray, recorded: np.ndarray, class_axis: int | None = None) -> None:
        """Take in one more step: `found` and `recorded` are float32 and of one shape.

        `class_axis` is the axis of the classes where the blob holds probabilities.
        """
        self.shape = recorded.shape
        self.steps += 1
        largest = float(np.max(np.abs(recorded), initial=0.0, where=np.isfinite(recorded)))
        flat_found, flat_recorded = np.ravel(found), np.ravel(recorded)
        for start in range(0, flat_recorded.size, _ELEMENTS_AT_ONCE):
            part = slice(start, start + _ELEMENTS_AT_ONCE)
            ulp, absolute, relative = _largest_differences(flat_found[part], flat_recorded[part])
            self.max_ulp = max(self.max_ulp, ulp)
            self.max_abs = max(self.max_abs, absolute)
            self.max_rel = max(self.max_rel, relative)
            self.max_scaled = max(self.max_scaled, absolute / largest if largest else absolute)
        if class_axis is not None:
            same = np.array_equal(found.argmax(class_axis), recorded.argmax(class_axis))
            self.same_argmax = same and self.same_argmax is not False

    def judge(self, numerics: str, max_ulp: int | None) -> None:
        """Set `within` by the limits of this module, or by `max_ulp` where it is given."""
        if max_ulp is not None:
            self.within = self.max_ulp <= max_ulp
        elif numerics == "exact":
            self.within = self.max_ulp <= EXACT_ULP
        elif self.same_argmax is not None:
            self.within = self.same_argmax and self.max_abs <= PROBABILITY_TOLERANCE
        else:
            self.within = self.max_scaled <= PRODUCT_ORDER_TOLERANCE


def _largest_differences(found: np.ndarray, recorded: np.ndarray) -> tuple[int, float, float]:
    """Largest ULP, absolute and relative difference; where one is NaN or infinite and bits differ, infinity."""
    ulp = ulp_distance(found, recorded)
    with np.errstate(invalid="ignore"):  # infinity minus or over infinity
        absolute = np.abs(found.astype(np.float64) - recorded)
        absolute[ulp == 0] = 0.0
        absolute[np.isnan(absolute)] = np.inf
        magnitude = np.maximum(np.abs(found), np.abs(recorded)).astype(np.float64)
        relative = np.divide(absolute, magnitude, out=np.zeros_like(absolute), where=absolute > 0)
        relative[np.isnan(relative)] = np.inf
    return int(ulp.max()), float(absolute.max()), float(relative.max())


@dataclass
class CaseComparison:
    """A case and how far each of its blobs is; gradients are listed as `diff/BLOB` and `param_diff/LAYER/INDEX`."""

    path: Path
    engine: str
    phase: str
    numerics: str
    steps: int
    blobs: list[BlobComparison]

    @property
    def within(self) -> bool:
        """Whether every blob is within its limit."""
        return all(blob.within for blob in self.blobs)


@dataclass
class Step:
    """One recorded pass: all inputs in force, those of earlier steps included, and the recorded blobs, unread."""

    name: str
    inputs: dict[str, np.ndarray]
    data: dict[str, h5py.Dataset]
    top_diff: dict[str, h5py.Dataset]
    diff: dict[str, h5py.Dataset]
    param_diff: dict[str, h5py.Dataset]

    @property
    def has_backward(self) -> bool:
        """Whether gradients were recorded."""
        return bool(self.diff or self.param_diff)


class Dump:
    """An open `dump.h5`: `engine`, `phase`, `blas`, `note`, and `steps()`; a context manager.

    Raises:
        Error: if the file is not HDF5, is not of format 1, or has no steps.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise Error(f"{path}: expected an HDF5 file: {error}") from error
        attributes = self._file.attrs
        found = attributes.get("format", "none")
        if found != FORMAT:
            raise Error(f"{path}: expected the attribute format = {FORMAT}, found {found}; write it with dump_caffe.py")
        self.engine, self.phase, self.blas, self.note = (
            str(attributes.get(name, "")) for name in ("engine", "phase", "blas", "note")
        )
        if self.phase not in ("TRAIN", "TEST"):
            raise Error(f'{path}: expected the attribute phase to be "TRAIN" or "TEST", found {self.phase!r}')
        self._steps = sorted(
            (name for name in self._file if re.fullmatch(r"step_\d+", name)), key=lambda name: int(name.split("_")[1])
        )
        if not self._steps:
            raise Error(f"{path}: expected groups step_000, step_001, ..., found none")

    def __enter__(self) -> Dump:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._steps)

    def steps(self) -> Iterator[Step]:
        """The steps in order."""
        inputs: dict[str, np.ndarray] = {}
        for step in self._steps:
            inputs = inputs | {name: blob[()] for name, blob in self._blobs(step, "input").items()}
            yield Step(step, inputs, *(self._blobs(step, kind) for kind in ("data", "top_diff", "diff", "param_diff")))

    def _blobs(self, step: str, kind: str) -> dict[str, h5py.Dataset]:
        found: dict[str, h5py.Dataset] = {}
        if kind in self._file[step]:  # blob names may hold slashes, which HDF5 takes for groups
            self._file[step][kind].visititems(
                lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None
            )
        for name, blob in found.items():
            if blob.dtype != np.float32:
                raise Error(f"{self.path}: {step}/{kind}/{name}: expected float32, found {blob.dtype}")
        return found


def compare_case(
    path: str | Path, numerics: str = "exact", max_ulp: int | None = None, device: str = "cpu"
) -> CaseComparison:
    """Run the case in folder `path` on `lrcn.Net` and compare every recorded blob and gradient of every step.

    `numerics` is "exact" or "fast", `device` where fast is computed. With `max_ulp` every blob must be within so many
    ULP; without it the limits are this module's: `EXACT_ULP` in exact; in fast the same argmax and
    `PROBABILITY_TOLERANCE` for the tops of Softmax layers, and `PRODUCT_ORDER_TOLERANCE` for all others, gradients
    included.

    Raises:
        Error: if a file of the case is missing or unreadable, an input or blob is not the network's, or shapes differ.
    """
    path = Path(path)
    for name in ("net.prototxt", "weights.caffemodel", "dump.h5"):
        if not (path / name).is_file():
            raise Error(f"{path}: expected a folder with net.prototxt, weights.caffemodel and dump.h5; no {name} there")
    with Dump(path / "dump.h5") as dump:
        net = Net(path / "net.prototxt", path / "weights.caffemodel", numerics=numerics, phase=dump.phase)
        net.to(device)
        blobs: dict[str, BlobComparison] = {}
        for step in dump.steps():
            place = f"{dump.path}: {step.name}"
            _check_inputs(net, step.inputs, place)
            computed = _forward_and_backward(net, step, place) if step.has_backward else _forward(net, step)
            for name, (found, recorded) in computed.items():
                if found.shape != recorded.shape:
                    raise Error(f"{place}: blob {name} is {recorded.shape} in the dump, {found.shape} in lrcn")
                blobs.setdefault(name, BlobComparison(name)).add(found, recorded[()], _class_axis(net, name))
        if not blobs:
            raise Error(f"{dump.path}: expected step_NNN/data/BLOB, found no recorded blob in any step")
        for blob in blobs.values():
            blob.judge(numerics, max_ulp)
        return CaseComparison(path, dump.engine, dump.phase, numerics, len(dump), list(blobs.values()))


# By the name in the report, what was computed and what was recorded.
Computed = dict[str, tuple[np.ndarray, h5py.Dataset]]


@torch.no_grad()
def _forward(net: Net, step: Step) -> Computed:
    outputs = net(**step.inputs, blobs=list(step.data))
    return {name: (as_array(outputs[name]), recorded) for name, recorded in step.data.items()}


def _forward_and_backward(net: Net, step: Step, place: str) -> Computed:
    """As Caffe does: from the losses, and with `force_backward` from the given gradients of blobs as well.

    Without `force_backward`, inputs have no gradients, and a layer that no loss depends on computes none.
    """
    inputs = {name: torch.from_numpy(value).to(net.device) for name, value in step.inputs.items()}
    forced = net.definition.force_backward
    for name in step.diff:
        if name in inputs and forced:
            inputs[name].requires_grad_()
    net.zero_grad()
    with _first_values(net, step.diff) as values:
        outputs = net(**inputs, blobs=[*step.data, *step.top_diff, *net.loss_weights])
    given = {name: torch.from_numpy(blob[()]).to(net.device) for name, blob in step.top_diff.items() if forced}
    starts = [(outputs[name], gradient) for name, gradient in given.items()]
    if net.loss_weights:
        starts.append((net.loss(outputs), torch.tensor(1.0, device=net.device)))
    starts = [(blob, gradient) for blob, gradient in starts if blob.requires_grad]
    if starts:
        torch.autograd.backward(*zip(*starts, strict=True))

    computed = {name: (as_array(outputs[name]), recorded) for name, recorded in step.data.items()}
    for name, recorded in step.diff.items():
        if name not in inputs and name not in values:
            raise Error(f"{place}: diff/{name}: no layer of the network writes this blob")
        computed[f"diff/{name}"] = _gradient(inputs[name] if name in inputs else values[name]), recorded
    parameters = {f"{layer}/{i}": p for layer, blobs in net.params.items() for i, p in enumerate(blobs)}
    for name, recorded in step.param_diff.items():
        if name not in parameters:
            raise Error(f"{place}: param_diff/{name} is none of the network's: {', '.join(parameters)}")
        computed[f"param_diff/{name}"] = _gradient(parameters[name]), recorded
    return computed


def _gradient(tensor: Tensor) -> np.ndarray:
    """Zeros where the backward pass did not come by, as in Caffe."""
    return as_array(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)


def as_array(tensor: Tensor) -> np.ndarray:
    """The values of a tensor on any device."""
    return tensor.detach().cpu().contiguous().numpy()


@contextmanager
def _first_values(net: Net, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Catch, while the network runs, the named blobs as their first layer writes them, with gradients to be kept."""
    values: dict[str, Tensor] = {}

    def keep(layer: torch.nn.Module, _: tuple, tops: Tensor | tuple[Tensor, ...]) -> None:
        tops = tops if isinstance(tops, tuple) else (tops,)
        for name, value in zip(layer.definition.top, tops, strict=True):
            if name in names and name not in values:
                values[name] = value
                if value.requires_grad:
                    value.retain_grad()

    handles = [layer.register_forward_hook(keep) for layer in net.layers]
    try:
        yield values
    finally:
        for handle in handles:
            handle.remove()


def _class_axis(net: Net, name: str) -> int | None:
    """The axis of the classes where blob `name` holds probabilities: the top of a Softmax layer, or a split's copy."""
    for layer in net.definition.layer:
        if layer.type == "Softmax" and re.fullmatch(f"{re.escape(layer.top[0])}(_.*_split_[0-9]+)?", name):
            return layer.softmax_param.axis
    return None


def _check_inputs(net: Net, inputs: dict[str, np.ndarray], place: str) -> None:
    unknown = sorted(inputs.keys() - net.inputs.keys())
    if unknown:
        raise Error(f"{place}: input {unknown[0]} is none of the network's inputs: {', '.join(net.inputs)}")
