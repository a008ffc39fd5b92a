"""The shapes that the exact ops give, for tracing without computing (torch calls these fake kernels)."""

import torch


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
    steps, hidden = x.shape[:2], w_h.shape[1]
    return x.new_empty(*steps, hidden), x.new_empty(*steps, hidden), x.new_empty(*steps, 4 * hidden)


@torch.library.register_fake("lrcn::exact_rnn")
def _(x, cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0):
    shape = (*x.shape[:2], w_h.shape[1])
    return x.new_empty(shape), x.new_empty(shape)


def _nothing(*_):
    return None


for _name in (
    "convolution_backward_weight",
    "convolution_backward_bias",
    "inner_product_backward_weight",
    "inner_product_backward_bias",
    "embed_backward_weight",
    "scale_backward_scale",
    "scale_backward_bias",
):
    torch.library.register_fake(f"lrcn::exact_{_name}", _nothing)


def _like_second(_, second, *__):
    return second.new_empty(second.shape)


for _name in (
    "lrn_across_channels",
    "lrn_within_channel",
    "relu",
    "sigmoid",
    "tanh",
    "power",
    "sum_rows",
    "softmax",
    "negative_log_likelihood",
):
    torch.library.register_fake(f"lrcn::exact_{_name}_backward", _like_second)

torch.library.register_fake("lrcn::exact_scaled", _same_shape)
torch.library.register_fake("lrcn::exact_scale_backward_input", _same_shape)


@torch.library.register_fake("lrcn::exact_convolution_backward_input")
def _(dy, weight, input_size, *_):
    return dy.new_empty(input_size)


@torch.library.register_fake("lrcn::exact_inner_product_backward_input")
def _(dy, weight, transposed_weight):
    return dy.new_empty(dy.shape[0], weight.shape[0 if transposed_weight else 1])


@torch.library.register_fake("lrcn::exact_max_pool_backward")
def _(dy, index, input_size):
    return dy.new_empty(input_size)


@torch.library.register_fake("lrcn::exact_average_pool_backward")
def _(dy, input_size, kernel, stride, pad):
    return dy.new_empty(input_size)


@torch.library.register_fake("lrcn::exact_lstm_backward")
def _(dh, cont, w_h, h_0, c_0, h, c, gates, w_h_grad):
    return gates.new_empty(gates.shape)


@torch.library.register_fake("lrcn::exact_rnn_backward")
def _(d_o, cont, w_h, w_o, h_0, o, h, w_h_grad, w_o_grad, b_o_grad):
    return h.new_empty(h.shape)
