"""Scores of captions under images: all pairs, against one image at a time."""

import argparse
import random

import numpy as np
import torch

import lrcn
from lrcn import networks
from lrcn.caption.decoder import Decoder
from lrcn.caption.pairs import OneByOne, PairScorer
from lrcn.caption.retrieval import ScoreTable, score_pairs

from . import alternately

IMAGES, CAPTIONS = 16, 1000
LENGTHS = range(6, 20)
BEGINNINGS = (2, 12, 20)  # words that can come first, second, third


def word_net(numerics: str, dtype: torch.dtype = torch.float32) -> Decoder:
    """The paper's factored word net at full size, 8,801 words and 1,000 units, with the same random weights always."""
    net = lrcn.Net(networks.path("caption_words.prototxt"), numerics=numerics)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return Decoder(net.to(dtype) if dtype != torch.float32 else net)


def captions() -> list[list[int]]:
    """Random words, but for the first three, of which there are few.

    So captions begin alike as often as real ones: of 100 words, 71 have another beginning before them than the words of
    all other captions, as in 5,000 captions of Flickr30k's validation images.
    """
    generator = random.Random(0)
    return [
        [generator.randint(1, most) for most in (*BEGINNINGS, *[8800] * (generator.choice(LENGTHS) - len(BEGINNINGS)))]
        for _ in range(CAPTIONS)
    ]


def against_one_image(options: argparse.Namespace, plain: str, dtype: torch.dtype) -> dict:
    """Large batches in fast numerics against one image at a time in `plain` numerics, per pair."""
    descriptors = np.random.default_rng(0).normal(size=(IMAGES, 1000)).astype(np.float32)
    one_by_one, in_batches = OneByOne(word_net(plain)), PairScorer(word_net("fast", dtype))

    def score(scorer: OneByOne | PairScorer, rows: np.ndarray) -> None:
        score_pairs(scorer, captions(), rows, ScoreTable((len(rows), CAPTIONS)))

    figure = alternately(
        lambda: score(one_by_one, descriptors[:1]), lambda: score(in_batches, descriptors), options.repeats
    )
    # One image at a time takes so many times as long for as many images.
    scaled = {name: value if name == "seconds_second" else value * IMAGES for name, value in figure.items()}
    name = str(dtype).removeprefix("torch.")
    return {
        "what": f"{IMAGES} images x {CAPTIONS} captions, fast {name}, against {plain} one image at a time", **scaled
    }  # fmt: skip


FIGURES = {
    "retrieval": lambda options: against_one_image(options, "exact", torch.float32),
    "retrieval_fast": lambda options: against_one_image(options, "fast", torch.float32),
    "retrieval_bfloat16": lambda options: against_one_image(options, "fast", torch.bfloat16),
}
