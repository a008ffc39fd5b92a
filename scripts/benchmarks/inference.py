"""Networks in evaluation: exact and fast numerics, protocols, files, memory."""

import argparse
import resource
import statistics
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

import lrcn
from lrcn import networks
from lrcn.activity import models, preprocess
from prototxt_import import LayerWeights, Weights, read_weights, write_weights

from . import alternately, timed

FRAMES = 48  # of the video of protocol oversample
IMAGES = 160  # one clip of ten crops
LARGE_FILE = 240 * 2**20


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
    crops = torch.cat([lrcn_model(exact).crops(f) for f in video(options, -(-images // 10))])[:images]
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
