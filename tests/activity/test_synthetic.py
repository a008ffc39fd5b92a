import numpy as np
import pytest

from lrcn.activity.synthetic import (
    ACTIONS,
    FRAMES,
    REGION,
    SPEED,
    TEST_GROUPS,
    TRAIN_GROUPS,
    Clip,
    clips,
    prepare_clips,
    render,
    trajectory,
    write_clip,
    write_lists,
)
from lrcn.video import read_video


def headings(path):
    x, y = np.diff(path, axis=0).T
    return np.arctan2(y, x)


def test_names_and_labels_are_in_ucf101s_manner():
    assert list(ACTIONS) == sorted(ACTIONS)
    clip = Clip(ACTIONS[2], 7, 1)
    assert clip.name == f"v_{ACTIONS[2]}_g07_c01"
    assert clip.label == 2
    assert len({clip.name for clip in clips(TRAIN_GROUPS) + clips(TEST_GROUPS)}) == len(ACTIONS) * (75 + 7)
    assert not set(TRAIN_GROUPS) & set(TEST_GROUPS)


@pytest.mark.parametrize("action", ACTIONS)
def test_trajectories(action):
    for group in range(1, 20):
        path = trajectory(Clip(action, group))
        assert path.shape == (FRAMES, 2)
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert SPEED[0] <= steps.min() and steps.max() <= SPEED[1]
        for axis, (low, high) in enumerate(REGION):
            assert low <= path[:, axis].min() and path[:, axis].max() <= high


def test_one_heading_says_nothing_and_the_way_it_turns_says_all():
    for action in ACTIONS:
        paths = [trajectory(Clip(action, group)) for group in range(1, 400)]
        directions = np.concatenate([headings(path) for path in paths])
        counts, _ = np.histogram(directions, bins=8, range=(-np.pi, np.pi))
        # Clips are independent, their frames are not: eight bins of 1/8 each, within a third.
        assert np.abs(counts / counts.sum() * 8 - 1).max() < 1 / 3
    turns = {}
    for action in ACTIONS:
        turn = np.diff(headings(trajectory(Clip(action, 1))))
        turns[action] = np.abs(np.angle(np.exp(1j * turn))).mean()
    assert len({round(turn, 2) for turn in turns.values()}) == len(ACTIONS)


def test_clips_are_deterministic_and_share_scenes_across_actions():
    first, second = (render(Clip(action, 3)) for action in ACTIONS[:2])
    np.testing.assert_array_equal(first, render(Clip(ACTIONS[0], 3)))
    assert first.shape == (FRAMES, 240, 320, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first[:, :30], second[:, :30])  # the background: nothing moves up there
    assert (first[0] != second[0]).any()
    assert (first[0, :30] != render(Clip(ACTIONS[0], 4))[0, :30]).any()


def test_video_holds_what_was_rendered(tmp_path):
    clip = Clip(ACTIONS[0], 1)
    path = write_clip(clip, tmp_path)
    assert path == tmp_path / ACTIONS[0] / f"{clip.name}.avi"
    frames = np.stack(list(read_video(path)))
    rendered = render(clip)
    assert frames.shape == rendered.shape
    assert np.abs(frames.astype(int) - rendered).mean() < 4  # Motion JPEG


def test_preparing_makes_frames_and_flow_and_is_done_once(tmp_path):
    two = clips([1])[:2]
    prepare_clips(two, tmp_path)
    for clip in two:
        assert len(list((tmp_path / "frames" / clip.name).iterdir())) == FRAMES
        assert len(list((tmp_path / "flow" / clip.name).iterdir())) == FRAMES - 1
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 2 * (1 + FRAMES + FRAMES - 1)
    prepare_clips(two, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == files


def test_lists(tmp_path):
    authors = write_lists(tmp_path).read_text().splitlines()
    assert authors[0] == f"{ACTIONS[0]}/v_{ACTIONS[0]}_g01_c01 0"
    assert len(authors) == len((tmp_path / "testlist01.txt").read_text().splitlines()) == len(clips(TEST_GROUPS))
    assert (tmp_path / "classInd.txt").read_text().splitlines()[0] == f"1 {ACTIONS[0]}"
    last = (tmp_path / "trainlist01.txt").read_text().splitlines()[-1]
    assert last == f"{ACTIONS[-1]}/v_{ACTIONS[-1]}_g{TRAIN_GROUPS[-1]:02d}_c01.avi {len(ACTIONS)}"
