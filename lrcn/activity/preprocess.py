"""One frame -> the crops that the networks see, with the bits of the authors' Python code.

The order of the arithmetic and its types are part of the result: values 0..255 become fractions in float64 rounded to
float32; they are multiplied by 255 in float32; the mean is subtracted in float64 and the difference rounded to float32.
All of it works value by value, so it is done once for each of the 256 values of a channel; a frame is looked up in that
table, on the device where it is wanted, and the crops are cut out afterwards.

Not a quirk, but surprising: the red mean is 128.68, where the networks of the time had 123.68. The weights were trained
with it, so it stays whatever `quirks` says.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..resize import resize_image
from .lists import VideoError

QUIRKS = {
    "single_frame_rows_mix_frames": (
        "The single-frame model averages ten crops that are not of one frame: the batch is ordered frame by frame and "
        "read as if it were ordered crop by crop. The mean over the video is the same up to rounding."
    ),
    "lrcn_mirrored_flow_keeps_x": (
        "Mirrored crops of flow images need their horizontal flow negated; the LRCN code leaves it as it is."
    ),
    "single_frame_negates_whole_batch": (
        "The single-frame code negates the horizontal flow of all crops of a batch of 16 frames but the first five, "
        "mirrored or not."
    ),
    "last_clip_repeated": (
        "Every eighth frame starts a clip; each clip that would pass the end is the last 16 frames instead, so that "
        "the last clip is counted twice in most videos."
    ),
}
"""What the released code does by mistake and the published numbers contain: name -> what happens."""


def active_quirks(quirks: str) -> frozenset[str]:
    """The names of the quirks in force: all of `QUIRKS` for "released", none of them for "none"."""
    return {"released": frozenset(QUIRKS), "none": frozenset()}[quirks]


@dataclass(frozen=True)
class Stream:
    """A kind of image and the mean (blue, green, red; of 0..255) that its networks were trained with."""

    name: str
    mean: tuple[float, float, float]


STREAMS = {
    "rgb": Stream("rgb", (103.939, 116.779, 128.68)),
    # Flow images hold horizontal flow, vertical flow and magnitude as red, green and blue; 128 stands for no motion.
    "flow": Stream("flow", (128.0, 128.0, 128.0)),
}

FRAME_SIZE = (240, 320)
"""Rows and columns of UCF101's frames; other sizes are brought to it where the authors' code does so."""

_FRACTIONS = (np.arange(256) / 255).astype(np.float32)


def unit_image(frame: np.ndarray) -> np.ndarray:
    """Frame (rows, columns, RGB) uint8 -> the same in float32, 0..1."""
    return _FRACTIONS[frame]


def caffe_image(image: np.ndarray, stream: Stream) -> np.ndarray:
    """Image (rows, columns, RGB) float32 in 0..1 -> (BGR, rows, columns) float32 in 0..255 minus the stream's mean."""
    result = image.transpose(2, 0, 1)[::-1] * np.float32(255)
    result -= np.array(stream.mean)[:, None, None]
    return result


def ten_crops(frame: np.ndarray | Tensor, stream: Stream, size: int, negated_from: int = 10) -> Tensor:
    """The four corners, the centre, and the mirror images of these: (10, 3, size, size) float32, where the frame is.

    A frame (rows, columns, RGB; uint8) of fewer than 240 rows is first resized to 240x320.
    In crops `negated_from` and on, the first channel (the horizontal flow of a flow image) is negated: x becomes 1 - x.
    """
    wanted_size = FRAME_SIZE if frame.shape[0] < FRAME_SIZE[0] else tuple(frame.shape[:2])
    crops = _cut_ten(_planes(frame, stream, wanted_size, is_negated=negated_from == 0), size)
    if 0 < negated_from < 10:
        crops[negated_from:] = _cut_ten(_planes(frame, stream, wanted_size, is_negated=True), size)[negated_from:]
    return crops


def center_crop(frame: np.ndarray | Tensor, stream: Stream, size: int) -> Tensor:
    """The centre of a frame: (3, size, size). A frame of another size than 240x320 is first resized to it."""
    planes = _planes(frame, stream, FRAME_SIZE)
    _check_size(*FRAME_SIZE, size)
    top, left = ((length - size) // 2 for length in FRAME_SIZE)
    return planes[:, top : top + size, left : left + size]


def _planes(
    frame: np.ndarray | Tensor, stream: Stream, wanted_size: tuple[int, int], is_negated: bool = False
) -> Tensor:
    """`caffe_image` of a frame (rows, columns, RGB) uint8, resized if it has not the wanted size."""
    frame = frame if isinstance(frame, Tensor) else torch.from_numpy(np.ascontiguousarray(frame))
    if tuple(frame.shape[:2]) == wanted_size:
        bytes_by_plane = frame.permute(2, 0, 1).flip(0)
        table = value_table(stream, is_negated, frame.device)
        return table.gather(1, bytes_by_plane.flatten(1).long()).view(bytes_by_plane.shape)
    image = resize_image(unit_image(frame.cpu().numpy()), wanted_size)
    if is_negated:
        image[..., 0] = 1 - image[..., 0]
    return torch.from_numpy(caffe_image(image, stream)).to(frame.device)


@cache
def value_table(stream: Stream, is_negated: bool, device: torch.device | str) -> Tensor:
    """What `caffe_image` makes of the 256 values of a byte in each plane: (BGR, 256); negated, red is 1 - x before."""
    image = np.repeat(_FRACTIONS[:, None, None], 3, axis=2)
    if is_negated:
        image[..., 0] = 1 - image[..., 0]
    return torch.from_numpy(caffe_image(image, stream)[..., 0]).to(device)


def _cut_ten(image: Tensor, size: int) -> Tensor:
    _, rows, columns = image.shape
    _check_size(rows, columns, size)
    places = [(top, left) for top in (0, rows - size) for left in (0, columns - size)]
    places.append(((rows - size) // 2, (columns - size) // 2))
    crops = torch.stack([image[:, top : top + size, left : left + size] for top, left in places])
    return torch.cat([crops, crops.flip(-1)])


def _check_size(rows: int, columns: int, size: int) -> None:
    if min(rows, columns) < size:
        raise VideoError(f"frames of {columns}x{rows} are too small for crops of {size}x{size}")
