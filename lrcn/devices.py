"""Where networks and the flow are computed, and how precisely."""

import torch

from .errors import Error

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
"""The dtype of the weights for each precision; the products of "tf32" keep ten bits of their factors on a GPU."""


def check_device(device: str) -> None:
    """Raises `Error` for a device that is not here: all but "cpu", "cuda", and "cuda:N" of a GPU that PyTorch finds."""
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda"):
        raise Error(f"device {device!r}: cpu or cuda expected")
    if kind == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        cause = "see why nvidia-smi shows none" if torch.version.cuda else "install a PyTorch that is built with CUDA"
        raise Error(f"device {device!r}: no GPU is found; take cpu, or {cause}")
    if int(number or 0) >= count:
        raise Error(f"device {device!r}: there are {count} GPUs, counted from 0")


def use_precision(precision: str) -> torch.dtype:
    """Set PyTorch for one of `PRECISIONS`, and return the dtype that the weights are to have.

    Of itself PyTorch takes TF32 for the convolutions on a GPU, which is not within the limits of fast numerics.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return PRECISIONS[precision]
