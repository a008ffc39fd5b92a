"""The fingerprints of the release, met by stand-ins made to have them, and every way to miss them that has a name."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import lrcn
from lrcn.errors import Error
from lrcn.release import RGB_LRCN, Release, Video, verify, verify_activations, verify_frames, verify_weights
from prototxt_import import LayerWeights, Weights, read_weights, write_weights

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "verify_release.py"


def weights_of(blobs: dict[str, np.ndarray], path: Path) -> Weights:
    """The weights with these blobs (by LAYER/INDEX, in order), written to `path` and read again."""
    layers: dict[str, LayerWeights] = {}
    for name, blob in blobs.items():
        layer = name.split("/")[0]
        layers.setdefault(layer, LayerWeights(layer, "InnerProduct", [])).blobs.append(blob)
    write_weights(path, Weights("stand-in", list(layers.values())))
    return read_weights(path)


@pytest.fixture
def released_blobs() -> dict[str, np.ndarray]:
    """Small blobs with the smallest and largest values of the released ones."""
    blobs = {}
    for name, (smallest, largest) in RGB_LRCN.ranges.items():
        largest = abs(smallest) * 1.25 if largest is None else largest
        blobs[name] = np.linspace(smallest, largest, 12, dtype=np.float32)
    return blobs


def causes(step) -> str:
    assert not step.agrees
    return " ".join(step.causes)


def test_released_weights_agree(released_blobs, tmp_path):
    step = verify_weights(weights_of(released_blobs, tmp_path / "w.caffemodel"))
    assert step.agrees
    assert len(step.checks) == 22
    assert step.causes == []


@pytest.mark.parametrize("name", RGB_LRCN.ranges)
def test_every_blob_matters(released_blobs, tmp_path, name):
    released_blobs[name][0] -= np.float32(2e-5)
    step = verify_weights(weights_of(released_blobs, tmp_path / "w.caffemodel"))
    assert [what for what, *_, agrees in step.checks if not agrees] == [f"{name} smallest"]
    assert step.causes


def test_differences_within_the_tolerance_agree(released_blobs, tmp_path):
    blobs = {name: blob + np.float32(9e-6) for name, blob in released_blobs.items()}
    assert verify_weights(weights_of(blobs, tmp_path / "w.caffemodel")).agrees


def spoil_nan(blobs):
    blobs["conv3/0"][5] = np.nan


def spoil_order(blobs):
    blobs["lstm1/1"], blobs["lstm1/2"] = blobs["lstm1/2"], blobs["lstm1/1"]


def spoil_float16(blobs):
    blobs.update({name: blob.astype(np.float16).astype(np.float32) for name, blob in blobs.items()})


def spoil_bfloat16(blobs):
    def rounded(blob):
        bits = blob.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)

    blobs.update({name: rounded(blob) for name, blob in blobs.items()})


def spoil_recurrent_part(blobs):
    for name in ("lstm1/0", "lstm1/2", "fc8-final/0"):
        blobs[name] *= np.float32(1.1)


def spoil_everything(blobs):
    for name, blob in blobs.items():
        blobs[name] = blob * np.float32(1.5)


def spoil_one_layer(blobs):
    blobs["conv4/0"] *= np.float32(1.1)


def spoil_network(blobs):
    del blobs["lstm1/0"], blobs["lstm1/1"], blobs["lstm1/2"], blobs["fc8-final/0"], blobs["fc8-final/1"]
    blobs["fc8-ucf/0"] = np.ones(3, np.float32)


def spoil_kind_of_lstm(blobs):
    del blobs["lstm1/2"]


def spoil_completeness(blobs):
    del blobs["fc8-final/0"], blobs["fc8-final/1"]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (spoil_nan, "conv3/0 hold NaN or infinity"),
        (spoil_order, "lstm1/1 holds what belongs in lstm1/2"),
        (spoil_float16, "rounded to float16"),
        (spoil_bfloat16, "rounded to bfloat16"),
        (spoil_recurrent_part, "the recurrent part is not"),
        (spoil_everything, "No blob agrees"),
        (spoil_one_layer, "conv4 differ, the rest is as released"),
        (spoil_network, "single-frame network"),
        (spoil_kind_of_lstm, "lstm1 has 2 blobs"),
        (spoil_completeness, "There is no fc8-final/0, fc8-final/1"),
    ],
)
def test_causes_of_other_weights(released_blobs, tmp_path, spoil, cause):
    spoil(released_blobs)
    assert cause in causes(verify_weights(weights_of(released_blobs, tmp_path / "w.caffemodel")))


FRAMES = 20


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A folder of frames of a synthetic clip: coloured blobs that move, brighter from frame to frame."""
    folder = tmp_path_factory.mktemp("frames") / "v_Clip_g01_c01"
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (240, 420, 3)).astype(np.float32), (0, 0), 3)
    picture = cv2.normalize(picture, None, 20, 200, cv2.NORM_MINMAX) * np.float32([0.5, 0.8, 1])
    for index in range(FRAMES):
        frame = np.clip(picture[:, 4 * index : 4 * index + 320] + 2 * index, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"v_Clip_g01_c01.{index + 1:04d}.jpg"), frame)
    return folder


