"""Several processes under `torchrun`: who am I, and waiting for each other."""

import os
from collections.abc import Callable
from datetime import timedelta

from torch import distributed

from ..errors import Error


class Processes:
    """The processes that share one evaluation: one, or as many as `torchrun --nproc-per-node K` started.

    rank: the number of this process, from 0; count: how many there are; local_rank: its number on this machine.
    """

    def __init__(self):
        self.rank = int(os.environ.get("RANK", 0))
        self.local_rank = int(os.environ.get("LOCAL_RANK", 0))
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self._group = None
        if self.count > 1:
            distributed.init_process_group("gloo")
            # The processes meet again only after all videos, which may take days.
            self._group = distributed.new_group(timeout=timedelta(days=365))

    def first(self, function: Callable[[], str | None]) -> str | None:
        """What `function` returns in the first process, in every process, once it is done there.

        An `Error` or `OSError` there is raised in every process.
        """
        answer = [None, None]
        if self.rank == 0:
            try:
                answer[0] = function()
            except (Error, OSError) as error:
                answer[1] = str(error)
        if self.count > 1:
            distributed.broadcast_object_list(answer, group=self._group)
        if answer[1] is not None:
            raise Error(answer[1])
        return answer[0]

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.count > 1:
            distributed.barrier(group=self._group)

    def close(self) -> None:
        """Part from the other processes."""
        if self.count > 1:
            distributed.destroy_process_group()
