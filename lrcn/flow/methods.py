"""The methods behind one call: `compute_flow(previous, following, method)`."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from ..errors import Error
from .brox import Brox

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]

DIS_LEAST_SIDE = 16  # two of its patches of 8 pixels, as its finest level is of half size; below OpenCV may crash


def dis(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    """OpenCV's DIS in its most careful preset. Raises `Error` for frames smaller than it can take."""
    height, width = previous.shape[:2]
    if min(height, width) < DIS_LEAST_SIDE:
        raise Error(f"DIS flow needs frames of at least {DIS_LEAST_SIDE} pixels each way, found {width}x{height}")
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return estimator.calc(*_grey(previous, following), None)


def farneback(previous: np.ndarray, following: np.ndarray) -> np.ndarray:
    """OpenCV's Farneback with the settings of its examples."""
    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    return cv2.calcOpticalFlowFarneback(*_grey(previous, following), None, **settings, flags=0)


METHODS: dict[str, Method] = {"brox": Brox(), "dis": dis, "farneback": farneback}


def flow_method(name: str, device: str = "cpu") -> Method:
    """The method of this name, a key of METHODS, on this device.

    Raises `Error` for an unknown method, and for a device that it does not run on or that is not there.
    """
    if name not in METHODS:
        raise Error(f"unknown flow method {name!r}; choose one of {', '.join(METHODS)}")
    if device == "cpu":
        return METHODS[name]
    if name != "brox":
        raise Error(f"flow method {name!r} runs on the CPU only, found device {device!r}; take brox, or device cpu")
    return Brox(device=device)


def compute_flow(previous: np.ndarray, following: np.ndarray, method: str | Method = "brox") -> np.ndarray:
    """Flow from one RGB uint8 frame (height, width, 3) to the following one: (height, width, 2) float32, in pixels.

    method: a key of METHODS, or a function of the two frames such as `Brox(alpha=40)`.
    Raises `Error` for an unknown method, and for frames that are not RGB, differ in size, or are too small.
    """
    return compute_flows([(previous, following)], method)[0]


def compute_flows(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], method: str | Method = "brox"
) -> Sequence[np.ndarray]:
    """The flow of each of several pairs of frames of one size; a GPU computes them together.

    Arguments and errors: as `compute_flow`.
    """
    method = flow_method(method) if isinstance(method, str) else method
    for frame in (frame for pair in pairs for frame in pair):
        if frame.ndim == 2 or frame.shape[2:] == (1,):
            raise Error(f"flow needs RGB frames; found a grey one of shape {frame.shape}; convert it to RGB")
        if frame.shape[2:] != (3,) or frame.dtype != np.uint8:
            raise Error(f"flow needs RGB frames (height, width, 3) uint8; found {frame.shape} {frame.dtype}")
        if frame.shape != pairs[0][0].shape:
            raise Error(f"flow needs frames of one size; found {pairs[0][0].shape} followed by {frame.shape}")
    if len(pairs) > 1 and isinstance(method, Brox):
        return method(*map(np.stack, zip(*pairs, strict=True)))
    return [method(*pair) for pair in pairs]


def _grey(*frames: np.ndarray) -> list[np.ndarray]:
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
