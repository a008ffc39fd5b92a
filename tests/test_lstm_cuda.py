"""The fused LSTM on a GPU: everything that test_lstm.py asks of it on a CPU, and what only a GPU can get wrong.

`pytest -k cuda` runs these and those that need no GPU (test_lstm_cuda_source.py).
"""

import pytest
import torch
from test_lstm import (
    CONTS,
    GRID,
    NAMES,
    arguments,
    gradients,
    op_arguments,
    reference,
    reordered,
    same_bits,
    step_by_step,
    with_gradient,
)

from lrcn import Error
from lrcn.nn import LSTM
from lrcn.ops import blas, lstm
from lrcn.ops.fused_lstm import HAS_CUDA

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(autouse=True)
def kernels():
    if torch.cuda.is_available() and not HAS_CUDA:
        pytest.fail("lrcn is built without its CUDA kernels; FORCE_CUDA=1 makes the build say what is missing")


def on_gpu(given):
    return {name: t.cuda() for name, t in given.items()}


def cpu(tensors):
    return [t.cpu() for t in tensors]


def run(given, **options):
    """Outputs and gradients in one list, on the device of the arguments."""
    outputs, found = gradients(lambda g: lstm(**g, **options), given)
    return [*outputs, *found.values()]


# T, N, I, H. On an H200: both tiles forward and backward, one slice and many, one group and many, several chunks; the
# last four are served step by step, forward, backward or both.
SIZES = [
    (3, 2, 4, 5),
    (5, 3, 7, 33),
    (16, 10, 64, 256),
    (16, 24, 64, 256),
    (4, 130, 16, 256),
    (3, 500, 16, 256),
    (3, 1, 8, 1000),
    (3, 30, 8, 1000),
    (3, 100, 8, 1000),
    (4, 3000, 4, 64),
    (3, 5, 4, 1300),
    (1, 5, 8, 300),
]


@pytest.mark.parametrize("static", [0, 3])
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("cont", CONTS)
@pytest.mark.parametrize("sizes", GRID)
def test_gradcheck(sizes, cont, state, static):
    given = with_gradient(on_gpu(arguments(*sizes, static, state, cont, torch.float64)))
    names = list(given)
    assert torch.autograd.gradcheck(
        lambda *values: lstm(**dict(zip(names, values, strict=True))), tuple(given.values()), fast_mode=sizes[3] > 4
    )


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"),
    [
        (torch.float64, "ieee", 1e-12),  # roundings of sums of some thousand values
        (torch.float32, "ieee", 1e-5),
        (torch.float32, "tf32", 1e-2),  # operands of 11 bits
        (torch.float16, "ieee", 1e-2),  # h, gradients and operands of 11 bits
        (torch.bfloat16, "ieee", 6e-2),  # of 8 bits
    ],
    ids=str,
)
def test_equals_the_equations_forward_and_backward(sizes, dtype, precision, tolerance):
    given = arguments(*sizes, 3, True, "resets", dtype)
    equations = gradients(reference, {name: t.double() for name, t in given.items()})
    ours = gradients(lambda g: lstm(**g, precision=precision), on_gpu(given))
    for found, expected in zip([*ours[0], *ours[1].values()], [*equations[0], *equations[1].values()], strict=True):
        error = (found.cpu().double() - expected).abs().max() / expected.abs().max().clamp(min=1)
        assert error <= tolerance


def test_float32_is_within_8_ulp_of_the_largest_gate_of_exact_at_every_step():
    blas.load()
    torch.manual_seed(0)
    given = arguments(16, 10, 64, 256, 10, True, "resets")
    given |= {name: weight.detach() for name, weight in LSTM(64, 256, 10).named_parameters()}
    values = [given[name] for name in NAMES]
    h, c, gates = torch.ops.lrcn.exact_lstm(*values)
    our_h, _, _, our_c, _ = cpu(torch.ops.lrcn.lstm(*(t.cuda() for t in values), False, True, True))
    for t in range(16):
        largest = gates[t].abs().max()
        ulp = torch.nextafter(largest, torch.tensor(2.0)) - largest
        assert (our_h[t] - h[t]).abs().max() <= 8 * ulp
        assert (our_c[t] - c[t]).abs().max() <= 8 * ulp


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_same_bits_every_time(sizes, dtype):
    given = on_gpu(arguments(*sizes, 3, True, "resets", dtype))
    first = run(given)
    for _ in range(10):
        assert same_bits(first, run(given))  # 0 ULP


