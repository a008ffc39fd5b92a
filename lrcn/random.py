"""The random numbers of exact numerics: Caffe's generator on the CPU, drawn from in Caffe's order.

Caffe has one Mersenne twister (mt19937) per process, which `random_seed` of a solver seeds; fillers and dropout masks
draw from it one after the other, so what a network draws while it is built shifts the masks of its first iteration.
"""

import numpy as np

_LARGEST_WORD = 2**32 - 1

_generator = np.random.RandomState()


def seed(value: int) -> None:
    """Begin the sequence of a seed between 0 and 2^32 - 1, as Caffe's `random_seed` does; `ValueError` for another."""
    _generator.seed(value)


def words(count: int) -> np.ndarray:
    """The next `count` outputs of the generator (uint32), from which every distribution is made."""
    return _generator.randint(0, _LARGEST_WORD + 1, size=count, dtype=np.uint32)


def bernoulli(probability: float, shape: tuple[int, ...]) -> np.ndarray:
    """Ones with the given probability, else zeros (float32, of `shape`): one word each, compared in double precision.

    A probability of 0 draws nothing (boost::random::bernoulli_distribution).
    """
    if probability == 0:
        return np.zeros(shape, np.float32)
    drawn = words(int(np.prod(shape))).astype(np.float64)
    return (drawn <= probability * _LARGEST_WORD).astype(np.float32).reshape(shape)


def state() -> tuple:
    """Where the sequence stands, for `restore`."""
    return _generator.get_state()


def restore(state: tuple) -> None:
    """Go on from a `state` taken earlier."""
    _generator.set_state(state)
