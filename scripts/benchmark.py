"""Measure speed: every figure is a ratio of two things run alternately in one process.

    python scripts/benchmark.py [--only NAME ...] [--repeats N] [--json OUT]

The networks are the paper's at full size with random weights; the frames are random, or, with --frames, those of one
video. Absolute times say little about another machine, ratios more.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import lrcn
from lrcn import networks
from lrcn.activity import models, preprocess
from lrcn.cli import run
from prototxt_import import LayerWeights, Weights, read_weights, write_weights

FRAMES = 48  # of the video of protocol oversample
IMAGES = 160  # one clip of ten crops
LARGE_FILE = 240 * 2**20


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="NAME", help=", ".join(FIGURES)
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each thing; the median counts (default 5)")
    parser.add_argument("--frames", type=Path, help="folder with the frames of one video")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    options = parser.parse_args(argv)
    machine = describe_machine()
    print(machine)
    results = {}
    for name in options.only:
        results[name] = FIGURES[name](options)
        print(f"{name:12} {results[name]['what']}\n{'':12} {summary(results[name])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "figures": results}, indent=2))
    return 0


def describe_machine() -> str:
    """Processor, threads and versions in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((f"{line} " for line in lines if line.startswith("flags")), "")
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name} " in flags]
    return (
        f"{names[0] if names else platform.machine()} ({' '.join(extensions)}), {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads; torch {torch.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}"
    )


def alternately(first: Callable[[], object], second: Callable[[], object], repeats: int) -> dict[str, float]:
    """Run both in turn, once each to warm up, then `repeats` times; medians of times and of ratios, pair by pair."""
    first(), second()
    pairs = [(timed(first), timed(second)) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    return {
        "seconds_first": statistics.median(a for a, _ in pairs),
        "seconds_second": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def timed(function: Callable[[], object]) -> float:
    """Seconds of wall time."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def summary(figure: dict) -> str:
    """One line for the table."""
    if "ratio" not in figure:
        return figure["result"]
    return (
        f"{figure['seconds_first']:.3f} s against {figure['seconds_second']:.3f} s: "
        f"{figure['ratio']:.2f} times (from {figure['ratio_min']:.2f} to {figure['ratio_max']:.2f})"
    )


def network(numerics: str, dtype: torch.dtype = torch.float32) -> lrcn.Net:
    """The paper's LRCN at full size with the same random weights every time."""
    net = lrcn.Net(networks.path("lrcn.prototxt"), numerics=numerics)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            deviation = (2 / parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 0.05
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
    return net.to(dtype) if dtype != torch.float32 else net


def lrcn_model(net: lrcn.Net) -> models.LRCN:
    """The network as the evaluation runs it on the RGB stream."""
    return models.LRCN(net, preprocess.STREAMS["rgb"], preprocess.active_quirks("released"))


def video(options: argparse.Namespace, frames: int) -> list[np.ndarray]:
    """So many frames of 240 x 320, RGB uint8: of the folder given, over and over, or random."""
    if options.frames:
        found = [cv2.imread(str(path))[:, :, ::-1] for path in sorted(options.frames.glob("*.jpg"))]
        return [found[i % len(found)] for i in range(frames)]
    return list(np.random.default_rng(0).integers(0, 256, (frames, 240, 320, 3), np.uint8))


def against_one_thread(options: argparse.Namespace, net: lrcn.Net, images: int) -> dict[str, float]:
    """The network on `images` crops as the evaluation runs it, against exact image by image in one thread."""
    exact = network("exact")
    crops = torch.from_numpy(
        np.concatenate([lrcn_model(exact).crops(f) for f in video(options, -(-images // 10))])[:images]
    )
    threads = torch.get_num_threads()

    def image_by_image() -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            for image in crops:
                exact(data=image[None], end="relu6")
        torch.set_num_threads(threads)

    def batched() -> None:
        with torch.inference_mode():
            parts = [net(data=part, end="pool5")["pool5"] for part in crops.split(models.CROPS)]
            net(pool5=torch.cat(parts), start="fc6", end="relu6")

    return alternately(image_by_image, batched, options.repeats)


def figure_exact(options: argparse.Namespace) -> dict:
    """(a) threads and batches against one thread and one image."""
    figure = against_one_thread(options, network("exact"), IMAGES)
    return {"what": f"exact, {torch.get_num_threads()} threads, against exact image by image in one thread", **figure}


def figure_fast(options: argparse.Namespace) -> dict:
    """(b) float32."""
    figure = against_one_thread(options, network("fast"), IMAGES)
    return {
        "what": f"fast float32, {torch.get_num_threads()} threads, against exact image by image in one thread",
        **figure,
    }


def figure_bfloat16(options: argparse.Namespace) -> dict:
    """(b) bfloat16."""
    figure = against_one_thread(options, network("fast", torch.bfloat16), IMAGES)
    return {
        "what": f"fast bfloat16, {torch.get_num_threads()} threads, against exact image by image in one thread",
        **figure,
    }


def figure_clips(options: argparse.Namespace) -> dict:
    """(c) each frame once, against each clip by itself."""
    model, frames = lrcn_model(network("exact")), video(options, FRAMES)
    same = np.array_equal(models.separate_clips(model, frames), model.predict(frames, "oversample"))
    figure = alternately(
        lambda: models.separate_clips(model, frames), lambda: model.predict(frames, "oversample"), options.repeats
    )
    bits = "same bits" if same else "OTHER BITS"
    return {
        "what": f"protocol oversample, exact, {FRAMES} frames: clip by clip against frame by frame, {bits}",
        **figure,
    }


def figure_open(options: argparse.Namespace) -> dict:
    """A large file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.caffemodel"
        blob = np.zeros((LARGE_FILE // 4 // 1024, 1024), np.float32)
        write_weights(path, Weights(name="large", layers=[LayerWeights("fc", "InnerProduct", [blob])]))
        before = resident_bytes()
        seconds = [timed(lambda: read_weights(path)) for _ in range(options.repeats)]
        weights = read_weights(path)
        grown = (resident_bytes() - before) / 2**20
        size = path.stat().st_size / 2**20
        del weights
    result = f"{statistics.median(seconds) * 1e3:.1f} ms, {grown:.1f} MiB of memory"
    return {"what": f"opening a .caffemodel of {size:.0f} MiB", "seconds": statistics.median(seconds), "result": result}


def figure_memory(options: argparse.Namespace) -> dict:
    """Many videos."""
    model, frames = lrcn_model(network("fast")), video(options, 24)
    peaks = []
    for _ in range(max(6, options.repeats)):
        model.predict(frames, "oversample")
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    result = f"{peaks[1]:.0f} MiB after the second video, {peaks[-1]:.0f} MiB after video {len(peaks)}"
    return {"what": "peak memory over a list of videos, fast", "mebibytes": peaks, "result": result}


def resident_bytes() -> int:
    """Memory of this process at the moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


FIGURES = {
    "exact": figure_exact,
    "fast": figure_fast,
    "bfloat16": figure_bfloat16,
    "clips": figure_clips,
    "open": figure_open,
    "memory": figure_memory,
}

if __name__ == "__main__":
    run(main)
