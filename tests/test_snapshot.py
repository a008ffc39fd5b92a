"""Snapshots: what is in them, resumed runs with the bits of whole ones, and what goes wrong."""

import re
import resource
import shutil
import signal

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lrcn import Error, snapshot
from lrcn.convert import load_weights
from lrcn.snapshot import SolverState, read_carried, read_state, write_carried, write_state
from lrcn.solver import Scores, Solver
from prototxt_import import FormatError, Message, parse_net, read_weights

FORMATS = pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])

# Dropout, a state that goes on from pass to pass, two losses, a split and a shared blob.
NET = """
    name: "little"
    layer { name: "in" type: "Input" top: "x" top: "cont" top: "y"
      input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 5 } } }
    layer { name: "dropout" type: "Dropout" bottom: "x" top: "d" }
    layer { name: "lstm" type: "LSTM" bottom: "d" bottom: "cont" top: "h"
      recurrent_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
    layer { name: "one" type: "InnerProduct" bottom: "h" top: "a" param { name: "w" } param { lr_mult: 2 }
      inner_product_param { num_output: 5 axis: 2 weight_filler { type: "gaussian" std: 0.3 } } }
    layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
      inner_product_param { num_output: 5 axis: 2 bias_term: false } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "y" top: "loss" }
    layer { name: "auxiliary" type: "EuclideanLoss" bottom: "h" bottom: "y" top: "auxiliary" loss_weight: 0.5 }
"""


def batch(iteration):
    generator = np.random.default_rng(iteration)
    shapes = {"x": (3, 2, 4), "y": (3, 2, 5)}
    inputs = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return inputs | {"cont": np.ones((3, 2), np.float32)}


def definition(prefix, **fields):
    given = {"base_lr": 0.05, "lr_policy": "multistep", "gamma": 0.5, "stepvalue": [2, 4], "momentum": 0.9}
    given |= {"net_param": parse_net(NET), "random_seed": 7, "snapshot_prefix": str(prefix)}
    return Message("SolverParameter", **given | fields)


def train(solver, iterations):
    return [solver.step(batch(solver.iteration)).loss for _ in range(iterations)]


def bits(solver):
    tensors = [*(blob.parameter for blob in solver.learnables), *solver.history]
    return [tensor.detach().contiguous().numpy().tobytes() for tensor in tensors]


@pytest.fixture(params=["exact", "fast"])
def numerics(request):
    return request.param


# ---- what is in the files


@FORMATS
@pytest.mark.parametrize("solver_type", ["SGD", "Adam"])
def test_restored_solver_is_the_same(tmp_path, form, solver_type):
    fields = {"type": solver_type, "snapshot_format": form}
    solver = Solver(definition(tmp_path / "s", **fields), numerics="fast")
    train(solver, 3)
    other = Solver(definition(tmp_path / "s", **fields), numerics="fast")
    other.restore(solver.snapshot().state)
    assert bits(other) == bits(solver)
    assert (other.iteration, other.current_step) == (3, solver.current_step) == (3, 1)


def test_hdf5_has_the_layout_of_caffe(tmp_path):
    solver = Solver(definition(tmp_path / "s", snapshot_format="HDF5", snapshot_diff=True), numerics="fast")
    train(solver, 1)
    written = solver.snapshot()
    assert written.weights.name == "s_iter_1.caffemodel.h5"
    assert written.state.name == "s_iter_1.solverstate.h5"
    with h5py.File(written.weights) as file:
        assert sorted(file) == ["data", "diff"]
        blobs = {name: sorted(group) for name, group in file["data"].items() if len(group)}
        assert blobs == {"lstm": ["0", "1", "2"], "one": ["0", "1"], "two": ["0"]}
        assert "dropout" in file["data"]
        assert file["data/one/0"].dtype == np.float32
        np.testing.assert_array_equal(file["diff/one/0"], solver.net.params["one"][0].grad.numpy())
    with h5py.File(written.state) as file:
        assert file["iter"].shape == file["current_step"].shape == (1,)
        assert file["iter"].dtype == np.int32
        assert file["learned_net"].dtype.itemsize == len(str(written.weights)) + 1  # Caffe reads a closing zero
        assert sorted(file["history"]) == [str(index) for index in range(len(solver.history))]


