"""Textured pairs of frames whose flow is known exactly, because both are sampled from one larger texture."""

import cv2
import numpy as np

MARGIN = 48


def texture(seed, height=240, width=320):
    """Noise of four scales, (height, width, 3) float32 between 20 and 235."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for cell, contrast in ((3, 25), (6, 35), (15, 45), (40, 50)):
        coarse = rng.standard_normal((height // cell + 4, width // cell + 4, 3)).astype(np.float32)
        fine = cv2.resize(coarse, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        image += contrast * fine[:height, :width]
    return (image - image.min()) / np.ptp(image) * 215 + 20


def frame(image):
    return np.round(image).clip(0, 255).astype(np.uint8)


def translation(x, y):
    return np.float64([[1, 0, x], [0, 1, y]])


def rotation_and_zoom(degrees, zoom, height=240, width=320):
    """About the centre."""
    return cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, zoom)


def warped_pair(motion, seed=0, height=240, width=320):
    """Two frames and the flow between them, where the point p of the first is at motion (2x3) times p of the second."""
    large = texture(seed, height + 2 * MARGIN, width + 2 * MARGIN)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)], axis=-1)
    back = np.linalg.inv(np.vstack([motion, [0, 0, 1]]))[:2]
    sources = (points @ back.T + MARGIN).astype(np.float32)
    following = cv2.remap(large, sources[..., 0], sources[..., 1], cv2.INTER_LANCZOS4)
    return frame(large[MARGIN:-MARGIN, MARGIN:-MARGIN]), frame(following), points @ motion.T - points[..., :2]


def end_point_error(flow, truth):
    """Mean length of the difference, in pixels."""
    return float(np.linalg.norm(flow - truth, axis=-1).mean())
