"""Is this the released RGB LRCN model, and does it see what it saw in 2015? Fingerprints, and what a difference means.

The numbers come from the authors' own check of a reproduction: ranges of the weights, and for two UCF101 clips the
number of frames, means of frames and largest activations. The steps build on each other, weights -> frames ->
activations, so that the first one that differs is the one that went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prototxt_import import Weights

from . import networks
from .activity.preprocess import STREAMS, Stream, caffe_image, center_crop, resize_image, unit_image
from .activity.sources import read_image
from .errors import Error
from .net import Net

WEIGHT_TOLERANCE = 1e-5  # absolute; the authors'
MEAN_TOLERANCE = 1e-5  # absolute, of a frame's mean; the authors'
ACTIVATION_TOLERANCE = 1e-4  # relative: the authors' maxima were taken on a GPU, which sums in another order
RECODED_FRAME = 0.5  # a mean that is nearer than this is taken for the same picture in another JPEG coding

OTHER_RATES = (25.0, 29.97, 24.0, 23.976, 15.0)  # frames per second, where 30 are expected


@dataclass(frozen=True)
class Video:
    """Fingerprint of one clip: `frames` of `size` (rows, columns), `means` by frame (0 is the first), and the largest
    activation of each blob, after its in-place layers, in the centre crop of frame 0."""

    frames: int
    size: tuple[int, int]
    means: Mapping[int, float]
    largest: Mapping[str, float]


@dataclass(frozen=True)
class Release:
    """Fingerprint of a model: smallest and, where it is known, largest value of each weight blob; and of its clips."""

    name: str
    ranges: Mapping[str, tuple[float, float | None]]
    videos: Mapping[str, Video]


RGB_LRCN = Release(
    name="RGB_lstm_model_iter_30000",
    ranges={
        "conv1/0": (-0.2545815, None),
        "conv1/1": (-0.75550765, None),
        "conv2/0": (-0.11667229, None),
        "conv2/1": (0.05205434, None),
        "conv3/0": (-0.10822382, None),
        "conv3/1": (0.043545835, None),
        "conv4/0": (-0.083674915, None),
        "conv4/1": (-0.09201782, None),
        "conv5/0": (-0.07355894, None),
        "conv5/1": (-0.26059255, None),
        "fc6/0": (-0.016757634, None),
        "fc6/1": (0.014761488, None),
        "lstm1/0": (-0.017594324, 0.019193152),
        "lstm1/1": (-0.0016627078, 0.0021057539),
        "lstm1/2": (-0.01280208, 0.012235779),
        "fc8-final/0": (-0.111130916, 0.11503688),
        "fc8-final/1": (-0.2172594, 0.2352536),
    },
    videos={
        "v_JugglingBalls_g01_c02": Video(
            frames=248,
            size=(240, 320),
            means={0: 129.08260850694444, 15: 128.94715711805554, 247: 128.0997092013889},
            largest={
                "conv1": 1409.3694,
                "conv2": 216.26663,
                "norm2": 124.56574,
                "conv3": 128.56178,
                "conv4": 69.197,
                "conv5": 38.17141,
                "fc6": 19.95282,
            },
        ),
        "v_MilitaryParade_g05_c03": Video(
            frames=85,
            size=(240, 320),
            means={0: 88.115625, 15: 87.15681857638889, 84: 94.98259548611111},
            largest={
                "conv1": 1083.1179,
                "conv2": 229.6032,
                "norm2": 130.00763,
                "conv3": 140.4001,
                "conv4": 54.822964,
                "conv5": 29.566818,
                "fc6": 19.348217,
            },
        ),
    },
)


@dataclass
class Step:
    """One step of a reproduction: `checks` (what, expected, found, agrees), and the likely `causes` of differences."""

    name: str
    checks: list[tuple[str, float, float, bool]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every fingerprint of the step agrees."""
        return not self.causes and all(agrees for *_, agrees in self.checks)

    def check(self, what: str, expected: float, found: float, tolerance: float) -> bool:
        """Note one fingerprint; whether it agrees within `tolerance` (absolute; a NaN never does)."""
        agrees = bool(abs(found - expected) <= tolerance)
        self.checks.append((what, expected, found, agrees))
        return agrees


def verify(
    weights: Weights, frames: Path | None = None, release: Release = RGB_LRCN, net: Path | None = None
) -> list[Step]:
    """Check `weights`, and the clips of `release` that are folders under `frames`, step by step.

    Stops after the first step that differs: what follows it would only repeat the difference. `net` is the network of
    the weights, by default the paper's at full size.

    Raises:
        Error: if `frames` is given and holds none of the clips.
    """
    steps = [verify_weights(weights, release)]
    if frames is None or not steps[-1].agrees:
        return steps
    folders = {name: frames / name for name in release.videos if (frames / name).is_dir()}
    if not folders:
        raise Error(f"{frames}: expected at least one of the folders {', '.join(release.videos)}; found none of them")
    for name, folder in folders.items():
        steps.append(verify_frames(folder, release.videos[name]))
        if steps[-1].agrees:
            steps.append(
                verify_activations(weights, folder, release.videos[name], net or networks.path("lrcn.prototxt"))
            )
    return steps


