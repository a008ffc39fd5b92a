import time

import cv2
import numpy as np
import pytest
from activity_material import picture, write_frames
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcn import Error
from lrcn.activity.lists import Video, VideoError
from lrcn.activity.sources import Source, read_ahead, read_frames, read_image


def test_frames_come_in_the_order_of_their_names_as_rgb(tmp_path):
    for number in (2, 10, 1):
        assert cv2.imwrite(str(tmp_path / f"a.{number:04d}.png"), np.full((4, 6, 3), (number, 0, 200), np.uint8))
    (tmp_path / "notes.txt").write_text("not a frame")
    frames = read_frames(tmp_path)
    assert [frame[0, 0].tolist() for frame in frames] == [[200, 0, 1], [200, 0, 2], [200, 0, 10]]


def test_grey_image_has_three_channels(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.jpg"), np.full((8, 8), 77, np.uint8))
    assert np.array_equal(read_image(tmp_path / "a.jpg"), np.full((8, 8, 3), 77, np.uint8))


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"hello", b"\xff\xd8\xff\xd9"])
def test_unreadable_image(tmp_path, content):
    (tmp_path / "v.0001.jpg").write_bytes(content)
    with pytest.raises(VideoError, match=r"v\.0001\.jpg: not a readable image"):
        read_frames(tmp_path)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_jpeg_that_breaks_off(tmp_path_factory, part):
    folder = tmp_path_factory.mktemp("cut")
    _, content = cv2.imencode(".jpg", picture(np.random.default_rng(0)))
    (folder / "a.jpg").write_bytes(content.tobytes()[: int(part * len(content))])
    with pytest.raises(VideoError, match="not a readable image"):
        read_image(folder / "a.jpg")


def test_mixed_sizes(tmp_path):
    write_frames(tmp_path / "v", 2, seed=0)
    assert cv2.imwrite(str(tmp_path / "v" / "v.0003.jpg"), np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(VideoError, match=r"v\.0003\.jpg has 160x120 pixels, but v\.0001\.jpg has 320x240"):
        read_frames(tmp_path / "v")


def test_folder_without_frames_and_video_that_is_none(tmp_path):
    with pytest.raises(VideoError, match=r"no frames \(images named \.jpg"):
        read_frames(tmp_path)
    (tmp_path / "v.avi").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"v\.avi"):
        read_frames(tmp_path / "v.avi")


def test_videos_are_found_as_folders_and_files_also_below_their_action(tmp_path):
    (tmp_path / "v_a").mkdir()
    (tmp_path / "Hop").mkdir()
    (tmp_path / "Hop" / "v_b.avi").touch()
    (tmp_path / "v_c.mp4").touch()
    source = Source(tmp_path)
    assert source.find(Video("v_a", "Hop", 0)) == tmp_path / "v_a"
    assert source.find(Video("v_b", "Hop", 0)) == tmp_path / "Hop" / "v_b.avi"
    assert source.find(Video("v_c")) == tmp_path / "v_c.mp4"
    assert source.find(Video("v_d", "Hop", 0)) is None
    assert source.videos() == [Video("Hop"), Video("v_a"), Video("v_c")]
    with pytest.raises(VideoError, match="no folder or video file of this name"):
        source.read(Video("v_d"))


def test_missing_folder(tmp_path):
    with pytest.raises(Error, match="nowhere: no such folder"):
        Source(tmp_path / "nowhere")


def test_reading_ahead_is_bounded_and_keeps_order_and_errors():
    begun = []

    def read(item):
        begun.append(item)
        if item == 3:
            raise VideoError("three")
        return item * item

    seen = []
    for item, result in read_ahead(read, range(6), depth=2):
        time.sleep(0.02)
        assert len(begun) <= item + 1 + 2
        try:
            seen.append(result())
        except VideoError as error:
            seen.append(str(error))
    assert seen == [0, 1, 4, "three", 16, 25]


def test_memory_stays_flat_over_many_videos():
    """Results are let go one after the other, not kept until the end."""
    alive = 0
    most = 0

    class Frames:
        def __init__(self, _):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    for _, result in read_ahead(Frames, range(50)):
        result()
    del result
    assert most <= 4
    assert alive == 0
