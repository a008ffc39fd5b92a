"""Optical flow between frames, and the authors' encoding of it as images (create_flow_images_LRCN.m).

A flow field is (height, width, 2) float: by how many pixels each point of the previous frame moves, x (right) then
y (down). A flow image holds x, y and magnitude as R, G, B. The paper computes flow as Brox et al. 2004; "dis"
(Kroeger et al. 2016, OpenCV's) is a fast stand-in of the same meaning.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from .errors import Error
from .video import write_images

SCALE = 16.0
ZERO = 128.0
JPEG_QUALITY = 75  # MATLAB's imwrite default


def compute_flow(previous: np.ndarray, following: np.ndarray, method: str = "dis") -> np.ndarray:
    """Flow from one RGB uint8 frame (height, width, 3) to the following one: (height, width, 2) float32, in pixels.

    method: a key of METHODS. Raises Error for an unknown method or frames of different sizes.
    """
    if method not in METHODS:
        raise Error(f"unknown flow method {method!r}; choose one of {', '.join(METHODS)}")
    if previous.shape != following.shape:
        raise Error(f"flow needs frames of one size; found {previous.shape} followed by {following.shape}")
    return METHODS[method](previous, following)


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Flow (height, width, 2) -> image (height, width, 3) uint8: x, y and magnitude, each times 16 plus 128.

    Values outside 0..255 are clipped, halves round up (as MATLAB's imwrite does), so a step is 1/16 pixel and motions
    beyond 8 pixels saturate. The magnitude is never below 128.
    """
    magnitude = np.sqrt(np.square(flow, dtype=np.float64).sum(axis=2, keepdims=True))
    values = np.concatenate([flow, magnitude], axis=2) * SCALE + ZERO
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)


def flow_images(frames: Iterable[np.ndarray], method: str = "dis") -> Iterator[np.ndarray]:
    """One flow image for every frame from the second on. Holds two frames at a time."""
    for previous, following in pairwise(frames):
        yield encode_flow(compute_flow(previous, following, method))


def write_flow_images(frames: Iterable[np.ndarray], folder: Path | str, name: str, method: str = "dis") -> bool:
    """Write FOLDER/NAME/flow_image_NAME.0002.jpg and on: the authors' layout, numbered like the second frame of a pair.

    The folder NAME appears when it is complete; one that is there already is left. Returns whether it was written now.
    """
    return write_images(
        flow_images(frames, method), Path(folder) / name, f"flow_image_{name}.", first=2, quality=JPEG_QUALITY
    )


def _dis(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (previous, following))
    return estimator.calc(*grey, None)


METHODS = {"dis": _dis}
