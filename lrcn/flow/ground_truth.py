"""Measured flow to compare with, as the KITTI data set stores it."""

from pathlib import Path

import numpy as np

from ..errors import Error
from ..video import read_image_file


def read_ground_truth(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Flow (height, width, 2) float64 in pixels, and where it was measured, (height, width) bool.

    The file is a PNG of 16 bits: x and y as (value - 2^15) / 64, and validity. Raises `Error` for another file.
    """
    image = read_image_file(Path(path), keep_depth=True)
    if image.dtype != np.uint16 or image.ndim != 3:
        raise Error(
            f"{path}: a PNG with three channels of 16 bits expected, in KITTI's coding of flow; found {image.dtype} "
            f"of shape {image.shape}"
        )
    values = image.astype(np.float64)
    return (values[..., :2] - 2**15) / 64, values[..., 2] > 0


def score_flow(flow: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Mean end-point error in pixels, and the share of outliers: points off by 3 pixels and 5 % of their motion."""
    if flow.shape != truth.shape:
        raise Error(f"the flow is {flow.shape[:2]} in size, its ground truth {truth.shape[:2]}")
    error = np.linalg.norm(flow - truth, axis=2)[valid]
    outliers = (error > 3) & (error > 0.05 * np.linalg.norm(truth, axis=2)[valid])
    return float(error.mean()), float(outliers.mean())
