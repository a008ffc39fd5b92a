from pathlib import Path

import numpy as np
import pytest
import torch

import lrcn
from lrcn.activity.lists import read_list
from lrcn.activity.preprocess import STREAMS, center_crop
from lrcn.activity.synthetic import (
    ACTIONS,
    DEMO_FOLDER,
    FLOW_METHOD,
    FRAMES,
    MOTIONS,
    REGION,
    SPEED,
    TEST_GROUPS,
    TRAIN_GROUPS,
    WOBBLE,
    Clip,
    DemoPaths,
    clips,
    prepare_clips,
    render,
    trajectory,
    write_clip,
    write_lists,
)
from lrcn.data.image_list import read_image_list
from lrcn.flow import compute_flow, flow_images
from lrcn.video import read_video


def headings(path):
    """Degrees from the horizontal, upwards, of every move."""
    x, y = np.diff(path, axis=0).T
    return np.rad2deg(np.arctan2(-y, x))


def changes(action, group):
    """How many degrees the heading changes from move to move, 0..180."""
    turns = np.deg2rad(np.diff(headings(trajectory(Clip(action, group)))))
    return np.abs(np.rad2deg(np.angle(np.exp(1j * turns))))


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
        assert path.shape == (FRAMES + 1, 2)
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert SPEED[0] <= steps.min() and steps.max() <= SPEED[1]
        for axis, (low, high) in enumerate(REGION):
            assert low <= path[:, axis].min() and path[:, axis].max() <= high


def test_a_heading_tells_pyramids_from_funnels_and_nothing_of_their_size():
    shares = {}
    for action, (first, _) in MOTIONS.items():
        directions = np.concatenate([headings(trajectory(Clip(action, group))) for group in range(1, 400)])
        off = (directions - first + 60) % 120 - 60
        assert np.abs(off).max() <= WOBBLE + 1e-6
        sides = np.round((directions - first) / 120).astype(int) % 3
        shares[action] = np.bincount(sides, minlength=3) / len(sides)
    for share in shares.values():
        np.testing.assert_allclose(share, 1 / 3, atol=0.02)  # whole rounds weigh alike, the rest of 32 moves is chance


def test_the_size_shows_in_how_long_a_side_takes():
    for action, (_, interval) in MOTIONS.items():
        for group in range(1, 20):
            turns = np.flatnonzero(changes(action, group) > 1)
            assert set(np.diff(turns)) == {interval}
            np.testing.assert_allclose(changes(action, group)[turns], 120, atol=1e-6)


def test_optical_flow_does_not_see_the_light_turn():
    """Otherwise it would show turns, and how often there are any tells big from small."""
    clip = Clip("SmallFunnel", 1)
    frames, moves = render(clip)[:10], np.diff(trajectory(clip), axis=0)
    assert (changes(clip.action, clip.group)[:9] > 1).sum() >= 4
    for previous, following, move in zip(frames[:-1], frames[1:], moves, strict=False):
        flow = compute_flow(previous, following, FLOW_METHOD)
        moving = np.linalg.norm(flow, axis=2) > 3
        # As large and as even as the disc is, in every pair of frames.
        assert 1500 < moving.sum() < 4500
        np.testing.assert_allclose(np.median(flow[moving], axis=0), move, atol=0.25)
        assert np.linalg.norm(flow[moving] - move, axis=1).mean() < 0.6  # the rim, where the flow falls to 0, included


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
    authors = read_list(write_lists(tmp_path))
    assert authors[0].name == f"v_{ACTIONS[0]}_g01_c01"
    assert [video.label for video in authors[:8]] == [0, 1, 2, 3] * 2  # a batch has some of each
    assert len(authors) == len((tmp_path / "testlist01.txt").read_text().splitlines()) == len(clips(TEST_GROUPS))
    assert (tmp_path / "classInd.txt").read_text().splitlines()[0] == f"1 {ACTIONS[0]}"
    last = (tmp_path / "trainlist01.txt").read_text().splitlines()[-1]
    assert last == f"{ACTIONS[-1]}/v_{ACTIONS[-1]}_g{TRAIN_GROUPS[-1]:02d}_c01.avi {len(ACTIONS)}"


def test_lists_of_images_name_what_preparing_makes(tmp_path):
    clip = clips(TRAIN_GROUPS)[0]
    prepare_clips([clip], tmp_path)
    write_lists(tmp_path)
    for stream, folder in (("rgb", "frames"), ("flow", "flow")):
        listed = dict(read_image_list(tmp_path / f"{stream}_train_images.txt"))
        made = {str(path.relative_to(tmp_path / folder)) for path in (tmp_path / folder / clip.name).iterdir()}
        assert {path for path in listed if clip.name in path} == made
        assert {label for path, label in listed.items() if clip.name in path} == {clip.label}


@pytest.mark.parametrize("stream", STREAMS)
def test_demo_networks_tell_the_shape_in_one_frame_and_the_size_only_over_time(stream):
    demo = DemoPaths(Path(), Path(), Path())
    recurrent = lrcn.Net(demo.lrcn_net, vars(demo)[f"{stream}_lrcn"], numerics="fast")
    single = lrcn.Net(demo.single_net, vars(demo)[f"{stream}_single"], numerics="fast")
    markers = np.ones((16, 1, 1, 1), np.float32)
    markers[0] = 0
    right_recurrent, right_single, right_shape, tests = 0, 0, 0, clips([1, 2, 3])
    for clip in tests:
        frames = render(clip)[:17]
        images = list(flow_images(frames, FLOW_METHOD)) if stream == "flow" else frames[:16]
        crops = torch.stack([center_crop(image, STREAMS[stream], 227) for image in images])
        steps = recurrent(data=crops, clip_markers=markers)["probs"].detach()
        right_recurrent += int(steps.mean(dim=(0, 1)).argmax() == clip.label)
        guess = ACTIONS[int(single(data=crops)["probs"].detach().mean(dim=0).argmax())]
        right_single += guess == clip.action
        right_shape += MOTIONS[guess][0] == MOTIONS[clip.action][0]
    assert right_recurrent >= 0.75 * len(tests)
    assert right_shape >= 0.75 * len(tests)
    assert right_single <= right_recurrent - 0.25 * len(tests)


def test_demo_weights_are_small():
    assert sum(path.stat().st_size for path in DEMO_FOLDER.glob("*.caffemodel")) <= 2e6
