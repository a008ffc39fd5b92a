"""The CUDA flow without a GPU: compiled by nvcc for every architecture, and run as plain C++ on the host, against the
CPU's flow.

There the threads of a launch run one after the other, and in the opposite order as well: a thread that read what
another one of its launch writes would change the result. A sanitizer watches the memory.
"""

import re
from dataclasses import astuple

import numpy as np
import pytest
from cuda_source import (
    CSRC,
    EMULATION,
    assert_compiled_without_spilling,
    check_ops,
    compile_for_gpus,
    compile_for_host,
    run,
)
from flow_material import rotation_and_zoom, warped_pair

from lrcn.flow import Brox

SOURCE = CSRC / "flow/brox_cuda.cu"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What ptxas says, and the folder with the PTX."""
    folder = tmp_path_factory.mktemp("cuda")
    return compile_for_gpus(SOURCE, folder), folder


def test_kernels_compile_without_warnings_or_spills_for_every_architecture(compiled):
    assert_compiled_without_spilling(compiled[0], kernels=18)


def test_nothing_is_fused_or_approximate(compiled):
    """Every operation on numbers is rounded by itself, to nearest, denormal numbers included, as on the CPU."""
    files = list(compiled[1].glob("*.ptx"))
    assert len(files) == 3
    for file in files:
        operation = r"^\s*((?:add|sub|mul|fma|mad|div|sqrt|rsqrt|rcp)\S*\.f(?:32|64))\s"
        operations = set(re.findall(operation, file.read_text(), re.MULTILINE))
        rounded = {f"{name}.rn.f{bits}" for name in ("add", "sub", "mul", "div", "rcp", "sqrt") for bits in (32, 64)}
        assert {"add.rn.f32", "mul.rn.f32", "div.rn.f32", "sqrt.rn.f32", "add.rn.f64"} <= operations <= rounded


def test_ops_compile_without_warnings(tmp_path):
    check_ops(CSRC / "flow_cuda_ops.cpp", tmp_path)


# -- run on the host


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    sources = [SOURCE, CSRC / "flow/pyramid.cpp", EMULATION / "flow.cpp"]
    sanitizer = ("-fsanitize=address,alignment", "-fno-sanitize-recover=all")
    return compile_for_host(sources, tmp_path_factory.mktemp("host"), *sanitizer)


def emulated(program, previous, following, brox, backwards):
    """As `Brox.compute` of a batch, by the CUDA source."""
    count, height, width, _ = previous.shape
    *settings, _ = astuple(brox)
    words = [int(backwards), count, height, width, *settings]
    out = run([program, *words], input=previous.tobytes() + following.tobytes()).stdout
    flow = np.frombuffer(out, np.float32, count * height * width * 2)
    energies = np.frombuffer(out[flow.nbytes :], np.float64)
    return flow.reshape(count, height, width, 2), energies.reshape(count, -1, 2)


def pairs(count, height, width):
    """Textures that turn and grow, each pair more than the one before; the first moves by three pixels or so."""
    motions = [rotation_and_zoom(4 + 3 * n, 1.03, height, width) for n in range(count)]
    frames = [warped_pair(motion, n, height, width)[:2] for n, motion in enumerate(motions)]
    return [np.stack(one) for one in zip(*frames, strict=True)]


def assert_same_bits(program, previous, following, brox):
    """0 ULP: equal numbers, of which 0 and -0 are two."""
    expected = brox.compute(previous, following)
    for backwards in (False, True):
        for found, wanted in zip(emulated(program, previous, following, brox, backwards), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    return expected


# Smaller than a block of threads and larger, odd and even, one level and many.
SIZES = [(1, 10, 10), (2, 11, 13), (1, 10, 70), (3, 33, 31), (2, 48, 65), (1, 65, 40)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_same_bits_as_on_the_cpu(program, size):
    flow, _ = assert_same_bits(program, *pairs(*size), Brox())
    assert np.abs(flow).max() > 0.1


SETTINGS = [
    {"outer_iterations": 2, "inner_iterations": 1, "sor_iterations": 3},
    {"sigma": 0.0, "eta": 0.5},  # images that are not smoothed
    {"sigma": 20.0, "eta": 0.8},  # the largest, 60 pixels to either side
    {"eta": 0.13, "coarsest": 1},  # many samples for each pixel of a level; a level of 2 x 3
    {"alpha": 1.0, "gamma": 0.0, "epsilon": 0.1, "omega": 1.9},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_same_bits_for_other_settings(program, changes):
    assert_same_bits(program, *pairs(1, 37, 45), Brox(**changes))


def test_identical_images_give_exactly_zero(program):
    previous, _ = pairs(2, 20, 25)
    flow, _ = emulated(program, previous, previous, Brox(), backwards=False)
    assert not flow.any()


def test_pairs_that_take_different_parts_of_an_increment(program):
    """Of noise the whole increment leads too far now and then, of black and white it makes no difference."""
    rng = np.random.default_rng(0)
    previous, following = rng.integers(0, 2, (2, 3, 30, 35, 3), np.uint8) * 255
    previous[1], following[1] = 0, 255
    _, energies = assert_same_bits(program, previous, following, Brox(alpha=1.0))
    falls = energies[..., 1] < energies[..., 0]
    assert falls[0].any() and not falls.all(), "a step that is refused belongs to this test"
