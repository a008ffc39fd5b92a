"""Initial values of parameters, as the `weight_filler` and `bias_filler` of a layer ask for them.

Caffe's distributions, drawn from its generator in its order (see `lrcn.random`), so that a network that begins with
`random_seed` begins with the values that Caffe gives it.
"""

import math

import numpy as np
import torch
from torch import Tensor

from prototxt_import import Message

from . import random
from .errors import Error


def fill(blob: Tensor, filler: Message) -> None:
    """Give a blob its initial values.

    | type | values |
    |---|---|
    | constant | `value` |
    | uniform | between `min` and `max` |
    | gaussian | normal with `mean` and `std`; with `sparse` S, all but S in a column, on average, are 0 |
    | xavier | uniform within sqrt(3 / n) (Glorot and Bengio, 2010) |
    | msra | normal with standard deviation sqrt(2 / n) (He et al., 2015) |
    | positive_unitball | uniform, positive; the values of each output sum to 1 |
    | bilinear | the weights of bilinear upsampling, for square filters |

    n is the number of inputs of an output (`FAN_IN`), of outputs of an input (`FAN_OUT`), or their mean (`AVERAGE`), as
    `variance_norm` says.

    Args:
        blob (Tensor): filled in place; its first axis is that of the outputs, its second that of the inputs.
        filler (Message): the FillerParameter.

    Raises:
        Error: a type that is not known, or settings or a shape that do not go with it.
    """
    if filler.type not in _FILLERS:
        raise Error(f"filler {filler.type!r} is not known; {', '.join(_FILLERS)} are")
    if filler.sparse != -1 and filler.type != "gaussian":
        raise Error(f"filler {filler.type!r} cannot be sparse, found sparse: {filler.sparse}; only gaussian can")
    values = _FILLERS[filler.type](tuple(blob.shape), filler)
    with torch.no_grad():
        blob.copy_(torch.from_numpy(np.asarray(values, np.float32)))


def _draw_uniform(shape: tuple[int, ...], low: np.float32, high: np.float32) -> np.ndarray:
    """Numbers from `low` to `high`, both included."""
    return random.uniform(low, np.nextafter(high, np.float32(np.inf)), shape)


def _constant(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    return np.full(shape, filler.value)


def _uniform(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    if filler.min > filler.max:
        raise Error(f"filler 'uniform': min {filler.min} is greater than max {filler.max}")
    return _draw_uniform(shape, np.float32(filler.min), np.float32(filler.max))


def _gaussian(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    if filler.std <= 0:
        raise Error(f"filler 'gaussian': std must be positive, {filler.std} was found")
    values = random.normal(filler.mean, filler.std, shape)
    if filler.sparse == -1:
        return values
    if not 0 <= filler.sparse <= shape[0]:
        raise Error(f"filler 'gaussian': sparse must be from 0 to the {shape[0]} outputs, {filler.sparse} was found")
    return values * random.bernoulli(filler.sparse / shape[0], shape)


def _xavier(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    limit = np.sqrt(np.float32(3) / _fan(shape, filler))
    return _draw_uniform(shape, -limit, limit)


def _msra(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    return random.normal(0, np.sqrt(np.float32(2) / _fan(shape, filler)), shape)


def _positive_unitball(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    values = _draw_uniform(shape, np.float32(0), np.float32(1)).reshape(shape[0], -1)
    sums = np.add.accumulate(values, axis=1)[:, -1:]  # one after the other, as Caffe adds
    return (values / sums).reshape(shape)


def _bilinear(shape: tuple[int, ...], filler: Message) -> np.ndarray:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise Error(f"filler 'bilinear' is for square filters, shape (O, I, K, K), but the blob has shape {shape}")
    factor = math.ceil(shape[3] / 2)
    centre = (shape[3] - 1) / (2 * factor)
    weights = 1 - np.abs(np.arange(shape[3]) / factor - centre)
    return np.broadcast_to(np.outer(weights, weights), shape)


def _fan(shape: tuple[int, ...], filler: Message) -> np.float32:
    count = math.prod(shape)
    fan_in, fan_out = count // shape[0], count // (shape[1] if len(shape) > 1 else 1)
    return np.float32({"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[filler.variance_norm])


_FILLERS = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "xavier": _xavier,
    "msra": _msra,
    "positive_unitball": _positive_unitball,
    "bilinear": _bilinear,
}
