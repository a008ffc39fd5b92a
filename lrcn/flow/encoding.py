"""Flow fields as images: the authors' coding (create_flow_images_LRCN.m), and the colour wheel for human eyes."""

import cv2
import numpy as np

SCALE = 16.0
ZERO = 128.0


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Flow (height, width, 2) -> image (height, width, 3) uint8: x, y and magnitude, each times 16 plus 128.

    Values outside 0..255 are clipped, halves round up (as MATLAB's imwrite does), so a step is 1/16 pixel and motions
    beyond 8 pixels saturate. The magnitude is never below 128.
    """
    magnitude = np.sqrt(np.square(flow, dtype=np.float64).sum(axis=2, keepdims=True))
    values = np.concatenate([flow, magnitude], axis=2) * SCALE + ZERO
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)


def decode_flow(image: np.ndarray) -> np.ndarray:
    """The flow (height, width, 2) float32, in pixels, that a flow image (height, width, 3) uint8 holds in x and y.

    To within 1/32 pixel where it did not saturate, if the image was not compressed.
    """
    return (image[..., :2].astype(np.float32) - np.float32(ZERO)) / np.float32(SCALE)


def colour_flow(flow: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Flow (height, width, 2) on the colour wheel, (height, width, 3) uint8 RGB.

    The hue is the direction (red to the right, then yellow, green, blue clockwise), the saturation the length: white
    is no motion. largest: the length, in pixels, of full colour; by default the longest of the field.
    """
    x, y = flow[..., 0].astype(np.float32), flow[..., 1].astype(np.float32)
    length = np.hypot(x, y)
    largest = largest or max(float(length.max()), 1e-6)
    degrees = np.rad2deg(np.arctan2(y, x)) % 360
    saturation = (length / largest).clip(0, 1)
    wheel = np.stack([degrees, saturation, np.ones_like(x)], axis=2).astype(np.float32)
    return np.round(cv2.cvtColor(wheel, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