@pytest.mark.parametrize("cont", CONTS)
def test_a_sequence_equals_its_steps(cont):
    given = on_gpu(arguments(7, 5, 6, 35, 3, True, cont))
    h, h_T, c_T = lstm(**given)
    steps, h_t, c_t = step_by_step(given)
    # A few roundings of values below 1: cuBLAS and the kernel sum in different orders.
    torch.testing.assert_close(steps, h, rtol=0, atol=2e-6)
    torch.testing.assert_close((h_t, c_t), (h_T, c_T), rtol=0, atol=4e-6)


@pytest.mark.parametrize("sizes", [(6, 13, 8, 40), (4, 300, 8, 256)], ids=str)
def test_the_order_of_the_streams_does_not_matter(sizes):
    given = on_gpu(arguments(*sizes, 3, True, "resets"))
    order = torch.randperm(sizes[1], generator=torch.Generator().manual_seed(3)).cuda()
    torch.testing.assert_close(lstm(**reordered(given, order))[0], lstm(**given)[0][:, order], rtol=0, atol=2e-6)


def test_non_contiguous_and_unaligned_arguments():
    given = on_gpu(arguments(4, 6, 8, 12, 3, True, "resets", torch.float64))

    def strided(t):
        return torch.stack([t, t * 7], dim=-1)[..., 0]

    def unaligned(t):
        return torch.cat([t.new_ones(1), t.flatten()])[1:].view(t.shape)

    dense = run(given)
    for change in (strided, unaligned):
        torch.testing.assert_close(run({name: change(t) for name, t in given.items()}), dense)


@pytest.mark.parametrize("sizes", [(0, 3, 4, 5), (4, 0, 3, 5), (4, 3, 0, 5), (4, 3, 5, 0)], ids=str)
def test_empty_sizes(sizes):
    T, N, inputs, H = sizes
    given = {"x": torch.ones(T, N, inputs), "cont": torch.ones(T, N), "w_x": torch.ones(4 * H, inputs)}
    given |= {"b": torch.ones(4 * H), "w_h": torch.ones(4 * H, H), "h0": torch.ones(N, H), "c0": torch.ones(N, H)}
    expected_outputs, expected = gradients(lambda g: lstm(**g), given)
    outputs = run(on_gpu(given))
    torch.testing.assert_close(cpu(outputs), [*expected_outputs, *expected.values()])


@pytest.mark.parametrize("where", ["h0", "c0", "x"])
def test_nan_stays_where_it_does_on_a_cpu(where):
    given = arguments(5, 4, 6, 9, 2, True, "resets")
    given[where].select(-2, 1)[..., 2] = torch.nan
    given["cont"][2, 1] = 0
    for found, expected in zip(cpu(lstm(**on_gpu(given))), lstm(**given), strict=True):
        assert torch.equal(found.isnan(), expected.isnan())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_torch_checks_the_ops(dtype):
    values = [
        None if t is None else t.cuda().float() if name in ("cont", "c0") else t.cuda()
        for name, t in zip(NAMES, op_arguments(dtype=dtype), strict=True)
    ]
    leaves = [t.clone().requires_grad_(name != "cont") for name, t in zip(NAMES, values, strict=True)]
    torch.library.opcheck(torch.ops.lrcn.lstm, (*leaves, False, False, True))
    h, h_T, c_T, c, gates = torch.ops.lrcn.lstm(*values, False, False, True)
    x, cont, w_x, _, *others = values
    torch.library.opcheck(
        torch.ops.lrcn.lstm_backward,
        (h, h_T, c_T, x, cont, w_x, *others, h, c, gates, False, False, [True] * 8),
    )


def test_compiles_without_a_graph_break():
    given = on_gpu(arguments(3, 2, 4, 5, 3, True, "fractional", torch.float64))
    torch._dynamo.reset()
    compiled = torch.compile(lambda g: lstm(**g), fullgraph=True)
    torch.testing.assert_close(gradients(compiled, given), gradients(lambda g: lstm(**g), given))


def test_autocast():
    given = on_gpu(arguments(4, 3, 6, 7, 2, True, "resets"))
    half = {name: t if name in ("cont", "c0") else t.bfloat16() for name, t in given.items()}
    with torch.autocast("cuda", torch.bfloat16):
        outputs = lstm(**given)
    assert same_bits(outputs, lstm(**half))  # 0 ULP


@pytest.mark.parametrize("setting", ["none", "ieee", "tf32"])
def test_precision_is_that_of_the_argument_whatever_torch_is_set_to(setting):
    given = on_gpu(arguments(4, 20, 64, 128))
    expected = {precision: lstm(**given, precision=precision)[0] for precision in ("ieee", "tf32")}
    assert not torch.equal(expected["ieee"], expected["tf32"])
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = setting
    try:
        for precision, h in expected.items():
            assert torch.equal(lstm(**given, precision=precision)[0], h)
        assert torch.backends.cuda.matmul.fp32_precision == setting
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


