"""One frame -> the crops that the networks see, with the bits of the authors' Python code.

The order of the arithmetic and its types are part of the result: values 0..255 become fractions in float64 rounded to
float32; they are multiplied by 255 in float32; the mean is subtracted in float64 and the difference rounded to float32.
All of it works value by value, so it is done once per frame and the crops are cut out afterwards.

Not a quirk, but surprising: the red mean is 128.68, where the networks of the time had 123.68. The weights were trained
with it, so it stays whatever `quirks` says.
"""

from dataclasses import dataclass

import numpy as np

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


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Image (rows, columns, 3) float32 -> (size[0], size[1], 3): bilinear about pixel centres, edges repeated.

    As pycaffe does it with scikit-image: the values are stretched to 0..1, interpolated in float64, and put back.
    """
    low, high = image.min(), image.max()
    if low == high:
        return np.full((*size, image.shape[2]), low, np.float32)
    stretched = ((image - low) / (high - low)).astype(np.float64)
    above, below, down = _neighbours(image.shape[0], size[0])
    left, right, along = _neighbours(image.shape[1], size[1])
    down, along = down[:, None, None], along[:, None]
    rows = (1 - along) * stretched.take(left, axis=1) + along * stretched.take(right, axis=1)
    resized = (1 - down) * rows.take(above, axis=0) + down * rows.take(below, axis=0)
    return (resized * (high - low) + low).astype(np.float32)


def _neighbours(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `new` positions along an axis of `old` pixels: the pixels before and after, and the way between."""
    position = old / new * (np.arange(new) + 0.5) - 0.5
    before = np.floor(position)
    return (
        np.clip(before, 0, old - 1).astype(int),
        np.clip(before + 1, 0, old - 1).astype(int),
        position - before,
    )


def caffe_image(image: np.ndarray, stream: Stream) -> np.ndarray:
    """Image (rows, columns, RGB) float32 in 0..1 -> (BGR, rows, columns) float32 in 0..255 minus the stream's mean."""
    result = image.transpose(2, 0, 1)[::-1] * np.float32(255)
    result -= np.array(stream.mean)[:, None, None]
    return result


def ten_crops(frame: np.ndarray, stream: Stream, size: int, negated_from: int = 10) -> np.ndarray:
    """The four corners, the centre, and the mirror images of these: (10, 3, size, size) float32.

    A frame (rows, columns, RGB; uint8) of fewer than 240 rows is first resized to 240x320.
    In crops `negated_from` and on, the first channel (the horizontal flow of a flow image) is negated: x becomes 1 - x.
    """
    image = unit_image(frame)
    if image.shape[0] < FRAME_SIZE[0]:
        image = resize_image(image, FRAME_SIZE)
    crops = _cut_ten(caffe_image(image, stream), size)
    if negated_from < 10:
        image[..., 0] = 1 - image[..., 0]
        crops[negated_from:] = _cut_ten(caffe_image(image, stream), size)[negated_from:]
    return crops


def _cut_ten(image: np.ndarray, size: int) -> np.ndarray:
    _, rows, columns = image.shape
    _check_size(rows, columns, size)
    corners = [(top, left) for top in (0, rows - size) for left in (0, columns - size)]
    corners.append(((rows - size) // 2, (columns - size) // 2))
    crops = np.empty((10, 3, size, size), np.float32)
    for index, (top, left) in enumerate(corners):
        crops[index] = image[:, top : top + size, left : left + size]
    crops[5:] = crops[:5, :, :, ::-1]
    return crops


def center_crop(frame: np.ndarray, stream: Stream, size: int) -> np.ndarray:
    """The centre of a frame: (3, size, size) float32. A frame of another size than 240x320 is first resized to it."""
    image = unit_image(frame)
    if image.shape[:2] != FRAME_SIZE:
        image = resize_image(image, FRAME_SIZE)
    _check_size(*FRAME_SIZE, size)
    top, left = ((length - size) // 2 for length in FRAME_SIZE)
    return caffe_image(image[top : top + size, left : left + size], stream)


def _check_size(rows: int, columns: int, size: int) -> None:
    if min(rows, columns) < size:
        raise VideoError(f"frames of {columns}x{rows} are too small for crops of {size}x{size}")
