"""The random numbers of exact numerics: Caffe's generator on the CPU, drawn from in Caffe's order.

Caffe has one Mersenne twister (mt19937) per process, which `random_seed` of a solver seeds; fillers and dropout masks
draw from it one after the other, so what a network draws while it is built shifts the masks of its first iteration.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from itertools import chain, repeat

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
    values, filled = np.empty(math.prod(shape), np.float32), 0
    while filled < len(values):
        drawn = words(len(values) - filled)  # each value needs one or more, so that none is drawn in vain
        sign = (drawn & 1).astype(np.int8) * 2 - 1
        layer = (drawn & 255) >> 1
        x = _fraction(drawn) * _NORMAL.width[layer].astype(np.float32)
        position = 0
        for rejected in np.flatnonzero(x >= _NORMAL.width[layer + 1]):
            if rejected < position:
                continue  # the value before has used this word
            plain = rejected - position
            values[filled : filled + plain] = x[position:rejected] * sign[position:rejected]
            following = _Words(drawn[rejected + 1 :])
            found = _beside_the_layer(layer[rejected], x[rejected], following)
            position = rejected + 1 + following.used
            filled += plain
            if found is not None:
                values[filled] = found * sign[rejected]
                filled += 1
        plain = len(x[position:])
        values[filled : filled + plain] = x[position:] * sign[position:]
        filled += plain
    return (values * np.float32(std) + np.float32(mean)).reshape(shape)


class _Words:
    """Words one by one: those drawn already, then new ones."""

    def __init__(self, drawn: np.ndarray):
        self._words: Iterator[np.uint32] = chain(drawn, (words(1)[0] for _ in repeat(None)))
        self.used = 0

    def next(self) -> np.uint32:
        self.used += 1
        return next(self._words)

    def uniform(self) -> np.float32:
        """From 0 up to but not including 1."""
        while (value := np.float32(self.next()) * np.float32(2**-32)) >= 1:
            pass
        return value


def _fraction(words: np.ndarray) -> np.ndarray:
    """The upper 24 bits as a number from 0 up to 1; the lower 8 choose a layer."""
    return (words >> 8).astype(np.float32) * np.float32(2**-24)


class _Ziggurat:
    """Layers of equal area under a falling density f, by which one word mostly gives a number of that density.

    (Marsaglia and Tsang, "The Ziggurat Method for Generating Random Variables", Journal of Statistical Software, 2000.)
    Layer 0 is the one at the bottom, whose tail begins at `start`.

    Args:
        layers: how many.
        start: where the tail begins, for which the layers' areas are equal.
        tail: the area under f from there on.
        density: f with f(0) = 1.
        inverse: the inverse of f.
    """

    def __init__(
        self,
        layers: int,
        start: str,
        tail: Callable[[Decimal], Decimal],
        density: Callable[[Decimal], Decimal],
        inverse: Callable[[Decimal], Decimal],
    ):
        with localcontext(prec=40):  # so that every entry is the double that is nearest
            begin = Decimal(start)
            area = begin * density(begin) + tail(begin)
            widths = [area / density(begin), begin]
            while len(widths) < layers:
                widths.append(inverse(density(widths[-1]) + area / widths[-1]))
            heights = [Decimal(0), *map(density, widths[1:]), Decimal(1)]
            self.width = np.array([*map(float, widths), 0.0])
            self.height = np.array([*map(float, heights)])

    def place(self, layer: int, x: np.float32, y01: np.float32) -> tuple[np.float32, np.float32]:
        """The height of a point in the layer at y01 of its height, and where it lies to the diagonal of the layer."""
        w, h = self.width, self.height
        y = np.float32(h[layer]) + y01 * np.float32(h[layer + 1] - h[layer])
        return y, np.float32(w[layer] - w[layer + 1]) * y01 - (np.float32(w[layer]) - x)


_NORMAL = _Ziggurat(
    128,
    "3.4426198558966521214",
    lambda start: Decimal("0.00072204494321451303257575"),  # sqrt(pi / 2) erfc(start / sqrt(2))
    lambda x: (-x * x / 2).exp(),
    lambda y: (-2 * y.ln()).sqrt(),
)
_EXPONENTIAL = _Ziggurat(
    256, "7.6971174701310497140", lambda start: (-start).exp(), lambda x: (-x).exp(), lambda y: -y.ln()
)


def _exp(x: np.float32) -> np.float32:
    return np.float32(torch.ops.lrcn.exact_exp(float(x)))


def _beside_the_layer(layer: int, x: np.float32, following: _Words) -> np.float32 | None:
    """The normal number that a word stands for which is not plainly in its layer; None: it is thrown away."""
    if layer == 0:
        return _normal_tail(following)
    width, height = np.float32(_NORMAL.width[layer]), np.float32(_NORMAL.height[layer])
    y, to_diagonal = _NORMAL.place(layer, x, following.uniform())
    to_tangent = y - (height + (width - x) * height * width)
    is_convex = _NORMAL.width[layer] >= 1
    to_upper, to_lower = (to_diagonal, to_tangent) if is_convex else (to_tangent, to_diagonal)
    accepted = to_upper < 0 and (to_lower < 0 or y < _exp(-(x * x / np.float32(2))))
    return x if accepted else None


def _normal_tail(following: _Words) -> np.float32:
    start = np.float32(_NORMAL.width[1])
    while True:
        x, y = _exponential(following) / start, _exponential(following)
        if 2 * y > x * x:
            return x + start


def _exponential(following: _Words) -> np.float32:
    """An exponential number of mean 1; its tail is the whole over again, further out."""
    shift = np.float32(0)
    while True:
        word = following.next()
        layer = word & 255
        x = _fraction(word) * np.float32(_EXPONENTIAL.width[layer])
        if x < np.float32(_EXPONENTIAL.width[layer + 1]):
            return shift + x
        if layer == 0:
            shift += np.float32(_EXPONENTIAL.width[1])
            continue
        width, height = np.float32(_EXPONENTIAL.width[layer + 1]), np.float32(_EXPONENTIAL.height[layer + 1])
        y, to_diagonal = _EXPONENTIAL.place(layer, x, following.uniform())
        if to_diagonal < 0 and (y - (height + (width - x) * height) < 0 or y < _exp(-x)):
            return x + shift


def state() -> tuple:
    """Where the sequence stands, for `restore`."""
    return _generator.get_state()


def restore(state: tuple) -> None:
    """Go on from a `state` taken earlier."""
    _generator.set_state(state)
