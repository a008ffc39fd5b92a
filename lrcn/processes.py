"""Several processes under `torchrun`: who am I, what is my share of the work, and reckoning together."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function
from torch.distributed import Store

from .errors import Error

# Where processes wait for work of one of them, not for a message: an evaluation may take days.
_PATIENCE = timedelta(days=365)
_FAILURE = "lrcn/failure"
_SECONDS_TO_SPEAK = 10


class Processes:
    """The processes that share one evaluation or training: one, or as many as `torchrun --nproc-per-node K` started.

    As a context manager it parts from the others at the end. Of an error that ends several processes, the first that
    comes here with it tells; the others end without a word.

    Args:
        rank (int): the number of this process, from 0.
        count (int): how many there are.
        local_rank (int): the number of this process on its machine.
        store (Store | None): where the processes find each other, if there are several.
        gpu (bool): whether each computes on the GPU of its `local_rank`.

    Raises:
        Error: there is no GPU of that number.
    """

    def __init__(
        self, rank: int = 0, count: int = 1, local_rank: int = 0, store: Store | None = None, gpu: bool = False
    ):
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self._store = store
        if count == 1:
            return
        if gpu:
            if local_rank >= torch.cuda.device_count():
                raise Error(
                    f"each process needs a GPU of its own, process {rank} has number {local_rank} on a machine with "
                    f"{torch.cuda.device_count()}; start fewer processes"
                )
            torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
        self._patient = distributed.new_group(timeout=_PATIENCE, backend="gloo")

    @classmethod
    def join(cls, gpu: bool = False) -> "Processes":
        """The processes that `torchrun` started; without it, this one alone. See the class for `gpu`."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        store, rank, count = next(distributed.rendezvous("env://"))
        return cls(rank, count, int(os.environ["LOCAL_RANK"]), store, gpu)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if self.count == 1:
            return
        if kind is None:
            distributed.destroy_process_group()
        elif not self._is_first_failure():
            # The end of any process makes the launcher end the others: let the first speak.
            time.sleep(_SECONDS_TO_SPEAK)
            sys.exit(1)

    def _is_first_failure(self) -> bool:
        try:
            return self._store.add(_FAILURE, 1) == 1
        except RuntimeError:  # the store is gone: better told twice than not at all
            return True

    def share_size(self, count: int) -> int:
        """How many of `count` items are a process's share. Raises `Error` unless all shares are equal."""
        if count % self.count:
            raise Error(
                f"a batch of {count} cannot be shared equally by {self.count} processes; "
                f"choose a batch size that {self.count} divides, or another number of processes"
            )
        return count // self.count

    def share(self, items: Sequence) -> Sequence:
        """The items that are this process's: the shares are equal runs, in the order of the processes."""
        size = self.share_size(len(items))
        return items[self.rank * size : (self.rank + 1) * size]

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes, with the same bits in each.

        The gradient goes to this process's own value: what every process thinks the gradient of a parameter is adds up
        to the whole. A tensor on the meta device stays as it is.
        """
        return value if self.count == 1 or value.is_meta else _Sum.apply(value)

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.sum(torch.tensor(int(flag))).item() > 0

    def first(self, function: Callable[[], Any]) -> Any:
        """What `function` returns in the first process, in every process, once it is done there.

        What is raised there is an `Error` of the same message in the others.
        """
        if self.count == 1:
            return function()
        answer, failure = [None, None], None
        if self.rank == 0:
            try:
                answer[0] = function()
            except Exception as error:
                answer[1], failure = str(error), error
        distributed.broadcast_object_list(answer, group=self._patient)
        if failure is not None:
            raise failure
        if answer[1] is not None:
            raise Error(answer[1])
        return answer[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in their order, in every process; tensors must be on the CPU."""
        if self.count == 1:
            return [value]
        values = [None] * self.count
        distributed.all_gather_object(values, value, group=self._patient)
        return values

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.count > 1:
            distributed.barrier(group=self._patient)


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


ALONE = Processes()
"""One process that shares nothing."""
