"""The layer types of Caffe, one class for each, found by their names in `LAYERS`."""

from . import (
    arithmetic,
    convolution,
    data,
    inner_product,
    input,
    loss,
    neuron,
    normalization,
    pooling,
    recurrent,
    shape,
)
from .base import LAYERS, Layer
from .input import Source

__all__ = [
    "LAYERS",
    "Layer",
    "Source",
    "arithmetic",
    "convolution",
    "data",
    "inner_product",
    "input",
    "loss",
    "neuron",
    "normalization",
    "pooling",
    "recurrent",
    "shape",
]
