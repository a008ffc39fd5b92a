import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn.activity.clips import clip_starts
from lrcn.activity.lists import VideoError


@given(st.integers(16, 2000))
def test_both_scripts_of_the_authors_mean_these_clips(frames):
    """`classify_video.py` asks whether the clip ends before the video does, `evaluate_lstm.py` whether it passes it."""
    numbers = list(range(frames))
    classified, evaluated = [], []
    for start in range(0, frames, 8):
        classified.append(numbers[start : start + 16] if start + 16 < frames else numbers[-16:])
        evaluated.append(numbers[-16:] if start + 16 > frames else numbers[start : start + 16])
    assert [numbers[start : start + 16] for start in clip_starts(frames)] == classified == evaluated


@given(st.integers(16, 2000), st.sampled_from([4, 8, 16]))
def test_without_the_quirk_every_frame_is_covered_and_no_clip_comes_twice(frames, length):
    starts = clip_starts(frames, length, last_clip_repeated=False)
    assert len(set(starts)) == len(starts)
    assert {start + step for start in starts for step in range(length)} == set(range(frames))
    assert set(starts) == set(clip_starts(frames, length))


def test_the_last_clip_comes_twice_in_a_video_of_45_frames():
    assert clip_starts(45) == [0, 8, 16, 24, 29, 29]


def test_video_shorter_than_a_clip():
    with pytest.raises(VideoError, match="15 frames, but a clip needs 16"):
        clip_starts(15)
