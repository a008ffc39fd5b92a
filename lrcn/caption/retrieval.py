"""Which image is a caption about, which caption is about an image: ranks and recall (Donahue et al. 2015, section 5.2).

A caption's log p under an image is compared with what it is under the other images: from it is subtracted the logarithm
of the mean of p over all images, so that sentences that are likely anyway do not win everywhere.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from prototxt_import import replacing

from ..errors import Error
from .pairs import OneByOne, PairScorer

RECALL_AT = (1, 5, 10, 50)
_SAVE_SECONDS = 60


def normalized(log_p: np.ndarray) -> np.ndarray:
    """log p (images, captions) float64 minus, for each caption, the logarithm of the mean of p over the images."""
    largest = log_p.max(axis=0)
    return log_p - (largest + np.log(np.exp(log_p - largest).mean(axis=0)))


def ranks(scores: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """How many candidates each query ranks before its first correct one; equals keep the order of the candidates.

    Args:
        scores: (queries, candidates), the best are the largest.
        correct: (queries, candidates) bool, one or more per query.
    """
    best = np.where(correct, scores, -np.inf).max(axis=1, keepdims=True)
    first = (correct & (scores == best)).argmax(axis=1, keepdims=True)
    before = np.arange(scores.shape[1]) < first
    return ((scores > best) | ((scores == best) & before)).sum(axis=1)


def recall(found: np.ndarray) -> dict[str, float]:
    """R@1 and on: how many of the queries have a correct candidate among the best 1 and on; median and mean rank.

    Args:
        found: ranks (queries,), 0 is the best. The mean and median given count from 1, as papers do.
    """
    figures = {f"R@{k}": float(np.mean(found < k)) for k in RECALL_AT}
    return figures | {"median rank": float(np.median(found)) + 1, "mean rank": float(np.mean(found)) + 1}


def retrieve(log_p: np.ndarray, image_of: Sequence[int]) -> dict[str, np.ndarray]:
    """The ranks in both directions, "caption_to_image" (captions,) and "image_to_caption" (images,).

    Args:
        log_p: (images, captions) float64.
        image_of: the image that each caption is about; every image has one or more.

    Raises:
        Error: a score is not a number.
    """
    if np.isnan(log_p).any():
        raise Error("log p of some pairs of image and caption is not a number; are the weights damaged?")
    scores = normalized(log_p)
    correct = np.arange(len(log_p))[:, None] == np.asarray(image_of)
    return {"caption_to_image": ranks(scores.T, correct.T), "image_to_caption": ranks(scores, correct)}


class ScoreTable:
    """log p of all pairs, NaN where it is not known yet, kept in an HDF5 file if one is named.

    The file is written under another name and renamed, once a minute and at the end: an interrupted run loses little.

    Args:
        shape: (images, captions).
        path: the file; if it is there, what it holds is where the run goes on.
        settings: what the scores depend on, as plain values.

    Attributes:
        log_p (np.ndarray): (images, captions) float64.

    Raises:
        Error: the file is another kind, or its scores were made with other settings.
    """

    def __init__(self, shape: tuple[int, int], path: str | os.PathLike | None = None, settings: Mapping | None = None):
        self.log_p = np.full(shape, np.nan)
        self._path = None if path is None else Path(path)
        self._settings = dict(settings or {})
        self._saved = time.monotonic()
        if self._path is not None and self._path.exists():
            self.log_p = self._read()

    def __enter__(self) -> "ScoreTable":
        return self

    def __exit__(self, *exception) -> None:
        self._save()

    def add(self, images: slice, captions: np.ndarray, log_p: np.ndarray) -> None:
        """Keep the scores of these images and captions."""
        self.log_p[images, captions] = log_p
        if time.monotonic() - self._saved > _SAVE_SECONDS:
            self._save()

    def has(self, images: slice, captions: np.ndarray) -> bool:
        """Whether all scores of these images and captions are known."""
        return not np.isnan(self.log_p[images, captions]).any()

    def _save(self) -> None:
        if self._path is not None:
            with replacing(self._path) as temporary, h5py.File(temporary, "w") as file:
                file["log_p"] = self.log_p
                file.attrs["settings"] = json.dumps(self._settings)
            self._saved = time.monotonic()

    def _read(self) -> np.ndarray:
        try:
            with h5py.File(self._path) as file:
                log_p, earlier = file["log_p"][...], dict(json.loads(file.attrs["settings"]))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise Error(f"{self._path}: not a file of scores of image-caption pairs ({error}); name another") from None
        for key in dict.fromkeys([*self._settings, *earlier]):
            if earlier.get(key) != self._settings.get(key):
                raise Error(
                    f"{self._path}: cannot go on, its scores were made with {key} = {earlier.get(key)}, this run has "
                    f"{self._settings.get(key)}; use the same settings, name another file, or delete it"
                )
        return log_p


def score_pairs(
    scorer: OneByOne | PairScorer,
    captions: Sequence[Sequence[int]],
    descriptors: np.ndarray,
    table: ScoreTable,
    progress: Callable[[int], None] = lambda pairs: None,
) -> None:
    """Fill in the table.

    Args:
        scorer: how.
        captions: word indices; without `<EOS>` in the authors' evaluation.
        descriptors: (images, D) float32.
        table: what it knows already is not computed again.
        progress: called with numbers of pairs that are now known.
    """
    step = scorer.images_at_a_time
    blocks = [slice(first, first + step) for first in range(0, len(descriptors), step)]
    for group in scorer.groups(captions):
        missing = [block for block in blocks if not table.has(block, group)]
        progress((len(descriptors) - sum(len(descriptors[block]) for block in missing)) * len(group))
        read = scorer.read([captions[k] for k in group]) if missing else None
        for block in missing:
            table.add(block, group, scorer.log_p(read, descriptors[block]))
            progress(len(descriptors[block]) * len(group))
