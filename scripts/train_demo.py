"""Train the four small networks of the demo on synthetic clips and write their weights.

The recorded command that made the weights in lrcn/activity/demo: `python scripts/train_demo.py --work demo_training`.

In the order of the paper: the layers up to fc6 first learn from other labels than the actions (there ImageNet's
classes, here where the object is, or how it moves), then the single-frame network and LRCN learn the actions. Both
share the layers up to fc6, so that they differ in nothing but the recurrent layer.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

import lrcn
from lrcn import cli
from lrcn.activity.preprocess import STREAMS, caffe_image, unit_image
from lrcn.activity.synthetic import DEMO_FOLDER, TRAIN_GROUPS, Clip, clips, prepare_clips, trajectory
from prototxt_import import LayerWeights, Weights, write_weights

CROP = 227
STEPS = 16
VIEWS = 8  # crops of each training clip that the classifiers see
FEATURE_ITERATIONS, FEATURE_BATCH = 800, 64
SINGLE_ITERATIONS, LRCN_ITERATIONS, CLASSIFIER_BATCH = 600, 3000, 48


def main(argv: list[str] | None = None) -> int:
    """Train all four networks, or those of one stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the training clips (0.6 GB)")
    parser.add_argument(
        "--output", type=Path, default=DEMO_FOLDER, help="folder for the weights (default: %(default)s)"
    )
    parser.add_argument("--stream", choices=STREAMS, nargs="+", default=list(STREAMS), help="default: both")
    arguments = parser.parse_args(argv)

    training_clips = clips(TRAIN_GROUPS)
    prepare_clips(training_clips, arguments.work)
    for stream in arguments.stream:
        torch.manual_seed(0)
        train_stream(stream, training_clips, arguments.work, arguments.output)
    return 0


def train_stream(stream: str, training_clips: list[Clip], work: Path, output: Path) -> None:
    """Train the single-frame network and LRCN of one stream."""
    rng = np.random.default_rng(0)
    single = initialise(lrcn.Net(DEMO_FOLDER / "single_frame.prototxt", numerics="fast", phase="TRAIN"))
    recurrent = initialise(lrcn.Net(DEMO_FOLDER / "lrcn.prototxt", numerics="fast", phase="TRAIN"))
    videos = [ClipImages(clip, stream, work) for clip in training_clips]

    learn_features(single, videos, rng)
    features, labels = encode(single, videos, rng)
    learn_single(single, features, labels, rng)
    with torch.no_grad():
        for layer in set(single.params) & set(recurrent.params):
            for target, source in zip(recurrent.params[layer], single.params[layer], strict=True):
                target.copy_(source)
    learn_lrcn(recurrent, features, labels, rng)

    save(single, output / f"{stream}_single.caffemodel")
    save(recurrent, output / f"{stream}_lrcn.caffemodel")


