"""Python face of the flow ops of the C++ extension (csrc/flow)."""

import torch

from .. import _C  # noqa: F401  (loading it registers the ops)
from ..errors import Error

brox_flow = torch.ops.lrcn.brox_flow
HAS_CUDA = torch._C._dispatch_has_kernel_for_dispatch_key("lrcn::brox_flow", "CUDA")


def check_device(device: str) -> None:
    """An `Error` for a device that `brox_flow` cannot run on: anything but "cpu", and "cuda" where there is a GPU."""
    kind = device.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise Error(f"flow on device {device!r}: cpu or cuda expected")
    if kind == "cuda" and not HAS_CUDA:
        raise Error(
            f"flow on device {device!r}: lrcn is built without its CUDA kernels; take cpu, or build it again with "
            "FORCE_CUDA=1, which says what is missing"
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise Error(f"flow on device {device!r}: no GPU is found; take cpu, or see why nvidia-smi shows none")


@torch.library.register_fake("lrcn::brox_flow")
def _(previous, following, *settings):
    warps = torch.library.get_ctx().new_dynamic_size()
    flow = previous.new_empty((*previous.shape[:3], 2), dtype=torch.float32)
    return flow, previous.new_empty((previous.shape[0], warps, 2), dtype=torch.float64)