# -- streams and graphs


@pytest.mark.parametrize("sizes", [(16, 10, 32, 256), (3, 100, 8, 1000), (3, 5, 4, 1300)], ids=str)
def test_work_is_put_on_the_stream_of_the_caller(sizes):
    """The arguments become ready late on a stream of ours, while the default stream is free."""
    given = on_gpu(arguments(*sizes, 3, True, "resets"))
    expected = run(given)
    late = {name: torch.full_like(t, torch.nan) for name, t in given.items()}
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        for name, t in given.items():
            late[name].copy_(t)
        found = run(late)
    stream.synchronize()
    assert same_bits(found, expected)  # 0 ULP


def test_sequences_on_two_streams_do_not_wait_for_each_other_forever():
    given = [on_gpu(arguments(50, 10, 16, 256, seed=seed)) for seed in (0, 1)]
    expected = [run(one) for one in given]
    streams = [torch.cuda.Stream() for _ in given]
    torch.cuda.synchronize()
    found = [[], []]
    for _ in range(20):
        for index, stream in enumerate(streams):
            with torch.cuda.stream(stream):
                found[index].append(run(given[index]))
    torch.cuda.synchronize()
    for results, wanted in zip(found, expected, strict=True):
        assert all(same_bits(result, wanted) for result in results)  # 0 ULP


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("sizes", [(16, 10, 32, 256), (3, 100, 8, 1000), (3, 5, 4, 1300), (1, 5, 8, 300)], ids=str)
def test_capture_and_replay(sizes, dtype):
    given = on_gpu(arguments(*sizes, 3, True, "resets", dtype))
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # cuBLAS makes its handle and workspace
        run(given)
    torch.cuda.synchronize()
    fixed = {name: t.clone() for name, t in given.items()}
    leaves = with_gradient(fixed)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        h, h_T, c_T = lstm(**leaves)
        found = torch.autograd.grad([h, h_T, c_T], [t for t in leaves.values() if t.requires_grad], [h, h_T, c_T])
    for seed in (5, 6):
        other = on_gpu(arguments(*sizes, 3, True, "resets", dtype, seed=seed))
        with torch.no_grad():
            for name, t in other.items():
                leaves[name].copy_(t)
        graph.replay()
        eager = with_gradient(other)
        outputs = lstm(**eager)
        expected = torch.autograd.grad(outputs, [t for t in eager.values() if t.requires_grad], outputs)
        assert same_bits([h, h_T, c_T, *found], [*outputs, *expected])  # 0 ULP


def test_a_call_does_not_wait_for_the_gpu():
    given = on_gpu(arguments(16, 10, 32, 256, 3, True, "resets"))
    run(given)
    torch.cuda.set_sync_debug_mode("error")
    try:
        leaves = with_gradient(given)
        lstm(**leaves)[0].sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


# -- devices and sizes


def test_arguments_on_two_devices():
    given = on_gpu(arguments(3, 2, 4, 5))
    with pytest.raises(Error, match="cont: device cuda:0 expected, where x is; cpu given"):
        lstm(**given | {"cont": given["cont"].cpu()})


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_a_device_that_is_not_the_current_one():
    given = arguments(5, 3, 7, 33, 3, True, "resets")
    with torch.cuda.device(0):
        other = run({name: t.to("cuda:1") for name, t in given.items()})
        assert {t.device.index for t in other} == {1}
    assert same_bits(cpu(other), cpu(run(on_gpu(given))))  # 0 ULP


def test_more_numbers_than_32_bits_count():
    T, N, H = 70_000, 32, 256  # 2.3e9 gates
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] < 60 * 2**30:
        pytest.skip("60 GiB of GPU memory are needed")
    given = on_gpu(arguments(2, N, 1, H))
    given |= {"x": torch.randn(T, N, 1, device="cuda"), "cont": torch.ones(T, N, device="cuda")}
    given["cont"][T - 5] = 0
    leaves = with_gradient(given)
    h, h_T, _ = lstm(**leaves)
    tail = with_gradient(given | {"x": given["x"][T - 5 :], "cont": given["cont"][T - 5 :]})
    expected, expected_h_T, _ = lstm(**tail)
    torch.testing.assert_close(h[T - 5 :], expected, rtol=0, atol=1e-6)
    (dx,), (expected_dx,) = (
        torch.autograd.grad(h_T.sum(), leaves["x"]),
        torch.autograd.grad(expected_h_T.sum(), tail["x"]),
    )
    torch.testing.assert_close(dx[T - 5 :], expected_dx, rtol=1e-4, atol=1e-6)
    assert not dx[: T - 5].any()
