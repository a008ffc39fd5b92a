"""The four models against plain versions of the authors' loops, and against what their code computed (recorded)."""

import hashlib

import h5py
import numpy as np
import pytest
import torch
from activity_material import CLASSES, CROP, picture

from lrcn import Error, Net, networks
from lrcn.activity.lists import VideoError
from lrcn.activity.models import MODELS, load_model, separate_clips
from lrcn.activity.preprocess import QUIRKS, STREAMS, center_crop, ten_crops
from lrcn.activity.sources import read_frames
from prototxt_import import LayerWeights, Weights, write_weights

# Class probabilities, fast against Caffe: every row is a softmax after products of up to 13,824 terms, and Caffe's own
# rows are 0.6e-5 from float64.
LIMIT = 1e-5


def footage(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [picture(rng) for _ in range(count)]


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("name", ["rgb_lrcn", "flow_lrcn"])
def test_sharing_frames_between_clips_changes_no_bit(material, name, numerics):
    model = material.load(name, numerics=numerics)
    for count in (16, 29, 45):
        frames = footage(count, count)
        rows = model.predict(frames, "oversample")
        plain = separate_clips(model, frames)
        assert rows.shape == (16 * len(range(0, count, 8)), CLASSES)
        if numerics == "exact":
            assert np.array_equal(rows, plain)
        else:
            assert np.abs(rows - plain).max() < 1e-6  # product order


@pytest.mark.parametrize("name", ["rgb_single", "flow_single"])
def test_single_frame_rows_are_those_of_the_plain_loop(material, name):
    """The whole batch of crops, its rows 5 and on negated for flow, and the mean over the wrong axis."""
    model = material.load(name)
    frames = footage(29)
    expected = []
    for first in range(0, 29, 16):
        batch = frames[first : first + 16]
        crops = torch.cat([ten_crops(frame, model.stream, CROP) for frame in batch])
        if name == "flow_single":
            negated = torch.cat([ten_crops(frame, model.stream, CROP, negated_from=0) for frame in batch])
            crops[5:] = negated[5:]
        probabilities = model.net(data=crops)["probs"].detach().numpy()
        expected.append(np.mean(probabilities.reshape(10, len(batch), CLASSES), 0).astype(np.float64))
    assert np.array_equal(model.predict(frames, "oversample"), np.concatenate(expected))


@pytest.mark.parametrize("name", ["rgb_lrcn", "flow_lrcn"])
def test_center_rows_are_those_of_the_plain_loop(material, name):
    """The network on the centres of 16 frames at a time up to fc6, then clip after clip through the LSTM."""
    model = material.load(name)
    frames = footage(45)
    centers = torch.stack([center_crop(frame, model.stream, CROP) for frame in frames])
    features = np.concatenate(
        [model.net(data=c, end="relu6")["fc6"].detach().numpy() for c in torch.tensor_split(centers, [16, 32])]
    )
    data = np.zeros((16, 500, 40), np.float32)
    for clip, start in enumerate([0, 8, 16, 24, 29, 29]):
        data[:, clip] = features[start : start + 16]
    markers = np.ones((16, 500), np.float32)
    markers[0] = 0
    out = model.net(start="lstm1", **{"fc6-reshape": data, "reshape-cm": markers})["probs"].detach().numpy()
    expected = np.concatenate([out[:, clip] for clip in range(6)]).astype(np.float64)
    assert np.array_equal(model.predict(frames, "center"), expected)


def test_center_rows_of_the_single_frame_model(material):
    model = material.load("rgb_single")
    frames = footage(20)
    centers = torch.stack([center_crop(frame, model.stream, CROP) for frame in frames])
    expected = np.concatenate([model.net(data=part)["probs"].detach().numpy() for part in (centers[:16], centers[16:])])
    assert np.array_equal(model.predict(frames, "center"), expected)


@pytest.mark.parametrize("protocol", ["oversample", "center"])
@pytest.mark.parametrize("name", MODELS)
def test_a_video_does_not_depend_on_the_one_before(material, name, protocol):
    model = material.load(name)
    first, second = footage(29, 1), footage(33, 2)
    alone = model.predict(first, protocol)
    model.predict(second, protocol)
    assert np.array_equal(model.predict(first, protocol), alone)


@pytest.mark.parametrize("protocol", ["oversample", "center"])
@pytest.mark.parametrize("name", MODELS)
def test_fast_agrees_with_exact(material, name, protocol):
    frames = footage(29)
    exact = material.load(name).predict(frames, protocol)
    fast = material.load(name, numerics="fast").predict(frames, protocol)
    assert np.abs(exact - fast).max() < LIMIT
    assert exact.mean(axis=0).argmax() == fast.mean(axis=0).argmax()


@pytest.mark.parametrize("name", ["flow_lrcn", "flow_single"])
def test_without_quirks_a_mirrored_flow_video_has_the_same_ten_crops(material, name):
    """Mirrored flow with its horizontal part negated is the flow of the mirrored video."""
    frames = footage(16)
    mirrored = [frame[:, ::-1].copy() for frame in frames]
    for frame in mirrored:
        frame[..., 0] = 255 - frame[..., 0]
    differences = {}
    for quirks in ("none", "released"):
        model = material.load(name, quirks=quirks)
        here, there = (model.predict(video, "oversample").mean(axis=0) for video in (frames, mirrored))
        differences[quirks] = np.abs(here - there).max()
    assert differences["none"] < 1e-5
    assert differences["released"] > 1e-3


def test_each_quirk_shows(material):
    """`quirks="none"` differs from "released" where the quirks are said to act, and nowhere else."""
    frames = footage(45)

    def rows(name, quirks, protocol):
        return material.load(name, quirks=quirks).predict(frames, protocol)

    # last_clip_repeated: 6 clips, the last of them twice.
    released, none = (rows("rgb_lrcn", quirks, "oversample") for quirks in ("released", "none"))
    assert np.array_equal(released[:80], none)
    assert np.array_equal(released[80:], none[64:])
    # single_frame_rows_mix_frames: other rows, the same mean.
    released, none = (rows("rgb_single", quirks, "oversample") for quirks in ("released", "none"))
    assert np.abs(released - none).max() > 0.01
    assert np.abs(released.mean(axis=0) - none.mean(axis=0)).max() < 1e-6
    # lrcn_mirrored_flow_keeps_x and single_frame_negates_whole_batch.
    for name in ("flow_lrcn", "flow_single"):
        released, none = (rows(name, quirks, "oversample").mean(axis=0) for quirks in ("released", "none"))
        assert np.abs(released - none).max() > 1e-3
    assert np.array_equal(*(rows("flow_single", quirks, "center") for quirks in ("released", "none")))
    assert len(QUIRKS) == 4


def test_rows_over_time(material):
    model = material.load("rgb_lrcn")
    rows = np.arange(96.0)[:, None] * np.ones(CLASSES)
    over_time = model.over_time(rows, 45)
    assert over_time.shape == (45, CLASSES)
    assert over_time[0, 0] == 0
    assert over_time[8, 0] == (8 + 16) / 2
    assert over_time[44, 0] == (79 + 95) / 2
    rows = np.random.default_rng(0).random((20, CLASSES))
    assert np.array_equal(material.load("rgb_single").over_time(rows, 20), rows)


@pytest.mark.parametrize("protocol", ["oversample", "center"])
def test_video_of_15_frames(material, protocol):
    frames = footage(15)
    with pytest.raises(VideoError, match="15 frames, but a clip needs 16"):
        material.load("rgb_lrcn").predict(frames, protocol)
    assert len(material.load("rgb_single").predict(frames, protocol)) == 15


def test_probabilities_that_are_not_finite(material, tmp_path):
    weights = tmp_path / "w.caffemodel"
    layers = {
        name: [np.full(blob.shape, 3e38, np.float32) for blob in blobs]
        for name, blobs in Net(material.network("single")).params.items()
    }
    write_weights(weights, Weights("huge", [LayerWeights(name, "", blobs) for name, blobs in layers.items()]))
    model = load_model("rgb_single", weights, network=material.network("single"))
    with pytest.raises(VideoError, match="not finite"):
        model.predict(footage(2), "oversample")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('input: "data" input_shape { dim: 1 dim: 4 dim: 8 dim: 8 }', "expected one input blob of images"),
        ('input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }', "the network has no Softmax layer"),
    ],
)
def test_network_that_is_no_classifier(tmp_path, text, message):
    network = tmp_path / "net.prototxt"
    network.write_text(text)
    weights = tmp_path / "w.caffemodel"
    write_weights(weights, Weights("none", []))
    with pytest.raises(Error, match=message):
        load_model("rgb_single", weights, network=network)


