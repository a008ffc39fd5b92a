"""Blobs: arrays of numbers as Caffe stores them."""

import math

import numpy as np

from .errors import FormatError
from .message import Message

_MOST_AXES = 32  # of a blob in Caffe


def blob_array(blob: Message, place: str) -> np.ndarray:
    """The numbers of a BlobProto in its shape, float32 or float64; a view.

    As in Caffe, the older four axes come before `shape`, and doubles before floats, where a blob has both.

    Raises:
        FormatError: naming `place`; the shape is impossible or does not match the number of values.
    """
    if any(blob.has(axis) for axis in ("num", "channels", "height", "width")):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    else:
        shape = tuple(blob.shape.dim)
    values = blob.double_data if blob.has("double_data") else blob.data
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise FormatError(f"{place}: shape {shape}; expected at most {_MOST_AXES} axes, none negative")
    if math.prod(shape) != len(values):
        raise FormatError(f"{place}: shape {shape} has {math.prod(shape)} values; found {len(values)}")
    return values.reshape(shape)


def blob_proto(blob: np.ndarray, place: str) -> Message:
    """The BlobProto of an array, float32 or float64.

    Raises:
        FormatError: naming `place`; the array has another type.
    """
    if blob.dtype not in (np.float32, np.float64):
        raise FormatError(f"{place}: expected float32 or float64, which Caffe stores, found {blob.dtype}")
    proto = Message("BlobProto", shape=Message("BlobShape", dim=blob.shape))
    setattr(proto, "data" if blob.dtype == np.float32 else "double_data", blob)
    return proto
