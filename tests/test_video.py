import json
import os
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn.errors import Error
from lrcn.video import extract_frames, find_videos, read_video, resample_indices, write_images

WIDTH, HEIGHT = 64, 48


def write_video(path, frames, fps=30.0):
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def grey_frames(count):
    """Frame k is grey with the value 6 + 12 k, so that a decoded picture tells its number."""
    return [np.full((HEIGHT, WIDTH, 3), 6 + 12 * number, np.uint8) for number in range(count)]


def number_of(image):
    return round((float(image.mean()) - 6) / 12)


def times(frames, fps, first=0):
    return [(first + number) / fps for number in range(frames)]


def test_frame_sequence_is_that_of_ffmpeg(data):
    recorded = json.loads((data / "ffmpeg_rate.json").read_text())
    assert len(recorded["cases"]) > 30
    for case in recorded["cases"]:
        source_fps = float(Fraction(case["source_fps"]))
        shown_at = times(case["frames"], source_fps, case["first"])
        assert resample_indices(shown_at, source_fps, float(case["fps"]), case["sound"]) == case["shown"], case


def test_164_frames_at_25_fps():
    assert len(resample_indices(times(164, 25), 25, 30)) == 197
    # With a sound track that begins one frame earlier, ffmpeg fills the gap.
    assert len(resample_indices(times(164, 25, first=1), 25, 30, from_zero=True)) == 198


@given(
    st.integers(1, 200),
    st.floats(1, 120, allow_subnormal=False),
    st.floats(1, 120, allow_subnormal=False),
    st.integers(0, 3),
    st.booleans(),
)
def test_resampled_sequence_keeps_order_and_length(frames, source_fps, fps, first, from_zero):
    indices = resample_indices(times(frames, source_fps, first), source_fps, fps, from_zero)
    assert indices == sorted(indices)
    assert not indices or 0 <= indices[0] <= indices[-1] < frames
    span = frames + (first if from_zero else 0)
    # At each end the tolerance of 1.1 frames and a rounding of 0.5, and the rounding of one source frame's length.
    assert abs(len(indices) - span * fps / source_fps) <= 3.2 + 0.5 * fps / source_fps


@given(st.integers(1, 300), st.sampled_from([10.0, 24.0, 25.0, 30000 / 1001, 30.0, 60.0]))
def test_same_rate_keeps_every_frame(frames, fps):
    assert resample_indices(times(frames, fps), fps, fps) == list(range(frames))


def test_a_gap_in_the_source_is_filled_from_both_sides():
    # ffmpeg 5.1.9 with the source frames 2 to 4 of a 30 fps clip left out (-vf select -fps_mode passthrough).
    assert resample_indices([0, 1 / 30, 5 / 30, 6 / 30, 7 / 30], 30, 30) == [0, 1, 1, 1, 2, 2, 3, 4]
    # The same with the frames 2 to 8 of a 25 fps clip.
    assert resample_indices([0, 1 / 25, 9 / 25, 10 / 25], 25, 30) == [0] + [1] * 9 + [2, 2, 3]


@pytest.mark.parametrize("source_fps", [15.0, 25.0, 30.0, 60.0])
def test_reads_the_resampled_sequence(tmp_path, source_fps):
    video = write_video(tmp_path / "clip.avi", grey_frames(18), source_fps)
    shown = [number_of(frame) for frame in read_video(video)]
    assert shown == resample_indices(times(18, source_fps), source_fps, 30)
    assert [number_of(frame) for frame in read_video(video, fps=None)] == list(range(18))


def test_frames_are_rgb(tmp_path):
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 200
    frame = next(read_video(write_video(tmp_path / "red.avi", [red])))
    assert frame.dtype == np.uint8 and frame.shape == (HEIGHT, WIDTH, 3)
    assert abs(frame.astype(int) - red).max() <= 8  # JPEG rounding of chroma


def test_extraction_writes_the_authors_layout_once(tmp_path):
    video = write_video(tmp_path / "v_Clip_g01_c01.avi", grey_frames(5), 15.0)
    assert extract_frames(video, tmp_path / "frames")
    images = sorted((tmp_path / "frames" / "v_Clip_g01_c01").iterdir())
    assert [image.name for image in images] == [f"v_Clip_g01_c01.{number:04d}.jpg" for number in range(1, 11)]
    assert [number_of(cv2.imread(str(image))) for image in images] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    stamps = [image.stat().st_mtime_ns for image in images]
    assert not extract_frames(video, tmp_path / "frames")
    assert [image.stat().st_mtime_ns for image in images] == stamps


