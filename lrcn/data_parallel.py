"""The gradients of one batch that several processes share."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .net import Net
from .processes import Processes


class Pass(nn.Module):
    """One forward pass of a network: its outputs, detached, and its loss."""

    def __init__(self, net: Net):
        super().__init__()
        self.net = net

    def forward(self, **arguments: Any) -> tuple[dict[str, Tensor], Tensor]:
        """See `Net.forward` and `Net.loss`."""
        outputs = self.net(**arguments)
        loss = self.net.loss(outputs)
        return {name: value.detach() for name, value in outputs.items()}, loss


class DataParallel:
    """Runs passes of a network whose gradients, in `parameter.grad`, become those of the batch of all processes.

    Each process finds its part of the gradient, and the parts add up (see `Net`). In fast numerics PyTorch's
    DistributedDataParallel adds while the backward pass is still going on. In exact numerics the backward pass adds to
    `parameter.grad` past its hooks, so the sum follows.

    Args:
        net (Net): a network that was built with `processes`, on its device.
        processes (Processes): those that share every batch.
    """

    def __init__(self, net: Net, processes: Processes):
        self.processes = processes
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self._pass = Pass(net)
        self._hooked = None
        if processes.count > 1 and net.numerics == "fast":
            self._hooked = DistributedDataParallel(self._pass, find_unused_parameters=has_idle_parameters(net))
            self._hooked.register_comm_hook(None, _add_up)

    def __call__(self, **arguments: Any) -> tuple[dict[str, Tensor], Tensor]:
        """The outputs of a forward pass, detached, and its loss; arguments of `Net.forward`."""
        return (self._hooked or self._pass)(**arguments)

    @contextlib.contextmanager
    def adding_up(self, last: bool) -> Iterator[None]:
        """Around a pass and its `loss.backward()`: with the last of several passes, add up the gradients of all."""
        with contextlib.nullcontext() if last or self._hooked is None else self._hooked.no_sync():
            yield
        if last and self._hooked is None and self.processes.count > 1:
            waiting = [distributed.all_reduce(parameter.grad, async_op=True) for parameter in self.parameters]
            for work in waiting:
                work.wait()


def has_idle_parameters(net: Net) -> bool:
    """Whether the network has parameters that lead to no loss, which have no gradient to wait for."""
    leading = set(net.loss_weights)
    for layer in reversed(net.layers):
        if leading.intersection(layer.definition.top):
            leading.update(layer.definition.bottom)
        elif len(layer.blobs):
            return True
    return False


def _add_up(_: None, bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:
    """In place of DistributedDataParallel's mean."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])
