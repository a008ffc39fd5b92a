"""The arithmetic of the layers, twice: `exact` has the bits of Caffe on a CPU, `fast` uses PyTorch's own kernels.

Both modules offer the same functions with the same arguments; a network picks one of them when it is built and its
layers do not know which. Tensors are laid out as Caffe's blobs: images (N, C, H, W), sequences (T, N, ...).

`lstm` and `lstm_step`, the fused LSTM, are of use by themselves.
"""

from types import ModuleType

from ..errors import Error
from . import exact, fast
from .fused_lstm import lstm, lstm_step

__all__ = ["NUMERICS", "lstm", "lstm_step", "numerics"]

NUMERICS = {"exact": exact, "fast": fast}


def numerics(name: str) -> ModuleType:
    """The module of the given name, "exact" or "fast"; an `Error` for any other."""
    if name not in NUMERICS:
        raise Error(f"numerics {name!r} is not known: one of {', '.join(NUMERICS)} expected")
    return NUMERICS[name]