def decoded(folder: Path, index: int) -> np.ndarray:
    """Frame `index` of a folder as RGB."""
    return cv2.imread(str(folder / f"v_Clip_g01_c01.{index + 1:04d}.jpg"))[:, :, ::-1]


@pytest.fixture(scope="session")
def video(clip) -> Video:
    """Fingerprint of the clip as it is on disk, without activations."""
    return Video(FRAMES, (240, 320), {i: float(np.mean(decoded(clip, i), dtype=np.float64)) for i in (0, 15, 19)}, {})


@pytest.fixture
def copy(clip, tmp_path) -> Path:
    """A copy of the clip that a test may spoil."""
    return Path(shutil.copytree(clip, tmp_path / "frames" / clip.name))


def test_frames_agree(clip, video):
    step = verify_frames(clip, video)
    assert step.agrees
    assert len(step.checks) == 1 + 3 * 3


def keep(folder: Path, count: int) -> None:
    for path in sorted(folder.glob("*.jpg"))[count:]:
        path.unlink()


def rewrite(folder: Path, change, *parameters: int) -> None:
    for path in sorted(folder.glob("*.jpg")):
        cv2.imwrite(str(path), change(cv2.imread(str(path))), parameters)


def shift(folder: Path) -> None:
    """Repeat the first frame and drop the last."""
    paths = sorted(folder.glob("*.jpg"))
    for path, earlier in zip(reversed(paths[1:]), reversed(paths[:-1]), strict=True):
        shutil.copy(earlier, path)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda folder: keep(folder, 17), "at 25 frames per second"),
        (lambda folder: keep(folder, 10), "at 15 frames per second"),
        (lambda folder: keep(folder, 19), "Nearly all frames are there"),
        (lambda folder: keep(folder, 5), "Frames are missing"),
        (lambda folder: rewrite(folder, lambda image: cv2.resize(image, (340, 256))), "Frames are 340x256"),
        (lambda folder: rewrite(folder, lambda image: image, cv2.IMWRITE_JPEG_QUALITY, 70), "another quality"),
        (lambda folder: rewrite(folder, lambda image: image // 2), "another picture"),
        (shift, "repeated or dropped otherwise"),
    ],
)
def test_causes_of_other_frames(copy, video, spoil, cause):
    spoil(copy)
    assert cause in causes(verify_frames(copy, video))


