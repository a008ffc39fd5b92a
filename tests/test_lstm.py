"""The fused LSTM: its gradient, its agreement with the equations and with Caffe, and what torch asks of an op."""

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import with_threads
from torch._subclasses.fake_tensor import FakeTensorMode

from lrcn import Error
from lrcn.compare import compare_case
from lrcn.nn import LSTM
from lrcn.ops import blas, exact, lstm, lstm_step, recurrent

NAMES = ("x", "cont", "w_x", "b", "w_h", "x_static", "w_static", "h0", "c0")


def arguments(T, N, inputs, H, static=0, state=False, cont="ones", dtype=torch.float32, seed=0):
    """The arguments of `lstm` by name, without those that are None."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape, scale=1.0):
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    given = {"x": normal(T, N, inputs), "cont": conts(cont, T, N).to(dtype)}
    given |= {"w_x": normal(4 * H, inputs, scale=inputs**-0.5), "b": normal(4 * H, scale=0.5)}
    given |= {"w_h": normal(4 * H, H, scale=H**-0.5)}
    if static:
        given |= {"x_static": normal(N, static), "w_static": normal(4 * H, static, scale=static**-0.5)}
    if state:
        given |= {"h0": normal(N, H, scale=0.5), "c0": normal(N, H)}
    return given


def conts(pattern, T, N):
    cont = torch.ones(T, N)
    if pattern == "resets":
        cont[T // 2, ::2] = 0
        cont[0, 1::2] = 0
    elif pattern == "fractional":
        cont = torch.linspace(-0.5, 1.5, T * N).reshape(T, N)
        cont[T // 2] = 0
    return cont


def reference(given, caffe_gradient=False):
    """The equations on the same arguments."""
    given = dict(given)
    N, H = given["x"].shape[1], given["w_h"].shape[1]
    h_0 = given.pop("h0", given["x"].new_zeros(N, H))
    c_0 = given.pop("c0", given["x"].new_zeros(N, H))
    given = {"x_static": None, "w_static": None} | given
    return recurrent.lstm(**given, h_0=h_0, c_0=c_0, caffe_gradient=caffe_gradient)


def with_gradient(given):
    return {name: t.clone().requires_grad_(name != "cont") for name, t in given.items()}


def gradients(function, given, seed=1):
    """Outputs, and gradients of all arguments but cont, from random gradients of all three outputs."""
    leaves = with_gradient(given)
    outputs = function(leaves)
    generator = torch.Generator().manual_seed(seed)
    tops = [torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y) for y in outputs]
    names = [name for name in leaves if name != "cont"]
    return outputs, dict(zip(names, torch.autograd.grad(outputs, [leaves[name] for name in names], tops), strict=True))


def step_by_step(given):
    """h of all steps, h_T and c_T of `lstm_step` on the arguments of a sequence."""
    given = dict(given)
    x, cont, h_t, c_t = (given.pop(name) for name in ("x", "cont", "h0", "c0"))
    steps = []
    for x_t, cont_t in zip(x, cont, strict=True):
        h_t, c_t = lstm_step(x_t, cont_t, **given, h0=h_t, c0=c_t)
        steps.append(h_t)
    return torch.stack(steps), h_t, c_t


def reordered(given, order):
    """The arguments with their streams in another order."""
    axis = {"x": 1, "cont": 1, "x_static": 0, "h0": 0, "c0": 0}
    return {name: t.index_select(axis[name], order) if name in axis else t for name, t in given.items()}


def bits(tensor):
    return tensor.detach().contiguous().view(torch.uint8)


def same_bits(first, second):
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(first, second, strict=True))


# H: odd, one, not a multiple of 4 or 32, beyond a panel of the widest vectors
GRID = [(1, 1, 1, 1), (1, 3, 5, 7), (5, 1, 4, 3), (3, 2, 3, 5), (2, 8, 2, 4), (2, 2, 1, 37)]
CONTS = ["ones", "resets", "fractional"]


@pytest.mark.parametrize("static", [0, 3])
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("cont", CONTS)
@pytest.mark.parametrize("sizes", GRID)
def test_gradcheck(sizes, cont, state, static):
    given = with_gradient(arguments(*sizes, static, state, cont, torch.float64))
    names = list(given)
    assert torch.autograd.gradcheck(
        lambda *values: lstm(**dict(zip(names, values, strict=True))), tuple(given.values()), fast_mode=sizes[3] > 4
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 20), st.integers(1, 9), st.integers(1, 70), st.sampled_from(CONTS),
    st.sampled_from([0, 4]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_equals_the_equations_forward_and_backward(T, N, inputs, H, cont, static, state, caffe_gradient):
    given = arguments(T, N, inputs, H, static, state, cont, torch.float64)
    ours = gradients(lambda g: lstm(**g, caffe_gradient=caffe_gradient), given)
    equations = gradients(lambda g: reference(g, caffe_gradient), given)
    # float64: sums of at most 70 values and a few roundings
    torch.testing.assert_close(ours, equations, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-6), (torch.float16, 2**-9)])
def test_16_bit_storage_follows_float32(dtype, tolerance):
    # h is rounded to 8 or 11 bits at every step, and so is every gradient in the end.
    stored = arguments(6, 5, 9, 33, 3, True, "resets", dtype)
    (h, h_T, c_T), found = gradients(lambda g: lstm(**g), stored)
    assert (h.dtype, h_T.dtype, c_T.dtype) == (dtype, dtype, torch.float32)
    (h32, _, c32), expected = gradients(lambda g: lstm(**g), {name: t.float() for name, t in stored.items()})
    torch.testing.assert_close(h.float(), h32, rtol=0, atol=tolerance)
    torch.testing.assert_close(c_T, c32, rtol=0, atol=4 * tolerance)
    for name, gradient in found.items():
        assert gradient.dtype == dtype
        scale = expected[name].abs().max()
        assert (gradient.float() - expected[name]).abs().max() <= 4 * tolerance * scale, name


def test_only_what_is_asked_for_has_a_gradient():
    given = arguments(4, 3, 5, 6, 2, True, "resets", torch.float64)
    _, expected = gradients(lambda g: lstm(**g), given)
    for name in expected:
        alone = {key: t.clone().requires_grad_(key == name) for key, t in given.items()}
        generator = torch.Generator().manual_seed(1)
        outputs = lstm(**alone)
        tops = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in outputs]
        (found,) = torch.autograd.grad(outputs, [alone[name]], tops)
        torch.testing.assert_close(found, expected[name])


@pytest.mark.parametrize("output", [0, 1, 2])
def test_a_gradient_may_come_from_one_output_alone(output):
    given = arguments(4, 3, 5, 6, 2, True, "fractional", torch.float64)
    ours, equations = (
        torch.autograd.grad(function(leaves)[output].sum(), [t for t in leaves.values() if t.requires_grad])
        for function, leaves in ((lambda g: lstm(**g), with_gradient(given)), (reference, with_gradient(given)))
    )
    torch.testing.assert_close(ours, equations)


@pytest.mark.parametrize("cont", CONTS)
def test_a_sequence_equals_its_steps(cont):
    given = arguments(7, 5, 6, 35, 3, True, cont)
    h, h_T, c_T = lstm(**given)
    steps, h_t, c_t = step_by_step(given)
    # A few roundings of values below 1: the product with W_h is torch's in a single step, the kernel's in a sequence.
    torch.testing.assert_close(steps, h, rtol=0, atol=1e-6)
    torch.testing.assert_close((h_t, c_t), (h_T, c_T), rtol=0, atol=2e-6)


def test_the_order_of_the_streams_does_not_matter():
    given = arguments(6, 13, 8, 40, 3, True, "resets")
    order = torch.randperm(13, generator=torch.Generator().manual_seed(3))
    (h, h_T, c_T), (other_h, other_h_T, other_c_T) = lstm(**given), lstm(**reordered(given, order))
    # The products with the inputs are torch's, which may sum the rows at an edge in another order.
    torch.testing.assert_close(other_h, h[:, order], rtol=0, atol=1e-6)
    torch.testing.assert_close((other_h_T, other_c_T), (h_T[order], c_T[order]), rtol=0, atol=2e-6)


def recurrence(terms, cont, w_h, c_0):
    gates = terms.clone()
    return *torch.ops.lrcn.lstm_recurrence(gates, cont, w_h, c_0, False, True), gates


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_of_the_extremes(dtype):
    values = [0.0, 1e-30, 1e-4, 20, 86, 87, 88, 89, 200, 709, 710, 1e5, 1e30, torch.inf]
    a = torch.tensor([*values, *(-v for v in values), torch.nan], dtype=dtype)
    H = len(a)
    _, _, gates = recurrence(a.repeat(1, 1, 4), torch.ones(1, 1).to(dtype), a.new_zeros(4 * H, H), a.new_zeros(1, H))
    sigmoid, tanh = torch.sigmoid(a.double()), torch.tanh(a.double())
    expected = torch.cat([sigmoid, sigmoid, sigmoid, tanh]).to(dtype).view(1, 1, -1)
    torch.testing.assert_close(gates, expected, rtol=1e-6, atol=1e-37, equal_nan=True)  # a few roundings


def test_a_stream_has_the_same_bits_beside_any_others():
    generator = torch.Generator().manual_seed(0)
    terms, w_h = torch.randn(5, 53, 4 * 45, generator=generator), torch.randn(4 * 45, 45, generator=generator)
    cont, c_0 = conts("resets", 5, 53), torch.randn(53, 45, generator=generator)
    h = recurrence(terms, cont, w_h, c_0)[0]
    for streams in ([0], [52], [7, 3], list(range(52, -1, -1))):
        alone = recurrence(terms[:, streams].contiguous(), cont[:, streams].contiguous(), w_h, c_0[streams])[0]
        assert torch.equal(bits(alone), bits(h[:, streams]))  # 0 ULP


def test_bits_are_repeated_and_do_not_depend_on_threads():
    given = arguments(9, 50, 20, 150, 7, True, "resets")

    def run():
        outputs, found = gradients(lambda g: lstm(**g), given)
        return [*outputs, *found.values()]

    assert same_bits(with_threads(2, run), with_threads(2, run))  # 0 ULP
    generator = torch.Generator().manual_seed(0)
    terms, w_h, c_0 = (torch.randn(shape, generator=generator) for shape in ((9, 50, 600), (600, 150), (50, 150)))
    cont = given["cont"]

    def kernels():
        h, c, gates = recurrence(terms, cont, w_h, c_0)
        backward = torch.ops.lrcn.lstm_recurrence_backward
        return h, c, gates, *backward(h, None, None, cont, w_h, c_0, c, gates, False, False)

    one, two, three = (with_threads(count, kernels) for count in (1, 2, 3))
    assert same_bits(one, two) and same_bits(one, three)  # 0 ULP


def test_non_contiguous_arguments():
    given = arguments(4, 6, 8, 10, 3, True, "resets", torch.float64)
    dense = gradients(lambda g: lstm(**g), given)

    def strided(t):
        return torch.stack([t, t * 7], dim=-1)[..., 0].mT if t.dim() == 2 else torch.stack([t, t * 7], dim=-1)[..., 0]

    loose = {name: strided(t).mT.detach() if t.dim() == 2 else strided(t) for name, t in given.items()}
    assert not any(t.is_contiguous() for t in loose.values())
    leaves = {name: t.requires_grad_(name != "cont") for name, t in loose.items()}
    outputs = lstm(**leaves)
    generator = torch.Generator().manual_seed(1)
    tops = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in outputs]
    # A gradient of the output that autograd expands rather than stores, as that of a sum, is not dense either.
    found = torch.autograd.grad(outputs, [t for t in leaves.values() if t.requires_grad], tops, retain_graph=True)
    torch.testing.assert_close(list(found), list(dense[1].values()))
    expanded = torch.autograd.grad(outputs[0].sum(), leaves["x"], retain_graph=True)
    torch.testing.assert_close(expanded, torch.autograd.grad(outputs[0], leaves["x"], torch.ones_like(outputs[0])))


@pytest.mark.parametrize("sizes", [(0, 3, 4, 5), (4, 0, 3, 5), (4, 3, 0, 5), (4, 3, 5, 0)])
@pytest.mark.parametrize("static", [0, 2])
def test_empty_sizes(sizes, static):
    T, N, inputs, H = sizes
    given = {"x": torch.ones(T, N, inputs), "cont": torch.ones(T, N), "w_x": torch.ones(4 * H, inputs)}
    given |= {"b": torch.ones(4 * H), "w_h": torch.ones(4 * H, H), "h0": torch.ones(N, H), "c0": torch.ones(N, H)}
    if static:
        given |= {"x_static": torch.ones(N, static), "w_static": torch.ones(4 * H, static)}
    (h, h_T, c_T), found = gradients(lambda g: lstm(**g), given)
    assert (h.shape, h_T.shape, c_T.shape) == ((T, N, H), (N, H), (N, H))
    assert {name: g.shape for name, g in found.items()} == {n: t.shape for n, t in given.items() if n != "cont"}
    if T == 0:
        torch.testing.assert_close((h_T, c_T), (given["h0"], given["c0"]))
        assert found["w_x"].count_nonzero() == 0 and found["h0"].count_nonzero() == N * H


def test_sizes_beyond_32_bits():
    with FakeTensorMode():  # shapes without memory
        given = {"x": torch.empty(2**18, 2**14, 3), "cont": torch.empty(2**18, 2**14), "w_x": torch.empty(32, 3)}
        given |= {"b": torch.empty(32), "w_h": torch.empty(32, 8)}
        h, h_T, _ = lstm(**with_gradient(given))
        assert h.numel() == 2**35 and h_T.shape == (2**14, 8)


def test_cont_zero_starts_anew_and_cont_reaches_every_step():
    given = arguments(6, 4, 5, 9)
    given["cont"][3] = 0
    h = lstm(**given)[0]
    later = lstm(**given | {"x": given["x"][3:], "cont": given["cont"][3:]})[0]
    torch.testing.assert_close(h[3:], later, rtol=0, atol=1e-6)  # a few roundings of values below 1
    changed = lstm(**given | {"cont": torch.ones(6, 4)})[0]
    assert torch.equal(changed[:3], h[:3]) and not torch.allclose(changed[3], h[3])


@pytest.mark.parametrize("where", ["h0", "c0", "x"])
def test_nan_stays_where_the_formula_of_caffe_keeps_it(where):
    blas.load()
    given = arguments(5, 4, 6, 9, 2, True, "resets")
    given[where].select(-2, 1)[..., 2] = torch.nan  # in stream 1, which starts anew at step 0, or in all steps of x
    given["cont"][2, 1] = 0
    ours = lstm(**given)
    caffe = exact.lstm(*(given[name] for name in NAMES))
    for found, expected in zip(ours, caffe, strict=True):
        assert torch.equal(found.isnan(), expected.isnan())
    assert ours[0].isnan().any() and not ours[0].isnan().all()


def test_float32_is_within_8_ulp_of_the_largest_gate_of_exact_at_every_step():
    blas.load()
    torch.manual_seed(0)
    given = arguments(16, 10, 64, 256, 10, True, "resets")
    given |= {name: weight.detach() for name, weight in LSTM(64, 256, 10).named_parameters()}
    values = [given[name] for name in NAMES]
    h, c, gates = torch.ops.lrcn.exact_lstm(*values)
    our_h, _, _, our_c, _ = torch.ops.lrcn.lstm(*values, False, True, True)
    for t in range(16):
        largest = gates[t].abs().max()
        ulp = torch.nextafter(largest, torch.tensor(2.0)) - largest
        assert (our_h[t] - h[t]).abs().max() <= 8 * ulp
        assert (our_c[t] - c[t]).abs().max() <= 8 * ulp


@pytest.mark.parametrize("flags", [["-O3"], ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"]])
def test_every_instruction_set_of_the_cpu_kernel(tmp_path, flags):
    compiler = shutil.which("g++") or pytest.skip("no g++")
    tests = Path(__file__).parent
    options = ["-std=c++17", "-ffp-contract=off", f"-I{tests.parent / 'csrc'}", *flags]
    subprocess.run([compiler, *options, tests / "lstm_cpu/main.cpp", "-o", tmp_path / "check"], check=True)
    found = subprocess.run([tmp_path / "check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert {"baseline 32", "baseline 64"} <= set(found.stdout.splitlines())


RECORDED = ["lstm_fractional_cont", "lstm_state_carries", "lstm_static_fork", "caption_word_by_word"]
RECORDED_LARGE = ["lstm", "lstm_fork", "lstm_static", "caption_factored", "caption_single", "caption_unfactored"]


@pytest.mark.parametrize("name", RECORDED + RECORDED_LARGE)
def test_recorded_case_is_within_a_millionth(request, name):
    if name in RECORDED:
        path = request.getfixturevalue("data") / "recorded" / name
    else:
        path = request.getfixturevalue("shared") / "goldens" / "forward_backward" / name
    values = {b.name: b.max_abs for b in compare_case(path, "fast").blobs if "diff/" not in b.name}
    assert values and max(values.values()) <= 1e-6, values


def op_arguments(static=True, state=True, dtype=torch.float32):
    given = arguments(3, 2, 4, 5, 3 if static else 0, True, "fractional", dtype)
    values = [given.get(name) for name in NAMES]
    if not state:
        values[NAMES.index("h0")] = None
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("state", [True, False])
def test_torch_checks_the_ops(static, state, dtype):
    values = op_arguments(static, state, dtype)
    values = [None if t is None else t.float() if name in ("cont", "c0") and dtype == torch.bfloat16 else t
              for name, t in zip(NAMES, values, strict=True)]  # fmt: skip
    torch.library.opcheck(torch.ops.lrcn.lstm, (*values, False, False, False))
    h, h_T, c_T, c, gates = torch.ops.lrcn.lstm(*values, False, False, True)
    x, cont, w_x, _, *others = values
    wanted = [True, True, True, True, static, static, state, True]
    arguments_ = (h, h_T, c_T, x, cont, w_x, *others, h, c, gates, False, True, wanted)
    torch.library.opcheck(torch.ops.lrcn.lstm_backward, arguments_)
    leaves = [t if t is None or name == "cont" else t.clone().requires_grad_()
              for name, t in zip(NAMES, values, strict=True)]  # fmt: skip
    torch.library.opcheck(torch.ops.lrcn.lstm, (*leaves, False, False, True))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_without_a_graph_break(backend):
    given = arguments(3, 2, 4, 5, 3, True, "fractional", torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(lambda g: lstm(**g), fullgraph=True, backend=backend)
    torch.testing.assert_close(gradients(compiled, given), gradients(lambda g: lstm(**g), given))
    with torch.no_grad():
        torch.testing.assert_close(compiled(given), lstm(**given))


def test_a_second_derivative_is_refused():
    given = with_gradient(arguments(3, 2, 4, 5, dtype=torch.float64))
    (dx,) = torch.autograd.grad(lstm(**given)[0].sum(), given["x"], create_graph=True)
    with pytest.raises(Error, match="differentiable once"):
        dx.sum().backward()


def test_autocast():
    given = arguments(4, 3, 6, 7, 2, True, "resets")
    leaves = with_gradient(given)
    with torch.autocast("cpu", torch.bfloat16):
        h, h_T, c_T = lstm(**leaves)
    assert (h.dtype, h_T.dtype, c_T.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    half = {name: t if name in ("cont", "c0") else t.bfloat16() for name, t in given.items()}
    assert same_bits((h, h_T, c_T), lstm(**half))  # 0 ULP
    h.float().sum().backward()
    assert all(t.grad.dtype == torch.float32 for name, t in leaves.items() if name != "cont")
    with torch.autocast("cpu", torch.bfloat16):
        assert lstm(**arguments(2, 2, 3, 4, dtype=torch.float64))[0].dtype == torch.float64


def test_a_boolean_cont_is_as_good_as_ones_and_zeros():
    given = arguments(4, 3, 5, 6, cont="resets")
    assert same_bits(lstm(**given), lstm(**given | {"cont": given["cont"].bool()}))  # 0 ULP


def bad(**changes):
    return changes


BAD = [
    (bad(x=torch.ones(3, 4)), r"x: shape \(T, N, I\) expected, \(3, 4\) given"),
    (bad(x=torch.ones(3, 2, 5)), r"w_x: shape \(4H, I\) = \(20, 5\) expected, \(20, 4\) given"),
    (bad(x=torch.ones(3, 2, 4, dtype=torch.int64)), "x: dtype float32, .* expected, torch.int64 given"),
    (bad(x=torch.ones(3, 2, 4, device="meta")), r"cont: device meta expected, where x is; cpu given"),
    (bad(cont=torch.ones(2, 3)), r"cont: shape \(T, N\) = \(3, 2\) expected, \(2, 3\) given"),
    (bad(cont=torch.ones(3, 2, requires_grad=True)), "cont: a tensor that requires no gradient expected"),
    (bad(cont=torch.ones(3, 2, dtype=torch.complex64)), "cont: a real dtype expected, torch.complex64 given"),
    (bad(w_x=torch.ones(20, 4).double()), "w_x: dtype torch.float32 expected, as x has torch.float32; torch.float64"),
    (bad(b=torch.ones(5)), r"b: shape \(4H,\) = \(20,\) expected, \(5,\) given"),
    (bad(w_h=torch.ones(20)), r"w_h: shape \(4H, H\) expected, \(20,\) given"),
    (bad(w_h=torch.ones(5, 20)), r"w_x: shape \(4H, I\) = \(80, 4\) expected"),
    (bad(x_static=torch.ones(2, 3)), "w_static: a tensor expected with x_static, None given"),
    (bad(w_static=torch.ones(20, 3)), "x_static: a tensor expected with w_static, None given"),
    (bad(x_static=torch.ones(3), w_static=torch.ones(20, 3)), r"x_static: shape \(N, S\) expected, \(3,\) given"),
    (bad(x_static=torch.ones(1, 3), w_static=torch.ones(20, 3)), r"x_static: shape \(N, S\) = \(2, 3\) expected"),
    (bad(x_static=torch.ones(2, 3), w_static=torch.ones(20, 2)), r"w_static: shape \(4H, S\) = \(20, 3\) expected"),
    (bad(h0=torch.ones(1, 2, 5)), r"h0: shape \(N, H\) = \(2, 5\) expected, \(1, 2, 5\) given"),
    (bad(h0=torch.ones(2, 5).double()), "h0: dtype torch.float32 expected"),
    (bad(c0=torch.ones(2, 4)), r"c0: shape \(N, H\) = \(2, 5\) expected, \(2, 4\) given"),
    (bad(c0=torch.ones(2, 5).half()), "c0: dtype torch.float32 expected"),
    (bad(precision="tf33"), "precision: one of ieee, tf32 expected, 'tf33' given"),
]


@pytest.mark.parametrize(("changes", "message"), BAD, ids=[f"{next(iter(c))}-{i}" for i, (c, _) in enumerate(BAD)])
def test_bad_input_is_named(changes, message):
    with pytest.raises(Error, match=message):
        lstm(**arguments(3, 2, 4, 5) | changes)


def test_a_step_takes_no_sequence():
    with pytest.raises(Error, match=r"x and cont: shapes \(N, I\) and \(N,\) expected"):
        lstm_step(**arguments(3, 2, 4, 5))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("x", "w_h")])
def test_the_op_itself_reads_nothing_beyond_its_arguments(name):
    values = op_arguments()
    values[NAMES.index(name)] = values[NAMES.index(name)][..., :-1].clone()
    with pytest.raises(RuntimeError, match="expected"):
        torch.ops.lrcn.lstm(*values, False, False, True)


def test_tf32_is_ieee_on_a_cpu():
    given = arguments(4, 3, 5, 6, cont="resets")
    assert same_bits(lstm(**given), lstm(**given, precision="tf32"))  # 0 ULP


def test_every_pattern_of_cont_of_two_streams():
    for pattern in itertools.product([0.0, 1.0, 0.5], repeat=4):
        given = arguments(2, 2, 3, 5, dtype=torch.float64) | {"cont": torch.tensor(pattern).view(2, 2).double()}
        torch.testing.assert_close(gradients(lambda g: lstm(**g), given), gradients(reference, given))
