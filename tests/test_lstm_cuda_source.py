"""The CUDA kernels without a GPU: compiled by nvcc for every architecture, and run as plain C++ on the host.

There every GPU thread is a thread of the host. So the indexing, the barriers and the order of memory accesses that run
here are those of the kernels themselves, and the sanitizers of the host's compiler watch them.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cuda_source import (
    CSRC,
    EMULATION,
    assert_compiled_without_spilling,
    check_ops,
    compile_for_gpus,
    compile_for_host,
    run,
)
from torch._subclasses.fake_tensor import FakeTensorMode

from lrcn import Error
from lrcn.ops import fused_lstm

SOURCE = CSRC / "lstm/lstm_cuda.cu"

KIB = 1024
# Multiprocessors, shared memory of a block, bytes of a chunk.
H200 = (132, 227 * KIB, 32 * KIB)
A100 = (108, 163 * KIB, 32 * KIB)
TINY = (6, 100 * KIB, 32 * KIB)  # several slices and groups at small sizes
SMALL_CHUNKS = (6, 100 * KIB, 1 * KIB)


# -- compiled for the GPU


def test_kernels_compile_without_warnings_or_spills_for_every_architecture(tmp_path):
    assert_compiled_without_spilling(compile_for_gpus(SOURCE, tmp_path), kernels=20)


def test_ops_compile_without_warnings(tmp_path):
    check_ops(CSRC / "lstm_cuda_ops.cpp", tmp_path)


@pytest.mark.skipif(fused_lstm.HAS_CUDA, reason="lrcn is built with its CUDA kernels")
def test_a_build_without_the_kernels_says_so():
    with FakeTensorMode():
        x, cont = torch.empty(3, 2, 4, device="cuda"), torch.empty(3, 2, device="cuda")
        weights = [torch.empty(shape, device="cuda") for shape in ((20, 4), (20,), (20, 5))]
        with pytest.raises(Error, match=r"x: .* built without its CUDA kernels"):
            fused_lstm.lstm(x, cont, *weights)


# -- run on the host


def emulated(folder: Path, *options: str) -> Path:
    if "f16c" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("no F16C instructions")
    return compile_for_host([SOURCE, EMULATION / "lstm.cpp"], folder, "-mf16c", "-pthread", *options)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return emulated(tmp_path_factory.mktemp("plain"))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(terms, cont, w_h, c_0):
    """The equations, in float64: h, c, gates."""
    h, c, gates = [], [], []
    for t in range(len(terms)):
        a = terms[t] + (0 if t == 0 else (cont[t][:, None] * h[-1]) @ w_h.T)
        a_i, a_f, a_o, a_g = np.split(a, 4, axis=1)
        i, f, o, g = sigmoid(a_i), cont[t][:, None] * sigmoid(a_f), sigmoid(a_o), np.tanh(a_g)
        c.append(f * (c_0 if t == 0 else c[-1]) + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append(np.concatenate([i, f, o, g], axis=1))
    return np.stack(h), np.stack(c), np.stack(gates)


def backward(cont, w_h, c_0, c, gates, dh, dh_T, dc_T, caffe_gradient=False):
    """The way back: d_terms, dc_0."""
    d_terms = np.zeros_like(gates)
    for t in reversed(range(len(gates))):
        i, f, o, g = np.split(gates[t], 4, axis=1)
        s = f if caffe_gradient else np.divide(f, cont[t][:, None], out=np.zeros_like(f), where=cont[t][:, None] != 0)
        dh_t = dh[t] + (dh_T if t == len(gates) - 1 else cont[t + 1][:, None] * (d_terms[t + 1] @ w_h))
        tanh_c, c_previous = np.tanh(c[t]), c_0 if t == 0 else c[t - 1]
        dc = dc_T + dh_t * o * (1 - tanh_c**2)
        d_terms[t] = np.concatenate(
            [dc * g * i * (1 - i), dc * c_previous * f * (1 - s), dh_t * tanh_c * o * (1 - o), dc * i * (1 - g * g)],
            axis=1,
        )
        dc_T = dc * f
    return d_terms, dc_T


STORAGE = {"fma32": "float", "fma64": "double", "tf32": "float", "half": "half"}
DTYPES = {"float": (np.float32, np.float32), "double": (np.float64, np.float64), "half": (np.float16, np.float32)}
# float32 sums; TF32 operands have 11 bits; half rounds h to 11 bits at every step.
TOLERANCE = {"fma32": 2e-6, "fma64": 1e-14, "tf32": 2e-3, "half": 4e-3}


class Case:
    """Random sequences, the kernels' results, and the equations' in float64."""

    def __init__(self, T, N, H, arithmetic, cont="mixed", seed=0):
        rng = np.random.default_rng([T, N, H, seed])
        self.size, self.arithmetic, self.storage = (T, N, H), arithmetic, STORAGE[arithmetic]
        S, A = DTYPES[self.storage]
        values = {"ones": [1], "zeros": [0], "mixed": [0, 1, 1, 1, 0.5]}[cont]
        self.cont = rng.choice(values, size=(T, N)).astype(A)
        self.w_h = (rng.standard_normal((4 * H, H)) / np.sqrt(H)).astype(S)
        self.terms, self.c_0 = rng.standard_normal((T, N, 4 * H)).astype(A), rng.standard_normal((N, H)).astype(A)
        self.dh, self.dh_T = rng.standard_normal((T, N, H)).astype(S), rng.standard_normal((N, H)).astype(S)
        self.dc_T = rng.standard_normal((N, H)).astype(A)
        self.h, self.c, self.gates = forward(*self.wide("terms", "cont", "w_h", "c_0"))
        self.d_terms, self.dc_0 = backward(*self.wide("cont", "w_h", "c_0", "c", "gates", "dh", "dh_T", "dc_T"))
        self.c, self.gates = self.c.astype(A), self.gates.astype(A)

    def wide(self, *names):
        return [getattr(self, name).astype(np.float64) for name in names]

    def results(self, program, direction, device=TINY, threads=64, persistent=True, early_copies=False, bare=False):
        """Of the kernels: (h, c, what the terms have become) or (d_terms, dc_0)."""
        T, N, H = self.size
        S, A = DTYPES[self.storage]
        if direction == "forward":
            given, shapes = ("terms", "cont", "w_h", "c_0"), [(S, (T, N, H)), (A, (T, N, H)), (A, (T, N, 4 * H))]
        else:
            given = ("cont", "w_h", "c_0", "c", "gates", "dh", "dh_T", "dc_T")
            shapes = [(A, (T, N, 4 * H)), (A, (N, H))]
        product = "tf32" if self.arithmetic == "half" else self.arithmetic
        flags = (self.storage, *map(int, (persistent, early_copies, bare)))
        words = [program, "run", direction, product, T, N, H, *device, threads, *flags]
        out = run(words, input=b"".join(getattr(self, name).tobytes() for name in given)).stdout
        arrays = []
        for dtype, shape in shapes:
            count = int(np.prod(shape))
            arrays.append(np.frombuffer(out, dtype, count).reshape(shape))
            out = out[count * np.dtype(dtype).itemsize :]
        return arrays

    def check(self, program, direction, **how):
        expected = (self.h, self.c, self.gates) if direction == "forward" else (self.d_terms, self.dc_0)
        self.compare(self.results(program, direction, **how), expected)

    def compare(self, results, expected):
        for got, wanted in zip(results, expected, strict=True):
            assert np.isfinite(got).all()
            scale = TOLERANCE[self.arithmetic] * max(1, np.abs(wanted).max()) * self.size[0]
            np.testing.assert_allclose(got, wanted, rtol=0, atol=scale)


# N = 1, sizes that divide nothing, several slices and groups, both tiles.
SIZES = [(2, 1, 1), (3, 1, 5), (3, 7, 9), (4, 3, 33), (3, 10, 24), (2, 48, 20), (3, 13, 40)]
DIRECTIONS = ["forward", "backward"]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("arithmetic", STORAGE)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_persistent_kernel(program, size, arithmetic, direction):
    Case(*size, arithmetic).check(program, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("product", ["fma32", "tf32"])
def test_these_sizes_use_both_tiles(program, product, direction):
    assert {plan(program, direction, product, *size, *TINY, 64)["wide"] for size in SIZES} == {0, 1}


@pytest.mark.parametrize("persistent", [True, False])
def test_without_what_may_be_left_out(program, persistent):
    case = Case(4, 5, 13, "fma32")
    h, c, terms = case.results(program, "forward", persistent=persistent, bare=True)
    case.compare([h, c], [case.h, case.c])
    assert terms.tobytes() == case.terms.tobytes(), "no gates were asked for"
    case.dh[:], case.dc_T[:] = 0, 0
    expected = backward(*case.wide("cont", "w_h", "c_0", "c", "gates", "dh", "dh_T", "dc_T"), caffe_gradient=True)
    case.compare(case.results(program, "backward", persistent=persistent, bare=True), expected)


@pytest.mark.parametrize("early_copies", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("arithmetic", STORAGE)
def test_numbers_brought_in_several_chunks(program, arithmetic, direction, early_copies):
    size = (3, 21, 45)
    product = "tf32" if arithmetic == "half" else arithmetic
    division = plan(program, direction, product, *size, *SMALL_CHUNKS, 64)
    assert division["length"] > division["chunk"]
    Case(*size, arithmetic).check(program, direction, device=SMALL_CHUNKS, early_copies=early_copies)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("multiprocessors, threads", [(1, 128), (2, 64), (20, 256)])
def test_any_division_gives_the_result(program, multiprocessors, threads, direction):
    device = (multiprocessors, *TINY[1:])
    Case(4, 9, 30, "fma32").check(program, direction, device=device, threads=threads)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("cont", ["ones", "zeros"])
@pytest.mark.parametrize("persistent", [True, False])
def test_cont(program, cont, direction, persistent):
    Case(4, 5, 13, "fma32", cont=cont).check(program, direction, persistent=persistent)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("arithmetic", STORAGE)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 5, 300), (3, 4, 7)], ids=str)
def test_one_step_at_a_time(program, size, arithmetic, direction):
    Case(*size, arithmetic).check(program, direction, persistent=False)


@pytest.mark.parametrize("persistent", [True, False])
def test_nan_stays_in_its_stream_and_survives_a_reset(program, persistent):
    """0 times NaN is NaN, so cont = 0 does not clear it; the other streams have the bits that they would have."""
    case = Case(4, 3, 10, "fma32", cont="zeros")
    clean = case.results(program, "forward", persistent=persistent)
    case.terms[1, 2] = np.nan
    for got, wanted in zip(case.results(program, "forward", persistent=persistent), clean, strict=True):
        assert np.array_equal(got[:, :2], wanted[:, :2])
        assert np.array_equal(got[0], wanted[0])
    h, c, _ = case.results(program, "forward", persistent=persistent)
    assert np.isnan(h[1:, 2]).all() and np.isnan(c[1:, 2]).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_same_bits_every_time(program, direction):
    case = Case(4, 9, 30, "fma32")
    first = case.results(program, direction)
    for again in (case.results(program, direction), case.results(program, direction, early_copies=True)):
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("sanitizer", ["address,alignment", "thread"])
def test_sanitizers(tmp_path, sanitizer):
    """No access out of bounds or misaligned; no race, in shared or in global memory, within and between blocks."""
    program = emulated(tmp_path, "-O0", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    for direction in DIRECTIONS:
        for arithmetic, early_copies in (("fma32", False), ("fma32", True), ("tf32", True)):
            Case(3, 7, 19, arithmetic).check(program, direction, device=SMALL_CHUNKS, early_copies=early_copies)
        Case(2, 3, 5, "half").check(program, direction, persistent=False)


# -- the division of the work


def plan(program, *words) -> dict:
    return json.loads(run([program, "plan", *words], text=True).stdout)


# Pass, product, T, N, H, device -> whether persistent, units per block, slices, groups.
PLANS = [
    ("forward", "fma32", 16, 10, 256, H200, (1, 8, 32, 4)),
    ("forward", "fma32", 16, 24, 256, H200, (1, 8, 32, 4)),
    ("forward", "fma32", 16, 500, 256, H200, (1, 32, 8, 16)),
    ("forward", "fma32", 20, 100, 1000, H200, (1, 8, 125, 1)),
    ("forward", "fma32", 128, 128, 256, H200, (1, 16, 16, 8)),
    ("backward", "fma32", 16, 10, 256, H200, (1, 8, 32, 4)),
    ("backward", "fma32", 16, 24, 256, H200, (1, 8, 32, 4)),
    ("backward", "fma32", 16, 500, 256, H200, (1, 32, 8, 16)),
    ("backward", "fma32", 128, 128, 256, H200, (1, 16, 16, 8)),
    ("forward", "tf32", 20, 100, 1000, H200, (1, 8, 125, 1)),
    ("backward", "tf32", 20, 32, 1000, H200, (1, 8, 125, 1)),
    ("backward", "fma32", 20, 100, 1000, H200, (0,)),  # 100 streams are too many for 8 units
    ("forward", "fma32", 1, 5, 1000, H200, (0,)),  # one step
    ("forward", "fma64", 20, 100, 1000, H200, (0,)),  # 32 MB of weights
    ("forward", "fma32", 20, 100, 1000, A100, (0,)),  # 16 MB of weights
    ("forward", "fma32", 16, 10, 256, A100, (1, 8, 32, 3)),
    ("forward", "fma32", 16, 100_000, 256, H200, (0,)),
    ("forward", "fma32", 16, 10, 2**40, H200, (0,)),
]


@pytest.mark.parametrize("case", PLANS, ids=str)
def test_plan(program, case):
    *words, device, expected = case
    division = plan(program, *words, *device, 256)
    names = ("persistent", "units", "slices", "groups")
    assert tuple(division[name] for name in names[: len(expected)]) == expected


def test_every_plan_is_one_that_the_kernel_can_run(program):
    rng = np.random.default_rng(0)
    chosen = 0
    for _ in range(300):
        direction, product = rng.choice(DIRECTIONS), rng.choice(["fma32", "fma64", "tf32"])
        T, N, H = (int(x) for x in 2 ** rng.uniform([1, 0, 0], [8, 11, 11]))
        device = (int(rng.integers(1, 200)), int(rng.choice([48, 99, 163, 227])) * KIB, 32 * KIB)
        division = plan(program, direction, product, T, N, H, *device, 256)
        if not division["persistent"]:
            continue
        chosen += 1
        tiles = division["row_tiles"] * division["stream_tiles"]
        assert division["slices"] * division["groups"] <= device[0], "all blocks are resident"
        assert division["shared_memory"] <= device[1]
        assert (division["slices"] - 1) * division["units"] < H <= division["slices"] * division["units"]
        assert (division["groups"] - 1) * division["streams"] < N <= division["groups"] * division["streams"]
        assert tiles * division["splits"] * (32 if product == "tf32" else 1) <= 256
        assert division["length"] % 8 == 0 and division["chunk"] % 8 == 0 and division["chunk"] > 0
        assert 256 % division["rows"] == 0 and division["rows"] % division["units"] == 0
    assert chosen > 100
