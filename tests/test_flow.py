import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lrcn.errors import Error
from lrcn.flow import Brox, colour_flow, compute_flow, decode_flow, encode_flow, flow_images, write_flow_images


def texture(seed, height=240, width=320):
    coarse = np.random.default_rng(seed).uniform(0, 255, (height // 6, width // 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def shifted(image, x, y):
    matrix = np.float32([[1, 0, x], [0, 1, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def encoded(x, y):
    return encode_flow(np.float32([[[x, y]]]))[0, 0].tolist()


def test_encoding():
    assert encoded(0, 0) == [128, 128, 128]
    assert encoded(1, -2) == [144, 96, round(16 * 5**0.5 + 128)]
    assert encoded(1 / 32, 0)[0] == 129  # 128.5: halves round up
    assert encoded(-1 / 32, 0)[0] == 128  # 127.5 too
    assert encoded(100, -100) == [255, 0, 255]
    assert encoded(7.96875, 0)[0] == 255  # 255.5 is clipped before it is rounded


@given(arrays.arrays(np.float32, (3, 4, 2), elements=st.floats(-1000, 1000, width=32)))
def test_encoding_is_within_half_a_step(flow):
    image = encode_flow(flow)
    assert image.shape == (3, 4, 3) and image.dtype == np.uint8
    magnitude = np.hypot(flow[..., 0].astype(np.float64), flow[..., 1])
    for channel, value in enumerate((flow[..., 0], flow[..., 1], magnitude)):
        expected = (value.astype(np.float64) * 16 + 128).clip(0, 255)
        assert np.abs(image[..., channel] - expected).max() <= 0.5
    assert image[..., 2].min() >= 128


@given(arrays.arrays(np.float32, (3, 4, 2), elements=st.floats(-7.875, 7.875, width=32)))
def test_decoding_gives_the_flow_back_to_half_a_step(flow):
    decoded = decode_flow(encode_flow(flow))
    assert decoded.dtype == np.float32
    assert np.abs(decoded - flow).max() <= 1 / 32 + 1e-6


def test_colour_wheel():
    flow = np.float32([[[0, 0], [2, 0], [0, 2], [-2, 0], [0, -2], [1, 0]]])
    white, right, down, left, up, half_right = colour_flow(flow)[0].tolist()
    assert white == [255, 255, 255]
    assert right == [255, 0, 0] and half_right == [255, 128, 128]
    assert left == [0, 255, 255]
    assert down == [127, 255, 0] and up == [128, 0, 255]
    assert colour_flow(flow, largest=4)[0, 1].tolist() == [255, 128, 128]
    assert (colour_flow(np.zeros((2, 3, 2), np.float32)) == 255).all()


@pytest.mark.parametrize("method", ["brox", "dis", "farneback"])
@pytest.mark.parametrize("x, y", [(3, 0), (0, -2), (-4, 3)])
def test_every_method_finds_a_shift(method, x, y):
    image = texture(1)
    flow = compute_flow(image, shifted(image, x, y), method)
    assert flow.shape == (240, 320, 2)
    middle = flow[40:-40, 40:-40].reshape(-1, 2)
    assert np.median(middle, axis=0) == pytest.approx([x, y], abs=0.1)


def test_unusable_input_is_named():
    with pytest.raises(Error, match=r"'brix'.*dis"):
        compute_flow(texture(1), texture(1), "brix")
    with pytest.raises(Error, match=r"one size.*\(240, 320, 3\).*\(120, 320, 3\)"):
        compute_flow(texture(1), texture(1)[:120])
    for grey in (texture(1)[..., 0], texture(1)[..., :1]):
        with pytest.raises(Error, match=r"RGB frames; found a grey one of shape \(240, 320"):
            compute_flow(grey, grey)
    with pytest.raises(Error, match=r"RGB frames .* found \(240, 320, 3\) float64"):
        compute_flow(texture(1), texture(1).astype(float))


@pytest.mark.parametrize("height, width", [(4, 4), (100, 12), (15, 15), (15, 300), (13, 64)])
def test_frames_too_small_for_dis(height, width):
    """Of several sizes OpenCV's own ending is a crash."""
    with pytest.raises(Error, match=f"DIS flow needs .* at least 16 pixels each way, found {width}x{height}"):
        compute_flow(*np.zeros((2, height, width, 3), np.uint8), "dis")


@pytest.mark.parametrize(
    "method, height, width",
    [("dis", 16, 16), ("dis", 16, 300), ("dis", 300, 16), ("farneback", 1, 1), ("farneback", 4, 4)],
)
def test_smallest_frames(method, height, width):
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    flow = compute_flow(*frames, method)
    assert flow.shape == (height, width, 2) and np.isfinite(flow).all()


def test_one_image_per_pair_of_frames():
    image = texture(2)
    frames = [shifted(image, 2 * step, 0) for step in range(4)]
    images = list(flow_images(iter(frames), "dis"))
    assert len(images) == 3
    for flow_image in images:
        assert np.median(flow_image[40:-40, 40:-40, 0]) == pytest.approx(160, abs=2)
    assert list(flow_images(frames[:1])) == []


def test_images_come_in_order_from_any_number_of_workers():
    image = texture(2, 48, 64)
    frames = [shifted(image, step * step / 10, 0) for step in range(8)]
    alone = list(flow_images(frames))
    for workers in (2, 5):
        assert np.array_equal(list(flow_images(iter(frames), workers=workers)), alone)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("at_once", [2, 3, 10])
def test_images_of_pairs_computed_together(monkeypatch, at_once, workers):
    """As on a GPU; the last batch may be smaller."""
    frames = [shifted(texture(2, 48, 64), step, 0) for step in range(8)]
    expected = list(flow_images(frames))
    monkeypatch.setattr(Brox, "pairs_at_once", lambda self, height, width: at_once)
    assert np.array_equal(list(flow_images(iter(frames), workers=workers)), expected)


def test_an_error_ends_the_images():
    frames = [texture(2, 48, 64)] * 3 + [texture(2, 60, 64)]
    with pytest.raises(Error, match="one size"):
        list(flow_images(frames, workers=3))


def test_written_images_are_named_from_frame_two(tmp_path):
    image = texture(3)
    frames = [image, shifted(image, 3, 0), shifted(image, 6, 0)]
    assert write_flow_images(frames, tmp_path, "v_Clip_g01_c01")
    files = sorted((tmp_path / "v_Clip_g01_c01").iterdir())
    assert [file.name for file in files] == [f"flow_image_v_Clip_g01_c01.{number:04d}.jpg" for number in (2, 3)]
    red = cv2.imread(str(files[0]))[40:-40, 40:-40, 2]
    assert np.median(red) == pytest.approx(128 + 3 * 16, abs=3)
    assert not write_flow_images(frames, tmp_path, "v_Clip_g01_c01")


@pytest.mark.parametrize("method, least", [("brox", 0.4), ("dis", 0.3), ("farneback", 0.7)])
def test_resembles_the_recorded_flow(shared, method, least):
    name = "v_BaseballPitch_g01_c01"
    recorded = shared / "goldens" / "activity"
    frames = [
        cv2.cvtColor(cv2.imread(str(recorded / "frames" / name / f"{name}.{number:04d}.jpg")), cv2.COLOR_BGR2RGB)
        for number in range(1, 7)
    ]
    correlations = []
    for number, image in enumerate(flow_images(frames, method), start=2):
        expected = cv2.imread(str(recorded / "flow" / name / f"flow_image_{name}.{number:04d}.jpg"))[..., ::-1]
        correlations += [np.corrcoef(expected[..., axis].ravel(), image[..., axis].ravel())[0, 1] for axis in (0, 1)]
    assert np.mean(correlations) > least  # it was made by other means, on frames of low JPEG quality
