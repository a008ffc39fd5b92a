"""Training: a step of the paper's LRCN in exact and in fast numerics, and whether loading keeps up with the step."""

import argparse
import json
import resource
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from lrcn import networks
from lrcn.activity.synthetic import DEMO_FOLDER
from lrcn.data.prefetch import set_workers
from lrcn.solver import Solver
from prototxt_import import Message, parse_net, read_net

from . import alternately, timed

CLIPS, STEPS, CLASSES, SIZE = 24, 16, 101, 227
DEMO_CLIPS = 12
WORKERS = 2
LOADED_STEPS = 30


def solver(net: Message, numerics: str) -> Solver:
    """The paper's settings for a network; always the same initial weights."""
    settings = {"base_lr": 0.001, "lr_policy": "fixed", "momentum": 0.9, "weight_decay": 0.005, "clip_gradients": 5.0}
    return Solver(Message("SolverParameter", net_param=net, random_seed=1, **settings), numerics=numerics)


def figure_step(options: argparse.Namespace) -> dict:
    """(a) one full-size step, 24 clips of 16 frames, from memory."""
    frames = CLIPS * STEPS
    net = read_net(networks.path("lrcn_train.prototxt"))
    kept = [layer for layer in net.layer if layer.type != "Python"]
    shapes = [Message("BlobShape", dim=shape) for shape in ([frames, 3, SIZE, SIZE], [frames], [frames])]
    batch = Message("LayerParameter", name="batch", type="Input", top=["data", "label", "clip_markers"])
    batch.input_param = Message("InputParameter", shape=shapes)
    net.layer = [batch, *kept]
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "data": torch.rand(frames, 3, SIZE, SIZE, generator=generator) * 255 - 128,
        "label": torch.randint(CLASSES, (frames,), generator=generator).float(),
        "clip_markers": (torch.arange(frames) >= CLIPS).float(),
    }
    exact, fast = solver(net, "exact"), solver(net, "fast")
    fast.step(inputs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figure = alternately(lambda: exact.step(inputs), lambda: fast.step(inputs), options.repeats)
    what = f"a training step of LRCN, {CLIPS} clips of {STEPS} frames: exact against fast, peak memory {peak:.0f} MiB"
    return {"what": what, "mebibytes": peak, **figure}


def figure_loading(options: argparse.Namespace) -> dict:
    """(b) how much of the training of the demo's LRCN is waiting for frames."""
    set_workers(WORKERS)
    with tempfile.TemporaryDirectory() as folder:
        net = demo_net(write_videos(Path(folder)))
        trained = solver(net, "fast")
        reader = trained.net.layers[0].reader
        trained.step(), trained.step()
        waited = reader.seconds_waited
        seconds = timed(lambda: [trained.step() for _ in range(LOADED_STEPS)])
        share = (reader.seconds_waited - waited) / seconds
        reader.close()
    frames = DEMO_CLIPS * STEPS
    result = f"{100 * share:.1f} % of {seconds / LOADED_STEPS:.3f} s per step of {frames} frames"
    return {"what": f"waiting for frames, LRCN of the demo, {WORKERS} threads load", "share": share, "result": result}


def write_videos(folder: Path) -> dict[str, str | int]:
    """Videos of 320x240 pixels as JPEG images and their list; what the video layer has to know of them."""
    generator = np.random.default_rng(0)
    names = [f"v_Action_g{index:02d}_c01" for index in range(1, DEMO_CLIPS + 1)]
    for name in names:
        (folder / name).mkdir()
        scene = cv2.resize(generator.integers(0, 256, (30, 50, 3), np.uint8), (400, 240))
        for number in range(1, STEPS + 9):
            cv2.imwrite(str(folder / name / f"{name}.{number:04d}.jpg"), scene[:, 2 * number : 2 * number + 320])
    (folder / "list.txt").write_text("".join(f"Action/{name} 0\n" for name in names))
    return {"source": str(folder / "list.txt"), "frames": str(folder), "videos": DEMO_CLIPS, "quirks": "none"}


def demo_net(videos: dict[str, str | int]) -> Message:
    """The demo's LRCN behind the video layer, with a loss."""
    net = parse_net("""
        layer { name: "data" type: "Python" top: "data" top: "label" top: "clip_markers"
                python_param { module: "sequence_input_layer" layer: "videoReadTrain_RGB" } }
        layer { name: "reshape-label" type: "Reshape" bottom: "label" top: "reshape-label"
                reshape_param { shape { dim: 16 dim: -1 } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8-final" bottom: "reshape-label" top: "loss"
                softmax_param { axis: 2 } }""")
    data, reshape, loss = net.layer
    data.python_param.param_str = json.dumps(videos)
    demo = read_net(DEMO_FOLDER / "lrcn.prototxt")
    kept = [layer for layer in demo.layer if layer.type not in ("Input", "Softmax")]
    net.layer = [data, *kept, reshape, loss]
    return net


FIGURES = {"step": figure_step, "loading": figure_loading}