SMALL_NET = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 67 dim: 67 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 8 kernel_size: 7 stride: 2 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { alpha: 1e-4 } }
layer { name: "fc6" type: "InnerProduct" bottom: "norm1" top: "fc6" inner_product_param { num_output: 16 } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
"""  # noqa: E501


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> tuple[Path, Weights]:
    """A small network up to fc6 and weights for it."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "net.prototxt").write_text(SMALL_NET)
    rng = np.random.default_rng(1)
    shapes = {"conv1/0": (8, 3, 7, 7), "conv1/1": (8,), "fc6/0": (16, 1800), "fc6/1": (16,)}
    blobs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return folder / "net.prototxt", weights_of(blobs, folder / "weights.caffemodel")


def centre(image: np.ndarray, mean=(103.939, 116.779, 128.68)) -> np.ndarray:
    """RGB image -> BGR minus mean, the 67x67 in the middle; written out once more, apart from what is tested."""
    crop = image[86:153, 126:193, ::-1].astype(np.float32) - np.float32(mean)
    return np.ascontiguousarray(crop.transpose(2, 0, 1))


def with_largest(video: Video, small, data: np.ndarray) -> Video:
    net = lrcn.Net(*small, numerics="exact")
    out = net(data=data[None], blobs=["conv1", "norm1", "fc6"])
    return replace(video, largest={name: out[name].max().item() for name in ("conv1", "norm1", "fc6")})


def test_activations_agree(clip, video, small):
    net, weights = small
    video = with_largest(video, small, centre(decoded(clip, 0)))
    step = verify_activations(weights, clip, video, net)
    assert step.agrees
    assert [what for what, *_ in step.checks] == ["conv1 largest", "norm1 largest", "fc6 largest"]


def resized(image: np.ndarray) -> np.ndarray:
    whole = cv2.resize(image[:, :, ::-1].astype(np.float32), (67, 67), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray((whole - np.float32([103.939, 116.779, 128.68])).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("slip", "cause"),
    [
        (lambda image: centre(image, (103.939, 116.779, 123.68)), "the red mean is 123.68"),
        (lambda image: centre(image[:, :, ::-1]), "red and blue are swapped in the image"),
        (lambda image: centre(image, (128.68, 116.779, 103.939)), "red and blue are swapped in the mean"),
        (lambda image: centre(image)[::-1], "swapped in both image and mean"),
        (lambda image: centre(image, (0, 0, 0)), "no mean is subtracted"),
        (lambda image: centre(image, (128, 128, 128)), "the mean is that of flow images"),
        (lambda image: centre(image, (0, 0, 0)) / np.float32(255), "values lie in 0..1"),
        (resized, "the whole frame is resized"),
        (lambda image: centre(np.roll(image, (86, 126), (0, 1))), "the top left corner"),
        (lambda image: centre(image)[:, :, ::-1], "mirrored"),
        (lambda image: centre(255 - image), "none of whose usual slips explains it"),
    ],
)
def test_causes_of_other_activations(clip, video, small, slip, cause):
    net, weights = small
    video = with_largest(video, small, np.ascontiguousarray(slip(decoded(clip, 0)), np.float32))
    assert cause in causes(verify_activations(weights, clip, video, net))


def test_the_first_layer_that_differs_is_named(clip, video, small):
    net, weights = small
    video = with_largest(video, small, centre(decoded(clip, 0)))
    video = replace(video, largest=dict(video.largest, norm1=video.largest["norm1"] * 1.01))
    assert "norm1 is the first to differ" in causes(verify_activations(weights, clip, video, net))


@pytest.fixture
def release(clip, video, small) -> Release:
    """The stand-in release: small weights and their clip."""
    _, weights = small
    ranges = {name: (float(blob.min()), None) for name, blob in weights.blobs()}
    return Release("small", ranges, {clip.name: with_largest(video, small, centre(decoded(clip, 0)))})


def test_steps_follow_each_other(clip, small, release):
    net, weights = small
    steps = verify(weights, clip.parent, release, net)
    assert [step.name.split()[0] for step in steps] == ["weights", "frames", "activations"]
    assert all(step.agrees for step in steps)


def test_the_first_step_that_differs_is_the_last(copy, small, release):
    net, weights = small
    keep(copy, 5)
    steps = verify(weights, copy.parent, release, net)
    assert [(step.name.split()[0], step.agrees) for step in steps] == [("weights", True), ("frames", False)]
    other = replace(release, ranges=dict(release.ranges, **{"fc6/1": (-9.0, None)}))
    assert [step.agrees for step in verify(weights, copy.parent, other, net)] == [False]


def test_no_clip_of_the_release(small, release, tmp_path):
    net, weights = small
    with pytest.raises(Error, match="v_Clip_g01_c01"):
        verify(weights, tmp_path, release, net)


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_command_line(released_blobs, tmp_path):
    weights_of(released_blobs, tmp_path / "released.caffemodel")
    result = run(tmp_path / "released.caffemodel")
    assert (result.returncode, result.stderr) == (0, "")
    assert "22 of 22 fingerprints agree" in result.stdout
    assert "As released: RGB_lstm_model_iter_30000." in result.stdout

    spoil_float16(released_blobs)
    weights_of(released_blobs, tmp_path / "rounded.caffemodel")
    result = run(tmp_path / "rounded.caffemodel")
    assert result.returncode == 1
    assert "Likely cause: The values were rounded to float16" in result.stdout

    result = run(tmp_path / "released.caffemodel", "--frames", tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "v_JugglingBalls_g01_c02" in result.stderr
    assert run(tmp_path / "absent.caffemodel").returncode == 2
