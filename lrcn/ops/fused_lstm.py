"""The fused LSTM: a whole sequence in one op, on the CPU and on CUDA, differentiable.

It computes what `lrcn.ops.recurrent.lstm` says in equations. The products of the whole sequence with W_x, and those of
the weight gradients, are single matrix products; only the recurrence is a kernel of ours (csrc/lstm). Unlike cuDNN's
LSTM it starts streams anew in the middle of a sequence, takes a static input, and any `cont` between.
"""

import torch
from torch import Tensor

from .. import _C  # noqa: F401  (defines torch.ops.lrcn)
from ..errors import Error

PRECISIONS = ("ieee", "tf32")
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
HAS_CUDA = torch._C._dispatch_has_kernel_for_dispatch_key("lrcn::lstm_recurrence", "CUDA")


def lstm(
    x: Tensor,
    cont: Tensor,
    w_x: Tensor,
    b: Tensor,
    w_h: Tensor,
    x_static: Tensor | None = None,
    w_static: Tensor | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    *,
    precision: str = "ieee",
    caffe_gradient: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The LSTM of the paper (section 2) with Caffe's `cont`, over T steps of N independent streams.

        a_t = W_x x_t + b + W_static x_static + W_h (cont_t h_{t-1})
        i_t, f_t, o_t = sigmoid(a_t[i]), cont_t sigmoid(a_t[f]), sigmoid(a_t[o]);  g_t = tanh(a_t[g])
        c_t = f_t c_{t-1} + i_t g_t;  h_t = o_t tanh(c_t)

    x, the weights, the bias, x_static and h0 have one dtype: float32, float64, float16 or bfloat16. Sums and cells are
    kept in float32, of float64 in float64. Under autocast they are cast to its dtype, as a linear layer's are. The
    gradient goes to every argument but cont; a second derivative is an error.

    The same call gives the same bits again. A stream's bits do not depend on the streams beside it as far as they come
    from the recurrence; the products of the whole sequence are torch's own.

    Args:
        x (Tensor): (T, N, I), time first.
        cont (Tensor): (T, N), of any real dtype: what a stream keeps of its past at step t. 0 starts a new sequence,
            1 goes on, what lies between scales. It multiplies: a NaN in the past stays NaN, as in Caffe.
        w_x (Tensor): (4H, I), gates in the order i, f, o, g, here and below.
        b (Tensor): (4H,).
        w_h (Tensor): (4H, H).
        x_static (Tensor | None): (N, S), enters every step.
        w_static (Tensor | None): (4H, S).
        h0 (Tensor | None): (N, H); zeros if not given.
        c0 (Tensor | None): (N, H), in the dtype of x or that of the cells; zeros if not given.
        precision (str): of the products of float32 matrices on CUDA, "ieee" or "tf32".
        caffe_gradient (bool): take f (1 - f) for the slope of the forget gate, as Caffe does, which is its slope only
            for a cont of 0 or 1.

    Returns:
        h (T, N, H) and h_T (N, H) in the dtype of x, and c_T (N, H) in that of the cells.

    Raises:
        Error: an argument has a wrong rank, size, dtype or device, or cont requires a gradient.
    """
    if precision not in PRECISIONS:
        raise Error(f"precision: one of {', '.join(PRECISIONS)} expected, {precision!r} given")
    x, w_x, b, w_h, x_static, w_static, h0 = _autocast(x, w_x, b, w_h, x_static, w_static, h0)
    _check(x, cont, w_x, b, w_h, x_static, w_static, h0, c0)
    cells = torch.float64 if x.dtype == torch.float64 else torch.float32
    c0 = x.new_zeros(x.shape[1], w_h.shape[1], dtype=cells) if c0 is None else c0.to(cells)
    differentiable = (x, w_x, b, w_h, x_static, w_static, h0, c0)
    keep_gates = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in differentiable)
    h, h_T, c_T, _, _ = torch.ops.lrcn.lstm(
        x, cont.to(cells), w_x, b, w_h, x_static, w_static, h0, c0, precision == "tf32", caffe_gradient, keep_gates
    )
    return h, h_T, c_T


def lstm_step(
    x: Tensor,
    cont: Tensor,
    w_x: Tensor,
    b: Tensor,
    w_h: Tensor,
    x_static: Tensor | None = None,
    w_static: Tensor | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    *,
    precision: str = "ieee",
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`, for decoding: x (N, I), cont (N,), the rest as there. Returns h and c, (N, H) each."""
    if x.dim() != 2 or cont.shape != x.shape[:1]:
        raise Error(
            f"x and cont: shapes (N, I) and (N,) expected, {tuple(x.shape)} and {tuple(cont.shape)} given; "
            "for several steps use lstm"
        )
    _, h, c = lstm(x[None], cont[None], w_x, b, w_h, x_static, w_static, h0, c0, precision=precision)
    return h, c


def _autocast(x: Tensor, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """All of them in the dtype of autocast, where it is on; it leaves float64 alone."""
    tensors, device = (x, *others), x.device.type
    # Not by is_autocast_available, which torch 2.11 cannot trace.
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        t.to(dtype) if t is not None and t.dtype in DTYPES and t.dtype != torch.float64 else t for t in tensors
    )


def _check(x, cont, w_x, b, w_h, x_static, w_static, h0, c0) -> None:
    """An `Error` for the first argument that does not fit x and w_h."""
    _check_rank("x", x, "(T, N, I)")
    _check_rank("w_h", w_h, "(4H, H)")
    if x.dtype not in DTYPES:
        raise Error(f"x: dtype float32, float64, float16 or bfloat16 expected, {x.dtype} given")
    if x.is_cuda and not HAS_CUDA:
        raise Error(
            "x: a CPU tensor expected, since lrcn is built without its CUDA kernels; given one on "
            f"{x.device}. Building again with FORCE_CUDA=1 says what is missing"
        )
    if cont.requires_grad:
        raise Error("cont: a tensor that requires no gradient expected, none is computed for it; pass cont.detach()")
    if cont.is_complex():
        raise Error(f"cont: a real dtype expected, {cont.dtype} given")
    if (x_static is None) != (w_static is None):
        missing, there = ("x_static", "w_static") if x_static is None else ("w_static", "x_static")
        raise Error(f"{missing}: a tensor expected with {there}, None given")
    (T, N, inputs), H = x.shape, w_h.shape[1]
    cells = torch.float64 if x.dtype == torch.float64 else torch.float32
    expected = [
        ("cont", cont, "(T, N)", (T, N), (cont.dtype,)),
        ("w_x", w_x, "(4H, I)", (4 * H, inputs), (x.dtype,)),
        ("b", b, "(4H,)", (4 * H,), (x.dtype,)),
        ("w_h", w_h, "(4H, H)", (4 * H, H), (x.dtype,)),
        ("h0", h0, "(N, H)", (N, H), (x.dtype,)),
        ("c0", c0, "(N, H)", (N, H), (cells, x.dtype)),
    ]
    if x_static is not None:
        _check_rank("x_static", x_static, "(N, S)")
        S = x_static.shape[1]
        expected.append(("x_static", x_static, "(N, S)", (N, S), (x.dtype,)))
        expected.append(("w_static", w_static, "(4H, S)", (4 * H, S), (x.dtype,)))
    for name, tensor, axes, shape, dtypes in expected:
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise Error(f"{name}: shape {axes} = {shape} expected, {tuple(tensor.shape)} given")
        if tensor.dtype not in dtypes:
            raise Error(f"{name}: dtype {dtypes[0]} expected, as x has {x.dtype}; {tensor.dtype} given")
        if tensor.device != x.device:
            raise Error(f"{name}: device {x.device} expected, where x is; {tensor.device} given")


def _check_rank(name: str, tensor: Tensor, axes: str) -> None:
    if tensor.dim() != axes.count(",") + 1:
        raise Error(f"{name}: shape {axes} expected, {tuple(tensor.shape)} given")


@torch.library.register_fake("lrcn::lstm")
def _(x, cont, w_x, b, w_h, x_static, w_static, h_0, c_0, tf32, caffe_gradient, keep_gates):
    (T, N), H = x.shape[:2], w_h.shape[1]
    gates = c_0.new_empty(T if keep_gates else 0, N, 4 * H)
    return x.new_empty(T, N, H), x.new_empty(N, H), c_0.new_empty(N, H), c_0.new_empty(T, N, H), gates


@torch.library.register_fake("lrcn::lstm_backward")
def _(dh, dh_T, dc_T, x, cont, w_x, w_h, x_static, w_static, h_0, c_0, h, c, gates, tf32, caffe_gradient, wanted):
    like = (x, w_x, w_h.new_empty(w_h.shape[0]), w_h, x_static, w_static, h_0, c_0)
    return tuple(t.new_empty(t.shape) if want else x.new_empty(0) for t, want in zip(like, wanted, strict=True))


def _setup_context(ctx, inputs, output) -> None:
    x, cont, w_x, _b, w_h, x_static, w_static, h_0, c_0, ctx.tf32, ctx.caffe_gradient, _ = inputs
    h, _h_T, _c_T, c, gates = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(c, gates)
    ctx.save_for_backward(x, cont, w_x, w_h, x_static, w_static, h_0, c_0, h, c, gates)


def _backward(ctx, dh, dh_T, dc_T, *_):
    needs_x, _, *needs_others = ctx.needs_input_grad[:9]
    wanted = [needs_x, *needs_others]
    gradients = torch.ops.lrcn.lstm_backward(dh, dh_T, dc_T, *ctx.saved_tensors, ctx.tf32, ctx.caffe_gradient, wanted)
    dx, *others = (gradient if want else None for gradient, want in zip(gradients, wanted, strict=True))
    return dx, None, *others, None, None, None


def _second_derivative(ctx, *_):
    raise Error("lstm: a first derivative expected, a second one asked for; this op is differentiable once")


torch.library.register_autograd("lrcn::lstm", _backward, setup_context=_setup_context)
torch.library.register_autograd("lrcn::lstm_backward", _second_derivative)