def test_interrupted_extraction_leaves_no_folder_and_is_made_up_for(tmp_path):
    def broken_off():
        yield from grey_frames(3)
        raise KeyboardInterrupt

    folder = tmp_path / "frames" / "clip"
    with pytest.raises(KeyboardInterrupt):
        write_images(broken_off(), folder, "clip.", quality=95)
    assert list(folder.parent.iterdir()) == []
    # What a killed process leaves behind does not get into the result.
    (folder.parent / ".clip.partial").mkdir()
    (folder.parent / ".clip.partial" / "clip.0009.jpg").write_bytes(b"old")
    assert write_images(grey_frames(3), folder, "clip.", quality=95)
    assert len(list(folder.iterdir())) == 3
    assert [entry.name for entry in folder.parent.iterdir()] == ["clip"]


def test_unreadable_videos_have_clear_messages(tmp_path):
    with pytest.raises(Error, match="no such video"):
        next(read_video(tmp_path / "absent.avi"))
    (tmp_path / "empty.avi").touch()
    with pytest.raises(Error, match="empty"):
        next(read_video(tmp_path / "empty.avi"))
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(Error, match="not a video"):
        next(read_video(tmp_path / "noise.avi"))
    (tmp_path / "text.mp4").write_text("not a video at all\n" * 50)
    with pytest.raises(Error, match="not a video"):
        next(read_video(tmp_path / "text.mp4"))
    with pytest.raises(Error, match="no frame"):
        next(read_video(write_video(tmp_path / "none.avi", [])))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_truncated_video_is_an_error(tmp_path, kept):
    whole = write_video(tmp_path / "whole.avi", grey_frames(20)).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(Error, match=r"cut\.avi: cut off"):
        list(read_video(cut))
    with pytest.raises(Error):
        extract_frames(cut, tmp_path / "frames")
    assert not (tmp_path / "frames" / "cut").exists()


def test_damaged_bytes_never_crash(tmp_path):
    whole = bytearray(write_video(tmp_path / "whole.avi", grey_frames(8)).read_bytes())
    rng = np.random.default_rng(1)
    for trial in range(30):
        damaged = bytearray(whole)
        for position in rng.integers(len(damaged), size=20):
            damaged[position] = rng.integers(256)
        path = tmp_path / f"{trial}.avi"
        path.write_bytes(damaged)
        try:
            frames = [frame for frame, _ in zip(read_video(path), range(1000), strict=False)]
        except Error as error:
            assert str(path) in str(error)
        else:
            assert all(frame.dtype == np.uint8 for frame in frames)


def test_find_videos(tmp_path):
    for name in ("b/v_B_g01_c01.avi", "a/v_A_g01_c01.MP4", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [os.path.relpath(path, tmp_path) for path in find_videos(tmp_path)] == [
        "a/v_A_g01_c01.MP4",
        "b/v_B_g01_c01.avi",
    ]
    (tmp_path / "b" / "v_A_g01_c01.avi").touch()
    with pytest.raises(Error, match="one folder"):
        find_videos(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(Error, match="no video"):
        find_videos(tmp_path / "nothing")


@pytest.mark.parametrize("name, count", [("v_ApplyEyeMakeup_g01_c01", 198), ("v_BaseballPitch_g01_c01", 107)])
def test_real_videos_give_the_recorded_frames(shared, name, count):
    frames = list(read_video(shared / "videos" / f"{name}.avi"))
    assert len(frames) == count
    recorded = sorted((shared / "goldens" / "activity" / "frames" / name).glob("*.jpg"))
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in recorded]

    def distance(shift):
        pairs = zip(frames[1 + shift :], images[1:-1], strict=False)
        return np.mean([np.abs(frame.astype(float) - image).mean() for frame, image in pairs])

    # The recorded JPEG files are of low quality, so that frames differ by a few grey levels; in line they differ least.
    assert distance(0) < 8
    assert distance(0) < min(distance(-1), distance(1))
