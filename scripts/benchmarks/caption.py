"""Sentences at full size: one image's beams, and many images at a time, against the way of the original."""

import argparse
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch

from lrcn.caption import generate
from lrcn.caption.decoder import CONT, IMAGE, PREVIOUS, PROBABILITIES, Decoder
from lrcn.caption.generate import Beam, Caption, beam_search
from lrcn.caption.vocabulary import EOS

from . import alternately
from .retrieval import word_net

IMAGES = 100
GREEDY_WORDS = 4  # of a sentence; the ratio does not depend on it


def decoder(numerics: str, dtype: torch.dtype = torch.float32) -> Decoder:
    """The paper's word net with random weights, and sentences that do not end by themselves."""
    found = word_net(numerics, dtype)
    with torch.no_grad():
        found.net.params["predict"][1][EOS] = -100
    return found


def descriptors() -> np.ndarray:
    """As many as there are images."""
    return np.random.default_rng(0).normal(size=(IMAGES, 1000)).astype(np.float32)


def search_anew(net: torch.nn.Module, descriptor: np.ndarray, size: int, words: int) -> list[Caption]:
    """Beam search that runs all words of every sentence again for each further word, one sentence at a time."""

    def probabilities(words: tuple[int, ...]) -> np.ndarray:
        for word, cont in zip((EOS, *words), (0, *[1] * len(words)), strict=True):
            with torch.no_grad():
                inputs = {PREVIOUS: np.array([[word]]), CONT: np.array([[cont]]), IMAGE: descriptor[None]}
                found = net(**inputs)[PROBABILITIES]
        return found[0, 0].numpy()

    captions = [Caption()]
    for _ in range(words):
        longer = []
        for caption in captions:
            p = probabilities(caption.words)
            longer += [caption.followed_by(int(word), float(p[word])) for word in p.argsort()[-size:]]
        captions = sorted(longer, key=lambda caption: -caption.log_p)[:size]
    return captions


class Remembered:
    """A search whose last result is kept, with sentences of at most `words` words."""

    def __init__(self, search: Callable[[], list[list[Caption]]], words: int):
        self.search, self.words = search, words

    def __call__(self) -> None:
        """Search."""
        with mock.patch.object(generate, "MAX_WORDS", self.words):
            self.captions = [caption for found in self.search() for caption in found]


def told(first: Remembered, second: Remembered) -> str:
    """How two searches' results compare."""
    if [caption.words for caption in first.captions] != [caption.words for caption in second.captions]:
        return "OTHER WORDS"
    pairs = zip(first.captions, second.captions, strict=True)
    return f"same words, log p within {max(abs(a.log_p - b.log_p) for a, b in pairs):.0e}"


def figure_beam(options: argparse.Namespace, numerics: str, words: int) -> dict:
    """Beam search for one image; what running all words anew takes grows with the square of their number."""
    searcher, image = decoder(numerics), descriptors()[:1]
    anew = Remembered(lambda: [search_anew(searcher.net, image[0], 5, words)], words)
    ours = Remembered(lambda: beam_search(searcher, image, Beam(5)), words)
    figure = alternately(anew, ours, options.repeats)
    what = f"beam 5, {words} words, {numerics}, against all words anew for each word; {told(anew, ours)}"
    return {"what": what, **figure}


def figure_greedy(options: argparse.Namespace, plain: str, dtype: torch.dtype) -> dict:
    """Greedy search for many images at a time in fast numerics, against one at a time in `plain` numerics."""
    one, many, images = decoder(plain), decoder("fast", dtype), descriptors()
    alone = Remembered(lambda: [beam_search(one, image[None], Beam(1))[0] for image in images], GREEDY_WORDS)
    together = Remembered(lambda: beam_search(many, images, Beam(1)), GREEDY_WORDS)
    figure = alternately(alone, together, options.repeats)
    name = str(dtype).removeprefix("torch.")
    what = f"greedy, {IMAGES} images at a time, {GREEDY_WORDS} words, fast {name}, against {plain} one at a time"
    return {"what": f"{what}; {told(alone, together)}", **figure}


FIGURES = {
    "beam": lambda options: figure_beam(options, "fast", 50),
    "beam_exact": lambda options: figure_beam(options, "exact", 20),
    "greedy": lambda options: figure_greedy(options, "exact", torch.float32),
    "greedy_fast": lambda options: figure_greedy(options, "fast", torch.float32),
    "greedy_bfloat16": lambda options: figure_greedy(options, "fast", torch.bfloat16),
}
