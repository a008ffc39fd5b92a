"""Comparing a training run with Caffe's: losses, watched blobs, parameters, and the snapshot at the end.

A case is a folder with `net.prototxt`, `solver.prototxt`, `init.caffemodel`, `run.h5`, and Caffe's own snapshot
`PREFIX_iter_N.solverstate` with its weights. `run.h5` (format 1) has, for every iteration, a group `iter_NNN` with
`input/BLOB` (set before it; an input that is not listed keeps its value), `loss` (the blob of the network's loss),
`data/BLOB` for blobs that were watched, and, for some, `params/LAYER/INDEX` after the update.

Dropout has Caffe's masks in exact numerics only; a run with dropout in fast is another run.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from .compare import FORMAT, BlobComparison, CaseComparison, as_array
from .errors import Error
from .snapshot import learned_weights, read_state
from .solver import Solver


def is_training_case(path: str | Path) -> bool:
    """Whether the folder holds a recorded training run."""
    return (Path(path) / "run.h5").is_file()


def compare_training(
    path: str | Path, numerics: str = "exact", max_ulp: int | None = None, device: str = "cpu"
) -> CaseComparison:
    """Train as recorded in folder `path` and compare everything that was recorded.

    The blobs of the result are `loss`, the watched blobs by name, `params/LAYER/INDEX`, and of the snapshot
    `snapshot/LAYER/INDEX` and `history/N`. The limits are those of `lrcn.compare.compare_case`.

    Raises:
        Error: if a file of the case is missing or unreadable, an input or blob is not the network's, shapes differ, or
            the snapshot is not of the last recorded iteration.
        FormatError: a damaged file.
    """
    path = Path(path)
    for name in ("net.prototxt", "solver.prototxt", "init.caffemodel", "run.h5"):
        if not (path / name).is_file():
            raise Error(f"{path}: expected a folder with a recorded training run; no {name} there")
    solver = Solver(path / "solver.prototxt", weights=[path / "init.caffemodel"], numerics=numerics, device=device)
    blobs: dict[str, BlobComparison] = {}
    try:
        with h5py.File(path / "run.h5") as run:
            found = run.attrs.get("format", "none")
            if found != FORMAT:
                raise Error(f"{run.filename}: expected the attribute format = {FORMAT}, found {found}")
            engine = str(run.attrs.get("engine", ""))
            _add(blobs, path / "run.h5", _iterations(solver, run))
    except (OSError, KeyError) as error:
        raise Error(f"{path / 'run.h5'}: not a readable recording: {error}") from error
    _add(blobs, path, _snapshot(solver, path))
    for blob in blobs.values():
        blob.judge(numerics, max_ulp)
    return CaseComparison(path, engine, "TRAIN", numerics, solver.iteration, list(blobs.values()))


Computed = Iterator[tuple[str, np.ndarray, np.ndarray]]  # name, found, recorded


def _add(blobs: dict[str, BlobComparison], place: Path, computed: Computed) -> None:
    for name, found, recorded in computed:
        if found.shape != recorded.shape:
            raise Error(f"{place}: {name} is {recorded.shape} in the recording, {found.shape} in lrcn")
        blobs.setdefault(name, BlobComparison(name)).add(found, recorded)


def _iterations(solver: Solver, run: h5py.File) -> Computed:
    if len(solver.net.loss_weights) != 1:
        raise Error(f"{run.filename}: expected a network with one loss, found {', '.join(solver.net.loss_weights)}")
    (loss,) = solver.net.loss_weights
    inputs: dict[str, np.ndarray] = {}
    for name in sorted(name for name in run if name.startswith("iter_")):
        recorded = run[name]
        inputs |= {blob: values[()] for blob, values in recorded.get("input", {}).items()}
        watched = recorded.get("data", {})
        outputs = solver.step(inputs, blobs=list(watched)).outputs
        yield "loss", as_array(outputs[loss]).reshape(()), np.float32(recorded["loss"][()])
        for blob, values in watched.items():
            yield blob, as_array(outputs[blob]), values[()]
        for layer, values in recorded.get("params", {}).items():
            for index, parameter in enumerate(solver.net.params.get(layer, ())):
                yield f"params/{layer}/{index}", as_array(parameter), values[str(index)][()]


def _snapshot(solver: Solver, path: Path) -> Computed:
    states = sorted(path.glob("*.solverstate"))
    if len(states) != 1:
        raise Error(f"{path}: expected one snapshot, PREFIX_iter_N.solverstate, found {len(states)}")
    state = read_state(states[0])
    kept = (state.iteration, state.current_step, len(state.history))
    found = (solver.iteration, solver.current_step, len(solver.history))
    if kept != found:
        raise Error(
            f"{states[0]}: iteration, current step and number of histories are {kept}; in lrcn they are {found}"
        )
    for index, (mine, recorded) in enumerate(zip(solver.history, state.history, strict=True)):
        yield f"history/{index}", as_array(mine), recorded
    weights = learned_weights(states[0], state)
    for layer, parameters in solver.net.params.items():
        for index, parameter in enumerate(parameters):
            yield f"snapshot/{layer}/{index}", as_array(parameter), np.asarray(weights[layer][index])