def test_binary_weights_have_the_definition_as_caffe_completes_it(tmp_path):
    solver = Solver(definition(tmp_path / "s", snapshot_diff=True), numerics="fast")
    train(solver, 1)
    weights = read_weights(solver.snapshot().weights)
    layers = {layer.name: layer for layer in weights.net.layer}
    assert "h_lstm_0_split" in layers
    assert all(layer.phase == "TRAIN" for layer in weights.net.layer)
    assert list(layers["loss"].loss_weight) == [1.0]
    assert list(layers["auxiliary"].loss_weight) == [0.5]
    np.testing.assert_array_equal(weights["two"][0], weights["one"][0])


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**31 - 1),
    st.text("abc/_. é", max_size=20),
    st.integers(0, 2**31 - 1),
    st.lists(
        arrays(np.float32, array_shapes(max_dims=4, max_side=5), elements=st.floats(-(2**99), 2**99, width=32)),
        max_size=12,
    ),
    st.sampled_from(["s.solverstate", "s.solverstate.h5"]),
)
def test_state_is_read_as_it_was_written(tmp_path_factory, iteration, name, step, history, file):
    path = tmp_path_factory.mktemp("state") / file
    write_state(path, SolverState(iteration, name, step, history))
    found = read_state(path)
    assert (found.iteration, found.learned_net, found.current_step) == (iteration, name, step)
    assert len(found.history) == len(history)
    for one, other in zip(found.history, history, strict=True):
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_state_is_refused_or_read_whole(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / data.draw(st.sampled_from(["s.solverstate", "s.solverstate.h5"]))
    write_state(path, SolverState(12, "weights", 1, [np.ones((2, 3), np.float32)]))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        state = read_state(path)
    except FormatError as error:
        assert str(path) in str(error)
    else:
        assert isinstance(state.iteration, int)
        assert all(blob.dtype == np.float32 for blob in state.history)


# ---- resuming


@FORMATS
@pytest.mark.parametrize("solver_type", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_resumed_run_has_the_bits_of_a_whole_one(tmp_path, numerics, form, solver_type):
    momentum = 0.0 if solver_type in ("AdaGrad", "RMSProp") else 0.9
    fields = {"type": solver_type, "snapshot_format": form, "momentum": momentum, "iter_size": 2}
    whole = Solver(definition(tmp_path / "s", **fields), numerics=numerics)
    train(whole, 3)
    written = whole.snapshot()
    losses = train(whole, 3)
    resumed = Solver(definition(tmp_path / "s", **fields), numerics=numerics)
    resumed.restore(written.state)
    assert train(resumed, 3) == losses
    assert bits(resumed) == bits(whole)


def test_data_goes_on_where_it_was(tmp_path, numerics):
    rows = np.random.default_rng(2).standard_normal((17, 3)).astype(np.float32)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = rows, rows[:, :2]
    (tmp_path / "list.txt").write_text(str(tmp_path / "data.h5"))
    data = f"""
        layer {{ name: "in" type: "HDF5Data" top: "x" top: "y"
          hdf5_data_param {{ source: "{tmp_path / "list.txt"}" batch_size: 4 shuffle: true }} }}
        layer {{ name: "out" type: "InnerProduct" bottom: "x" top: "o"
          inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}
        layer {{ name: "loss" type: "EuclideanLoss" bottom: "o" bottom: "y" top: "loss" }}
    """
    fields = {"net_param": parse_net(data), "iter_size": 2, "test_iter": [3], "test_interval": 2, "max_iter": 9}
    whole = Solver(definition(tmp_path / "s", snapshot=5, **fields), numerics=numerics)
    events = [event for event in whole.run() if isinstance(event, Scores)]
    resumed = Solver(definition(tmp_path / "t", **fields), numerics=numerics)
    resumed.restore(tmp_path / "s_iter_5.solverstate")
    again = [event for event in resumed.run() if isinstance(event, Scores)]
    assert bits(resumed) == bits(whole)
    assert again == events[-len(again) :]
    assert len(again) == 2


def test_without_what_is_carried_a_run_resumes_as_in_caffe(tmp_path):
    solver = Solver(definition(tmp_path / "s"), numerics="fast")
    train(solver, 2)
    written = solver.snapshot()
    snapshot.carried_path(written.state).unlink()
    resumed = Solver(definition(tmp_path / "s"), numerics="fast")
    resumed.restore(written.state)
    assert bits(resumed) == bits(solver)


# ---- what goes wrong


def written(tmp_path, **fields):
    solver = Solver(definition(tmp_path / "s", **fields), numerics="fast")
    train(solver, 1)
    return solver.snapshot()


def restore(tmp_path, state, **fields):
    Solver(definition(tmp_path / "t", **fields), numerics="fast").restore(state)


def test_state_of_another_solver_is_refused(tmp_path):
    found = written(tmp_path, type="Adam")
    with pytest.raises(Error, match=r"SGD keeps 5 histories .* the file has 10; it fits AdaDelta, Adam"):
        restore(tmp_path, found.state)


def test_state_of_another_network_is_refused(tmp_path):
    found = written(tmp_path)
    other = parse_net(NET.replace("dim: 2 dim: 4", "dim: 2 dim: 6"))
    with pytest.raises(Error, match=r"history 0 has shape \(20, 4\), blob lstm/0 has \(20, 6\); .* another network"):
        restore(tmp_path, found.state, net_param=other)
    with pytest.raises(Error, match=r"the file has 5; it is of another network"):
        restore(tmp_path, found.state, net_param=parse_net(NET.replace("bias_term: false", "bias_term: true")))


def test_missing_weights_are_named(tmp_path):
    found = written(tmp_path)
    found.weights.unlink()
    with pytest.raises(Error, match=r"s_iter_1.solverstate: its weights '.*s_iter_1.caffemodel' are neither in"):
        restore(tmp_path, found.state)


def test_moved_snapshot_finds_its_weights_beside_it(tmp_path):
    found = written(tmp_path)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (found.state, found.weights):
        shutil.move(path, moved)
    restore(tmp_path, moved / found.state.name)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_weights_in_place_of_a_state_are_refused(tmp_path, form):
    found = written(tmp_path, snapshot_format=form)
    with pytest.raises(FormatError, match=r"expected the state of a solver|SolverState"):
        restore(tmp_path, found.weights, snapshot_format=form)


def test_absent_state_is_named(tmp_path):
    with pytest.raises(OSError, match="absent"):
        restore(tmp_path, tmp_path / "absent.solverstate")


def test_solver_that_has_trained_takes_no_snapshot(tmp_path):
    found = written(tmp_path)
    solver = Solver(definition(tmp_path / "t"), numerics="fast")
    train(solver, 2)
    with pytest.raises(Error, match="goes into a new solver, this one has trained 2 iterations"):
        solver.restore(found.state)


def test_diverged_parameters_are_not_written(tmp_path):
    solver = Solver(definition(tmp_path / "s"), numerics="fast")
    good = solver.snapshot()
    with torch.no_grad():
        solver.net.params["one"][1][2] = torch.nan
    solver.iteration = 1
    with pytest.raises(Error, match=r"iteration 1: parameter one/1 is not finite, so no snapshot is written"):
        solver.snapshot()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "s_iter_0.caffemodel",
        "s_iter_0.carried.safetensors",
        "s_iter_0.solverstate",
    ]
    assert good.state.is_file()


@FORMATS
def test_diverging_run_says_where_and_keeps_the_last_good_snapshot(tmp_path, form):
    fields = {"snapshot_format": form, "snapshot": 1, "max_iter": 100, "base_lr": 10.0, "lr_policy": "fixed"}
    solver = Solver(definition(tmp_path / "s", **fields), numerics="fast")
    with pytest.raises(Error) as raised:
        list(solver.run(iter(lambda: batch(solver.iteration), None)))
    found = re.match(r"iteration (\d+): (the loss is|parameter .* is not finite)", str(raised.value))
    last = int(found[1]) - (found[2] != "the loss is")
    assert last >= 1
    resumed = Solver(definition(tmp_path / "s", **fields), numerics="fast")
    resumed.restore(snapshot.state_path(tmp_path / "s", last, form == "HDF5"))
    assert all(blob.parameter.isfinite().all() for blob in resumed.learnables)
    assert not snapshot.state_path(tmp_path / "s", last + 1, form == "HDF5").exists()


@FORMATS
def test_full_disk_leaves_the_old_snapshot_and_no_rubbish(tmp_path, form):
    solver = Solver(definition(tmp_path / "s", snapshot_format=form), numerics="fast")
    old = solver.snapshot()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    train(solver, 1)
    solver.iteration = 0  # the same names again
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # a disk with little left on it, to a process
        with pytest.raises(OSError, match="s_iter_0"):
            solver.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    restore(tmp_path, old.state, snapshot_format=form)


def test_carried_of_another_iteration_is_refused(tmp_path):
    path = tmp_path / "s.carried.safetensors"
    write_carried(path, 3, {"a": torch.arange(3)})
    assert read_carried(path, 3)["a"].tolist() == [0, 1, 2]
    with pytest.raises(FormatError, match="expected iteration 4, found 3"):
        read_carried(path, 4)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(FormatError, match="not a readable safetensors file"):
        read_carried(path, 3)


def test_layer_that_shares_all_its_blobs_may_be_left_out_as_caffe_does_in_hdf5(tmp_path):
    found = written(tmp_path, snapshot_format="HDF5")
    with h5py.File(found.weights, "r+") as file:
        del file["data/two/0"]
    assert [layer.name for layer in load_weights(found.weights).layers] == ["lstm", "one"]
    restore(tmp_path, found.state)
