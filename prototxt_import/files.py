"""Network definitions, solver settings and mean images, read from and written to files."""

import os
from pathlib import Path

import numpy as np

from . import text, wire
from .blobs import blob_array, blob_proto
from .errors import FormatError
from .message import Message
from .replace import replacing
from .upgrade import upgrade_net, upgrade_solver


def parse_net(source: str, name: str = "<string>") -> Message:
    """The NetParameter that the text of a prototxt defines, in the current form (see `read_net`).

    Args:
        source: the text.
        name: stands for the file in errors.

    Raises:
        FormatError: with `name:line:column`.
    """
    return upgrade_net(text.parse(source, "NetParameter", name), name)


def read_net(path: str | os.PathLike, dialect: str | None = None) -> Message:
    """The network that a prototxt defines; from a .caffemodel, its definition without blobs.

    Whatever form it is written in, V0, V1 or current, it comes in the current one: layers in `layer`, with types by
    name and one `param` per blob, inputs as one layer "input" of type Input.

    Args:
        path: the file.
        dialect: of a .caffemodel, as for `read_weights`.

    Raises:
        FormatError: with the line and column, or the byte offset.
        OSError: the file cannot be read.
    """
    if wire.is_text(wire.map_file(path)):
        return parse_net(_read_text(path), str(path))
    decoder = wire.net_decoder(wire.map_message(path), str(path), dialect)
    return upgrade_net(decoder.message("NetParameter", leave_out=frozenset({"blobs"})), str(path))


def format_net(net: Message) -> str:
    """The text of a prototxt that `parse_net` and Caffe read."""
    return text.format_message(net)


def write_net(path: str | os.PathLike, net: Message) -> None:
    """Write a definition as prototxt; whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(format_net(net), encoding="utf-8")


def read_solver(path: str | os.PathLike) -> Message:
    """The SolverParameter of a solver prototxt, with `type` by name and inline networks in the current form.

    Raises:
        FormatError: with the line and column.
        OSError: the file cannot be read.
    """
    return upgrade_solver(text.parse(_read_text(path), "SolverParameter", str(path)), str(path))


def read_mean(path: str | os.PathLike) -> np.ndarray:
    """The mean image of a .binaryproto: (channels, height, width), float32 or float64.

    Raises:
        FormatError: the file is damaged or holds something else than one image.
        OSError: the file cannot be read.
    """
    mean = blob_array(wire.read_message(path, "BlobProto"), str(path))
    if mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim != 3:
        raise FormatError(f"{path}: expected one image of shape (channels, height, width), found shape {mean.shape}")
    return mean


def write_mean(path: str | os.PathLike, mean: np.ndarray) -> None:
    """Write a mean image (channels, height, width), float32 or float64, as the .binaryproto that Caffe reads."""
    if mean.ndim != 3:
        raise ValueError(f"expected a mean of shape (channels, height, width), found shape {mean.shape}")
    proto = blob_proto(mean, str(path))
    proto.clear("shape")
    proto.num, (proto.channels, proto.height, proto.width) = 1, mean.shape
    wire.write_message(path, proto)


def _read_text(path: str | os.PathLike) -> str:
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = data[error.start]
        raise FormatError(f"{path}: byte {error.start}: expected text in UTF-8, found {found:#04x}") from None
