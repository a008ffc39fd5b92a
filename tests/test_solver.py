"""Solvers: update rules against float64, learning rates against hand-computed ones, and what surrounds them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrcn import Error, Net
from lrcn.ops import exact_updates, fast_updates
from lrcn.solver import RULES, Scores, Snapshot, Solver, Step, learnable_blobs, learning_rate
from prototxt_import import FormatError, Message, parse_net

NUMERICS = pytest.mark.parametrize("numerics", ["exact", "fast"])
UPDATES = pytest.mark.parametrize("updates", [exact_updates, fast_updates], ids=["exact", "fast"])
FLOAT32 = np.finfo(np.float32)
ROUNDING = 1e-5  # relative: a rule is some ten float32 operations, one of them a subtraction of like numbers

NET = """
    name: "little"
    layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
    layer { name: "hidden" type: "InnerProduct" bottom: "x" top: "h"
      param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
      inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.5 } } }
    layer { name: "tanh" type: "TanH" bottom: "h" top: "h" }
    layer { name: "out" type: "InnerProduct" bottom: "h" top: "o"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "o" bottom: "y" top: "loss" }
"""


def batch(seed=0):
    generator = np.random.default_rng(seed)
    return {
        "x": generator.standard_normal((4, 3)).astype(np.float32),
        "y": generator.standard_normal((4, 2)).astype(np.float32),
    }


def definition(**fields) -> Message:
    given = {"base_lr": 0.1, "lr_policy": "fixed", "random_seed": 5, "max_iter": 10} | fields
    if not any(field in given for field in ("net", "train_net", "train_net_param")):
        given.setdefault("net_param", parse_net(NET))
    return Message("SolverParameter", **given)


def parameters(solver):
    return [blob.parameter.detach().clone() for blob in solver.learnables]


# ---- rules

moderate = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.5)
squares = st.floats(0.0078125, 1e4, width=32)
fraction = st.floats(0, 0.9990234375, width=32)
rates = st.floats(2**-16, 1, width=32)
few = settings(max_examples=30, deadline=None)
deltas = st.sampled_from([float(np.float32(1e-8)), float(np.float32(1e-6)), 0.125])
sizes = st.integers(1, 40)  # beyond what one vector instruction of the BLAS takes


@st.composite
def vectors(draw, *elements):
    size = draw(sizes)
    return [draw(arrays(np.float32, size, elements=element)) for element in elements]


def run(updates, name, arrays_given, *settings_given):
    tensors = [torch.from_numpy(array.copy()) for array in arrays_given]
    getattr(updates, name)(*tensors, *settings_given)
    return [tensor.numpy() for tensor in tensors]


def assert_near(found, expected, scale):
    """Within the rounding of float32 of the magnitudes that entered, since terms may cancel."""
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=ROUNDING, atol=ROUNDING * scale + FLOAT32.tiny)


@UPDATES
@few
@given(vectors(moderate, moderate), rates, fraction)
def test_sgd(updates, data, rate, momentum):
    g, h = (array.astype(np.float64) for array in data)
    h = momentum * h + rate * g
    assert_near(run(updates, "sgd", data, rate, momentum), [h, h], 200)


@UPDATES
@few
@given(vectors(moderate, moderate), rates, fraction)
def test_nesterov(updates, data, rate, momentum):
    g, h = (array.astype(np.float64) for array in data)
    new = momentum * h + rate * g
    assert_near(run(updates, "nesterov", data, rate, momentum), [(1 + momentum) * new - momentum * h, new], 500)


@UPDATES
@few
@given(vectors(moderate, squares), rates, deltas)
def test_adagrad(updates, data, rate, delta):
    g, h = (array.astype(np.float64) for array in data)
    h = h + g**2
    assert_near(run(updates, "adagrad", data, rate, delta), [rate * g / (np.sqrt(h) + delta), h], 0)


@UPDATES
@few
@given(vectors(moderate, squares), rates, fraction, deltas)
def test_rmsprop(updates, data, rate, decay, delta):
    g, h = (array.astype(np.float64) for array in data)
    h = decay * h + (1 - decay) * g**2
    assert_near(run(updates, "rmsprop", data, rate, decay, delta), [rate * g / (np.sqrt(h) + delta), h], 0)


@UPDATES
@few
@given(vectors(moderate, squares, squares), rates, fraction, deltas)
def test_adadelta(updates, data, rate, momentum, delta):
    g, of_gradients, of_updates = (array.astype(np.float64) for array in data)
    of_gradients = momentum * of_gradients + (1 - momentum) * g**2
    step = g * np.sqrt((of_updates + delta) / (of_gradients + delta))
    of_updates = momentum * of_updates + (1 - momentum) * step**2
    found = run(updates, "adadelta", data, rate, momentum, delta)
    assert_near(found, [rate * step, of_gradients, of_updates], 0)


@UPDATES
@few
@given(vectors(moderate, moderate, squares), rates, fraction, fraction, deltas)
def test_adam(updates, data, rate, momentum, momentum2, delta):
    g, m, v = (array.astype(np.float64) for array in data)
    m = momentum * m + (1 - momentum) * g
    v = momentum2 * v + (1 - momentum2) * g**2
    found = run(updates, "adam", data, rate, momentum, momentum2, delta)
    assert_near(found[1:], [m, v], 200)
    assert_near(found[:1], [rate * m / (np.sqrt(v) + delta)], rate * 200 / np.sqrt(v.min()))


@UPDATES
@few
@given(st.lists(arrays(np.float32, sizes, elements=moderate), min_size=1, max_size=4))
def test_norm_is_that_of_all_tensors(updates, data):
    expected = math.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in data))
    assert updates.norm([torch.from_numpy(array) for array in data]) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize(
    ("name", "tensors", "settings_given"),
    [
        ("scale", 1, [0.5]),
        ("add_scaled", 2, [0.5]),
        ("sgd", 2, [0.1, 0.9]),
        ("nesterov", 2, [0.1, 0.9]),
        ("adagrad", 2, [0.1, 1e-8]),
        ("rmsprop", 2, [0.1, 0.9, 1e-8]),
        ("adadelta", 3, [0.1, 0.9, 1e-6]),
        ("adam", 3, [0.1, 0.9, 0.999, 1e-8]),
    ],
)
def test_exact_ops_keep_what_torch_asks_of_ops(name, tensors, settings_given):
    given = [torch.rand(7) for _ in range(tensors)]
    torch.library.opcheck(getattr(torch.ops.lrcn, f"exact_{name}_").default, (*given, *settings_given))
    torch.library.opcheck(torch.ops.lrcn.exact_norm.default, (given,))


def test_exact_rules_refuse_what_they_cannot_write_in_place():
    with pytest.raises(RuntimeError, match="dense tensor expected"):
        exact_updates.sgd(torch.zeros(4, 4).t(), torch.zeros(4, 4), 0.1, 0.9)
    with pytest.raises(RuntimeError, match="float32 expected"):
        exact_updates.scale(torch.zeros(3, dtype=torch.float64), 2.0)
    with pytest.raises(RuntimeError, match=r"shape \[4\] expected, \[3\] given"):
        exact_updates.sgd(torch.zeros(4), torch.zeros(3), 0.1, 0.9)


# ---- learning rates

POLICIES = [
    ({"lr_policy": "fixed"}, [0, 9], [0.5, 0.5]),
    ({"lr_policy": "step", "gamma": 0.5, "stepsize": 3}, [0, 2, 3, 5, 6], [0.5, 0.5, 0.25, 0.25, 0.125]),
    ({"lr_policy": "exp", "gamma": 0.5}, [0, 1, 2, 10], [0.5, 0.25, 0.125, 0.5 / 1024]),
    ({"lr_policy": "inv", "gamma": 1.0, "power": 2.0}, [0, 1, 3], [0.5, 0.125, 0.03125]),
    ({"lr_policy": "inv", "gamma": 3.0, "power": 0.5}, [0, 1, 5], [0.5, 0.25, 0.125]),
    ({"lr_policy": "poly", "power": 2.0, "max_iter": 8}, [0, 2, 4, 6, 8], [0.5, 0.28125, 0.125, 0.03125, 0]),
    ({"lr_policy": "sigmoid", "gamma": 1.0, "stepsize": 4}, [4], [0.25]),
    ({"lr_policy": "sigmoid", "gamma": 100.0, "stepsize": 4}, [0, 1000], [0, 0.5]),
]


@pytest.mark.parametrize(("fields", "iterations", "expected"), POLICIES)
def test_learning_rate_of_policy(fields, iterations, expected):
    solver = definition(**({"base_lr": 0.5} | fields))
    assert [learning_rate(solver, iteration, 0)[0] for iteration in iterations] == expected


def test_multistep_takes_one_step_per_iteration():
    solver = definition(base_lr=0.5, lr_policy="multistep", gamma=0.5, stepvalue=[2, 4, 4])
    step, found = 0, []
    for iteration in range(7):
        rate, step = learning_rate(solver, iteration, step)
        found.append((rate, step))
    falls = [0, 0, 1, 1, 2, 3, 3]
    assert found == [(0.5 * 0.5**fall, fall) for fall in falls]


@given(
    st.sampled_from(["step", "exp", "inv", "sigmoid", "poly"]),
    st.integers(0, 10_000),
    st.floats(2**-10, 1, width=32),
    st.floats(0.25, 2, width=32),
)
def test_learning_rate_is_the_formula_rounded(policy, iteration, gamma, power):
    solver = definition(lr_policy=policy, gamma=gamma, power=power, stepsize=100, max_iter=10_000)
    b = solver.base_lr
    expected = {
        "step": b * gamma ** (iteration // 100),
        "exp": b * gamma**iteration,
        "inv": b * (1 + gamma * iteration) ** -power,
        "sigmoid": b / (1 + math.exp(-gamma * (iteration - 100))),
        "poly": b * (1 - iteration / 10_000) ** power,
    }[policy]
    # A few roundings of float32, the one of 1 - iteration / max_iter relative to 1; below that float32 has no numbers.
    assert learning_rate(solver, iteration, 0)[0] == pytest.approx(expected, rel=1e-3, abs=1e-37)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"lr_policy": "stepp"}, "'stepp' is not known"),
        ({"lr_policy": ""}, "is not known; fixed"),
        ({"lr_policy": "step"}, "stepsize must be positive"),
        ({"lr_policy": "exp", "gamma": -1.0}, "gamma must not be negative"),
        ({"lr_policy": "poly", "power": 1.0, "max_iter": 0}, "the learning rate nan"),
        ({"type": "SGDD"}, "solver type 'SGDD' is not known"),
        ({"type": "AdaGrad", "momentum": 0.9}, "has no momentum"),
        ({"type": "RMSProp", "rms_decay": 1.0}, "rms_decay must be"),
        ({"regularization_type": "L3"}, "'L3' is not known"),
        ({"iter_size": 0}, "iter_size must be positive"),
        ({"average_loss": 0}, "average_loss must be positive"),
        ({"net": "absent.prototxt"}, r"the network 'absent.prototxt', which is not in .*correct the path"),
        ({"weights": ["absent.caffemodel"]}, r"the weights 'absent.caffemodel'"),
        ({"net_param": parse_net(NET), "train_net": "a"}, "must name one network"),
        ({"test_iter": [1]}, "test_interval must be positive"),
        ({"test_iter": [1], "test_interval": 1, "test_state": [Message("NetState")] * 2}, "test_state"),
        ({"train_net_param": parse_net(NET), "test_iter": [1], "test_interval": 1}, "once per test network"),
    ],
)
def test_what_does_not_fit_is_refused(fields, what):
    with pytest.raises(Error, match=what):
        Solver(definition(**fields))


def test_rate_that_overflows_is_refused():
    with pytest.raises(Error, match="learning rate inf in iteration 9999"):
        learning_rate(definition(lr_policy="exp", gamma=10.0), 9999, 0)


# ---- iterations


@NUMERICS
@pytest.mark.parametrize("solver_type", RULES)
def test_training_learns(numerics, solver_type):
    rate = {"AdaDelta": 1000.0, "SGD": 0.2, "Nesterov": 0.1}.get(solver_type, 0.05)
    momentum = 0.5 if solver_type in ("SGD", "Nesterov", "Adam", "AdaDelta") else 0.0
    solver = Solver(definition(type=solver_type, base_lr=rate, momentum=momentum), numerics=numerics)
    losses = [solver.step(batch()).loss for _ in range(60)]
    assert losses[-1] < losses[0] / 3


@NUMERICS
def test_first_update_is_rate_times_gradient(numerics):
    solver = Solver(definition(base_lr=0.25, weight_decay=0.5, momentum=0.9), numerics=numerics)
    before = parameters(solver)
    net = Net(parse_net(NET), numerics="fast", phase="TRAIN")
    for blob, value in zip(learnable_blobs(net), before, strict=True):
        blob.parameter.data.copy_(value)
    net(**batch())["loss"].backward()
    solver.step(batch())
    multipliers = {"hidden/0": (1, 1), "hidden/1": (2, 0), "out/0": (1, 1), "out/1": (1, 1)}
    for blob, old, reference in zip(solver.learnables, before, learnable_blobs(net), strict=True):
        lr_mult, decay_mult = multipliers[blob.name]
        expected = old - 0.25 * lr_mult * (reference.parameter.grad + 0.5 * decay_mult * old)
        torch.testing.assert_close(blob.parameter.detach(), expected, rtol=1e-5, atol=1e-6)


@NUMERICS
def test_l1_adds_the_sign(numerics):
    decayed, plain = (
        Solver(definition(weight_decay=decay, regularization_type="L1"), numerics=numerics) for decay in (0.01, 0.0)
    )
    before = parameters(plain)
    decayed.step(batch())
    plain.step(batch())
    for blob, reference, old in zip(decayed.learnables, plain.learnables, before, strict=True):
        expected = reference.parameter - 0.1 * 0.01 * blob.lr_mult * blob.decay_mult * old.sign()
        torch.testing.assert_close(blob.parameter, expected, rtol=1e-5, atol=1e-7)


@NUMERICS
def test_gradients_are_clipped_by_their_global_norm(numerics):
    clipped, plain = (Solver(definition(clip_gradients=c, base_lr=1.0), numerics=numerics) for c in (0.5, -1.0))
    start = parameters(plain)
    for solver in (clipped, plain):
        solver.step(batch())
    updates = [
        [(old - new) / blob.lr_mult for old, new, blob in zip(start, parameters(s), s.learnables, strict=True)]
        for s in (clipped, plain)
    ]
    norms = [math.sqrt(sum(float((u**2).sum()) for u in update)) for update in updates]
    assert norms[1] > 0.5
    assert norms[0] == pytest.approx(0.5, rel=1e-4)
    for short, long in zip(*updates, strict=True):
        torch.testing.assert_close(short, long * (0.5 / norms[1]), rtol=1e-4, atol=1e-6)


@NUMERICS
def test_iter_size_is_one_large_batch(numerics):
    whole = Solver(definition(), numerics=numerics)
    parts = Solver(definition(iter_size=2), numerics=numerics)
    first, second = batch(1), batch(2)
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    assert whole.step(both).loss == pytest.approx(parts.step(first, second).loss, rel=1e-5)
    for one, other in zip(parameters(whole), parameters(parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_inputs_go_to_one_or_all_passes():
    with pytest.raises(Error, match="one or all 3 passes"):
        Solver(definition(iter_size=3)).step(batch(), batch())


@NUMERICS
def test_lr_mult_zero_freezes_and_is_left_out_of_the_norm(numerics):
    frozen = NET.replace("lr_mult: 1 ", "lr_mult: 0 ").replace("lr_mult: 2 ", "lr_mult: 0 ")
    solver = Solver(definition(net_param=parse_net(frozen), momentum=0.9, weight_decay=0.1), numerics=numerics)
    before = parameters(solver)
    solver.step(batch())
    changed = {
        blob.name: not torch.equal(old, blob.parameter) for blob, old in zip(solver.learnables, before, strict=True)
    }
    assert changed == {"hidden/0": False, "hidden/1": False, "out/0": True, "out/1": True}


SHARED = """
    layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 4 dim: 3 } } }
    layer { name: "one" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" %s }
      inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }
    layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" %s }
      inner_product_param { num_output: 3 bias_term: false } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "y" top: "loss" }
