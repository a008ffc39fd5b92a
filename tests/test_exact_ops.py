"""The exact ops: bits that do not depend on threads, agreement with the fast ones, and torch's own checks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import with_threads

from lrcn import _C
from lrcn.ops import blas, exact, fast

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def _blas():
    blas.load()


def normal(*shape):
    return torch.from_numpy(RNG.standard_normal(shape, dtype=np.float32))


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


def test_the_blas_runs_as_the_core_type_asked_for():
    assert _C.blas_core_type() == blas.DEFAULT_CORE_TYPE
    with pytest.raises(RuntimeError, match="is in use already"):
        _C.load_blas(str(blas.library_path()), "Nehalem")


@pytest.mark.parametrize("rows", [1, 5, 12, 13, 44, 160])
@pytest.mark.parametrize(("outputs", "inputs"), [(101, 256), (1024, 1382), (7, 33)])
def test_inner_product_has_the_same_bits_with_any_number_of_threads(rows, outputs, inputs):
    # Its rows are cut between threads only where the BLAS kernel ends a block of them: this is what that rests on.
    x, weight, bias = normal(rows, inputs), normal(outputs, inputs), normal(outputs)
    one, two, three = (with_threads(n, lambda: exact.inner_product(x, weight, bias, False)) for n in (1, 2, 3))
    assert torch.equal(bits(one), bits(two)) and torch.equal(bits(one), bits(three))  # 0 ULP
    torch.testing.assert_close(one, x @ weight.t() + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("images", [1, 3])
def test_image_ops_have_the_same_bits_with_any_number_of_threads_and_images_alone(images):
    x, weight, bias = normal(images, 8, 23, 19), normal(12, 4, 5, 5), normal(12)

    def run(batch):
        y = exact.convolution(batch, weight, bias, (2, 2), (1, 1), (1, 1), 2)
        y = exact.max_pool(exact.relu(y, 0.0), (3, 3), (2, 2), (0, 0), (5, 4))[0]
        return exact.lrn_across_channels(y, 5, 1e-4, 0.75, 1.0)

    one = with_threads(1, lambda: run(x))
    assert torch.equal(bits(one), bits(with_threads(2, lambda: run(x))))  # 0 ULP
    assert torch.equal(bits(one), bits(torch.cat([run(image[None]) for image in x])))  # 0 ULP


sizes = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolution_equals_torch_up_to_the_order_of_additions(data):
    group, dilation = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from([1, 2]))
    kernel, stride, pad = [tuple(data.draw(s) for _ in "hw") for s in (sizes, sizes, st.integers(0, 3))]
    extent = [dilation * (k - 1) + 1 for k in kernel]
    height, width = (data.draw(st.integers(max(1, e - 2 * p), e + 9)) for e, p in zip(extent, pad, strict=True))
    x, weight, bias = normal(2, 2 * group, height, width), normal(3 * group, 2, *kernel), normal(3 * group)
    y = exact.convolution(x, weight, bias, stride, pad, (dilation, dilation), group)
    reference = torch.nn.functional.conv2d(x, weight, bias, stride, pad, dilation, group)
    torch.testing.assert_close(y, reference, rtol=1e-4, atol=1e-4)  # sums of at most 32 products


CONTS = st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(cont=CONTS, N=sizes, inputs=sizes, H=st.integers(1, 9), static=st.booleans())
def test_recurrent_ops_equal_the_equations(cont, N, inputs, H, static):
    T = len(cont)
    x, cont = normal(T, N, inputs), torch.tensor(cont)[:, None].expand(T, N).contiguous()
    x_static, states = (normal(N, 3) if static else None), (normal(N, H), normal(N, H))

    def weights(gates):
        return (
            normal(gates * H, inputs),
            normal(gates * H),
            normal(gates * H, H),
            normal(gates * H, 3) if static else None,
        )

    w_x, b, w_h, w_static = weights(4)
    arguments = (x, cont, w_x, b, w_h, x_static, w_static, *states)
    for ours, equations in zip(exact.lstm(*arguments), fast.lstm(*arguments), strict=True):
        torch.testing.assert_close(ours, equations, rtol=0, atol=2e-6)  # values below 1 in size, a few roundings each
    w_x, b, w_h, w_static = weights(1)
    arguments = (x, cont, w_x, b, w_h, normal(H, H), normal(H), x_static, w_static, states[0])
    for ours, equations in zip(exact.rnn(*arguments), fast.rnn(*arguments), strict=True):
        torch.testing.assert_close(ours, equations, rtol=0, atol=2e-5)  # a tanh of sums up to about 10 in size


def op_examples():
    ops = torch.ops.lrcn
    image = normal(2, 4, 9, 8)
    state = normal(3, 5)
    yield ops.exact_convolution, (image, normal(6, 2, 3, 3), normal(6), [2, 2], [1, 1], [1, 1], 2)
    yield ops.exact_inner_product, (normal(5, 7), normal(3, 7), normal(3), False)
    yield ops.exact_inner_product, (normal(5, 7), normal(7, 3), None, True)
    yield ops.exact_max_pool, (image, [3, 3], [2, 2], [0, 0], [4, 4])
    yield ops.exact_average_pool, (image, [3, 3], [2, 2], [1, 1], [5, 5])
    yield ops.exact_lrn_across_channels, (image, 3, 1e-4, 0.75, 1.0)
    yield ops.exact_lrn_within_channel, (image, 3, 1e-4, 0.75)
    yield ops.exact_relu, (image, 0.1)
    yield ops.exact_sigmoid, (image,)
    yield ops.exact_tanh, (image,)
    yield ops.exact_power, (image, 2.0, 0.5, 1.0)
    yield ops.exact_weighted_sum, ([image, image + 1], [1.0, -0.5])
    yield ops.exact_sum_rows, (normal(5, 7), False, True)
    yield ops.exact_softmax, (image, 1)
    yield ops.exact_negative_log_likelihood, (torch.rand(4, 3), torch.tensor([0.0, 2, -1, 1]), 1, -1)
    yield (
        ops.exact_lstm,
        (
            normal(4, 3, 6),
            torch.ones(4, 3),
            normal(20, 6),
            normal(20),
            normal(20, 5),
            normal(3, 2),
            normal(20, 2),
            state,
            state,
        ),
    )
    yield (
        ops.exact_rnn,
        (
            normal(4, 3, 6),
            torch.ones(4, 3),
            normal(5, 6),
            normal(5),
            normal(5, 5),
            normal(5, 5),
            normal(5),
            None,
            None,
            state,
        ),
    )


def backward_op_examples():
    ops = torch.ops.lrcn
    image, pooled, rows = normal(2, 4, 9, 8), normal(2, 4, 4, 4), normal(5, 3)
    geometry = ([2, 2], [1, 1], [1, 1], 2)
    convolved, kernel = normal(2, 6, 5, 4), normal(6, 2, 3, 3)
    T_N_H, states, cont = normal(4, 3, 5), normal(3, 5), torch.ones(4, 3)
    yield ops.exact_convolution_backward_weight, (convolved, image, kernel, *geometry)
    yield ops.exact_convolution_backward_bias, (convolved, normal(6))
    yield ops.exact_convolution_backward_input, (convolved, kernel, [2, 4, 9, 8], *geometry)
    yield ops.exact_inner_product_backward_weight, (rows, normal(5, 7), normal(3, 7), False)
    yield ops.exact_inner_product_backward_weight, (rows, normal(5, 7), normal(7, 3), True)
    yield ops.exact_inner_product_backward_bias, (rows, normal(3))
    yield ops.exact_inner_product_backward_input, (rows, normal(3, 7), False)
    yield ops.exact_inner_product_backward_input, (rows, normal(7, 3), True)
    yield ops.exact_embed_backward_weight, (rows, torch.tensor([0.0, 3, 1, 3, 3]), normal(4, 3))
    yield ops.exact_max_pool_backward, (pooled, pooled.round().abs(), [2, 4, 9, 8])
    yield ops.exact_average_pool_backward, (pooled, [2, 4, 9, 8], [3, 3], [2, 2], [0, 0])
    yield ops.exact_lrn_across_channels_backward, (image, image + 1, image + 2, 3, 1e-4, 0.75, 1.0)
    yield ops.exact_lrn_within_channel_backward, (image, image + 1, 3, 1e-4, 0.75)
    yield ops.exact_relu_backward, (image, image + 1, 0.1)
    yield ops.exact_sigmoid_backward, (image, image + 1)
    yield ops.exact_tanh_backward, (image, image + 1)
    yield ops.exact_power_backward, (image, image + 1, image + 2, 3.0, 0.5, 1.0)
    yield ops.exact_scaled, (image, 0.5)
    yield ops.exact_sum_rows_backward, (normal(5), normal(5, 7), True, False)
    yield ops.exact_scale_backward_input, (normal(2, 3, 4), normal(3))
    yield ops.exact_scale_backward_scale, (normal(2, 3, 4), normal(2, 3, 4), normal(3), True)
    yield ops.exact_scale_backward_bias, (normal(2, 3, 4), normal(3))
    yield ops.exact_softmax_backward, (image, image + 1, 1)
    labels = torch.tensor([0.0, 2, -1, 1])
    yield ops.exact_negative_log_likelihood_backward, (torch.tensor(0.5), torch.rand(4, 3), labels, 1, -1)
    lstm = (T_N_H, cont, normal(20, 5), states, states, T_N_H, T_N_H, normal(4, 3, 20), normal(20, 5))
    yield ops.exact_lstm_backward, lstm
    square = normal(5, 5)
    yield ops.exact_rnn_backward, (T_N_H, cont, square, square, states, T_N_H, T_N_H, square + 1, square + 2, normal(5))


EXAMPLES = [*op_examples(), *backward_op_examples()]


@pytest.mark.parametrize(("op", "arguments"), EXAMPLES, ids=lambda value: getattr(value, "__name__", ""))
def test_torch_accepts_the_registration(op, arguments):
    torch.library.opcheck(op.default, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact.relu(normal(3).double(), 0.0), "x: float32 expected, Double given"),
        (lambda: exact.inner_product(normal(2, 3), normal(4, 5), None, False), "x: 5 inputs per row expected"),
        (
            lambda: exact.convolution(normal(1, 3, 5, 5), normal(4, 2, 3, 3), None, (1, 1), (0, 0), (1, 1), 1),
            "does not fit weights",
        ),
        (
            lambda: exact.convolution(normal(1, 3, 2, 5), normal(4, 3, 3, 3), None, (1, 1), (0, 0), (1, 1), 1),
            "smaller than the kernel",
        ),
        (lambda: exact.lrn_across_channels(normal(1, 3, 2, 2), 4, 1.0, 1.0, 1.0), "size: an odd number"),
        (lambda: exact.softmax_loss(normal(2, 3), torch.tensor([0.0, 3.0]), 1, None), "label 3 is out of range"),
        (
            lambda: exact.lstm(
                normal(2, 1, 3),
                torch.ones(1, 2),
                normal(8, 3),
                normal(8),
                normal(8, 2),
                None,
                None,
                normal(1, 2),
                normal(1, 2),
            ),
            r"cont: shape \[2, 1\] expected",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_errors_that_name_them(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()
