"""Local response normalization across channels as one op: `torch.ops.lrcn.fast_lrn`, float32 on the CPU.

One pass over the images in each direction, where the formula in PyTorch's own ops takes a dozen.
"""

import torch

from ..errors import Error


@torch.library.register_fake("lrcn::fast_lrn")
def _(x, size, alpha, beta, k):
    return torch.empty_like(x, memory_format=torch.channels_last)


@torch.library.register_fake("lrcn::fast_lrn_backward")
def _(dy, x, size, alpha, beta, k):
    return torch.empty_like(x, memory_format=torch.channels_last)


def _setup_context(ctx, inputs, output) -> None:
    x, *ctx.settings = inputs
    ctx.save_for_backward(x)


def _backward(ctx, dy):
    return torch.ops.lrcn.fast_lrn_backward(dy, *ctx.saved_tensors, *ctx.settings), None, None, None, None


def _second_derivative(ctx, *_):
    raise Error("fast_lrn: a first derivative expected, a second one asked for; this op is differentiable once")


torch.library.register_autograd("lrcn::fast_lrn", _backward, setup_context=_setup_context)
torch.library.register_autograd("lrcn::fast_lrn_backward", _second_derivative)
