"""Snapshots of training: Caffe's `.caffemodel` and `.solverstate`, binary or HDF5, and what Caffe does not keep.

A snapshot of iteration N is three files: the weights `PREFIX_iter_N.caffemodel`; the solver's state
`PREFIX_iter_N.solverstate`, which names the weights; and `PREFIX_iter_N.carried.safetensors`, which has what training
carries from one iteration to the next beside them, so that a resumed run has the bits of one that was never
interrupted. Caffe reads the first two, and a snapshot of Caffe's has only these. In HDF5 they end in `.h5`.

Each file is written whole or not at all, the solver's state last: where it is, the others are.
"""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from prototxt_import import FormatError, Message, Weights, replacing, wire
from prototxt_import.blobs import blob_array, blob_proto

from .convert import load_weights
from .errors import Error
from .net import Net

HDF5_SUFFIX = ".h5"
_HDF5_SIGNATURE = b"\x89HDF"


@dataclass
class SolverState:
    """What a `.solverstate` holds.

    Attributes:
        iteration (int): how many updates were made.
        learned_net (str): the weights file as the state names it, or "".
        current_step (int): how often the learning rate fell, in the policies step and multistep.
        history (list[np.ndarray]): float32; one array per learnable blob in the order of the network, then for solvers
            with two histories one more for each.
    """

    iteration: int
    learned_net: str
    current_step: int
    history: list[np.ndarray]


def weights_path(prefix: str, iteration: int, hdf5: bool) -> Path:
    """Where the weights of a snapshot are."""
    return _path(prefix, iteration, ".caffemodel", hdf5)


def state_path(prefix: str, iteration: int, hdf5: bool) -> Path:
    """Where the solver's state of a snapshot is."""
    return _path(prefix, iteration, ".solverstate", hdf5)


def carried_path(state: str | os.PathLike) -> Path:
    """Where what training carries is, beside the solver's state."""
    name = Path(state).name.removesuffix(HDF5_SUFFIX).removesuffix(".solverstate")
    return Path(state).with_name(f"{name}.carried.safetensors")


def _path(prefix: str, iteration: int, suffix: str, hdf5: bool) -> Path:
    return Path(f"{prefix}_iter_{iteration}{suffix}{HDF5_SUFFIX if hdf5 else ''}")


def write_weights(path: str | os.PathLike, net: Net, *, diffs: bool = False) -> None:
    """Write the weights of a network as Caffe's snapshot has them: HDF5 where the name ends in `.h5`, else binary.

    Args:
        path: the file.
        net: the network; its definition is written along as Caffe completes it, splits and phases included.
        diffs: whether to write the gradients too (`snapshot_diff`), zeros where a parameter has none.

    Raises:
        FormatError: a binary file would be larger than Caffe reads.
        OSError: the file cannot be written.
    """
    if Path(path).suffix == HDF5_SUFFIX:
        _write_hdf5_weights(path, net, diffs)
        return
    definition = completed_definition(net)
    for layer in definition.layer:
        for index, parameter in enumerate(net.params.get(layer.name, ())):
            blob = blob_proto(_array(parameter), f"{path}: {layer.name}/{index}")
            if diffs:
                blob.diff = _gradient(parameter)
            layer.blobs.append(blob)
    wire.write_message(path, definition)


def completed_definition(net: Net) -> Message:
    """The NetParameter as Caffe keeps it after building the network: with splits, phases and weights of losses."""
    completed = Message("NetParameter", name=net.definition.name, layer=net.graph.copy().layer)
    for layer, built in zip(completed.layer, net.layers, strict=True):
        if not layer.has("phase"):
            layer.phase = "TRAIN" if net.training else "TEST"
        if any(built.loss_weights):
            layer.loss_weight = built.loss_weights
    return completed


def _write_hdf5_weights(path: str | os.PathLike, net: Net, diffs: bool) -> None:
    with _writing_hdf5(path) as file:
        for kind, values in (("data", _array), ("diff", _gradient))[: 1 + diffs]:
            for layer in net.graph.layer:
                group = file.require_group(f"{kind}/{layer.name}")
                for index, parameter in enumerate(net.params.get(layer.name, ())):
                    group[str(index)] = values(parameter)


