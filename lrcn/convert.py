"""Weights between the files of Caffe and those of PyTorch.

| suffix | what is in the file |
|---|---|
| .caffemodel | Caffe's binary: definition and blobs |
| .h5 | Caffe's HDF5: the data set `data/LAYER/INDEX` for each blob |
| .safetensors | the tensor `LAYER/INDEX` for each blob; the definition as prototxt in the metadata |
| .pt | a dict from `LAYER/INDEX` to tensor, for `torch.load(path, weights_only=True)` |
| .prototxt | the definition without blobs |

No conversion changes a bit of a blob, or its type, float32 or float64.
"""

import os
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import safetensors
import safetensors.numpy
import torch

from prototxt_import import (
    FormatError,
    LayerWeights,
    Message,
    Weights,
    format_net,
    parse_net,
    read_weights,
    replacing,
    write_net,
    write_weights,
)

from .errors import Error

# Types of layers that learn; Scale and Bias do unless a second bottom takes the place of their blob.
_LEARNING_TYPES = {
    "BatchNorm",
    "Convolution",
    "Deconvolution",
    "Embed",
    "InnerProduct",
    "LSTM",
    "PReLU",
    "Parameter",
    "RNN",
}
_LEARNING_WITH_ONE_BOTTOM = {"Bias", "Scale"}

_DEFINITION = "prototxt"  # the key of the definition in the metadata of a safetensors file


def load_weights(path: str | os.PathLike, dialect: str | None = None) -> Weights:
    """The weights in a file of any kind but .prototxt; the content decides which, not the name.

    Blobs of a .caffemodel are views of the mapped file, see `prototxt_import.read_weights`. The `format` of weights
    from other files is "HDF5", "safetensors" or "PyTorch". HDF5 and .pt say nothing of the definition, so `net` is
    empty and types are "".

    Args:
        path: the file.
        dialect: of a .caffemodel: "bvlc", "recurrent" or "fork"; by default, what its layers show.

    Raises:
        FormatError: the file is damaged or does not hold weights.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        beginning = file.read(9)
    if beginning.startswith(b"\x89HDF"):
        return _read_hdf5(path)
    if beginning.startswith(b"PK"):
        return _read_pt(path)
    if beginning[8:] == b"{":  # after the length of the header
        return _read_safetensors(path)
    return read_weights(path, dialect)


def save_weights(path: str | os.PathLike, weights: Weights, dialect: str = "bvlc") -> dict[str, int]:
    """Write weights to a file of the kind that its suffix names (see the table above); whole or not at all.

    Args:
        path: the file to write.
        weights: what to write.
        dialect: of a .caffemodel: "bvlc", "recurrent" or "fork".

    Returns:
        What of the definition a .caffemodel of the dialect has no field for and was left out, and how often.

    Raises:
        lrcn.Error: the suffix is none of the table.
        FormatError: a blob is of a type that the format does not store.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix == ".caffemodel":
        return write_weights(path, weights, dialect)
    if path.suffix not in _WRITERS:
        suffixes = ", ".join([".caffemodel", *_WRITERS])
        raise Error(f"{path}: expected a name that ends in one of {suffixes}, found {path.suffix or 'no suffix'!r}")
    _WRITERS[path.suffix](path, weights)
    return {}


def restrict_to_net(weights: Weights, net: Message) -> tuple[Weights, list[str]]:
    """The weights of the layers that a network has, in its order and with its definition.

    Args:
        weights: the weights of another definition of the network, or of none.
        net: a NetParameter in the current form.

    Returns:
        The weights, and the names of the layers that `net` does not have and that are left out.

    Raises:
        lrcn.Error: a layer of `net` that learns has no weights.
    """
    names = list(dict.fromkeys(layer.name for layer in net.layer))
    unused = [layer.name for layer in weights.layers if layer.name not in names]
    missing = [layer.name for layer in net.layer if _learns(layer) and layer.name not in weights]
    if missing:
        raise Error(
            f"{weights.path or 'the weights'}: no blobs for {', '.join(missing)} of the network {net.name!r}; "
            f"the file has, and the network lacks, {', '.join(unused) or 'nothing'}; is this the right prototxt?"
        )
    types = {layer.name: layer.type for layer in net.layer}
    layers = [LayerWeights(name, types[name], weights[name]) for name in names if name in weights]
    return replace(weights, name=net.name, layers=layers, net=net), unused


