"""Batches loaded in parallel ahead of the step that uses them."""

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..errors import Error

_workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_workers(count: int) -> None:
    """Let sources built from now on load with `count` threads each; at first, as many as the process has cores.

    The batches are the same for any number.
    """
    global _workers
    if count < 1:
        raise Error(f"the number of threads that load data must be 1 or more, {count} was found")
    _workers = count


class Prefetcher:
    """Keeps the next batches loading while the current one is computed with.

    `plan` is called in the caller's thread, once per batch and in order, and makes every random draw; `load` and
    `assemble` run in the threads. So what comes out does not depend on the number of threads.

    Args:
        plan (Callable[[], Sequence]): the items of the next batch.
        load (Callable[[Any], Any]): what is loaded for one item.
        assemble (Callable[[list], Any]): all that is loaded for a batch, in the order of its plan -> the batch.
        depth (int): batches that are loaded ahead; never more than these are in memory.

    Attributes:
        seconds_waited (float): how long `read` has waited for batches that were not there yet.
    """

    def __init__(
        self,
        plan: Callable[[], Sequence],
        load: Callable[[Any], Any],
        assemble: Callable[[list], Any],
        depth: int,
    ):
        self._plan = plan
        self._load = load
        self._assemble = assemble
        self._waiting: deque[tuple[Future, list[Future]]] = deque()
        self._threads = ThreadPoolExecutor(_workers, thread_name_prefix="data")
        self.seconds_waited = 0.0
        weakref.finalize(self, self._threads.shutdown, wait=False, cancel_futures=True)
        for _ in range(depth):
            self._begin_one()

    def _begin_one(self) -> None:
        items = [self._threads.submit(self._load, item) for item in self._plan()]
        # Work is taken up in the order of its submission: what this one waits for is done or being done, never stuck.
        batch = self._threads.submit(lambda: self._assemble([item.result() for item in items]))
        self._waiting.append((batch, items))

    def read(self) -> Any:
        """The next batch; raises what loading the first of its items that failed raised."""
        start = time.perf_counter()
        batch = self._waiting[0][0].result()
        self.seconds_waited += time.perf_counter() - start
        self._waiting.popleft()
        self._begin_one()
        return batch

    def skip(self) -> None:
        """Pass over the next batch: what follows is the same as after `read`."""
        batch, items = self._waiting.popleft()
        for future in (batch, *items):
            future.cancel()
        self._begin_one()

    def close(self) -> None:
        """Stop the threads; batches that were loading are dropped."""
        self._threads.shutdown(cancel_futures=True)