"""


def test_shared_blob_is_trained_once_with_the_multipliers_that_either_layer_gives():
    solver = Solver(definition(net_param=parse_net(SHARED % ("lr_mult: 3", "decay_mult: 4"))))
    (blob,) = solver.learnables
    assert (blob.name, blob.lr_mult, blob.decay_mult) == ("one/0", 3.0, 4.0)
    assert len(solver.history) == 1


def test_shared_blob_with_two_multipliers_is_refused():
    with pytest.raises(Error, match=r"layer 'two': blob 0 is one/0 too .* lr_mult: 3.0 there, 2.0 here"):
        Solver(definition(net_param=parse_net(SHARED % ("lr_mult: 3", "lr_mult: 2"))))


@NUMERICS
def test_divergence_stops_with_the_iteration(numerics):
    solver = Solver(definition(base_lr=1e30), numerics=numerics)
    with pytest.raises(Error, match=r"iteration [12]: the loss is (inf|nan); .*smaller base_lr"):
        for _ in range(5):
            solver.step(batch())


def test_smoothed_loss_is_the_mean_of_the_last():
    solver = Solver(definition(average_loss=3))
    steps = [solver.step(batch(seed)) for seed in range(5)]
    assert steps[4].smoothed_loss == pytest.approx(np.mean([step.loss for step in steps[2:]]), rel=1e-6)


# ---- whole runs

TESTED = (
    NET
    + """
    layer { name: "twice" type: "Power" bottom: "o" top: "twice" power_param { scale: 2 } include { stage: "doubled" } }
