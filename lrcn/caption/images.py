"""An image file -> what the image net sees, with the bits of the authors' Python code."""

import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from ..errors import Error
from ..image_files import decode_file
from ..resize import resize_image

MEAN = (104.0, 117.0, 123.0)
"""Blue, green, red, subtracted from values 0..255."""

_EDGE_RATIO = (256 - 227) / 256 / 2
"""What is cut off on each side, as a part of the side: the nets were trained on crops of 227 from 256."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif")


def find_images(paths: Iterable[str | os.PathLike]) -> list[Path]:
    """The files named, and for each folder the images in it by name.

    Raises:
        Error: a path that is not there, a folder without images.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise Error(f"{path}: the folder has no images ({', '.join(IMAGE_SUFFIXES)})")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise Error(f"{path}: no such file or folder; images were expected")
    return found


def load_image(path: str | os.PathLike) -> np.ndarray:
    """An image file as (rows, columns, RGB) uint8.

    Grey images have three equal channels, transparent ones lie on white, 16 bits become 8. (The authors' code takes PNG
    values as 0..1 by mistake and stops at transparency; here every file has values 0..255.)

    Raises:
        Error: a file that is not there, cannot be decoded, or has other than 8 or 16 bits.
    """
    image = decode_file(path, cv2.IMREAD_UNCHANGED)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise Error(f"{path}: an image of 8 or 16 bits per channel was expected, {image.dtype} was found")
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:] / 255
        image = np.rint(image[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(image[:, :, ::-1])


def prepare(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Image (rows, columns, RGB) uint8 -> (BGR, *size) float32 in 0..255 minus the mean.

    The edges are cut off by the same ratio on all sides, rounded half up, and the rest is resized to `size`.
    """
    top, left = (int(length * _EDGE_RATIO + 0.5) for length in image.shape[:2])
    centre = image[top : image.shape[0] - top, left : image.shape[1] - left].astype(np.float32)
    if centre.shape[:2] != size:
        centre = resize_image(centre, size)
    result = centre.transpose(2, 0, 1)[::-1].copy()
    result -= np.array(MEAN)[:, None, None]
    return result
