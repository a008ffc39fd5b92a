"""The random numbers of exact numerics: Caffe's generator on the CPU, drawn from in Caffe's order.

Caffe has one Mersenne twister (mt19937) per process, which `random_seed` of a solver seeds; fillers and dropout masks
draw from it one after the other, so what a network draws while it is built shifts the masks of its first iteration.
"""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import torch

_LARGEST_WORD = 2**32 - 1

_generator = np.random.RandomState()


def seed(value: int) -> None:
    """Begin the sequence of a seed between 0 and 2^32 - 1, as Caffe's `random_seed` does; `ValueError` for another."""
    _generator.seed(value)


def words(count: int) -> np.ndarray:
    """The next `count` outputs of the generator (uint32), from which every distribution is made."""
    return _generator.randint(0, _LARGEST_WORD + 1, size=count, dtype=np.uint32)


def bernoulli(probability: float, shape: tuple[int, ...]) -> np.ndarray:
    """Ones with the given probability, else zeros (float32, of `shape`): one word each, compared in float32.

    A probability of 0 draws nothing (boost::bernoulli_distribution<float>).
    """
    if probability == 0:
        return np.zeros(shape, np.float32)
    drawn = words(math.prod(shape)).astype(np.float32)
    return (drawn <= np.float32(probability) * np.float32(_LARGEST_WORD)).astype(np.float32).reshape(shape)


def uniform(low: np.float32, high: np.float32, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from `low` up to but not including `high` (float32, of `shape`), one word each (boost::uniform_real)."""
    count, values = math.prod(shape), np.empty(0, np.float32)
    while len(values) < count:  # a word that rounds up to the end is drawn again
        drawn = words(count - len(values)).astype(np.float32) / np.float32(2**32) * (high - low) + low
        values = np.append(values, drawn[drawn < high])
    return values.reshape(shape)


def normal(mean: float, std: float, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of this mean and standard deviation (float32, of `shape`): boost::normal_distribution<float>.

    The bits are those of boost 1.74; before 1.64 boost had other ways to make them.

    Mostly one word each; about one in eighty falls beside its layer of the ziggurat and needs more.
    """
    count, values, left = math.prod(shape), [], np.empty(0, np.uint32)
    while count > 0:  # each value needs one word or more, so that none is drawn in vain
        drawn = np.concatenate([left, words(count)])
        found, used = torch.ops.lrcn.exact_normal(torch.from_numpy(drawn.view(np.int32)), count, *_NORMAL_TABLES)
        values.append(found.numpy())
        left, count = drawn[used:], count - len(found)
    return (np.concatenate([np.empty(0, np.float32), *values]) * np.float32(std) + np.float32(mean)).reshape(shape)


def _ziggurat(
    layers: int,
    start: str,
    tail: Callable[[Decimal], Decimal],
    density: Callable[[Decimal], Decimal],
    inverse: Callable[[Decimal], Decimal],
) -> torch.Tensor:
    """Layers of equal area under a falling density f, by which one word mostly gives a number of that density.

    (Marsaglia and Tsang, "The Ziggurat Method for Generating Random Variables", Journal of Statistical Software, 2000.)
    Layer 0 is the one at the bottom, whose tail begins at `start`.

    Args:
        layers: how many.
        start: where the tail begins, for which the layers' areas are equal.
        tail: the area under f from there on.
        density: f with f(0) = 1.
        inverse: the inverse of f.

    Returns:
        Widths and heights, (2, layers + 1) float64.
    """
    with localcontext(prec=40):  # so that every entry is the double that is nearest
        begin = Decimal(start)
        area = begin * density(begin) + tail(begin)
        widths = [area / density(begin), begin]
        while len(widths) < layers:
            widths.append(inverse(density(widths[-1]) + area / widths[-1]))
        heights = [Decimal(0), *map(density, widths[1:]), Decimal(1)]
        return torch.tensor([[*map(float, widths), 0.0], list(map(float, heights))], dtype=torch.float64)


_NORMAL_TABLES = (
    _ziggurat(
        128,
        "3.4426198558966521214",
        lambda start: Decimal("0.00072204494321451303257575"),  # sqrt(pi / 2) erfc(start / sqrt(2))
        lambda x: (-x * x / 2).exp(),
        lambda y: (-2 * y.ln()).sqrt(),
    ),
    # For the tail.
    _ziggurat(256, "7.6971174701310497140", lambda start: (-start).exp(), lambda x: (-x).exp(), lambda y: -y.ln()),
)


def state() -> tuple:
    """Where the sequence stands, for `restore`."""
    return _generator.get_state()


def restore(state: tuple) -> None:
    """Go on from a `state` taken earlier."""
    _generator.set_state(state)