@contextlib.contextmanager
def _writing_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """An HDF5 file to fill, in memory: the library does not survive a disk that runs full under it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def _array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().float().cpu().contiguous().numpy()


def _gradient(parameter: Tensor) -> np.ndarray:
    return _array(parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad)


def write_state(path: str | os.PathLike, state: SolverState) -> None:
    """Write a solver's state: HDF5 where the name ends in `.h5`, else binary.

    Raises:
        FormatError: a binary file would be larger than Caffe reads.
        OSError: the file cannot be written.
    """
    if Path(path).suffix == HDF5_SUFFIX:
        with _writing_hdf5(path) as file:
            file["iter"] = np.array([state.iteration], np.int32)
            name = state.learned_net.encode()
            file["learned_net"] = np.array(name, f"S{len(name) + 1}")  # Caffe reads up to the zero at the end
            file["current_step"] = np.array([state.current_step], np.int32)
            history = file.create_group("history")
            for index, blob in enumerate(state.history):
                history[str(index)] = blob
        return
    history = [blob_proto(blob, f"{path}: history {index}") for index, blob in enumerate(state.history)]
    message = Message(
        "SolverState",
        iter=state.iteration,
        learned_net=state.learned_net,
        history=history,
        current_step=state.current_step,
    )
    wire.write_message(path, message)


def read_state(path: str | os.PathLike) -> SolverState:
    """The solver's state in a `.solverstate`, Caffe's or ours, binary or HDF5; the content decides which.

    Raises:
        FormatError: the file is damaged or holds something else.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        hdf5 = file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    if hdf5:
        return _read_hdf5_state(path)
    message = wire.read_message(path, "SolverState")
    if not message.has("iter"):
        raise FormatError(f"{path}: expected the state of a solver, found no iteration in it; weights go to --weights")
    history = [blob_array(blob, f"{path}: history {index}") for index, blob in enumerate(message.history)]
    return _checked_state(path, message.iter, message.learned_net, message.current_step, history)


def _read_hdf5_state(path: str | os.PathLike) -> SolverState:
    try:
        with h5py.File(path) as file:
            missing = [name for name in ("iter", "current_step", "history") if name not in file]
            if missing:
                raise FormatError(f"{path}: expected the state of a solver, found no {missing[0]} in it")
            learned_net = file["learned_net"][()] if "learned_net" in file else b""
            names = sorted(file["history"], key=lambda name: (len(name), name))
            if names != [str(index) for index in range(len(names))]:
                raise FormatError(f"{path}: expected history/0, history/1, ..., found {', '.join(names)}")
            history = [file["history"][name][()] for name in names]
            return _checked_state(
                path,
                int(file["iter"][:].item()),
                learned_net.decode().rstrip("\0"),
                int(file["current_step"][:].item()),
                history,
            )
    except (OSError, RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: not a readable solver state in HDF5: {error}") from error


def _checked_state(
    path: str | os.PathLike, iteration: int, learned_net: str, current_step: int, history: Sequence[np.ndarray]
) -> SolverState:
    for index, blob in enumerate(history):
        if not np.isfinite(blob).all():
            raise FormatError(f"{path}: history {index} is not finite; the file is damaged, or the training diverged")
    return SolverState(iteration, learned_net, current_step, [blob.astype(np.float32) for blob in history])


def learned_weights(path: str | os.PathLike, state: SolverState) -> Weights | None:
    """The weights that a solver's state names: beside the state, where they were written, or else at that path.

    None where the state names none.

    Raises:
        lrcn.Error: there is no such file.
        FormatError: the weights are damaged.
    """
    if not state.learned_net:
        return None
    places = [Path(path).parent / Path(state.learned_net).name, Path(state.learned_net)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise Error(
            f"{path}: its weights {state.learned_net!r} are neither in {places[0].parent.resolve()} nor there; "
            "put the file that was written with this state beside it"
        )
    return load_weights(found)


def write_carried(path: str | os.PathLike, iteration: int, tensors: Mapping[str, Tensor]) -> None:
    """Write what training carries from iteration to iteration besides weights and the solver's state."""
    content = safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()}, {"iter": str(iteration)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_carried(path: str | os.PathLike, iteration: int) -> dict[str, Tensor]:
    """What `write_carried` wrote for this iteration.

    Raises:
        FormatError: the file is damaged, or of another iteration.
        OSError: the file cannot be read.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get("iter")
            if found != str(iteration):
                raise FormatError(f"{path}: expected iteration {iteration}, found {found}")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, the file is no dict
    except safetensors.SafetensorError as error:
        raise FormatError(
            f"{path}: not a readable safetensors file: {error}; without it a run resumes as in Caffe"
        ) from error