def test_single_frame_network_for_the_lrcn_model(material):
    with pytest.raises(Error, match=r"single\.prototxt: the network has no LSTM or RNN layer"):
        load_model("rgb_lrcn", material.weights("rgb_single"), network=material.network("single"))


# The recorded run of the authors' code: full-size networks, stand-in weights, two videos.

VIDEOS = ("v_BaseballPitch_g01_c01", "v_ApplyEyeMakeup_g01_c01")


@pytest.fixture(scope="module")
def stand_in(shared, tmp_path_factory):
    """stand_in(name) -> the file of the stand-in weights of that model, written as a .caffemodel."""
    scope = {}
    exec((shared / "goldens" / "activity" / "make_weights.py").read_text(), scope)
    folder = tmp_path_factory.mktemp("weights")

    def write(name: str):
        path = folder / f"{name}.caffemodel"
        if not path.exists():
            stream, kind = name.split("_")
            shapes = {
                layer: [tuple(blob.shape) for blob in blobs] for layer, blobs in Net(full_size(kind)).params.items()
            }
            layers = {layer: LayerWeights(layer, "", []) for layer in shapes}
            for layer, _, array in scope["arrays"](stream, shapes):
                layers[layer].blobs.append(array)
            write_weights(path, Weights(name, list(layers.values())))
        return path

    yield write
    for path in folder.iterdir():
        path.unlink()


