"""What solvers do to gradients, with the bits of Caffe on a CPU: the same BLAS calls and loops in the same order.

All tensors are dense float32 on the CPU, all settings float32 values, and everything happens in place.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import blas

blas.load()

_ops = torch.ops.lrcn


def norm(tensors: Sequence[Tensor]) -> float:
    """The l2 norm of all values of all tensors."""
    return _ops.exact_norm(list(tensors)).item()


def scale(x: Tensor, alpha: float) -> None:
    """x becomes alpha x."""
    _ops.exact_scale_(x, alpha)


def add_scaled(y: Tensor, x: Tensor, alpha: float) -> None:
    """y becomes y + alpha x."""
    _ops.exact_add_scaled_(y, x, alpha)


def sgd(gradient: Tensor, history: Tensor, rate: float, momentum: float) -> None:
    """Gradient descent with momentum: history = momentum history + rate gradient, which is the update.

    As in all rules here, `gradient` becomes the update, which is to be subtracted from the parameter, and the history
    is brought up to date.
    """
    _ops.exact_sgd_(gradient, history, rate, momentum)


def nesterov(gradient: Tensor, history: Tensor, rate: float, momentum: float) -> None:
    """Nesterov's momentum: the update is (1 + momentum) history - momentum previous history."""
    _ops.exact_nesterov_(gradient, history, rate, momentum)


def adagrad(gradient: Tensor, history: Tensor, rate: float, delta: float) -> None:
    """AdaGrad (Duchi et al., 2011): rate gradient / (sqrt(sum of squared gradients) + delta)."""
    _ops.exact_adagrad_(gradient, history, rate, delta)


def rmsprop(gradient: Tensor, history: Tensor, rate: float, decay: float, delta: float) -> None:
    """RMSProp (Tieleman and Hinton, 2012): rate gradient / (sqrt(running mean of squared gradients) + delta)."""
    _ops.exact_rmsprop_(gradient, history, rate, decay, delta)


def adadelta(
    gradient: Tensor, gradient_history: Tensor, update_history: Tensor, rate: float, momentum: float, delta: float
) -> None:
    """AdaDelta (Zeiler, 2012): rate gradient sqrt((mean of squared updates + delta) / (that of gradients + delta))."""
    _ops.exact_adadelta_(gradient, gradient_history, update_history, rate, momentum, delta)


def adam(
    gradient: Tensor, mean: Tensor, square: Tensor, rate: float, momentum: float, momentum2: float, delta: float
) -> None:
    """Adam (Kingma and Ba, 2015): rate mean / (sqrt(square) + delta); the correction of the bias is in the rate."""
    _ops.exact_adam_(gradient, mean, square, rate, momentum, momentum2, delta)


@torch.library.register_fake("lrcn::exact_norm")
def _(tensors):
    return torch.empty(())


def _nothing(*_):
    """What an op returns that works in place."""


for _name in ("scale", "add_scaled", "sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"):
    torch.library.register_fake(f"lrcn::exact_{_name}_", _nothing)
