"""Every recorded training run of Caffe, trained again: the same bits in exact numerics, close in fast."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from lrcn.compare import ulp_distance
from lrcn.solver import Solver

SMALL = ["train_adam"]
LARGE = ["train_adadelta", "train_adagrad", "train_caption", "train_nesterov", "train_rmsprop", "train_sgd"]
WITH_DROPOUT = ["train_sgd_dropout"]

# In fast a product sums in another order; an update of RMSProp or Adam divides by a gradient's own size, so where that
# is nearly 0 its rounding comes out magnified. Relative to the largest value of a blob, after 6 to 20 iterations.
FAST_TOLERANCE = 1e-4


def train(case: Path, numerics: str):
    """Train as recorded; yields (what, found, recorded) for every loss, watched blob and parameter, then the solver."""
    solver = Solver(case / "solver.prototxt", weights=[case / "init.caffemodel"], numerics=numerics)
    inputs = {}
    with h5py.File(case / "run.h5") as run:
        for name in sorted(name for name in run if name.startswith("iter_")):
            recorded = run[name]
            inputs |= {blob: values[()] for blob, values in recorded.get("input", {}).items()}
            watched = list(recorded.get("data", {}))
            step = solver.step(inputs, blobs=watched)
            (loss,) = solver.net.loss_weights
            yield f"{name}/loss", step.outputs[loss], recorded["loss"][()]
            for blob in watched:
                yield f"{name}/data/{blob}", step.outputs[blob], recorded["data"][blob][()]
            for layer, blobs in recorded.get("params", {}).items():
                for index, values in blobs.items():
                    yield f"{name}/{layer}/{index}", solver.net.params[layer][int(index)].detach().clone(), values[()]
    yield "solver", solver, None


def assert_same_bits_and_snapshot(case: Path, folder: Path, monkeypatch):
    *compared, (_, solver, _) = train(case, "exact")
    assert len(compared) > solver.iteration
    for what, found, recorded in compared:
        recorded = np.asarray(recorded, np.float32)
        assert ulp_distance(found.contiguous().numpy().reshape(recorded.shape), recorded).max() == 0, what
    monkeypatch.chdir(folder)  # Caffe wrote its snapshot with a relative prefix, whose name is in the state
    written = solver.snapshot()
    for path in (written.state, written.weights):
        assert path.read_bytes() == (case / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", SMALL)
def test_small_run_has_the_bits_and_the_snapshot_of_caffe(data, tmp_path, monkeypatch, name):
    assert_same_bits_and_snapshot(data / "training" / name, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", LARGE + WITH_DROPOUT)
def test_large_run_has_the_bits_and_the_snapshot_of_caffe(shared, tmp_path, monkeypatch, name):
    assert_same_bits_and_snapshot(shared / "goldens" / "training" / name, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", SMALL + LARGE)
def test_run_in_fast_is_near(shared, name):
    for what, found, recorded in train(shared / "goldens" / "training" / name, "fast"):
        if recorded is not None:
            np.testing.assert_allclose(
                found.numpy().reshape(recorded.shape), recorded, rtol=0, atol=FAST_TOLERANCE * abs(recorded).max(),
                err_msg=what,
            )  # fmt: skip


def test_no_recorded_run_is_left_out(shared):
    recorded = {path.name for path in (shared / "goldens" / "training").iterdir()}
    assert recorded == {*SMALL, *LARGE, *WITH_DROPOUT}