def full_size(kind: str):
    return networks.path({"lrcn": "lrcn.prototxt", "single": "single_frame.prototxt"}[kind])


@pytest.fixture
def recorded(shared):
    activity = shared / "goldens" / "activity"
    with h5py.File(activity / "expected.h5") as file:

        def get(stream: str, video: str):
            return file[stream][video], read_frames(activity / {"rgb": "frames", "flow": "flow"}[stream] / video)

        yield get


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_lrcn_exact(stand_in, recorded, stream):
    model = load_model(f"{stream}_lrcn", stand_in(f"{stream}_lrcn"), network=full_size("lrcn"))
    for video in VIDEOS:
        expected, frames = recorded(stream, video)
        with torch.inference_mode():
            features = model._center_batches(frames, "fc6", "relu6").numpy()
        assert hashlib.sha256(features.tobytes()).hexdigest() == expected.attrs["center_fc6_sha256"]
        clip_probabilities = expected["lrcn_center_probs"][()].transpose(1, 0, 2).reshape(-1, 101)
        assert np.array_equal(model.predict(frames, "center"), clip_probabilities)
    # The ten crops of the shorter video: the rest of this part of the record takes minutes.
    expected, frames = recorded(stream, VIDEOS[0])
    assert np.array_equal(model.predict(frames, "oversample"), expected["lrcn_oversample_predictions"])


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_single_frame_exact(stand_in, recorded, stream):
    model = load_model(f"{stream}_single", stand_in(f"{stream}_single"), network=full_size("single"))
    expected, frames = recorded(stream, VIDEOS[0])
    assert np.array_equal(model.predict(frames, "oversample"), expected["single_oversample_predictions"])


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_lrcn_fast(stand_in, recorded, stream):
    model = load_model(f"{stream}_lrcn", stand_in(f"{stream}_lrcn"), network=full_size("lrcn"), numerics="fast")
    for video in VIDEOS:
        expected, frames = recorded(stream, video)
        clip_probabilities = expected["lrcn_center_probs"][()].transpose(1, 0, 2).reshape(-1, 101).astype(np.float64)
        assert_close(model.predict(frames, "center"), clip_probabilities)
    expected, frames = recorded(stream, VIDEOS[0])
    assert_close(model.predict(frames, "oversample"), expected["lrcn_oversample_predictions"][()])


@pytest.mark.parametrize("stream", STREAMS)
def test_recorded_single_frame_fast(stand_in, recorded, stream):
    model = load_model(f"{stream}_single", stand_in(f"{stream}_single"), network=full_size("single"), numerics="fast")
    expected, frames = recorded(stream, VIDEOS[0])
    assert_close(model.predict(frames, "oversample"), expected["single_oversample_predictions"][()])


def assert_close(rows: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(rows - expected).max() < LIMIT
    assert rows.mean(axis=0).argmax() == expected.mean(axis=0).argmax()
