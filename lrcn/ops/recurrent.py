"""The recurrent layers as equations: the plain form that every other form is tested against.

`lstm` is the plain twin of `fused_lstm.lstm`.

Differentiable, on any device. T time steps of N independent streams; cont (T, N) says how much of a stream's past
enters step t: 0 starts a new sequence, 1 goes on, and what lies between scales, as in Caffe.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def _input_terms(x: Tensor, w_x: Tensor, b: Tensor, x_static: Tensor | None, w_static: Tensor | None) -> Tensor:
    """W_x x_t + b (+ W_static x_static) for all steps at once, (T, N, outputs), in float32 or better."""
    terms = _at_least_float32(F.linear(x.flatten(2), w_x, b))
    if x_static is not None:
        terms = terms + F.linear(x_static.flatten(1), w_static)
    return terms


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _forget_gate(a: Tensor, cont: Tensor) -> Tensor:
    """cont * sigmoid(a), and 0 where cont is 0 whatever a is; a NaN in the c that it meets stays, as in Caffe."""
    return torch.where(cont == 0, 0.0, cont * torch.sigmoid(a))


class _CaffeForgetGate(Function):
    """The forget gate with Caffe's slope: f (1 - f) even where cont scales f, its slope only for a cont of 0 or 1."""

    @staticmethod
    def forward(ctx, a, cont):
        f = _forget_gate(a, cont)
        ctx.save_for_backward(f)
        return f

    @staticmethod
    def backward(ctx, df):
        (f,) = ctx.saved_tensors
        return df * f * (1 - f), None


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
    caffe_gradient: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The LSTM of the paper (section 2) with Caffe's `cont`.

        a_t = W_x x_t + b + W_static x_static + W_h (cont_t h_{t-1})
        i_t, f_t, o_t = sigmoid(a_t[i]), cont_t sigmoid(a_t[f]), sigmoid(a_t[o]);  g_t = tanh(a_t[g])
        c_t = f_t c_{t-1} + i_t g_t;  h_t = o_t tanh(c_t)

    Args:
        x (Tensor): (T, N, ...), trailing axes flattened to I inputs.
        cont (Tensor): (T, N).
        w_x (Tensor): (4H, I), gates in the order i, f, o, g, as everywhere here.
        b (Tensor): (4H,).
        w_h (Tensor): (4H, H).
        x_static (Tensor | None): (N, ...), flattened to S; enters every step.
        w_static (Tensor | None): (4H, S).
        h_0 (Tensor): (N, H).
        c_0 (Tensor): (N, H).
        caffe_gradient (bool): the slope of the forget gate is that of Caffe, not that of the equations.

    Returns:
        h (T, N, H), h_T (N, H), c_T (N, H). h has the dtype of x; c_T is float32 or better.
    """
    terms = _input_terms(x, w_x, b, x_static, w_static)
    forget_gate = _CaffeForgetGate.apply if caffe_gradient else _forget_gate
    h, c, outputs = h_0.to(w_h.dtype), _at_least_float32(c_0), []
    for terms_t, cont_t in zip(terms, cont.unsqueeze(-1), strict=True):
        a_i, a_f, a_o, a_g = (terms_t + F.linear((cont_t * h).to(w_h.dtype), w_h)).chunk(4, dim=-1)
        c = forget_gate(a_f, cont_t) * c + torch.sigmoid(a_i) * torch.tanh(a_g)
        h = (torch.sigmoid(a_o) * torch.tanh(c)).to(x.dtype)
        outputs.append(h)
    return torch.stack(outputs), h, c


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
    """Caffe's RNN: h_t = tanh(W_x x_t + b + W_static x_static + W_h (cont_t h_{t-1})), o_t = tanh(W_o h_t + b_o).

    Args:
        x (Tensor): (T, N, ...), trailing axes flattened to I inputs.
        cont (Tensor): (T, N).
        w_x (Tensor): (H, I).
        b (Tensor): (H,).
        w_h (Tensor): (H, H).
        w_o (Tensor): (H, H).
        b_o (Tensor): (H,).
        x_static (Tensor | None): (N, ...), flattened to S; enters every step.
        w_static (Tensor | None): (H, S).
        h_0 (Tensor): (N, H).

    Returns:
        o (T, N, H) and h_T (N, H).
    """
    terms = _input_terms(x, w_x, b, x_static, w_static)
    h, outputs = h_0.to(w_h.dtype), []
    for terms_t, cont_t in zip(terms, cont.unsqueeze(-1), strict=True):
        h = torch.tanh(terms_t + F.linear((cont_t * h).to(w_h.dtype), w_h)).to(x.dtype)
        outputs.append(torch.tanh(F.linear(h, w_o, b_o)))
    return torch.stack(outputs), h
