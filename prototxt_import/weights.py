"""Trained weights: the blobs of each layer by name, read from and written to .caffemodel files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from . import wire
from .blobs import blob_array, blob_proto
from .errors import FormatError
from .message import Message
from .schema import near
from .upgrade import NET_FORMATS, net_format, upgrade_net


@dataclass
class LayerWeights:
    """The blobs of one layer.

    Attributes:
        name: the layer's name.
        type: its type, e.g. "LSTM".
        blobs: its blobs in Caffe's order, float32 or float64, in the shapes that the file gives; files of before 2015
            give every blob four axes. Arrays that were read are views of the mapped file: read-only, and neither
            aligned nor, in files with unpacked numbers, contiguous.
    """

    name: str
    type: str
    blobs: list[np.ndarray]


@dataclass
class Weights:
    """The weights of a network, and what their file says about it.

    Attributes:
        name: the network's name.
        layers: the layers that have blobs, in the order of the network.
        net: the definition as a NetParameter in the current form, with all layers but without blobs.
        dialect: "bvlc", "recurrent" or "fork"; which numbering the file is written in.
        format: "V0", "V1" or "current", the form of the definition in a .caffemodel; or the name of another format.
        path: the file they were read from, or "".
        skipped: fields of the file that the schema does not know, and how often they occur.
    """

    name: str
    layers: list[LayerWeights]
    net: Message = field(default_factory=lambda: Message("NetParameter"))
    dialect: str = "bvlc"
    format: str = "current"
    path: str = ""
    skipped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        names = [layer.name for layer in self.layers]
        for name in names:
            if names.count(name) > 1:
                where = f"{self.path}: " if self.path else ""
                raise FormatError(f"{where}{names.count(name)} layers with blobs are called {name!r}; expected one")

    def __getitem__(self, layer_name: str) -> list[np.ndarray]:
        for layer in self.layers:
            if layer.name == layer_name:
                return layer.blobs
        names = [layer.name for layer in self.layers]
        raise KeyError(f"no layer {layer_name!r} with blobs{near(layer_name, names)}")

    def __contains__(self, layer_name: str) -> bool:
        return any(layer.name == layer_name for layer in self.layers)

    @property
    def origin(self) -> str:
        """The kind of file in words; only a .caffemodel has a dialect."""
        return f"{self.format} format, dialect {self.dialect}" if self.format in NET_FORMATS else self.format

    def blobs(self) -> Iterator[tuple[str, np.ndarray]]:
        """(`LAYER/INDEX`, blob) of every blob."""
        for layer in self.layers:
            for index, blob in enumerate(layer.blobs):
                yield f"{layer.name}/{index}", blob


def read_weights(path: str | os.PathLike, dialect: str | None = None) -> Weights:
    """The weights in a .caffemodel of any form (V0, V1, current).

    The file is memory-mapped and only what describes the blobs is read; the blobs are views.

    Args:
        path: the file.
        dialect: "bvlc", "recurrent" or "fork"; by default, what the layers of the file show.

    Raises:
        FormatError: the file is not a .caffemodel, is damaged or contradicts the dialect; two layers with blobs have
            one name; a blob has another number of values than its shape says.
        OSError: the file cannot be read.
    """
    data = wire.map_message(path)
    decoder = wire.net_decoder(data, str(path), dialect)
    stored = decoder.message("NetParameter")
    net = upgrade_net(stored, str(path))
    layers = []
    for layer in net.layer:
        if layer.has("blobs"):
            blobs = [blob_array(blob, f"{path}: layer {layer.name!r}, blob {i}") for i, blob in enumerate(layer.blobs)]
            layers.append(LayerWeights(layer.name, layer.type, blobs))
            layer.clear("blobs")
    return Weights(net.name, layers, net, decoder.dialect, net_format(stored), str(path), decoder.skipped)


def write_weights(path: str | os.PathLike, weights: Weights, dialect: str = "bvlc") -> dict[str, int]:
    """Write a .caffemodel in the current form that Caffe of this dialect reads; whole or not at all.

    Layers that `weights.net` defines are written with their definition, others by name and type alone, which is
    enough for Caffe to load them. Blobs are float32 or float64 and stay so.

    Returns:
        What of the definition the dialect has no field for and was left out, and how often.

    Raises:
        FormatError: a blob is not of a type that Caffe stores, or the file would be larger than Caffe reads.
        OSError: the file cannot be written.
    """
    net = weights.net.copy()
    if weights.name:
        net.name = weights.name
    for layer in weights.layers:
        definition = next((defined for defined in net.layer if defined.name == layer.name), None)
        if definition is None:
            definition = Message("LayerParameter", name=layer.name, type=layer.type)
            net.layer.append(definition)
        definition.blobs = [blob_proto(blob, f"{path}: {layer.name}/{i}") for i, blob in enumerate(layer.blobs)]
    return wire.write_message(path, net, dialect)
