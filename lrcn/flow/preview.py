"""A picture of flow beside the frames that it was computed from."""

import io
from itertools import islice, pairwise
from pathlib import Path

from matplotlib.figure import Figure

from prototxt_import import replacing

from .clips import Clip
from .encoding import colour_flow, encode_flow
from .methods import Method, compute_flow

ROWS = 3
COLUMNS = ("frame", "next frame", "flow, colour wheel", "x", "y", "magnitude")


def write_preview(clip: Clip, picture: Path, method: str | Method = "brox", rows: int = ROWS) -> None:
    """Write a PNG: some pairs of frames, ten frames apart where there are as many, each in a row of COLUMNS."""
    pairs = list(islice(pairwise(clip.frames()), 10 * rows))
    pairs = pairs[:: max(len(pairs) // rows, 1)][:rows]
    height, width = pairs[0][0].shape[:2]
    figure = Figure(figsize=(2 * len(COLUMNS), 2 * len(pairs) * height / width + 0.35), layout="constrained")
    axes = figure.subplots(len(pairs), len(COLUMNS), squeeze=False)
    for row, (previous, following) in zip(axes, pairs, strict=True):
        flow = compute_flow(previous, following, method)
        channels = encode_flow(flow).transpose(2, 0, 1)
        for place, image in zip(row, [previous, following, colour_flow(flow), *channels], strict=True):
            place.imshow(image, cmap="gray", vmin=0, vmax=255)
            place.set_axis_off()
    for place, title in zip(axes[0], COLUMNS, strict=True):
        place.set_title(title, fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    with replacing(picture) as partial:
        partial.write_bytes(content.getvalue())
