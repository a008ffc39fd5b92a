"""Every recorded training run of Caffe, trained again: the same bits in exact numerics, close in fast."""

import shutil
from pathlib import Path

import pytest

from lrcn import Error
from lrcn.compare_training import compare_training, is_training_case
from lrcn.solver import Solver

SMALL = ["train_adam"]
LARGE = ["train_adadelta", "train_adagrad", "train_caption", "train_nesterov", "train_rmsprop", "train_sgd"]
WITH_DROPOUT = ["train_sgd_dropout"]

# Relative to its largest value: a history is a sum of gradients alone, small ones after clipping, and carries the
# differences of all iterations, where a parameter is mostly what it was at the start.
HISTORY_IN_FAST = 1e-3


def outside(path: Path, numerics: str) -> list:
    return [blob for blob in compare_training(path, numerics).blobs if not blob.within]


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("name", SMALL)
def test_small_run(data, name, numerics):
    assert outside(data / "training" / name, numerics) == []


@pytest.mark.parametrize("name", LARGE + WITH_DROPOUT)
def test_large_run_in_exact(shared, name):
    assert outside(shared / "goldens" / "training" / name, "exact") == []


@pytest.mark.parametrize("name", LARGE)
def test_large_run_in_fast(shared, name):
    loose = {blob.name: blob.max_scaled for blob in outside(shared / "goldens" / "training" / name, "fast")}
    assert all(blob.startswith("history/") and scaled < HISTORY_IN_FAST for blob, scaled in loose.items()), loose


def test_everything_recorded_is_compared(data):
    case = compare_training(data / "training" / "train_adam")
    assert case.steps == 6
    names = [blob.name for blob in case.blobs]
    blobs = ["embedding/0", *(f"lstm1/{index}" for index in range(4)), "predict/0", "predict/1"]
    kinds = (
        [f"params/{blob}" for blob in blobs],
        [f"history/{i}" for i in range(14)],
        [f"snapshot/{b}" for b in blobs],
    )
    assert sorted(names) == sorted(["loss", *(name for kind in kinds for name in kind)])
    assert case.blobs[names.index("loss")].steps == 6
    assert case.blobs[names.index("params/predict/1")].steps == 2


def test_another_training_is_told_apart(data, tmp_path):
    case = shutil.copytree(data / "training" / "train_adam", tmp_path / "case")
    solver = case / "solver.prototxt"
    solver.write_text(solver.read_text().replace("momentum2: 0.999", "momentum2: 0.9990001"))
    found = {blob.name: blob.max_ulp for blob in outside(case, "exact")}
    assert found["params/predict/0"] > 0
    assert found["history/7"] > 0
    solver.write_text(solver.read_text().replace("Adam", "SGD"))
    with pytest.raises(Error, match=r"iteration, current step and number of histories are \(6, 0, 14\)"):
        compare_training(case)


@pytest.mark.parametrize("name", ["solver.prototxt", "init.caffemodel", "snap_iter_6.solverstate"])
def test_missing_file_is_named(data, tmp_path, name):
    case = shutil.copytree(data / "training" / "train_adam", tmp_path / "case")
    (case / name).unlink()
    with pytest.raises(Error, match=r"no solver.prototxt|no init.caffemodel|expected one snapshot"):
        compare_training(case)


def test_damaged_recording_is_named(data, tmp_path):
    case = shutil.copytree(data / "training" / "train_adam", tmp_path / "case")
    (case / "run.h5").write_bytes((case / "run.h5").read_bytes()[:5000])
    assert is_training_case(case)
    with pytest.raises(Error, match=r"run.h5: not a readable recording"):
        compare_training(case)


@pytest.mark.parametrize("name", SMALL + LARGE + WITH_DROPOUT)
def test_snapshot_at_the_end_is_that_of_caffe_byte_by_byte(shared, tmp_path, monkeypatch, name):
    case = shared / "goldens" / "training" / name
    (state,) = case.glob("*.solverstate")
    solver = Solver(case / "solver.prototxt")
    solver.restore(state)
    monkeypatch.chdir(tmp_path)  # Caffe wrote it with a relative prefix, whose name is in the state
    written = solver.snapshot()
    for path in (written.state, written.weights):
        assert path.read_bytes() == (case / path.name).read_bytes()


def test_no_recorded_run_is_left_out(shared):
    recorded = {path.name for path in (shared / "goldens" / "training").iterdir()}
    assert recorded == {*SMALL, *LARGE, *WITH_DROPOUT}
