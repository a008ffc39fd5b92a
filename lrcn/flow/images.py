"""Flow images of a clip, in the authors' layout."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from ..video import write_images
from .brox import Brox
from .encoding import encode_flow
from .methods import Method, compute_flows, flow_method

JPEG_QUALITY = 75  # MATLAB's imwrite default


def flow_images(frames: Iterable[np.ndarray], method: str | Method = "brox", workers: int = 1) -> Iterator[np.ndarray]:
    """One flow image for every frame from the second on, in order.

    workers: pairs computed at once, each in a thread; twice as many frames are held at most. On a GPU they are batches
    of pairs, and two workers are enough: one waits for it, the other makes images.
    """
    method = flow_method(method) if isinstance(method, str) else method
    if isinstance(method, Brox) and method.device != "cpu":
        workers = min(workers, 2)

    def images(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        return [encode_flow(flow) for flow in compute_flows(pairs, method)]

    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as threads:
        try:
            for pairs in _batches(pairwise(frames), method):
                waiting.append(threads.submit(images, pairs))
                if len(waiting) >= 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def _batches(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], method: Method
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """As many pairs together as the method computes best."""
    pairs = iter(pairs)
    for first in pairs:
        size = method.pairs_at_once(*first[0].shape[:2]) if isinstance(method, Brox) else 1
        yield [first, *islice(pairs, size - 1)]


def write_flow_images(
    frames: Iterable[np.ndarray], folder: Path | str, name: str, method: str | Method = "brox", workers: int = 1
) -> bool:
    """Write FOLDER/NAME/flow_image_NAME.0002.jpg and on: the authors' layout, numbered like the second frame of a pair.

    The folder NAME appears when it is complete; one that holds something already is left. Returns whether it was
    written now. method, workers, errors: as `flow_images`, and `Error` where NAME is a file.
    """
    images = flow_images(frames, method, workers)
    return write_images(images, Path(folder) / name, _prefix(name), first=2, quality=JPEG_QUALITY)


def has_flow_images(folder: Path) -> bool:
    """Whether this is a folder that `write_flow_images` wrote: one with the flow images of its name in it."""
    return folder.is_dir() and any(entry.name.startswith(_prefix(folder.name)) for entry in folder.iterdir())


def _prefix(name: str) -> str:
    return f"flow_image_{name}."
