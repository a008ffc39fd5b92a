"""The methods behind one call: `compute_flow(previous, following, method)`."""

from collections.abc import Callable

import cv2
import numpy as np

from ..errors import Error
from .brox import Brox

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def dis(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    """OpenCV's DIS in its most careful preset."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return estimator.calc(*_grey(previous, following), None)


def farneback(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    """OpenCV's Farneback with the settings of its examples."""
    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    return cv2.calcOpticalFlowFarneback(*_grey(previous, following), None, **settings, flags=0)


METHODS: dict[str, Method] = {"brox": Brox(), "dis": dis, "farneback": farneback}


def compute_flow(previous: np.ndarray, following: np.ndarray, method: str | Method = "brox") -> np.ndarray:
    """Flow from one RGB uint8 frame (height, width, 3) to the following one: (height, width, 2) float32, in pixels.

    method: a key of METHODS, or a function of the two frames such as `Brox(alpha=40)`.
    Raises `Error` for an unknown method, and for frames that are not RGB, differ in size, or are too small.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise Error(f"unknown flow method {method!r}; choose one of {', '.join(METHODS)}")
        method = METHODS[method]
    for frame in (previous, following):
        if frame.ndim == 2 or frame.shape[2:] == (1,):
            raise Error(f"flow needs RGB frames; found a grey one of shape {frame.shape}; convert it to RGB")
        if frame.shape[2:] != (3,) or frame.dtype != np.uint8:
            raise Error(f"flow needs RGB frames (height, width, 3) uint8; found {frame.shape} {frame.dtype}")
    if previous.shape != following.shape:
        raise Error(f"flow needs frames of one size; found {previous.shape} followed by {following.shape}")
    return method(previous, following)


def _grey(*frames: np.ndarray) -> list[np.ndarray]:
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
