"""Flow images of a clip, in the authors' layout."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..video import write_images
from .encoding import encode_flow
from .methods import Method, compute_flow

JPEG_QUALITY = 75  # MATLAB's imwrite default


def flow_images(frames: Iterable[np.ndarray], method: str | Method = "brox", workers: int = 1) -> Iterator[np.ndarray]:
    """One flow image for every frame from the second on, in order.

    workers: pairs computed at once, each in a thread; twice as many frames are held at most.
    """

    def image(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return encode_flow(compute_flow(*pair, method))

    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as threads:
        try:
            for pair in pairwise(frames):
                waiting.append(threads.submit(image, pair))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def write_flow_images(
    frames: Iterable[np.ndarray], folder: Path | str, name: str, method: str | Method = "brox", workers: int = 1
) -> bool:
    """Write FOLDER/NAME/flow_image_NAME.0002.jpg and on: the authors' layout, numbered like the second frame of a pair.

    The folder NAME appears when it is complete; one that is there already is left. Returns whether it was written now.
    method, workers, errors: as `flow_images`.
    """
    images = flow_images(frames, method, workers)
    return write_images(images, Path(folder) / name, f"flow_image_{name}.", first=2, quality=JPEG_QUALITY)