def verify_weights(weights: Weights, release: Release = RGB_LRCN) -> Step:
    """Check the smallest and largest value of every blob that has a fingerprint."""
    step = Step(f"weights {weights.path}")
    found = dict(weights.blobs())
    missing = [name for name in release.ranges if name not in found]
    if missing:
        step.causes.append(_cause_of_missing_blobs(missing, weights))
        return step
    ranges = {name: (float(np.min(found[name])), float(np.max(found[name]))) for name in release.ranges}
    differing = set()
    for name, expected in release.ranges.items():
        for kind, expected_value, value in zip(("smallest", "largest"), expected, ranges[name], strict=True):
            if expected_value is not None and not step.check(f"{name} {kind}", expected_value, value, WEIGHT_TOLERANCE):
                differing.add(name)
    if differing:
        step.causes.append(_cause_of_other_weights(ranges, differing, release))
    return step


def _cause_of_missing_blobs(missing: list[str], weights: Weights) -> str:
    if "fc8-ucf" in weights:
        return "These are weights of the single-frame network (they have fc8-ucf); LRCN's have lstm1 and fc8-final."
    if all(name.startswith("lstm1/") for name in missing) and "lstm1" in weights:
        return f"lstm1 has {len(weights['lstm1'])} blobs where W_xc, b_c and W_hc are expected: another kind of LSTM."
    return f"There is no {', '.join(missing)}: these are not weights of the LRCN network, or the file is cut short."


def _cause_of_other_weights(ranges: Mapping[str, tuple[float, float]], differing: set[str], release: Release) -> str:
    not_finite = sorted(name for name in differing if not np.all(np.isfinite(ranges[name])))
    if not_finite:
        return f"{', '.join(not_finite)} hold NaN or infinity: the file is damaged, or training diverged."
    for name in sorted(differing):
        for other in sorted(differing - {name}):
            if _agrees(ranges[name], release.ranges[other]):
                return f"{name} holds what belongs in {other}: the blobs were stored in another order."
    for format_name, rounded in (("float16", _to_float16), ("bfloat16", _to_bfloat16)):
        expected = {name: tuple(None if v is None else rounded(v) for v in release.ranges[name]) for name in differing}
        if all(_agrees(ranges[name], expected[name], tolerance=1e-7) for name in differing):
            return f"The values were rounded to {format_name} on the way: convert the released file again, in float32."
    layers = {name.split("/")[0] for name in differing}
    if layers <= {"lstm1", "fc8-final"}:
        return (
            "The convolutions and fc6 are the released ones, the recurrent part is not: another iteration of the same "
            f"training, or weights trained further; {release.name} is expected."
        )
    if len(differing) == len(release.ranges):
        return f"No blob agrees: another model (the flow model?) or weights of one's own; {release.name} is expected."
    return f"{', '.join(sorted(layers))} differ, the rest is as released: weights trained further or changed by hand."


def _agrees(found: tuple[float, float], expected: tuple, tolerance: float = WEIGHT_TOLERANCE) -> bool:
    return all(e is None or abs(f - e) <= tolerance for f, e in zip(found, expected, strict=True))


def _to_float16(value: float) -> float:
    return float(np.float16(value))


