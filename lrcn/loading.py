"""Putting the blobs of a weights file into a network, with nothing left unsaid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from prototxt_import import Weights

from .errors import Error

LEGACY_AXES = 4


@dataclass
class LoadReport:
    """What loading a weights file did, layer by layer.

    Attributes:
        source (str): the file, its format and dialect.
        loaded (list[str]): layers whose blobs were taken from the file.
        unused (list[str]): layers that the file has and the network lacks.
        missing (list[str]): layers with blobs that the network has and the file lacks; they keep their initial values.
    """

    source: str = "no weights"
    loaded: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.source]
        for title in ("loaded", "unused", "missing"):
            names = getattr(self, title)
            lines.append(f"  {title}: {', '.join(names) if names else 'none'}")
        return "\n".join(lines)


def load(
    blobs: Mapping[str, Sequence[nn.Parameter]], weights: Weights, source: str | Path, allow_missing: bool
) -> LoadReport:
    """Copy the blobs of `weights` into the parameters of the layers of the same names, as Caffe matches them.

    Args:
        blobs (Mapping): the parameters of each layer, in Caffe's order; layers without any are left out.
        weights (Weights): what the file holds.
        source (str | Path): the file's name, for messages.
        allow_missing (bool): whether layers that the file lacks may keep their initial values.

    Raises:
        Error: a layer is missing, has another number of blobs or a blob of another shape, or a blob is not finite.
    """
    report = LoadReport(f"{source} ({weights.origin})")
    report.unused = [layer.name for layer in weights.layers if layer.blobs and layer.name not in blobs]
    found = {blob for name, parameters in blobs.items() if name in weights for blob in parameters}
    # A layer all of whose blobs are another layer's may be left out, as in Caffe's HDF5.
    report.missing = [name for name, parameters in blobs.items() if name not in weights and not found >= {*parameters}]
    if report.missing and not allow_missing:
        raise Error(
            f"{source} has no weights for {_quoted(report.missing)}; "
            f"it has {_quoted(layer.name for layer in weights.layers)}. "
            "Is this the network that the weights were trained for? Net(..., allow_missing=True) keeps initial values"
        )
    for name, parameters in blobs.items():
        if name in weights:
            _load_layer(name, parameters, weights[name], source)
            report.loaded.append(name)
    return report


def _load_layer(
    name: str, parameters: Sequence[nn.Parameter], arrays: Sequence[np.ndarray], source: str | Path
) -> None:
    if len(arrays) != len(parameters):
        raise Error(
            f"{source}: layer {name!r} has {len(arrays)} blobs where the network has {len(parameters)}, "
            f"of shapes {[tuple(p.shape) for p in parameters]}"
        )
    for index, (parameter, array) in enumerate(zip(parameters, arrays, strict=True)):
        shape = tuple(parameter.shape)
        # Older files hold every blob with four axes, the front ones being 1.
        legacy = (1,) * (LEGACY_AXES - len(shape)) + shape
        if array.shape not in (shape, legacy):
            raise Error(
                f"{source}: layer {name!r}, blob {index} has shape {array.shape}, the network needs {shape}; "
                "the weights belong to another network"
            )
        values = torch.from_numpy(array.astype(np.float32).reshape(shape))
        if not torch.isfinite(values).all():
            position = tuple((~torch.isfinite(values)).nonzero()[0].tolist())
            raise Error(
                f"{source}: layer {name!r}, blob {index} holds {values[position].item()} at {position}; "
                "the weights are damaged, or their training diverged"
            )
        with torch.no_grad():
            parameter.copy_(values)


def _quoted(names) -> str:
    return ", ".join(repr(name) for name in names) or "none"
