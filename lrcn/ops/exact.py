"""Caffe's arithmetic on the CPU, bit for bit: float32 in, float32 out, forward only.

Each function is one op of the C++ extension; the order of operations that makes the bits stands with the kernels in
csrc/exact. Everything that moves or compares values without rounding (slices, maxima, products of two floats) is the
same in PyTorch and needs no function here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import blas

_ops = torch.ops.lrcn

SUPPORTS_GRADIENTS = False

Pair = Sequence[int]


def prepare(device: torch.device) -> None:
    """Make ready to compute: loads the BLAS."""
    blas.load()


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, pad: Pair, dilation: Pair, group: int
) -> Tensor:
    """Convolution of x (N, C, H, W) with weight (O, C / group, h, w) and bias (O): im2col and one product per group."""
    return _ops.exact_convolution(x, weight, bias, stride, pad, dilation, group)


def inner_product(x: Tensor, weight: Tensor, bias: Tensor | None, transposed_weight: bool) -> Tensor:
    """x (M, K) times weight (O, K), or (K, O) if transposed, plus bias (O): (M, O)."""
    return _ops.exact_inner_product(x, weight, bias, transposed_weight)


def max_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> tuple[Tensor, Tensor]:
    """Maxima of the windows of x (N, C, H, W), and where in their plane they lie."""
    return _ops.exact_max_pool(x, kernel, stride, pad, output_size)


def average_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> Tensor:
    """Averages over the windows of x (N, C, H, W), padding counted, what lies beyond it not."""
    return _ops.exact_average_pool(x, kernel, stride, pad, output_size)


def lrn_across_channels(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """x * (k + alpha / size * sum of squares over `size` channels) ^ -beta for x (N, C, H, W)."""
    return _ops.exact_lrn_across_channels(x, size, alpha, beta, k)


def lrn_within_channel(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """x * (1 + alpha * mean of squares over a `size` x `size` window) ^ -beta for x (N, C, H, W)."""
    return _ops.exact_lrn_within_channel(x, size, alpha, beta)


def relu(x: Tensor, negative_slope: float) -> Tensor:
    """max(x, 0) + negative_slope * min(x, 0)."""
    return _ops.exact_relu(x, negative_slope)


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, by way of tanh as BVLC's Caffe has it."""
    return _ops.exact_sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _ops.exact_tanh(x)


def power(x: Tensor, power: float, scale: float, shift: float) -> Tensor:
    """(shift + scale * x) ^ power."""
    return _ops.exact_power(x, power, scale, shift)


def weighted_sum(terms: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """Sum of coefficient * term over tensors of one shape."""
    return _ops.exact_weighted_sum(list(terms), list(coefficients))


def sum_rows(x: Tensor, absolute: bool, squared: bool) -> Tensor:
    """Sum over the rows of x (M, K), of the absolute values or of the squares if so asked: (M,)."""
    return _ops.exact_sum_rows(x, absolute, squared)


def softmax(x: Tensor, axis: int) -> Tensor:
    """Softmax along `axis`."""
    return _ops.exact_softmax(x, axis)


def softmax_loss(x: Tensor, label: Tensor, axis: int, ignore_label: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Summed negative log likelihood of the labels, the number of labels counted, and the probabilities.

    Args:
        x (Tensor): scores; the classes lie along `axis`.
        label (Tensor): one class per position of the other axes, as floats.
        axis (int): the axis of the classes.
        ignore_label (int | None): positions with this label do not count.

    Raises:
        RuntimeError: a label that is no class.
    """
    prob = softmax(x, axis)
    loss, count = _ops.exact_negative_log_likelihood(prob, label, axis, ignore_label)
    return loss, count, prob


def lstm(
    x: Tensor,
    cont: Tensor,
    w_x: Tensor,
    b: Tensor,
    w_h: Tensor,
    x_static: Tensor | None,
    w_static: Tensor | None,
    h_0: Tensor,
    c_0: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Caffe's LSTM over T steps; see `lrcn.ops.recurrent.lstm` for the arguments and the equations."""
    return _ops.exact_lstm(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0)


def rnn(
    x: Tensor,
    cont: Tensor,
    w_x: Tensor,
    b: Tensor,
    w_h: Tensor,
    w_o: Tensor,
    b_o: Tensor,
    x_static: Tensor | None,
    w_static: Tensor | None,
    h_0: Tensor,
) -> tuple[Tensor, Tensor]:
    """Caffe's RNN over T steps; see `lrcn.ops.recurrent.rnn` for the arguments and the equations."""
    return _ops.exact_rnn(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0)


@torch.library.register_fake("lrcn::exact_convolution")
def _(x, weight, bias, stride, pad, dilation, group):
    size = [
        (x.shape[2 + i] + 2 * pad[i] - (dilation[i] * (weight.shape[2 + i] - 1) + 1)) // stride[i] + 1 for i in (0, 1)
    ]
    return x.new_empty(x.shape[0], weight.shape[0], *size)


@torch.library.register_fake("lrcn::exact_inner_product")
def _(x, weight, bias, transposed_weight):
    return x.new_empty(x.shape[0], weight.shape[1 if transposed_weight else 0])


@torch.library.register_fake("lrcn::exact_max_pool")
def _(x, kernel, stride, pad, output_size):
    shape = (*x.shape[:2], *output_size)
    return x.new_empty(shape), x.new_empty(shape)


@torch.library.register_fake("lrcn::exact_average_pool")
def _(x, kernel, stride, pad, output_size):
    return x.new_empty(*x.shape[:2], *output_size)


def _same_shape(x, *_):
    return x.new_empty(x.shape)


for _name in ("lrn_across_channels", "lrn_within_channel", "relu", "sigmoid", "tanh", "power", "softmax"):
    torch.library.register_fake(f"lrcn::exact_{_name}", _same_shape)


@torch.library.register_fake("lrcn::exact_weighted_sum")
def _(terms, coefficients):
    return terms[0].new_empty(terms[0].shape)


@torch.library.register_fake("lrcn::exact_sum_rows")
def _(x, absolute, squared):
    return x.new_empty(x.shape[0])


@torch.library.register_fake("lrcn::exact_negative_log_likelihood")
def _(prob, label, axis, ignore_label):
    return prob.new_empty(()), prob.new_empty(())


@torch.library.register_fake("lrcn::exact_lstm")
def _(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0):
    state = (x.shape[1], w_h.shape[1])
    return x.new_empty(x.shape[0], *state), x.new_empty(state), x.new_empty(state)


@torch.library.register_fake("lrcn::exact_rnn")
def _(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0):
    state = (x.shape[1], w_h.shape[1])
    return x.new_empty(x.shape[0], *state), x.new_empty(state)
