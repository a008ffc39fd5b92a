"""Caffe's arithmetic on the CPU, bit for bit, forward and backward: float32 in, float32 out.

The work is done by ops of the C++ extension; the order of operations that makes the bits stands with the kernels in
csrc/exact. What moves, compares or multiplies values without an order to keep is done by PyTorch here.

Each function is differentiable as Caffe's layer is. Gradients of activations travel through autograd. Gradients of
parameters do not: the backward pass adds them straight to `parameter.grad`, image by image or step by step, because
the order of that sum is part of the result. So a backward pass adds to what `.grad` holds, `torch.autograd.grad` sees
no parameters, and a second derivative is an error.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from prototxt_import import Message

from .. import random
from . import blas, exact_fakes  # noqa: F401  (the fakes register themselves)

_ops = torch.ops.lrcn


Pair = Sequence[int]


def prepare(device: torch.device) -> None:
    """Make ready to compute: loads the BLAS."""
    blas.load()


def arrange(layers: Sequence[Message], wanted: Collection[str]) -> Sequence[Message]:
    """The definitions of layers in the order in which to run them, here Caffe's; `wanted` are blobs to return."""
    return layers


def _gradient(parameter: Tensor | None) -> Tensor | None:
    """Where the gradient of a parameter is added up, zeros at first; None for a parameter that is not trained."""
    if parameter is None or not parameter.requires_grad:
        return None
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
    return parameter.grad


class _Convolution(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, *geometry):
        ctx.save_for_backward(x, weight, bias)
        ctx.geometry = geometry
        return _ops.exact_convolution(x, weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight, bias = ctx.saved_tensors
        if (bias_grad := _gradient(bias)) is not None:
            _ops.exact_convolution_backward_bias(dy, bias_grad)
        if (weight_grad := _gradient(weight)) is not None:
            _ops.exact_convolution_backward_weight(dy, x, weight_grad, *ctx.geometry)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = _ops.exact_convolution_backward_input(dy, weight, x.shape, *ctx.geometry)
        return dx, None, None, None, None, None, None


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, pad: Pair, dilation: Pair, group: int
) -> Tensor:
    """Convolution of x (N, C, H, W) with weight (O, C / group, h, w) and bias (O): im2col and one product per group."""
    return _Convolution.apply(x, weight, bias, stride, pad, dilation, group)


