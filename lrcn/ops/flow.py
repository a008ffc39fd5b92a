"""Python face of the flow ops of the C++ extension (csrc/flow)."""

import torch

from .. import _C  # noqa: F401  (loading it registers the ops)

brox_flow = torch.ops.lrcn.brox_flow


@torch.library.register_fake("lrcn::brox_flow")
def _(previous, following, *settings):
    warps = torch.library.get_ctx().new_dynamic_size()
    flow = previous.new_empty((*previous.shape[:3], 2), dtype=torch.float32)
    return flow, previous.new_empty((previous.shape[0], warps, 2), dtype=torch.float64)
