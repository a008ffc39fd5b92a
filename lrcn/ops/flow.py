"""Python face of the flow ops of the C++ extension (csrc/flow)."""

import torch

from .. import _C, devices  # noqa: F401  (loading _C registers the ops)
from ..errors import Error

brox_flow = torch.ops.lrcn.brox_flow
HAS_CUDA = torch._C._dispatch_has_kernel_for_dispatch_key("lrcn::brox_flow", "CUDA")


def check_device(device: str) -> None:
    """An `Error` for a device that is not here, or that `brox_flow` is not built for."""
    devices.check_device(device)
    if device != "cpu" and not HAS_CUDA:
        raise Error(
            f"flow on device {device!r}: lrcn is built without its CUDA kernels; take cpu, or build it again with "
            "FORCE_CUDA=1, which says what is missing"
        )


@torch.library.register_fake("lrcn::brox_flow")
def _(previous, following, *settings):
    warps = torch.library.get_ctx().new_dynamic_size()
    flow = previous.new_empty((*previous.shape[:3], 2), dtype=torch.float32)
    return flow, previous.new_empty((previous.shape[0], warps, 2), dtype=torch.float64)
