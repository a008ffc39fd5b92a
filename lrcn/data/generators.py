"""Caffe's random numbers: the Mersenne twister of its data layers and the C library's `rand`, with their shuffles."""

from collections import deque

import numpy as np

from .. import random


def process_draw() -> int:
    """The next number of the process's generator (see `lrcn.random`), which seeds those of Caffe's data layers."""
    return int(random.words(1)[0])


class MersenneTwister:
    """The 32-bit Mersenne twister (boost::mt19937), as Caffe seeds one for every shuffled or cropped source."""

    def __init__(self, seed: int):
        """`seed` is taken modulo 2**32."""
        self._state = np.random.RandomState(seed % 2**32)

    def draw(self) -> int:
        """The next number, 0 to 2**32 - 1."""
        return int.from_bytes(self._state.bytes(4), "little")

    def shuffle(self, items: list) -> None:
        """Caffe's Fisher-Yates shuffle, in place, from the back."""
        for last in range(len(items) - 1, 0, -1):
            chosen = self._at_most(last)
            items[last], items[chosen] = items[chosen], items[last]

    def _at_most(self, largest: int) -> int:
        """Uniform over 0 to `largest`, as boost::uniform_int does it: equal buckets, and a new draw beyond the last."""
        bucket = 2**32 // (largest + 1)
        while (chosen := self.draw() // bucket) > largest:
            pass
        return chosen


class CRand:
    """`rand()` of the GNU C library in a process that never calls `srand`, behind Caffe's shuffle of HDF5 rows.

    An additive feedback generator: each number is the sum of those 3 and 31 places before it.
    """

    def __init__(self) -> None:
        numbers = [1]
        for _ in range(30):
            numbers.append(numbers[-1] * 16807 % (2**31 - 1))
        self._last = deque(numbers[3:] + numbers[:3], maxlen=31)
        for _ in range(310):
            self.draw()

    def draw(self) -> int:
        """The next number, 0 to 2**31 - 1."""
        self._last.append((self._last[0] + self._last[-3]) % 2**32)
        return self._last[-1] >> 1

    def shuffle(self, items: list) -> None:
        """std::random_shuffle of the GNU C++ library, in place, from the front."""
        for position in range(1, len(items)):
            chosen = self.draw() % (position + 1)
            items[position], items[chosen] = items[chosen], items[position]