class _InnerProduct(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, transposed_weight):
        ctx.save_for_backward(x, weight, bias)
        ctx.transposed_weight = transposed_weight
        return _ops.exact_inner_product(x, weight, bias, transposed_weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight, bias = ctx.saved_tensors
        dx = _affine_backward(ctx.needs_input_grad[0], dy, x, weight, bias, ctx.transposed_weight)
        return dx, None, None, None


def _affine_backward(
    needs_dx: bool, dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, transposed_weight: bool = False
) -> Tensor | None:
    """Adds up the gradients of weight and bias; returns that of x (M, K) from dy (M, O) where it is needed."""
    if (weight_grad := _gradient(weight)) is not None:
        _ops.exact_inner_product_backward_weight(dy, x, weight_grad, transposed_weight)
    if (bias_grad := _gradient(bias)) is not None:
        _ops.exact_inner_product_backward_bias(dy, bias_grad)
    return _ops.exact_inner_product_backward_input(dy, weight, transposed_weight) if needs_dx else None


def inner_product(x: Tensor, weight: Tensor, bias: Tensor | None, transposed_weight: bool) -> Tensor:
    """x (M, K) times weight (O, K), or (K, O) if transposed, plus bias (O): (M, O)."""
    return _InnerProduct.apply(x, weight, bias, transposed_weight)


class _Embed(Function):
    @staticmethod
    def forward(ctx, index, weight, bias):
        ctx.save_for_backward(index, weight, bias)
        y = nn.functional.embedding(index.long(), weight)
        return y if bias is None else y + bias

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        index, weight, bias = ctx.saved_tensors
        rows = dy.flatten(0, -2)
        if (weight_grad := _gradient(weight)) is not None:
            _ops.exact_embed_backward_weight(rows, index.flatten(), weight_grad)
        if (bias_grad := _gradient(bias)) is not None:
            _ops.exact_inner_product_backward_bias(rows, bias_grad)
        return None, None, None


def embed(index: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Row `index` of weight (K, O), plus bias (O), for every index: the shape of index, given as floats, and O."""
    return _Embed.apply(index, weight, bias)


class _MaxPool(Function):
    @staticmethod
    def forward(ctx, x, *windows):
        y, index = _ops.exact_max_pool(x, *windows)
        ctx.save_for_backward(index)
        ctx.input_size = x.shape
        ctx.mark_non_differentiable(index)
        return y, index

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _):
        return _ops.exact_max_pool_backward(dy, *ctx.saved_tensors, ctx.input_size), None, None, None, None


def max_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> tuple[Tensor, Tensor]:
    """Maxima of the windows of x (N, C, H, W), and where in their plane they lie."""
    return _MaxPool.apply(x, kernel, stride, pad, output_size)


class _AveragePool(Function):
    @staticmethod
    def forward(ctx, x, kernel, stride, pad, output_size):
        ctx.windows = x.shape, kernel, stride, pad
        return _ops.exact_average_pool(x, kernel, stride, pad, output_size)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_average_pool_backward(dy, *ctx.windows), None, None, None, None


def average_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> Tensor:
    """Averages over the windows of x (N, C, H, W), padding counted, what lies beyond it not."""
    return _AveragePool.apply(x, kernel, stride, pad, output_size)


class _LrnAcrossChannels(Function):
    @staticmethod
    def forward(ctx, x, *settings):
        y = _ops.exact_lrn_across_channels(x, *settings)
        ctx.save_for_backward(x, y)
        ctx.settings = settings
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        dx = _ops.exact_lrn_across_channels_backward(dy, *ctx.saved_tensors, *ctx.settings)
        return dx, None, None, None, None


def lrn_across_channels(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """x * (k + alpha / size * sum of squares over `size` channels) ^ -beta for x (N, C, H, W)."""
    return _LrnAcrossChannels.apply(x, size, alpha, beta, k)


class _LrnWithinChannel(Function):
    @staticmethod
    def forward(ctx, x, *settings):
        ctx.save_for_backward(x)
        ctx.settings = settings
        return _ops.exact_lrn_within_channel(x, *settings)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_lrn_within_channel_backward(dy, *ctx.saved_tensors, *ctx.settings), None, None, None


def lrn_within_channel(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """x * (1 + alpha * mean of squares over a `size` x `size` window) ^ -beta for x (N, C, H, W)."""
    return _LrnWithinChannel.apply(x, size, alpha, beta)


class _Relu(Function):
    @staticmethod
    def forward(ctx, x, negative_slope):
        y = _ops.exact_relu(x, negative_slope)
        # The output, which the next layer keeps anyway, tells the sign of the input unless the slope turns it round.
        ctx.save_for_backward(y if negative_slope >= 0 else x)
        ctx.negative_slope = negative_slope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_relu_backward(dy, *ctx.saved_tensors, ctx.negative_slope), None


def relu(x: Tensor, negative_slope: float) -> Tensor:
    """max(x, 0) + negative_slope * min(x, 0)."""
    return _Relu.apply(x, negative_slope)


class _FromTop(Function):
    """A function whose gradient follows from its result: the ops `exact_NAME` and `exact_NAME_backward`."""

    @staticmethod
    def forward(ctx, x, name):
        y = getattr(_ops, f"exact_{name}")(x)
        ctx.save_for_backward(y)
        ctx.name = name
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return getattr(_ops, f"exact_{ctx.name}_backward")(dy, *ctx.saved_tensors), None


def sigmoid(x: Tensor) -> Tensor:
    """The logistic function, by way of tanh as BVLC's Caffe has it."""
    return _FromTop.apply(x, "sigmoid")


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _FromTop.apply(x, "tanh")


class _Power(Function):
    @staticmethod
    def forward(ctx, x, *settings):
        y = _ops.exact_power(x, *settings)
        ctx.save_for_backward(x, y)
        ctx.settings = settings
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_power_backward(dy, *ctx.saved_tensors, *ctx.settings), None, None, None


def power(x: Tensor, power: float, scale: float, shift: float) -> Tensor:
    """(shift + scale * x) ^ power."""
    return _Power.apply(x, power, scale, shift)


def dropout(x: Tensor, ratio: float) -> Tensor:
    """Each value dropped with probability `ratio`, by Caffe's generator, and the others divided by 1 - ratio.

    See `lrcn.random`; one number is drawn for every value.
    """
    if x.is_meta:  # only shapes are wanted: nothing may be drawn
        return torch.empty_like(x)
    kept = torch.from_numpy(random.bernoulli(1.0 - ratio, tuple(x.shape)))
    return x * kept * (1.0 / (1.0 - ratio))


class _Split(Function):
    @staticmethod
    def forward(ctx, x, count):
        return tuple(x.view_as(x) for _ in range(count))

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        total, *others = gradients
        for gradient in others:
            total = total + gradient
        return total, None


def split(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """x for each of `count` readers, whose gradients are summed up in their order."""
    return _Split.apply(x, count)


class _WeightedSum(Function):
    @staticmethod
    def forward(ctx, coefficients, *terms):
        ctx.coefficients = coefficients
        return _ops.exact_weighted_sum(terms, coefficients)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return None, *(dy if c == 1 else _ops.exact_scaled(dy, c) for c in ctx.coefficients)


def weighted_sum(terms: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """Sum of coefficient * term over tensors of one shape."""
    return _WeightedSum.apply(list(coefficients), *terms)


class _Product(Function):
    @staticmethod
    def forward(ctx, stable_gradient, *terms):
        y = _product(terms)
        ctx.stable_gradient = stable_gradient
        ctx.save_for_backward(y, *terms)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        y, *terms = ctx.saved_tensors
        if ctx.stable_gradient:
            slopes = (_product([*terms[:i], *terms[i + 1 :]]) for i in range(len(terms)))
        else:
            slopes = (y / term for term in terms)
        return None, *(slope * dy for slope in slopes)


def _product(terms: Sequence[Tensor]) -> Tensor:
    y = terms[0]
    for term in terms[1:]:
        y = y * term
    return y


def product(terms: Sequence[Tensor], stable_gradient: bool) -> Tensor:
    """Product of tensors of one shape; its gradient by products or, not `stable_gradient`, by division."""
    return _Product.apply(stable_gradient, *terms)


class _Maximum(Function):
    @staticmethod
    def forward(ctx, *terms):
        y, winner = terms[0], torch.zeros(terms[0].shape, dtype=torch.int32, device=terms[0].device)
        for i, term in enumerate(terms[1:], start=1):
            wins = ~(y > term) if i == 1 else term > y  # of equals the second wins against the first only
            y, winner = torch.where(wins, term, y), winner.masked_fill(wins, i)
        ctx.save_for_backward(winner)
        ctx.count = len(terms)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        (winner,) = ctx.saved_tensors
        return tuple(torch.where(winner == i, dy, 0.0) + 0.0 for i in range(ctx.count))  # Caffe's 0 makes -0 a +0


def maximum(terms: Sequence[Tensor]) -> Tensor:
    """Maximum of tensors of one shape, element by element."""
    return _Maximum.apply(*terms)


class _Scale(Function):
    @staticmethod
    def forward(ctx, x, scale, bias):
        ctx.save_for_backward(x, scale, bias)
        y = x * scale.view(-1, 1)
        return y if bias is None else y + bias.view(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, scale, bias = ctx.saved_tensors
        dx = dscale = None
        if (bias_grad := _gradient(bias)) is not None:
            _ops.exact_scale_backward_bias(dy, bias_grad.view(-1))
        if isinstance(scale, nn.Parameter):
            if (scale_grad := _gradient(scale)) is not None:
                _ops.exact_scale_backward_scale(dy, x, scale_grad.view(-1), True)
        elif ctx.needs_input_grad[1]:
            dscale = torch.zeros_like(scale, memory_format=torch.contiguous_format)
            _ops.exact_scale_backward_scale(dy, x, dscale.view(-1), False)
        if ctx.needs_input_grad[0]:
            dx = _ops.exact_scale_backward_input(dy, scale.flatten())
        return dx, dscale, None


def scale(x: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """x (outer, factors, inner) times scale plus bias, which have `factors` elements, in any shape."""
    return _Scale.apply(x, scale, bias)


class _SumRows(Function):
    @staticmethod
    def forward(ctx, x, *kind):
        ctx.save_for_backward(x)
        ctx.kind = kind
        return _ops.exact_sum_rows(x, *kind)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_sum_rows_backward(dy, *ctx.saved_tensors, *ctx.kind), None, None


def sum_rows(x: Tensor, absolute: bool, squared: bool) -> Tensor:
    """Sum over the rows of x (M, K), of the absolute values or of the squares if so asked: (M,)."""
    return _SumRows.apply(x, absolute, squared)


class _Softmax(Function):
    @staticmethod
    def forward(ctx, x, axis):
        y = _ops.exact_softmax(x, axis)
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return _ops.exact_softmax_backward(dy, *ctx.saved_tensors, ctx.axis), None


def softmax(x: Tensor, axis: int) -> Tensor:
    """Softmax along `axis`."""
    return _Softmax.apply(x, axis)


class _SoftmaxLoss(Function):
    @staticmethod
    def forward(ctx, x, label, axis, ignore_label):
        prob = _ops.exact_softmax(x, axis)
        loss, count = _ops.exact_negative_log_likelihood(prob, label, axis, ignore_label)
        ctx.save_for_backward(prob, label)
        ctx.settings = axis, ignore_label
        ctx.mark_non_differentiable(count, prob)
        return loss, count, prob

    @staticmethod
    @once_differentiable
    def backward(ctx, dloss, *_):
        dx = _ops.exact_negative_log_likelihood_backward(dloss, *ctx.saved_tensors, *ctx.settings)
        return dx, None, None, None


def softmax_loss(x: Tensor, label: Tensor, axis: int, ignore_label: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Summed negative log likelihood of the labels, the number of labels counted, and the probabilities.

    Only the first has a gradient.

    Args:
        x (Tensor): scores; the classes lie along `axis`.
        label (Tensor): one class per position of the other axes, as floats.
        axis (int): the axis of the classes.
        ignore_label (int | None): positions with this label do not count.

    Raises:
        RuntimeError: a label that is no class.
    """
    return _SoftmaxLoss.apply(x, label, axis, ignore_label)


class _EuclideanLoss(Function):
    @staticmethod
    def forward(ctx, x, target, items):
        difference = x - target
        ctx.save_for_backward(difference)
        ctx.items = items
        return _ops.exact_sum_rows(difference.view(1, -1), False, True)[0] / items / 2

    @staticmethod
    @once_differentiable
    def backward(ctx, dloss):
        (difference,) = ctx.saved_tensors
        factor = dloss / ctx.items
        gradients = []
        for sign, needed in zip((1, -1), ctx.needs_input_grad[:2], strict=True):
            gradients.append(_ops.exact_weighted_sum([difference], [sign * factor.item()]) if needed else None)
        return *gradients, None


def euclidean_loss(x: Tensor, target: Tensor, items: int) -> Tensor:
    """Half the squared distance of two tensors of one shape, divided by the number of items of the whole batch."""
    return _EuclideanLoss.apply(x, target, items)


def _step_terms_backward(
    needs: Sequence[bool],
    da: Tensor,
    x: Tensor,
    w_x: Tensor,
    b: Tensor,
    x_static: Tensor | None,
    w_static: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:
    """From da (T, N, outputs), the gradients of the pre-activations, to those of x and x_static where needed."""
    dx = _affine_backward(needs[0], da.flatten(0, 1), x.flatten(0, 1).flatten(1), w_x, b)
    dx = dx.view(x.shape) if needs[0] else None
    if x_static is None:
        return dx, None
    total = da[0]
    for step in da[1:]:  # in the order in which the steps read the static input's share
        total = total + step
    dx_static = _affine_backward(needs[1], total, x_static.flatten(1), w_static, None)
    return dx, dx_static.view(x_static.shape) if needs[1] else None


def _gradient_or_scratch(parameter: Tensor) -> Tensor:
    gradient = _gradient(parameter)
    return torch.zeros_like(parameter) if gradient is None else gradient


class _Lstm(Function):
    @staticmethod
    def forward(ctx, x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0):
        h, c, gates = _ops.exact_lstm(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0)
        ctx.save_for_backward(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0, h, c, gates)
        h_T, c_T = h[-1].clone(), c[-1].clone()
        ctx.mark_non_differentiable(h_T, c_T)
        return h, h_T, c_T

    @staticmethod
    @once_differentiable
    def backward(ctx, dh, *_):
        x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0, h, c, gates = ctx.saved_tensors
        da = _ops.exact_lstm_backward(dh, cont, w_h, h_0, c_0, h, c, gates, _gradient_or_scratch(w_h))
        needs = ctx.needs_input_grad[0], ctx.needs_input_grad[5]
        dx, dx_static = _step_terms_backward(needs, da, x, w_x, b, x_static, w_static)
        return dx, None, None, None, None, dx_static, None, None, None


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
    """Caffe's LSTM over T steps; see `lrcn.ops.recurrent.lstm` for the arguments and the equations.

    As in Caffe, no gradient goes to or comes from the states.
    """
    return _Lstm.apply(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0)


class _Rnn(Function):
    @staticmethod
    def forward(ctx, x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0):
        o, h = _ops.exact_rnn(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0)
        ctx.save_for_backward(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0, o, h)
        h_T = h[-1].clone()
        ctx.mark_non_differentiable(h_T)
        return o, h_T

    @staticmethod
    @once_differentiable
    def backward(ctx, do, _):
        x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0, o, h = ctx.saved_tensors
        hidden = [_gradient_or_scratch(parameter) for parameter in (w_h, w_o, b_o)]
        da = _ops.exact_rnn_backward(do, cont, w_h, w_o, h_0, o, h, *hidden)
        needs = ctx.needs_input_grad[0], ctx.needs_input_grad[7]
        dx, dx_static = _step_terms_backward(needs, da, x, w_x, b, x_static, w_static)
        return dx, None, None, None, None, None, None, dx_static, None, None


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
    """Caffe's RNN over T steps; see `lrcn.ops.recurrent.rnn` for the arguments and the equations.

    As in Caffe, no gradient goes to or comes from the state.
    """
    return _Rnn.apply(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0)
