"""Initial values: each filler's distribution, its repeatability under a seed, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrcn import Error, random
from lrcn.fillers import fill
from prototxt_import import Message

SHAPE = (40, 30, 5, 6)  # 36,000 values: the mean of so many is within a hundredth of their deviation, mostly
FAN_IN, FAN_OUT = 900, 1200


def filled(shape=SHAPE, **settings) -> np.ndarray:
    random.seed(3)
    blob = torch.full(shape, torch.nan)
    fill(blob, Message("FillerParameter", **settings))
    return blob.numpy()


def assert_uniform(values, low, high):
    assert low <= values.min() < low + 0.001 * (high - low)
    assert high - 0.001 * (high - low) < values.max() <= high
    np.testing.assert_allclose(np.histogram(values, 10)[0], values.size / 10, rtol=0.08)  # five deviations


def assert_normal(values, mean, std):
    np.testing.assert_allclose(values.mean(), mean, atol=5 * std / math.sqrt(values.size))
    np.testing.assert_allclose(values.std(), std, rtol=0.02)
    within = [np.mean(np.abs(values - mean) < k * std) for k in (1, 2, 3)]
    np.testing.assert_allclose(within, [0.6827, 0.9545, 0.9973], atol=0.015)


def test_constant_is_the_default():
    assert (filled() == 0).all()
    assert (filled(value=0.25) == 0.25).all()


def test_uniform():
    assert_uniform(filled(type="uniform", min=-0.01, max=0.01), -0.01, 0.01)


def test_gaussian():
    assert_normal(filled(type="gaussian", mean=2.0, std=0.5), 2.0, 0.5)


def test_sparse_gaussian_has_so_many_inputs_per_column():
    values = filled((200, 500), type="gaussian", std=1.0, sparse=15)
    np.testing.assert_allclose((values != 0).mean(), 15 / 200, rtol=0.05)
    assert_normal(values[values != 0], 0.0, 1.0)


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", FAN_IN), ("FAN_OUT", FAN_OUT), ("AVERAGE", (FAN_IN + FAN_OUT) / 2)])
def test_xavier_and_msra_scale_with_the_fan(norm, n):
    limit = math.sqrt(3 / n)
    assert_uniform(filled(type="xavier", variance_norm=norm), -limit, limit)
    assert_normal(filled(type="msra", variance_norm=norm), 0.0, math.sqrt(2 / n))


def test_one_axis_has_a_fan_of_its_own():
    assert np.abs(filled((12,), type="xavier")).max() <= math.sqrt(3)


def test_positive_unitball_sums_to_one():
    values = filled(type="positive_unitball")
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    assert values.std() > 0


@pytest.mark.parametrize(
    ("size", "row"), [(1, [1.0]), (2, [0.5, 0.5]), (3, [0.5, 1.0, 0.5]), (4, [0.25, 0.75, 0.75, 0.25])]
)
def test_bilinear_has_the_weights_of_linear_interpolation(size, row):
    values = filled((2, 3, size, size), type="bilinear")
    assert (values == np.outer(row, row).astype(np.float32)).all()


@given(st.sampled_from(["uniform", "gaussian", "xavier", "msra", "positive_unitball"]), st.integers(0, 2**32 - 1))
def test_the_seed_decides(filler, seed):
    blobs = [torch.empty(3, 4) for _ in range(3)]
    for blob, value in zip(blobs, (seed, seed, seed ^ 1), strict=True):
        random.seed(value)
        fill(blob, Message("FillerParameter", type=filler))
    assert torch.equal(blobs[0], blobs[1])
    assert not torch.equal(blobs[0], blobs[2])


def test_two_blobs_differ():
    random.seed(1)
    first, second = torch.empty(5, 5), torch.empty(5, 5)
    for blob in (first, second):
        fill(blob, Message("FillerParameter", type="gaussian"))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"type": "gausian"}, "'gausian' is not known"),
        ({"type": "uniform", "min": 2.0, "max": 1.0}, "min 2.0 is greater than max 1.0"),
        ({"type": "gaussian", "std": 0.0}, "std must be positive"),
        ({"type": "gaussian", "sparse": 99}, "from 0 to the 40 outputs"),
        ({"type": "xavier", "sparse": 2}, "cannot be sparse"),
        ({"type": "bilinear"}, "square filters"),
    ],
)
def test_what_does_not_fit_is_refused(settings, what):
    with pytest.raises(Error, match=what):
        filled(**settings)
