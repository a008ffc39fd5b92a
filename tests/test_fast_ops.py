"""The ops of the fast path: against their formula in double, its gradient, any layout and number of threads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import with_threads

from lrcn import Error
from lrcn.ops import fast

SETTINGS = st.tuples(
    st.sampled_from([1, 3, 5, 7]),  # size
    st.floats(0, 2),  # alpha
    st.sampled_from([0.0, 0.5, 0.75, 1.0]),  # beta
    st.floats(0.5, 3),  # k
)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
    SETTINGS,
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
    st.integers(0, 2**31),
)
def test_lrn_and_its_gradient_are_those_of_the_formula_in_double(shape, given_settings, layout, seed):
    x = normal(*shape, seed=seed).contiguous(memory_format=layout).requires_grad_()
    dy = normal(*shape, seed=seed + 1)
    double = x.detach().double().requires_grad_()  # the formula in PyTorch's own ops, which autograd differentiates
    y, expected = (fast.lrn_across_channels(tensor, *given_settings) for tensor in (x, double))
    y.backward(dy)
    expected.backward(dy.double())
    # A few roundings of float32 each; the gradient is a difference of two terms of the size of dy.
    torch.testing.assert_close(y.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(x.grad.double(), double.grad, rtol=1e-5, atol=1e-5)


def test_lrn_keeps_what_torch_asks_of_ops():
    x = normal(2, 7, 5, 4).contiguous(memory_format=torch.channels_last)
    setup = (5, 1e-2, 0.75, 1.0)
    torch.library.opcheck(torch.ops.lrcn.fast_lrn.default, (x.clone().requires_grad_(), *setup))
    torch.library.opcheck(torch.ops.lrcn.fast_lrn_backward.default, (normal(2, 7, 5, 4), x, *setup))


def test_lrn_has_the_same_bits_with_any_number_of_threads():
    x, dy = normal(3, 96, 31, 29), normal(3, 96, 31, 29, seed=1)

    def run():
        ops, setup = torch.ops.lrcn, (5, 1e-4, 0.75, 1.0)
        return ops.fast_lrn(x, *setup), ops.fast_lrn_backward(dy, x, *setup)

    for one, three in zip(with_threads(1, run), with_threads(3, run), strict=True):
        assert torch.equal(one.view(torch.int32), three.view(torch.int32))  # 0 ULP


def test_lrn_refuses_what_it_does_not_compute():
    lrn = torch.ops.lrcn.fast_lrn
    with pytest.raises(RuntimeError, match="size: an odd number of channels expected, 4 given"):
        lrn(normal(1, 7, 2, 2), 4, 1.0, 0.75, 1.0)
    with pytest.raises(RuntimeError, match="x: float32 images with four axes expected"):
        lrn(normal(7, 2, 2), 5, 1.0, 0.75, 1.0)
    with pytest.raises(RuntimeError, match=r"dy: shape \[1, 7, 2, 2\] expected, \[1, 7, 2, 3\] given"):
        torch.ops.lrcn.fast_lrn_backward(normal(1, 7, 2, 3), normal(1, 7, 2, 2), 5, 1.0, 0.75, 1.0)
    x = normal(1, 7, 2, 2).requires_grad_()
    (dx,) = torch.autograd.grad(lrn(x, 5, 1.0, 0.75, 1.0).square().sum(), x, create_graph=True)
    with pytest.raises(Error, match="this op is differentiable once"):
        dx.sum().backward()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=2),
    st.integers(1, 300),
    st.sampled_from([0.1, 3.0, 40.0]),
    st.integers(0, 2**31),
)
def test_log_sum_exp_is_that_in_double(shape, count, spread, seed):
    x = normal(*shape, count, seed=seed) * spread
    # Two roundings of float32 of the result, and the chains of additions of exponentials.
    torch.testing.assert_close(fast.log_sum_exp(x).double(), torch.logsumexp(x.double(), -1), rtol=2e-7, atol=5e-7)


def test_log_sum_exp_of_the_extremes():
    none, all_, unknown = -torch.inf, torch.inf, torch.nan
    for count in (3, 64, 100):
        rows = torch.zeros(5, count)
        rows[0] = none
        rows[1, -1] = all_
        rows[2, 0] = unknown
        rows[3] = -1e30
        rows[4, 0] = none
        found = fast.log_sum_exp(rows)
        torch.testing.assert_close(found, torch.logsumexp(rows, -1), equal_nan=True, rtol=2e-7, atol=0)


def test_log_sum_exp_keeps_what_torch_asks_of_ops_and_refuses_what_it_does_not_compute():
    op = torch.ops.lrcn.fast_log_sum_exp
    torch.library.opcheck(op.default, (normal(3, 5, 70).transpose(0, 1),))
    for x in (normal(3).double(), torch.tensor(1.0), torch.empty(2, 0)):
        with pytest.raises(RuntimeError, match="x: float32 with a last axis that is not empty expected"):
            op(x)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_inner_product_and_its_gradients_are_those_of_the_formula_in_double(
    rows, inputs, outputs, biased, turned, seed
):
    x = normal(rows, inputs, seed=seed).requires_grad_()
    weight = normal(*((inputs, outputs) if turned else (outputs, inputs)), seed=seed + 1).requires_grad_()
    bias = normal(outputs, seed=seed + 2).requires_grad_() if biased else None
    dy = normal(rows, outputs, seed=seed + 3)
    doubles = [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    y, expected = (fast.inner_product(*given_tensors, turned) for given_tensors in ((x, weight, bias), doubles))
    y.backward(dy)
    expected.backward(dy.double())
    # Sums of at most 70 products of numbers of size 1, each rounded to float32.
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=2e-5)
    for single, double in zip((x, weight, bias), doubles, strict=True):
        if single is not None:
            torch.testing.assert_close(single.grad.double(), double.grad, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 50])
def test_inner_product_takes_any_number_of_rows_and_axes(rows):
    x, weight, bias = normal(2, rows, 9), normal(5, 9, seed=1), normal(5, seed=2)
    y = fast.inner_product(x, weight, bias, False)
    assert y.shape == (2, rows, 5)
    torch.testing.assert_close(y, torch.nn.functional.linear(x, weight, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_a_prepared_inner_product_is_the_same_function(dtype, turned, rows):
    weight, bias = normal(*((9, 5) if turned else (5, 9)), seed=1).to(dtype), normal(5, seed=2).to(dtype)
    x = normal(2, rows, 9)
    for given_bias in (bias, None):
        y = fast.PreparedInnerProduct(weight, given_bias, turned)(x)
        expected = fast.inner_product(
            x.to(dtype).double(), weight.double(), bias.double() if given_bias is not None else None, turned
        )
        assert y.dtype == dtype
        # Nine products of numbers of size 1; bfloat16 has 8 bits.
        tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float64: 1e-14}[dtype]
        torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)


def test_matrix_product_keeps_what_torch_asks_of_ops():
    for rows in (3, 20):  # few and many take different ways
        torch.library.opcheck(torch.ops.lrcn.matrix_product.default, (normal(rows, 7), normal(5, 7), normal(5)))


def part(turned: bool, rows: int, columns: int, top: int, left: int, seed: int) -> torch.Tensor:
    """A matrix (rows, columns) inside a larger one, or inside the transpose of one."""
    if turned:
        return part(False, columns, rows, left, top, seed).t()
    return normal(rows + top + 1, columns + left + 1, seed=seed)[top : top + rows, left : left + columns]


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.integers(1, 70)] * 3),
    st.tuples(*[st.integers(0, 20)] * 2),
    st.tuples(*[st.booleans()] * 3),
    st.integers(0, 2**31),
)
def test_matrix_product_of_parts_of_matrices_and_of_their_transposes(sizes, corner, choices, seed):
    rows, inner, columns = sizes
    a_turned, b_turned, with_bias = choices
    a = part(a_turned, rows, inner, *corner, seed)
    b = part(b_turned, columns, inner, *corner, seed + 1)
    bias = normal(columns, seed=seed + 2) if with_bias else None
    expected = a.double() @ b.double().t() + (bias.double() if with_bias else 0)
    found = torch.ops.lrcn.matrix_product(a, b, bias)
    assert found.is_contiguous()
    # Up to 70 products of numbers of size 1, each sum of them rounded to 24 bits.
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(16, 70), st.integers(1, 70), st.integers(1, 70)),
    st.tuples(*[st.integers(0, 20)] * 2),
    st.integers(0, 2**31),
)
def test_matrix_product_of_a_transposed_part_of_a_matrix_has_the_bits_of_a_copy(sizes, corner, seed):
    rows, inner, columns = sizes
    a = part(True, rows, inner, *corner, seed + 1)
    b, bias = normal(columns, inner, seed=seed), normal(columns, seed=seed + 2)  # with a bias it is always a that turns
    found, expected = (torch.ops.lrcn.matrix_product(given, b, bias) for given in (a, a.contiguous()))
    assert torch.equal(found.view(torch.int32), expected.view(torch.int32))  # 0 ULP
    if inner <= columns:  # and where a is not larger than the result
        found, expected = (torch.ops.lrcn.matrix_product(given, b) for given in (a, a.contiguous()))
        assert torch.equal(found.view(torch.int32), expected.view(torch.int32))  # 0 ULP


@pytest.mark.parametrize("channels", [3, 32])
def test_gradients_of_a_convolution_are_those_of_the_formula_in_double(channels):
    x, weight = normal(2, channels, 11, 9), normal(6, channels, 3, 3, seed=1)
    tensors = [x, weight, normal(6, seed=2)]
    dy = normal(2, 6, 6, 5, seed=3)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.to(dtype, copy=True).requires_grad_() for tensor in tensors]
        fast.convolution(*leaves, (2, 2), (1, 1), (1, 1), 1).backward(dy.to(dtype))
        gradients.append([leaf.grad.double() for leaf in leaves])
    for single, double in zip(*gradients, strict=True):
        torch.testing.assert_close(single, double, rtol=1e-5, atol=1e-4)  # sums of some hundred products of size 1


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20)),  # groups; channels of each, in and out
    st.tuples(st.integers(1, 9), st.integers(3, 12), st.integers(3, 12)),  # images, height, width
    st.tuples(st.integers(0, 2), st.integers(0, 2)),  # pad
    st.booleans(),
    st.integers(0, 2**31),
)
def test_winograd_is_the_convolution(channels, images, pad, biased, seed):
    group, inputs, outputs = channels
    x = normal(images[0], group * inputs, *images[1:], seed=seed)
    weight = normal(group * outputs, inputs, 3, 3, seed=seed + 1)
    bias = normal(group * outputs, seed=seed + 2) if biased else None
    y = torch.ops.lrcn.winograd_convolution(x, weight, bias, pad, group)
    assert y.is_contiguous(memory_format=torch.channels_last)
    doubles = [None if tensor is None else tensor.double() for tensor in (x, weight, bias)]
    expected = torch.nn.functional.conv2d(*doubles, 1, pad, 1, group)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=5e-5)  # sums of 180 products of size 1


def test_winograd_keeps_what_torch_asks_of_ops():
    x = normal(2, 6, 5, 4).contiguous(memory_format=torch.channels_last)
    torch.library.opcheck(torch.ops.lrcn.winograd_convolution.default, (x, normal(4, 3, 3, 3), normal(4), [1, 0], 2))


@pytest.mark.parametrize(
    "shapes, pad, message",
    [
        (((1, 4, 5, 5), (6, 4, 3, 2)), [1, 1], r"weight: float32 of shape \(K, C / group, 3, 3\) expected"),
        (((1, 4, 5, 5), (6, 3, 3, 3)), [1, 1], r"given for images of shape \[1, 4, 5, 5\] and 1 groups"),
        (((1, 4, 2, 5), (6, 4, 3, 3)), [0, 0], "x: images of at least the size of the weights expected"),
        (((1, 4, 5, 5), (6, 4, 3, 3)), [1], "pad: two numbers expected"),
    ],
)
def test_winograd_refuses_what_it_does_not_compute(shapes, pad, message):
    with pytest.raises(RuntimeError, match=message):
        torch.ops.lrcn.winograd_convolution(*(normal(*shape) for shape in shapes), None, pad, 1)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_training_takes_winograd_where_it_is_faster_with_the_same_gradients(monkeypatch, group, pad):
    asked = []
    suits = fast._suits_winograd
    monkeypatch.setattr(fast, "_suits_winograd", lambda *case: asked.append(suits(*case)) or asked[-1])
    monkeypatch.setattr(fast, "MANY_WEIGHTS", 1000)  # parts of 96 images, and a rest
    tensors = [normal(100, 2 * 128, 19, 20), normal(2 * 128, 2 * 128 // group, 3, 3, seed=1) / 48, normal(2 * 128)]
    dy = normal(100, 2 * 128, 17 + 2 * pad, 18 + 2 * pad, seed=2)
    gradients = []
    for function in (fast.convolution, torch.nn.functional.conv2d):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        y = function(*leaves, (1, 1), (pad, pad), (1, 1), group)
        gradients.append([y.detach(), *torch.autograd.grad(y, leaves, dy)])
    assert asked == [True]
    assert not suits(tensors[0][:10], tensors[1], (1, 1), (1, 1), (1, 1), group)  # too little to do
    for own, torchs in zip(*gradients, strict=True):
        # Sums of up to 40,000 products, by float32 in another order: relative to their size.
        assert (own - torchs).abs().max() < 1e-5 * torchs.abs().max()
