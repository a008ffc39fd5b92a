"""The layers on PyTorch's own kernels: CPU and CUDA, float32 or bfloat16 weights, differentiable.

Same functions and arguments as `lrcn.ops.exact`, which says what each computes. Every input is taken in the dtype of
the weights; probabilities and losses come out in float32 or better.
"""

from collections.abc import Collection, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from prototxt_import import Message

from ..errors import Error
from ..graph import maxima_first
from . import fused_lrn, fused_lstm, recurrent  # noqa: F401, fused_lrn completes its op

# Products that one output value of a convolution may add up in one chain before float32 rounding shows.
LONG_SUM = 512

# From so many channels of a group, and so many tiles of 2x2 values, Winograd's algorithm is faster than oneDNN.
WINOGRAD_CHANNELS, WINOGRAD_TILES = 128, 2**13

# Of so many weights oneDNN computes the gradient faster for so many images at a time.
MANY_WEIGHTS, IMAGES_AT_ONCE = 2**20, 96

Pair = Sequence[int]


def prepare(device: torch.device) -> None:
    """Make ready to compute: lets cuDNN choose its kernels by trying them."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True


def arrange(layers: Sequence[Message], wanted: Collection[str]) -> Sequence[Message]:
    """See `exact.arrange`."""
    return maxima_first(layers, wanted)


def _channels_last(x: Tensor) -> Tensor:
    """The layout of images that vectorises over channels."""
    return x.contiguous(memory_format=torch.channels_last)


def _like(x: Tensor, weight: Tensor) -> Tensor:
    return x.to(weight.dtype)


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, pad: Pair, dilation: Pair, group: int
) -> Tensor:
    """See `exact.convolution`."""
    if any(pad[i] > dilation[i] * (weight.shape[2 + i] - 1) for i in (0, 1)):
        # oneDNN in torch 2.13 crashes where a whole window lies in the padding, unless that is part of the image.
        x, pad = F.pad(x, (pad[1], pad[1], pad[0], pad[0])), (0, 0)
    x = _like(x, weight)
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if x.device.type == "cpu" and x.dtype == torch.float32 and weight[0].numel() > LONG_SUM and not learns:
        # In this layout oneDNN adds up block by block of channels, with a third of the rounding error. Not where a
        # gradient follows: turning images and gradients between layouts would be a good part of a training step.
        return F.conv2d(x.contiguous(), weight, bias, stride, pad, dilation, group)
    if x.device.type == "cpu" and learns:
        return _Convolution.apply(_channels_last(x), weight, bias, stride, pad, dilation, group)
    return F.conv2d(_channels_last(x), weight, bias, stride, pad, dilation, group)


class _Convolution(torch.autograd.Function):
    """`F.conv2d` of x (N, C, H, W) in channels_last, in training: asks oneDNN only for what it is good at.

    It is slow at the gradient of a bias, and at that of the weights of many images at a time; and 3x3 weights take
    less than half of the multiplications by Winograd's algorithm, with less of a rounding error.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, pad: Pair, dilation: Pair, group: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, pad, dilation, False, (0, 0), group
        ctx.is_winograd = _suits_winograd(x, weight, stride, pad, dilation, group)
        if ctx.is_winograd:
            return torch.ops.lrcn.winograd_convolution(x, weight, bias, pad, group)
        return F.conv2d(x, weight, bias, stride, pad, dilation, group)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_learns, weight_learns, bias_learns, *_ = ctx.needs_input_grad
        dy = _channels_last(dy)

        def gradients(dy: Tensor, x: Tensor, *wanted: bool) -> tuple[Tensor | None, ...]:
            return torch.ops.aten.convolution_backward(dy, x, weight, None, *ctx.geometry, (*wanted, False))

        dx = dw = db = None
        if x_learns and ctx.is_winograd:
            _, pad, *_, group = ctx.geometry
            turned = weight.unflatten(0, (group, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)
            dx = torch.ops.lrcn.winograd_convolution(dy, turned, None, [2 - p for p in pad], group)
        elif x_learns:
            dx, _, _ = gradients(dy, x, True, False)
        if weight_learns:
            images = IMAGES_AT_ONCE if weight.numel() > MANY_WEIGHTS else max(len(x), 1)
            parts = zip(dy.split(images), x.split(images), strict=True)
            dw = sum(gradients(*part, False, True)[1] for part in parts)
        if bias_learns:
            db = dy.sum((0, 2, 3))
        return dx, dw, db, None, None, None, None


def _suits_winograd(x: Tensor, weight: Tensor, stride: Pair, pad: Pair, dilation: Pair, group: int) -> bool:
    """Whether Winograd's algorithm computes a convolution, and faster than oneDNN does."""
    outputs, inputs, *size = weight.shape
    tiles = x[:, 0].numel() // 4
    return (
        x.dtype == torch.float32
        and (size, [*stride], [*dilation]) == ([3, 3], [1, 1], [1, 1])
        and max(pad) <= 2
        and min(inputs, outputs // group) >= WINOGRAD_CHANNELS
        and tiles >= WINOGRAD_TILES
    )


@torch.library.register_fake("lrcn::winograd_convolution")
def _(x, weight, bias, pad, group):
    height, width = (x.shape[2 + i] + 2 * pad[i] - 2 for i in (0, 1))
    return x.new_empty(len(x), len(weight), height, width).contiguous(memory_format=torch.channels_last)


def inner_product(x: Tensor, weight: Tensor, bias: Tensor | None, transposed_weight: bool) -> Tensor:
    """See `exact.inner_product`."""
    x, weight = _like(x, weight), weight.t() if transposed_weight else weight
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return _Linear.apply(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))
    return F.linear(x, weight, bias)


class _Linear(torch.autograd.Function):
    """`F.linear` of rows x (M, K) by our choice of library, see csrc/matrix_product.h."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.lrcn.matrix_product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        x_learns, weight_learns, bias_learns = ctx.needs_input_grad
        return (
            torch.ops.lrcn.matrix_product(dy, weight.t()) if x_learns else None,
            torch.ops.lrcn.matrix_product(dy.t(), x.t()) if weight_learns else None,
            dy.sum(0) if bias_learns else None,
        )


class PreparedInnerProduct:
    """`inner_product` as a function of x alone, for weights that stay as they are and get no gradient.

    oneDNN lays them out once here, and not in every call. For weights on the CPU as oneDNN takes them; others are used
    as they are.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, transposed_weight: bool = False):
        self._weight, self._bias = weight.t() if transposed_weight else weight, bias
        self._dtype, self._outputs = weight.dtype, len(self._weight)
        one_dnn = torch.ops.mkldnn
        taken = (torch.float32, torch.bfloat16) if one_dnn._is_mkldnn_bf16_supported() else (torch.float32,)
        self._is_laid_out = weight.device.type == "cpu" and weight.dtype in taken
        if self._is_laid_out:
            self._weight = one_dnn._reorder_linear_weight(self._weight.detach().contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs), in the dtype of the weights."""
        x = x.to(self._dtype)
        if not self._is_laid_out:
            return F.linear(x, self._weight, self._bias)
        y = torch.ops.mkldnn._linear_pointwise(x.flatten(0, -2), self._weight, self._bias, "none", [], "")
        return y.view(*x.shape[:-1], self._outputs)


@torch.library.register_fake("lrcn::matrix_product")
def _(a, b, bias=None):
    return a.new_empty(len(a), len(b))


def embed(index: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """See `exact.embed`."""
    y = F.embedding(index.long(), weight)
    return y if bias is None else y + bias


def _windows(
    x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair, padding: float
) -> tuple[Tensor, dict]:
    """The input and the arguments with which PyTorch's pooling has Caffe's windows, and at most one more per axis.

    A pad beyond half the kernel, which PyTorch does not take, goes into the input as values `padding`.
    """
    reach = [(output_size[i] - 1) * stride[i] + kernel[i] - x.shape[2 + i] - 2 * pad[i] for i in (0, 1)]
    if any(reach[i] >= kernel[i] for i in (0, 1)):
        raise Error(
            f"pooling with kernel {tuple(kernel)} and stride {tuple(stride)} has windows wholly outside an input "
            f"of {tuple(x.shape[2:])}; only exact numerics computes them"
        )
    if any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        x, pad = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=padding), (0, 0)
    return _channels_last(x), {
        "kernel_size": kernel,
        "stride": stride,
        "padding": pad,
        "ceil_mode": any(r > 0 for r in reach),
    }


def max_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> tuple[Tensor, Tensor]:
    """See `exact.max_pool`."""
    padded, windows = _windows(x, kernel, stride, pad, output_size, -torch.inf)
    y, index = F.max_pool2d(padded, **windows, return_indices=True)
    if padded.shape != x.shape:
        row, column = index // padded.shape[3] - pad[0], index % padded.shape[3] - pad[1]
        index = row * x.shape[3] + column
    height, width = output_size
    return y[:, :, :height, :width], index[:, :, :height, :width]


def average_pool(x: Tensor, kernel: Pair, stride: Pair, pad: Pair, output_size: Pair) -> Tensor:
    """See `exact.average_pool`."""
    padded, windows = _windows(x, kernel, stride, pad, output_size, 0.0)
    return F.avg_pool2d(padded, **windows)[:, :, : output_size[0], : output_size[1]]


def _negative_power(scale: Tensor, beta: float) -> Tensor:
    # AlexNet's exponent by square roots, which vectorise, where a general power does not.
    return torch.rsqrt(scale * torch.sqrt(scale)) if beta == 0.75 else scale.pow(-beta)


def lrn_across_channels(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """See `exact.lrn_across_channels`."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return torch.ops.lrcn.fast_lrn(x, size, alpha, beta, k)
    # Elsewhere the sums over channels are one product with a banded matrix.
    x = _channels_last(x)
    channel = torch.arange(x.shape[1], device=x.device)
    band = ((channel[:, None] - channel).abs() <= (size - 1) // 2).to(x.dtype) * (alpha / size)
    rows = x.movedim(1, -1)
    scale = (rows.square().flatten(0, -2) @ band).add_(k).view(rows.shape).movedim(-1, 1)
    return _negative_power(scale, beta) * x


def lrn_within_channel(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """See `exact.lrn_within_channel`."""
    mean = F.avg_pool2d(x.square(), size, stride=1, padding=(size - 1) // 2)
    return x * _negative_power(1 + alpha * mean, beta)


def relu(x: Tensor, negative_slope: float) -> Tensor:
    """See `exact.relu`."""
    return F.leaky_relu(x, negative_slope) if negative_slope else F.relu(x)


def sigmoid(x: Tensor) -> Tensor:
    """See `exact.sigmoid`."""
    return torch.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """See `exact.tanh`."""
    return torch.tanh(x)


def power(x: Tensor, power: float, scale: float, shift: float) -> Tensor:
    """See `exact.power`."""
    return (shift + scale * x).pow(power)


def dropout(x: Tensor, ratio: float) -> Tensor:
    """As `exact.dropout`, with PyTorch's generator."""
    return F.dropout(x, ratio, training=True)


def split(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """See `exact.split`."""
    return (x,) * count


def weighted_sum(terms: Sequence[Tensor], coefficients: Sequence[float]) -> Tensor:
    """See `exact.weighted_sum`."""
    return sum(c * term for c, term in zip(coefficients, terms, strict=True))


def product(terms: Sequence[Tensor], stable_gradient: bool) -> Tensor:
    """See `exact.product`; the gradient is the stable one."""
    return reduce(torch.mul, terms)


def maximum(terms: Sequence[Tensor]) -> Tensor:
    """See `exact.maximum`; of equals the same one wins, and has the gradient."""
    y = torch.where(terms[0] > terms[1], terms[0], terms[1])
    for term in terms[2:]:
        y = torch.where(term > y, term, y)
    return y


def scale(x: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """See `exact.scale`."""
    y = x * scale.reshape(-1, 1)
    return y if bias is None else y + bias.reshape(-1, 1)


def sum_rows(x: Tensor, absolute: bool, squared: bool) -> Tensor:
    """See `exact.sum_rows`."""
    if absolute:
        x = x.abs()
    if squared:
        x = x.square()
    return x.sum(dim=1)


def _float(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def softmax(x: Tensor, axis: int) -> Tensor:
    """See `exact.softmax`."""
    return F.softmax(_float(x), axis)


def log_sum_exp(x: Tensor) -> Tensor:
    """The logarithm of the softmax's denominator over the last axis; on the CPU without a gradient."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return torch.ops.lrcn.fast_log_sum_exp(x)
    return torch.logsumexp(x, -1)


@torch.library.register_fake("lrcn::fast_log_sum_exp")
def _(x):
    return x.new_empty(x.shape[:-1])


def softmax_loss(x: Tensor, label: Tensor, axis: int, ignore_label: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """See `exact.softmax_loss`."""
    log_prob = F.log_softmax(_float(x), axis)
    wanted = label.reshape(log_prob.select(axis, 0).shape).long()
    counted = torch.ones_like(wanted, dtype=torch.bool) if ignore_label is None else wanted != ignore_label
    chosen = log_prob.gather(axis, torch.where(counted, wanted, 0).unsqueeze(axis)).squeeze(axis)
    return -torch.where(counted, chosen, 0).sum(), counted.sum().to(log_prob.dtype), log_prob.detach().exp()


def euclidean_loss(x: Tensor, target: Tensor, items: int) -> Tensor:
    """See `exact.euclidean_loss`."""
    return (x - target).square().sum() / items / 2


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
    """See `lrcn.ops.recurrent.lstm`; computed by the fused op, with Caffe's gradient.

    As precise on a GPU as PyTorch is told to make products of matrices.
    """
    precision = "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"
    x, h_0 = _like(x, w_x), _like(h_0, w_x)
    x_static = None if x_static is None else _like(x_static, w_x).flatten(1)
    return fused_lstm.lstm(
        x.flatten(2), cont, w_x, b, w_h, x_static, w_static, h_0, c_0, precision=precision, caffe_gradient=True
    )


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
    """See `lrcn.ops.recurrent.rnn`."""
    x_static = None if x_static is None else _like(x_static, w_x)
    return recurrent.rnn(_like(x, w_x), cont, w_x, b, w_h, w_o, b_o, x_static, w_static, h_0)