"""
)
DUMMY = """
    layer { name: "in" type: "DummyData" top: "x" top: "y" dummy_data_param {
      data_filler { value: 0.5 } data_filler { value: 1 } shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
"""


def with_dummy_data(net):
    return parse_net(DUMMY + net.split("\n", 3)[3])


def test_run_tests_and_takes_snapshots_in_the_order_of_caffe(tmp_path):
    solver = Solver(
        definition(
            net_param=with_dummy_data(NET),
            max_iter=5,
            test_iter=[2],
            test_interval=2,
            test_compute_loss=True,
            snapshot=2,
            snapshot_prefix=str(tmp_path / "s"),
        )
    )
    events = list(solver.run())
    names = [(type(event), event.iteration) for event in events]
    assert names == [
        *[
            (Scores, 0),
            (Step, 0),
            (Step, 1),
            (Snapshot, 2),
            (Scores, 2),
            (Step, 2),
            (Step, 3),
            (Snapshot, 4),
            (Scores, 4),
        ],
        *[(Step, 4), (Snapshot, 5)],
    ]
    tests = [event for event in events if isinstance(event, Scores)]
    assert tests[0].scores["loss"] == pytest.approx(events[1].loss)
    assert tests[0].loss == pytest.approx(events[1].loss)
    assert tests[-1].loss < tests[0].loss


def test_run_takes_batches_one_per_pass():
    solver = Solver(definition(iter_size=2, max_iter=2, snapshot_after_train=False))
    seen = []

    def batches():
        for seed in range(100):
            seen.append(seed)
            yield batch(seed)

    events = list(solver.run(batches()))
    assert [type(event) for event in events] == [Step, Step]
    assert seen == [0, 1, 2, 3]


def test_test_net_has_its_own_state_and_the_parameters_in_training():
    states = [Message("NetState"), Message("NetState", stage=["doubled"])]
    solver = Solver(definition(net_param=with_dummy_data(TESTED), test_iter=[1, 1], test_interval=1, test_state=states))
    assert [sorted(net.outputs) for net in solver.test_nets] == [["loss"], ["loss", "twice"]]
    assert not solver.test_nets[0].training
    assert solver.net.training
    for net in solver.test_nets:
        assert net.params["out"][0] is solver.net.params["out"][0]


def test_test_net_of_other_shapes_is_refused():
    other = with_dummy_data(NET.replace("num_output: 5", "num_output: 6"))
    fields = {"train_net_param": parse_net(NET), "test_net_param": [other], "test_iter": [1], "test_interval": 1}
    with pytest.raises(Error, match=r"layer 'hidden' has blobs of shapes \[\(6, 3\), \(6,\)\] in the test network"):
        Solver(definition(**fields))


def test_networks_are_found_beside_the_solver_and_snapshots_named_like_it(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    solver = Solver(tmp_path / "solver.prototxt")
    assert solver.definition.snapshot_prefix == str(tmp_path / "solver")
    text = f'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "{tmp_path}"'
    (tmp_path / "solver.prototxt").write_text(text)
    assert Solver(tmp_path / "solver.prototxt").definition.snapshot_prefix == str(tmp_path / "solver")


def test_misspelt_setting_is_named_with_its_place(tmp_path):
    (tmp_path / "solver.prototxt").write_text('net: "a"\nbase_lrr: 0.1')
    with pytest.raises(FormatError, match=r"solver.prototxt:2:1.*base_lrr"):
        Solver(tmp_path / "solver.prototxt")


def test_run_without_a_place_for_snapshots_fails_before_it_trains():
    solver = Solver(definition())
    with pytest.raises(Error, match="no snapshot_prefix"):
        next(solver.run())
    solver.definition.snapshot_prefix = "/absent/folder/x"
    with pytest.raises(Error, match="must be a folder that can be written to"):
        next(solver.run())
    assert solver.iteration == 0


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_the_seed_decides_everything(seed):
    one, other = (Solver(definition(random_seed=seed)) for _ in range(2))
    for first, second in zip(parameters(one), parameters(other), strict=True):
        assert torch.equal(first, second)