def _to_bfloat16(value: float) -> float:
    bits = int(np.float32(value).view(np.uint32))
    return float(np.uint32((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32))


def verify_frames(folder: Path, video: Video) -> Step:
    """Check the number of frames in `folder`, their size and the means of the frames that have a fingerprint."""
    step = Step(f"frames {folder}")
    paths = sorted(folder.glob("*.jpg"))
    if not step.check("number of frames", video.frames, len(paths), 0):
        step.causes.append(_cause_of_other_count(len(paths), video.frames))
        return step
    images = {index: read_image(paths[index]) for index in video.means}
    for index, image in images.items():
        rows = step.check(f"rows of frame {index}", video.size[0], image.shape[0], 0)
        columns = step.check(f"columns of frame {index}", video.size[1], image.shape[1], 0)
        if not (rows and columns):
            step.causes.append(
                f"Frames are {image.shape[1]}x{image.shape[0]}, {video.size[1]}x{video.size[0]} is expected: ffmpeg "
                "was told to scale, or the clip is not UCF101's own file."
            )
            return step
    means = {index: float(image.mean(dtype=np.float64)) for index, image in images.items()}
    differing = {
        index
        for index in means
        if not step.check(f"mean of frame {index}", video.means[index], means[index], MEAN_TOLERANCE)
    }
    if differing:
        step.causes.append(_cause_of_other_means(paths, means, min(differing), video))
    return step


def _cause_of_other_count(found: int, expected: int) -> str:
    for rate in OTHER_RATES:
        if abs(found - expected * rate / 30) <= 1.5 and abs(found - expected) > 2:
            return f"So many frames does the clip have at {rate:g} frames per second: extract them with ffmpeg's -r 30."
    if 0 < abs(found - expected) <= 2:
        return "Nearly all frames are there: another version of ffmpeg repeats or drops frames otherwise at the ends."
    return "Frames are missing, or are of another clip: extract the whole clip again with ffmpeg's -r 30."


def _cause_of_other_means(paths: list[Path], means: Mapping[int, float], index: int, video: Video) -> str:
    if abs(means[index] - video.means[index]) < RECODED_FRAME:
        return (
            f"Frame {index} is nearly the same: the picture was coded by another version of ffmpeg, at another quality "
            "(-q:v), or is decoded by another JPEG library."
        )
    for other, path in enumerate(paths):
        if abs(float(read_image(path).mean(dtype=np.float64)) - video.means[index]) <= MEAN_TOLERANCE:
            return (
                f"{path.name} is the picture that frame {index} should be, and is frame {other}: frames were repeated "
                "or dropped otherwise (another rate, another version of ffmpeg), or their names sort in another order."
            )
    return f"Frame {index} is another picture: of another clip, at another rate, or changed in brightness or range."


def verify_activations(weights: Weights, folder: Path, video: Video, net: Path) -> Step:
    """Run frame 0 of `folder` through `net` and check the largest activation of each blob that has a fingerprint.

    Where they differ, usual slips of preprocessing are tried on the same frame, and the one that matches is named.
    """
    step = Step(f"activations {folder}")
    frame = read_image(min(folder.glob("*.jpg")))
    network = Net(net, weights, numerics="exact")
    size = network.inputs["data"][-1]
    largest = _largest(network, center_crop(frame, STREAMS["rgb"], size), video)
    differing = [
        name
        for name, expected in video.largest.items()
        if not step.check(f"{name} largest", expected, largest[name], ACTIVATION_TOLERANCE * expected)
    ]
    if not differing:
        return step
    matching = []
    for slip, crop in _slips(frame, size).items():
        found = _largest(network, crop, video)
        if all(
            abs(found[name] - expected) <= ACTIVATION_TOLERANCE * expected for name, expected in video.largest.items()
        ):
            matching.append(slip)
    if matching:
        step.causes.append(f"The fingerprint matches if {matching[0]}: a frame or the weights were made for that.")
    elif differing[0] == next(iter(video.largest)):
        step.causes.append(
            f"Already {differing[0]} differs, with weights and frames as released: look at the preprocessing (crop, "
            "order of channels, mean), none of whose usual slips explains it."
        )
    else:
        step.causes.append(
            f"{differing[0]} is the first to differ, what comes before it agrees: look at the layers that lead to it."
        )
    return step


@torch.no_grad()
def _largest(network: Net, crop: Tensor | np.ndarray, video: Video) -> dict[str, float]:
    out = network(data=crop[None], end="relu6", blobs=list(video.largest))
    return {name: float(out[name].max()) for name in video.largest}


def _slips(frame: np.ndarray, size: int) -> dict[str, Tensor | np.ndarray]:
    """The crop of `frame` as common slips make it, by what was done (the end of "the fingerprint matches if ...")."""
    rgb = STREAMS["rgb"]
    swapped = frame[:, :, ::-1]
    whole = resize_image(unit_image(frame), (size, size))
    return {
        "the red mean is 123.68 instead of 128.68": center_crop(frame, Stream("", (*rgb.mean[:2], 123.68)), size),
        "red and blue are swapped in the image": center_crop(swapped, rgb, size),
        "red and blue are swapped in the mean": center_crop(frame, Stream("", rgb.mean[::-1]), size),
        "red and blue are swapped in both image and mean": center_crop(swapped, Stream("", rgb.mean[::-1]), size),
        "no mean is subtracted": center_crop(frame, Stream("", (0.0, 0.0, 0.0)), size),
        "the mean is that of flow images, 128": center_crop(frame, STREAMS["flow"], size),
        "values lie in 0..1 instead of 0..255": center_crop(frame, Stream("", (0.0, 0.0, 0.0)), size) / 255,
        "the whole frame is resized instead of cropped": caffe_image(whole, rgb),
        "the crop is the top left corner": caffe_image(unit_image(frame)[:size, :size], rgb),
        "the crop is mirrored": center_crop(frame, rgb, size).flip(-1),
    }
