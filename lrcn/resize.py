"""Resizing images as the authors' Python code does."""

import numpy as np


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Image (rows, columns, 3) float32 -> (size[0], size[1], 3): bilinear about pixel centres.

    As pycaffe does it with scikit-image: the values are stretched to 0..1, interpolated in float64, and put back; what
    lies beyond the edges of the image is 0 then, so that a larger image is a little darker in its outermost pixels.
    """
    low, high = image.min(), image.max()
    if low == high:
        return np.full((*size, image.shape[2]), low, np.float32)
    stretched = ((image - low) / (high - low)).astype(np.float64)
    rows = sum(stretched.take(pixel, axis=0) * weight[:, None, None] for pixel, weight in _share(len(image), size[0]))
    resized = sum(rows.take(pixel, axis=1) * weight[:, None] for pixel, weight in _share(image.shape[1], size[1]))
    return (resized * (high - low) + low).astype(np.float32)


def _share(old: int, new: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each of `new` positions along an axis of `old` pixels: the pixels before and after, and their weights."""
    position = old / new * (np.arange(new) + 0.5) - 0.5
    before = np.floor(position)
    weighted = ((before, before + 1 - position), (before + 1, position - before))
    return [
        (np.clip(pixel, 0, old - 1).astype(int), np.where((pixel >= 0) & (pixel < old), weight, 0))
        for pixel, weight in weighted
    ]
