"""The command that trains, from solver prototxt to snapshots, log and picture, and the log by itself."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrcn import Error
from lrcn.snapshot import SolverState, read_state, write_state
from lrcn.training import Log, draw_curves, read_log

SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
NET = """
    name: "little"
    layer { name: "in" type: "DummyData" top: "x" top: "label" dummy_data_param {
      data_filler { value: 0.5 } data_filler { value: 1 } shape { dim: 4 dim: 3 } shape { dim: 4 } } }
    layer { name: "dropout" type: "Dropout" bottom: "x" top: "d" }
    layer { name: "out" type: "InnerProduct" bottom: "d" top: "o"
      inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "o" bottom: "label" top: "loss" }
    layer { name: "accuracy" type: "Accuracy" bottom: "o" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = """
    net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: %d random_seed: 3
    display: 5 test_iter: 2 test_interval: 5 snapshot: 4 snapshot_prefix: "%s"
"""


def prepare(folder, max_iter=10, net=NET):
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(SOLVER % (max_iter, folder / "s"))
    return str(folder / "solver.prototxt")


def train(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def tensorboard_rows(folder):
    """What TensorBoard shows, as (iteration, PHASE/NAME, value)."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return sorted((event.step, tag, event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag))


def table_rows(path):
    """The same from the table; TensorBoard keeps float32."""
    return sorted((iteration, f"{phase}/{name}", np.float32(value)) for iteration, phase, name, value in read_log(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    finished = train("--solver", prepare(folder))
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stdout


def test_console_shows_what_caffe_shows(whole):
    _, shown = whole
    for part in (
        "Iteration 0, testing net (#0)",
        "    Test net output #0: accuracy = ",
        "Iteration 0, loss = ",
        "    Train net output #0: loss = ",
        "(* 1 = ",
        "Iteration 4, snapshot ",
        "Iteration 10, snapshot ",
        "Iteration 10, testing net (#0)",
    ):
        assert part in shown


def test_log_and_curves_have_every_iteration(whole):
    folder, _ = whole
    rows = read_log(folder / "s_log.csv")
    assert [row[0] for row in rows if row[1:3] == ("train", "loss")] == list(range(10))
    assert [row[0] for row in rows if row[1:3] == ("test 0", "accuracy")] == [0, 5, 10]
    assert (folder / "s_log.png").read_bytes().startswith(b"\x89PNG")


def test_tensorboard_shows_the_numbers_of_the_table(whole):
    folder, _ = whole
    rows = tensorboard_rows(folder / "s_log.tensorboard")
    assert {tag for _, tag, _ in rows} == {"train/loss", "train/lr", "test 0/accuracy", "test 0/loss"}
    assert rows == table_rows(folder / "s_log.csv")


def test_stopped_and_resumed_run_is_the_whole_one(whole, tmp_path):
    solver = prepare(tmp_path)
    stopped = train("--solver", solver, "--iterations", 7, "--tensorboard", tmp_path / "events")
    assert stopped.returncode == 0, stopped.stderr
    resumed = train(
        "--solver", solver, "--snapshot", tmp_path / "s_iter_4.solverstate", "--tensorboard", tmp_path / "events"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "going on from iteration 4" in resumed.stdout
    folder, _ = whole
    assert (tmp_path / "s_iter_10.caffemodel").read_bytes() == (folder / "s_iter_10.caffemodel").read_bytes()
    assert read_log(tmp_path / "s_log.csv") == read_log(folder / "s_log.csv")
    assert len(list((tmp_path / "events").iterdir())) == 2
    assert tensorboard_rows(tmp_path / "events") == table_rows(folder / "s_log.csv")


def test_weights_are_taken_by_layer_name(whole, tmp_path):
    folder, _ = whole
    solver = prepare(tmp_path, max_iter=1, net=NET.replace('name: "loss"', 'name: "other"'))
    finished = train("--solver", solver, "--weights", f"{folder}/s_iter_4.caffemodel,{folder}/s_iter_10.caffemodel")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("loaded: out") == 2


def test_interrupt_takes_a_snapshot_and_stops(tmp_path):
    command = [sys.executable, SCRIPT, "--solver", prepare(tmp_path, max_iter=10**9)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    while "Iteration 4, snapshot" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stopped; go on with --snapshot" in shown
    last = max(tmp_path.glob("*.solverstate"), key=lambda path: int(path.stem.split("_")[-1]))
    assert f"snapshot {last}" in shown
    assert read_state(last).iteration > 4


def test_what_a_user_does_wrong_ends_with_a_message(whole, tmp_path):
    diverging, other = tmp_path / "diverging", tmp_path / "other"
    diverging.mkdir(), other.mkdir()
    Path(prepare(diverging)).write_text((SOLVER % (10, diverging / "s")).replace("base_lr: 0.1", "base_lr: 1e38"))
    damaged = tmp_path / "damaged.solverstate.h5"
    write_state(damaged, SolverState(3, "", 0, [np.ones((2, 3), np.float32)]))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    state = whole[0] / "s_iter_4.solverstate"
    solver = prepare(tmp_path)
    wider = prepare(other, net=NET.replace("dim: 4 dim: 3", "dim: 4 dim: 5"))
    (tmp_path / "net.prototxt").unlink()
    for arguments, message in [
        (["--solver", tmp_path / "absent.prototxt"], "absent.prototxt"),
        (["--solver", solver], "the network 'net.prototxt', which is not in"),
        (["--solver", solver, "--iterations", "0"], "--iterations must be 1 or more"),
        (["--solver", diverging / "solver.prototxt"], "The training diverged"),
        (["--solver", wider, "--snapshot", state], "the snapshot is of another network"),
        (["--solver", wider, "--snapshot", damaged], f"{damaged}: not a readable solver state in HDF5"),
    ]:
        finished = train(*arguments)
        assert finished.returncode == 2
        assert finished.stderr.startswith("error: ")
        assert message in finished.stderr
        assert "Traceback" not in finished.stderr


def test_log_forgets_what_a_resumed_run_does_again_and_a_row_that_was_cut_off(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("iteration,phase,name,value\n0,train,loss,1.5\n3,train,loss,1.25\n4,train,lo")
    assert read_log(path) == [(0, "train", "loss", 1.5), (3, "train", "loss", 1.25)]
    Log(path, 3).__exit__()
    assert read_log(path) == [(0, "train", "loss", 1.5)]
    Log(path, 0).__exit__()
    assert read_log(path) == []
    draw_curves(path, tmp_path / "empty.png")


def test_other_table_is_not_overwritten(tmp_path):
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["name", "wage"], ["Ann", 3]])
    with pytest.raises(Error, match="expected a table with the columns"):
        Log(path, 3)
    path.write_text("iteration,phase,name,value\nx,train,loss,1\n0,train,loss,1\n")
    with pytest.raises(Error, match=r"log.csv:2: expected iteration"):
        read_log(path)