class ClipImages:
    """The frames or flow images of one clip, and what the features learn to tell of each of them."""

    def __init__(self, clip: Clip, stream: str, work: Path):
        self.label = clip.label
        self.stream = STREAMS[stream]
        self.paths = sorted((work / ("frames" if stream == "rgb" else "flow") / clip.name).glob("*.jpg"))
        self.centres = trajectory(clip)[-len(self.paths) :]
        self.motions = np.diff(trajectory(clip), axis=0)

    def view(self, indices: list[int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Images `indices` in one random crop, mirrored or not: (n, 3, 227, 227) float32, and targets (n, 2) float32.

        The target is the object's place in the crop, in units of 50 pixels from its middle, or its motion as the flow
        image shows it, in units of 5 pixels. Mirrored flow keeps its sign, as in the evaluation of LRCN.
        """
        frames = [cv2.imread(str(self.paths[index]))[:, :, ::-1] for index in indices]
        top, left = rng.integers(240 - CROP + 1), rng.integers(320 - CROP + 1)
        step = rng.choice([-1, 1])
        images = [unit_image(frame[top : top + CROP, left : left + CROP][:, ::step]) for frame in frames]
        if self.stream.name == "flow":
            targets = self.motions[indices] / 5
        else:
            middle = (CROP - 1) / 2
            targets = (self.centres[indices] - [left + middle, top + middle]) * [step, 1] / 50
        return np.stack([caffe_image(image, self.stream) for image in images]), targets.astype(np.float32)


def initialise(net: lrcn.Net) -> lrcn.Net:
    """He's normal weights, zero biases; the LSTM's weights uniform and its forget gates open."""
    for layer in net.definition.layer:
        blobs = net.params.get(layer.name, [])
        with torch.no_grad():
            if layer.type == "LSTM":
                hidden = layer.recurrent_param.num_output
                for blob in blobs:
                    blob.uniform_(-(hidden**-0.5), hidden**-0.5)
                blobs[1][hidden : 2 * hidden] = 1.0  # gates in the order i, f, o, g
            elif blobs:
                nn.init.kaiming_normal_(blobs[0])
                blobs[1].zero_()
            if layer.name == "conv1":
                blobs[0] /= 64  # images are within -128..128, later layers see values of about 1
    return net


def optimise(parameters: list[nn.Parameter], rate: float, iterations: int, title: str) -> Iterator:
    """Yield `step(loss)` once per iteration: Adam, its rate rising in the first tenth, then falling to zero."""
    optimiser = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, iterations, pct_start=0.1)
    progress = tqdm(range(iterations), desc=title)
    average = None

    def step(loss: torch.Tensor) -> None:
        nonlocal average
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        schedule.step()
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        progress.set_postfix(loss=f"{average:.4f}", refresh=False)

    for _ in progress:
        yield step


def learn_features(net: lrcn.Net, videos: list[ClipImages], rng: np.random.Generator) -> None:
    """Train the layers up to fc6 to tell where the object is, or how it moves, from one image."""
    readout = nn.Linear(net.blob_shapes["fc6"][1], 2)
    names = [name for name in net.params if not name.startswith(("fc7", "fc8"))]
    parameters = [blob for name in names for blob in net.params[name]] + list(readout.parameters())
    for step in optimise(parameters, 2e-3, FEATURE_ITERATIONS, "features"):
        chosen = [videos[index] for index in rng.integers(len(videos), size=FEATURE_BATCH)]
        images, targets = zip(*(video.view([rng.integers(len(video.paths))], rng) for video in chosen), strict=True)
        fc6 = net(data=np.concatenate(images), end="relu6")["fc6"]
        step(functional.smooth_l1_loss(readout(fc6), torch.from_numpy(np.concatenate(targets)), beta=0.1))


def encode(net: lrcn.Net, videos: list[ClipImages], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """fc6 of several views of every clip, (clips, images, features), and the clips' labels."""
    features, labels = [], []
    with torch.no_grad():
        for video in tqdm(videos, desc="encode"):
            for _ in range(VIEWS):
                images, _ = video.view(list(range(len(video.paths))), rng)
                features.append(net(data=images, end="relu6")["fc6"])
                labels.append(video.label)
    return torch.stack(features), torch.tensor(labels)


def learn_single(net: lrcn.Net, features: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> None:
    """Train fc7 and fc8-ucf to tell the action from fc6 of one image."""
    for step in optimise([*net.params["fc7"], *net.params["fc8-ucf"]], 2e-3, SINGLE_ITERATIONS, "single frame"):
        views = rng.integers(len(features), size=CLASSIFIER_BATCH * STEPS)
        images = rng.integers(features.shape[1], size=len(views))
        scores = net(start="drop6", end="fc8-ucf", fc6=features[views, images])["fc8-ucf"]
        step(functional.cross_entropy(scores, labels[views]))


def learn_lrcn(net: lrcn.Net, features: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> None:
    """Train lstm1 and fc8-final to tell the action, on every step, from fc6 of sixteen images in a row."""
    clip_markers = np.ones((STEPS, CLASSIFIER_BATCH, 1, 1), np.float32)
    clip_markers[0] = 0
    for step in optimise([*net.params["lstm1"], *net.params["fc8-final"]], 5e-3, LRCN_ITERATIONS, "LRCN"):
        views = rng.integers(len(features), size=CLASSIFIER_BATCH)
        starts = rng.integers(features.shape[1] - STEPS + 1, size=CLASSIFIER_BATCH)
        fc6 = features[views, starts + np.arange(STEPS)[:, None]]
        scores = net(
            start="drop6", end="fc8-final", fc6=fc6.flatten(0, 1), clip_markers=clip_markers.reshape(-1, 1, 1, 1)
        )["fc8-final"]
        step(functional.cross_entropy(scores.flatten(0, 1), labels[views].repeat(STEPS)))


def save(net: lrcn.Net, path: Path) -> None:
    """Write the network's weights as a .caffemodel."""
    types = {layer.name: layer.type for layer in net.definition.layer}
    layers = [
        LayerWeights(name, types[name], [blob.detach().numpy() for blob in blobs]) for name, blobs in net.params.items()
    ]
    write_weights(path, Weights(net.definition.name, layers))
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    cli.run(main)
