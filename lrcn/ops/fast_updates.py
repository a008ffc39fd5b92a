"""What solvers do to gradients, on PyTorch's own kernels: any device.

Same functions and arguments as `lrcn.ops.exact_updates`, which says what each computes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def norm(tensors: Sequence[Tensor]) -> float:
    """See `exact_updates.norm`."""
    return float(torch.nn.utils.get_total_norm(tensors))


def scale(x: Tensor, alpha: float) -> None:
    """See `exact_updates.scale`."""
    x.mul_(alpha)


def add_scaled(y: Tensor, x: Tensor, alpha: float) -> None:
    """See `exact_updates.add_scaled`."""
    y.add_(x, alpha=alpha)


def sgd(gradient: Tensor, history: Tensor, rate: float, momentum: float) -> None:
    """See `exact_updates.sgd`."""
    history.mul_(momentum).add_(gradient, alpha=rate)
    gradient.copy_(history)


def nesterov(gradient: Tensor, history: Tensor, rate: float, momentum: float) -> None:
    """See `exact_updates.nesterov`."""
    previous = history.clone()
    history.mul_(momentum).add_(gradient, alpha=rate)
    torch.sub((1 + momentum) * history, previous, alpha=momentum, out=gradient)


def adagrad(gradient: Tensor, history: Tensor, rate: float, delta: float) -> None:
    """See `exact_updates.adagrad`."""
    history.addcmul_(gradient, gradient)
    gradient.div_(history.sqrt().add_(delta)).mul_(rate)


def rmsprop(gradient: Tensor, history: Tensor, rate: float, decay: float, delta: float) -> None:
    """See `exact_updates.rmsprop`."""
    history.mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
    gradient.div_(history.sqrt().add_(delta)).mul_(rate)


def adadelta(
    gradient: Tensor, gradient_history: Tensor, update_history: Tensor, rate: float, momentum: float, delta: float
) -> None:
    """See `exact_updates.adadelta`."""
    gradient_history.mul_(momentum).addcmul_(gradient, gradient, value=1 - momentum)
    gradient.mul_(((update_history + delta) / (gradient_history + delta)).sqrt_())
    update_history.mul_(momentum).addcmul_(gradient, gradient, value=1 - momentum)
    gradient.mul_(rate)


def adam(
    gradient: Tensor, mean: Tensor, square: Tensor, rate: float, momentum: float, momentum2: float, delta: float
) -> None:
    """See `exact_updates.adam`."""
    mean.mul_(momentum).add_(gradient, alpha=1 - momentum)
    square.mul_(momentum2).addcmul_(gradient, gradient, value=1 - momentum2)
    torch.div(mean * rate, square.sqrt().add_(delta), out=gradient)
