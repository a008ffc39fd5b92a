"""The number of threads, for a while."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def with_threads(count: int, function: Callable[[], Result]) -> Result:
    """What a function gives when torch has so many threads; afterwards it has as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return function()
    finally:
        torch.set_num_threads(before)
