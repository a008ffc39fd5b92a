import hashlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcn.activity.lists import VideoError
from lrcn.activity.preprocess import (
    QUIRKS,
    STREAMS,
    active_quirks,
    caffe_image,
    center_crop,
    resize_image,
    ten_crops,
    unit_image,
)
from lrcn.activity.sources import read_frames


def crop_after_crop(frame: np.ndarray, stream: str, size: int, negated_from: int) -> np.ndarray:
    """What the authors' code does, in its order: crops of the fractions, then each through pycaffe's arithmetic."""
    image = (frame.astype(np.float64) / 255).astype(np.float32)
    rows, columns = image.shape[:2]
    places = [(0, 0), (0, columns - size), (rows - size, 0), (rows - size, columns - size)]
    places.append((int(rows / 2 - size / 2), int(columns / 2 - size / 2)))
    crops = np.stack([image[top : top + size, left : left + size] for top, left in places] * 2)
    crops[5:] = crops[5:, :, ::-1].copy()
    crops[negated_from:, :, :, 0] = 1 - crops[negated_from:, :, :, 0]
    mean = {"rgb": [103.939, 116.779, 128.68], "flow": [128, 128, 128]}[stream]
    mean = np.tile(np.array(mean, np.float64)[:, None, None], (1, size, size))
    results = []
    for crop in crops:
        crop = crop.transpose(2, 0, 1)[[2, 1, 0]].copy()
        crop *= 255
        crop -= mean
        results.append(crop)
    return np.stack(results)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["rgb", "flow"]),
    st.integers(240, 260),
    st.integers(230, 330),
    st.integers(1, 227),
    st.sampled_from([0, 5, 10]),
)
def test_crops_of_the_prepared_frame_have_the_bits_of_prepared_crops(seed, stream, rows, columns, size, negated_from):
    frame = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    crops = ten_crops(frame, STREAMS[stream], size, negated_from).numpy()
    expected = crop_after_crop(frame, stream, size, negated_from)
    assert crops.dtype == np.float32
    assert np.array_equal(crops, expected)


def test_recorded_crops(shared):
    """The bits that the authors' code saw: first frame of both videos, both streams, all crops."""
    activity = shared / "goldens" / "activity"
    checked = 0
    with h5py.File(activity / "expected.h5") as expected:
        for stream, folder in (("rgb", "frames"), ("flow", "flow")):
            for name, recorded in expected[stream].items():
                frames = read_frames(activity / folder / name)
                assert len(frames) == recorded.attrs["frames"]
                crops = ten_crops(frames[0], STREAMS[stream], 227).numpy()
                assert [sha256(crop) for crop in crops] == list(recorded.attrs["oversample_sha256"])
                center = center_crop(frames[0], STREAMS[stream], 227).numpy()
                assert sha256(center) == recorded.attrs["center_sha256"]
                assert np.array_equal(center, recorded["center"])
                checked += 1
    assert checked == 4


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_red_mean_is_the_one_of_the_weights():
    black = caffe_image(np.zeros((1, 1, 3), np.float32), STREAMS["rgb"])
    assert np.array_equal(black[:, 0, 0], np.float32([-103.939, -116.779, -128.68]))


def test_small_frame_is_resized_for_ten_crops_and_any_other_size_for_the_centre():
    small, large = np.zeros((120, 160, 3), np.uint8), np.zeros((480, 640, 3), np.uint8)
    large[126:353, 206:433] = 255  # the centre of 227x227 at this size, not after resizing
    assert ten_crops(small, STREAMS["rgb"], 227).shape == (10, 3, 227, 227)
    assert ten_crops(large, STREAMS["rgb"], 227)[4].min() > 100
    assert center_crop(large, STREAMS["rgb"], 227).min() < -100


@pytest.mark.parametrize("size", [(240, 320), (17, 33), (480, 640)])
def test_resizing_a_ramp_gives_a_ramp_about_pixel_centres(size):
    old = (120, 160)
    ramp = (
        np.repeat(np.add.outer(np.arange(old[0]), 2.0 * np.arange(old[1]))[:, :, None], 3, 2).astype(np.float32) / 500
    )
    rows, columns = ((np.arange(size[axis]) + 0.5) * old[axis] / size[axis] - 0.5 for axis in (0, 1))
    inside = [np.clip(position, 0, old[axis] - 1) for axis, position in enumerate((rows, columns))]
    expected = np.add.outer(inside[0], 2 * inside[1])[:, :, None] / 500
    # Beyond the edges lies the least value, here 0.
    expected *= np.multiply.outer(1 - abs(rows - inside[0]), 1 - abs(columns - inside[1]))[:, :, None]
    # The stretch to 0..1 is done in float32.
    assert np.abs(resize_image(ramp, size) - expected).max() < 2e-7


def test_resizing_keeps_a_constant_and_the_same_size():
    constant = np.full((10, 12, 3), 0.3, np.float32)
    assert np.array_equal(resize_image(constant, (5, 7)), np.full((5, 7, 3), np.float32(0.3)))
    image = unit_image(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
    assert np.abs(resize_image(image, (24, 32)) - image).max() < 1e-7


def test_frame_smaller_than_the_crop():
    with pytest.raises(VideoError, match="frames of 200x240 are too small for crops of 227x227"):
        ten_crops(np.zeros((240, 200, 3), np.uint8), STREAMS["rgb"], 227)


def test_quirks_are_all_or_none():
    assert active_quirks("released") == set(QUIRKS)
    assert active_quirks("none") == set()
