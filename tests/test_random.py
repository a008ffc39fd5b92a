"""The generator of exact numerics, against published outputs of mt19937, boost, and what Caffe drew."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcn
from lrcn import random
from lrcn.compare import ulp_distance
from prototxt_import import parse_net


@pytest.fixture(autouse=True)
def _state_kept():
    state = random.state()
    yield
    random.restore(state)


def test_outputs_are_those_of_the_mersenne_twister():
    random.seed(5489)  # the seed and the output that the C++ standard names for std::mt19937
    assert random.words(10_000)[-1] == 4123659995
    random.seed(1)
    assert random.words(2).tolist() == [1791095845, 4282876139]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 50), max_size=5))
def test_a_sequence_does_not_depend_on_how_it_is_cut(seed, cuts):
    random.seed(seed)
    parts = np.concatenate([random.words(0), *(random.words(count) for count in cuts)])
    random.seed(seed)
    assert np.array_equal(parts, random.words(sum(cuts)))


def test_a_restored_state_goes_on_where_it_was_taken():
    random.words(700)
    state = random.state()
    expected = random.words(1000)
    random.restore(state)
    assert np.array_equal(random.words(1000), expected)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range(seed):
    with pytest.raises(ValueError, match="between 0 and"):
        random.seed(seed)


BOOST = json.loads((Path(__file__).parent / "data" / "boost_random.json").read_text())["cases"]


@pytest.mark.parametrize("case", BOOST, ids=lambda case: f"{case['kind']}-{case['seed']}")
def test_distributions_have_the_bits_of_boost(case):
    a, b, shape = np.float32(case["a"]), np.float32(case["b"]), (case["count"],)
    random.seed(case["seed"])
    match case["kind"]:
        case "uniform":
            values = random.uniform(a, np.nextafter(b, np.float32(np.inf)), shape)
        case "normal":
            values = random.normal(a, b, shape)
        case "bernoulli":
            values = random.bernoulli(a, shape)
    assert values[:4].tolist() == case["first"]
    assert hashlib.sha256(values.tobytes()).hexdigest() == case["sha256"]  # 0 ULP
    assert random.words(1)[0] == case["next_word"]


@pytest.mark.parametrize("draw", [lambda shape: random.normal(0, 1, shape), lambda shape: random.bernoulli(0.4, shape)])
def test_distributions_keep_the_shape(draw):
    assert draw((3, 0, 2)).shape == (3, 0, 2)
    assert draw((4, 5)).dtype == np.float32


def test_bernoulli_without_a_chance_draws_nothing():
    state = random.state()
    assert not random.bernoulli(0.0, (3, 4)).any()
    drawn = random.words(5)
    random.restore(state)
    assert np.array_equal(drawn, random.words(5))


DROPOUT = """
input: "x" input_shape { dim: 50 dim: 40 }
layer { name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.8 } }
"""


def test_dropout_scales_what_it_keeps_and_building_draws_nothing():
    random.seed(11)
    expected = random.bernoulli(1 - float(np.float32(0.8)), (50, 40))
    random.seed(11)
    net = lrcn.Net(parse_net(DROPOUT), phase="TRAIN")
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = net(x=x)["y"]
    factor = np.float32(1 / (1 - float(np.float32(0.8))))
    assert np.array_equal(y.detach().numpy(), x.detach().numpy() * expected * factor)
    y.backward(torch.ones_like(y))
    assert np.array_equal(x.grad.numpy(), expected * factor)
    assert torch.equal(lrcn.Net(parse_net(DROPOUT), phase="TEST")(x=x)["y"], x)


def test_the_masks_of_a_recorded_iteration(shared):
    case = shared / "goldens" / "training" / "train_sgd_dropout"
    random.seed(1701)  # the random_seed of its solver
    net = lrcn.Net(case / "net.prototxt", case / "init.caffemodel", phase="TRAIN")
    with h5py.File(case / "run.h5") as run:
        first = run["iter_000"]
        out = net(**{name: blob[()] for name, blob in first["input"].items()}, blobs=["lstm1-drop"])
        assert not ulp_distance(out["lstm1-drop"].detach().numpy(), first["data/lstm1-drop"][()]).any()
        assert out["loss"].item() == first["loss"][()]
