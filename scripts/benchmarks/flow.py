"""Optical flow at the size of UCF101's frames: 320 x 240."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import torch

from lrcn.flow import compute_flow

from . import alternately

PAIRS = 6


def pairs(options: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of frames: of the folder given, or a texture that moves."""
    if options.frames:
        frames = [cv2.imread(str(path))[:, :, ::-1] for path in sorted(options.frames.glob("*.jpg"))[: PAIRS + 1]]
    else:
        coarse = np.random.default_rng(0).uniform(0, 255, (60, 80, 3)).astype(np.float32)
        texture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        frames = [np.roll(texture, 2 * step, axis=1) for step in range(PAIRS + 1)]
    return list(pairwise(frames))


def all_pairs(options: argparse.Namespace, method: str, threads: int) -> None:
    """The flow of all pairs, so many at once."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda pair: compute_flow(*pair, method), pairs(options)))


def figure_threads(options: argparse.Namespace) -> dict:
    """One thread against all."""
    threads = torch.get_num_threads()
    figure = alternately(
        lambda: all_pairs(options, "brox", 1), lambda: all_pairs(options, "brox", threads), options.repeats
    )
    rates = [PAIRS / figure[f"seconds_{which}"] for which in ("first", "second")]
    what = f"Brox, one thread ({rates[0]:.1f} pairs a second) against {threads} ({rates[1]:.1f})"
    return {"what": what, **figure}


def figure_dis(options: argparse.Namespace) -> dict:
    """The price of the paper's flow."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    figure = alternately(lambda: all_pairs(options, "brox", 1), lambda: all_pairs(options, "dis", 1), options.repeats)
    cv2.setNumThreads(threads)
    return {"what": f"{PAIRS} pairs of 320x240 in one thread: Brox against OpenCV's DIS", **figure}


FIGURES = {"brox": figure_threads, "brox-dis": figure_dis}
