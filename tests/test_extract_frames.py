from functools import partial

import cv2
import numpy as np
import pytest


@pytest.fixture
def extract(command):
    """Calls the script as a shell does; gives its exit status and what it printed."""
    return partial(command, "extract_frames.py")


@pytest.fixture
def videos(tmp_path):
    """Two videos in folders of their actions, 6 frames at 15 fps each."""
    for action in ("Juggling", "Surfing"):
        path = tmp_path / "videos" / action / f"v_{action}_g01_c01.avi"
        path.parent.mkdir(parents=True)
        writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 15, (64, 48))
        for number in range(6):
            writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
        writer.release()
    return tmp_path / "videos"


def test_a_folder_of_videos(extract, videos, tmp_path):
    result = extract(videos, "-o", tmp_path / "frames", "--workers", 2)
    assert result.status == 0, result.stderr
    for action in ("Juggling", "Surfing"):
        assert len(list((tmp_path / "frames" / f"v_{action}_g01_c01").iterdir())) == 12
    result = extract(videos, "-o", tmp_path / "frames")
    assert "0 extracted" in result.stdout and "2 there already" in result.stdout


def test_native_rate_of_one_video(extract, videos, tmp_path):
    video = videos / "Surfing" / "v_Surfing_g01_c01.avi"
    assert extract(video, "-o", tmp_path / "frames", "--fps", "native").status == 0
    names = sorted(path.name for path in (tmp_path / "frames" / "v_Surfing_g01_c01").iterdir())
    assert names == [f"v_Surfing_g01_c01.{number:04d}.jpg" for number in range(1, 7)]


def test_a_bad_video_is_named_and_the_rest_finished(extract, videos, tmp_path):
    bad = videos / "Juggling" / "v_Broken_g01_c01.avi"
    bad.write_bytes(b"RIFF this is no video")
    result = extract(videos, "-o", tmp_path / "frames")
    assert result.status == 1
    assert f"error: {bad}" in result.stderr
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["v_Juggling_g01_c01", "v_Surfing_g01_c01"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent.avi", "-o", "out"], "no such video"),
        (["videos", "-o", "out", "--fps", "fast"], "invalid frame rate"),
        (["videos", "-o", "out", "--fps", "-3"], "invalid frame rate"),
        (["videos", "-o", "out", "--workers", "0"], "invalid positive integer"),
    ],
)
def test_mistakes_end_with_a_message(extract, arguments, message):
    result = extract(*arguments)
    assert result.status != 0
    assert message in result.stderr