def describe(weights: Weights) -> str:
    """A table of the layers with the shape and type of number of each blob, under a line on the whole file."""
    size = sum(blob.nbytes for _, blob in weights.blobs())
    lines = [f"{weights.path}: network {weights.name!r}, {weights.origin}, {size:,} bytes in blobs"]
    types = {layer.name: layer.type for layer in [*weights.net.layer, *weights.layers]}
    blobs_by_layer = {layer.name: layer.blobs for layer in weights.layers}
    rows = [("layer", "type", "blob", "shape", "number")]
    for name, layer_type in types.items():
        blobs = blobs_by_layer.get(name, [])
        rows += [(name, layer_type, str(i), _shape(blob.shape), str(blob.dtype)) for i, blob in enumerate(blobs)]
        if not blobs:
            rows.append((name, layer_type, "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"not known to the schema, skipped: {what} ({count} times)" for what, count in weights.skipped.items()]
    return "\n".join(lines)


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _learns(layer: Message) -> bool:
    return layer.type in _LEARNING_TYPES or (layer.type in _LEARNING_WITH_ONE_BOTTOM and len(layer.bottom) == 1)


def _read_hdf5(path: Path) -> Weights:
    blobs = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            _check_number(path, name, item.dtype, (np.float32, np.float64))
            blobs[name] = item[()]

    try:
        with h5py.File(path) as file:
            if "data" not in file or not isinstance(file["data"], h5py.Group):
                raise FormatError(f"{path}: expected the group `data` of Caffe's HDF5 weights, found {sorted(file)}")
            file["data"].visititems(collect)
    except (OSError, RuntimeError) as error:
        raise FormatError(f"{path}: not a readable HDF5 file: {error}") from error
    return _grouped(path, "HDF5", blobs)


def _read_safetensors(path: Path) -> Weights:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            names = list(file.keys())
            for name in names:
                _check_number(path, name, file.get_slice(name).get_dtype(), ("F32", "F64"))
            blobs = {name: file.get_tensor(name) for name in names}
            definition = (file.metadata() or {}).get(_DEFINITION, "")
    except safetensors.SafetensorError as error:
        raise FormatError(f"{path}: not a readable safetensors file: {error}") from error
    return _grouped(path, "safetensors", blobs, parse_net(definition, f"{path}, {_DEFINITION}"))


def _read_pt(path: Path) -> Weights:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise FormatError(f"{path}: not a file of tensors that torch.load reads with weights_only=True") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise FormatError(f"{path}: expected a dict of tensors named LAYER/INDEX")
    for name, tensor in tensors.items():
        _check_number(path, name, tensor.dtype, (torch.float32, torch.float64))
    return _grouped(path, "PyTorch", {name: tensor.numpy() for name, tensor in tensors.items()})


def _check_number(path: Path, name: str, found: object, expected: tuple) -> None:
    if found not in expected:
        raise FormatError(f"{path}: {name} is of type {found}; expected float32 or float64, as Caffe stores")


def _grouped(path: Path, kind: str, blobs: dict[str, np.ndarray], net: Message | None = None) -> Weights:
    """The weights made of blobs called LAYER/INDEX."""
    net = net or Message("NetParameter")
    types = {layer.name: layer.type for layer in net.layer}
    by_layer: dict[str, dict[str, np.ndarray]] = {name: {} for name in types}
    for name, blob in blobs.items():
        layer_name, _, index = str(name).rpartition("/")
        by_layer.setdefault(layer_name, {})[index] = blob
    layers = []
    for name, numbered in by_layer.items():
        expected = [str(index) for index in range(len(numbered))]
        if set(numbered) != set(expected) or not name:
            raise FormatError(f"{path}: expected blobs called LAYER/INDEX with indices from 0, found {sorted(blobs)}")
        if numbered:
            layers.append(LayerWeights(name, types.get(name, ""), [numbered[index] for index in expected]))
    return Weights(net.name, layers, net, format=kind, path=str(path))


def _write_hdf5(path: Path, weights: Weights) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_group("data")
        for name, blob in weights.blobs():
            data[name] = blob


def _write_safetensors(path: Path, weights: Weights) -> None:
    blobs = {name: np.asarray(blob, order="C") for name, blob in weights.blobs()}
    content = safetensors.numpy.save(blobs, {_DEFINITION: format_net(weights.net)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _write_pt(path: Path, weights: Weights) -> None:
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save({name: torch.from_numpy(np.array(blob)) for name, blob in weights.blobs()}, file)


def _write_prototxt(path: Path, weights: Weights) -> None:
    if not weights.net.has("layer"):
        raise Error(f"{weights.path}: {weights.format} weights hold no definition of the network to write")
    write_net(path, weights.net)


_WRITERS: dict[str, Callable[[Path, Weights], None]] = {
    ".h5": _write_hdf5,
    ".safetensors": _write_safetensors,
    ".pt": _write_pt,
    ".prototxt": _write_prototxt,
}
