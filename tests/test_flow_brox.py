import cv2
import numpy as np
import pytest
import torch
from flow_material import end_point_error, frame, rotation_and_zoom, texture, translation, warped_pair
from threads import with_threads

from lrcn.errors import Error
from lrcn.flow import METHODS, Brox, compute_flow, encode_flow, flow_method
from lrcn.flow.ground_truth import read_ground_truth, score_flow
from lrcn.ops import flow as ops
from lrcn.ops.flow import brox_flow

SMALL = {"height": 96, "width": 128}  # where the size does not matter


def frames_of(shared, name, *numbers):
    folder = shared / "goldens" / "activity" / "frames" / name
    return [cv2.imread(str(folder / f"{name}.{number:04d}.jpg"))[..., ::-1] for number in numbers]


@pytest.mark.parametrize("x, y", [(0.3, -0.2), (1, 0.5), (-2, 1.3), (3.5, -3.5), (-4, 3), (5, 0)])
def test_translation_to_a_tenth_of_a_pixel(x, y):
    previous, following, truth = warped_pair(translation(x, y))
    assert end_point_error(Brox()(previous, following), truth) < 0.1


@pytest.mark.parametrize(
    "motion",
    [translation(-12, 5), translation(18, -9), translation(20, 0), rotation_and_zoom(3, 1), rotation_and_zoom(0, 1.05)],
    ids=["13 px", "20 px", "20 px right", "rotation", "zoom"],
)
def test_large_motion(motion):
    previous, following, truth = warped_pair(motion, seed=1)
    assert end_point_error(Brox()(previous, following), truth) < 0.1


def test_illumination_hardly_matters():
    """A change of brightness or contrast: the gradient stays nearly what it was, and so does the flow."""
    shifts = [translation(*by) for by in ((0.3, -0.2), (1, 0.5), (-2, 1.3), (-3.5, 3.5), (5, 0), (-12, 5), (20, 0))]
    motions = [*shifts, rotation_and_zoom(3, 1), rotation_and_zoom(0, 1.05), rotation_and_zoom(-2, 0.97)]
    pairs = [warped_pair(motion, seed) for seed, motion in enumerate(motions, start=3)]
    previous, following, truths = map(np.stack, zip(*pairs, strict=True))

    def errors(brox, change):
        flows = brox(previous, frame(change(following.astype(float))))
        return np.array([end_point_error(flow, truth) for flow, truth in zip(flows, truths, strict=True)])

    unchanged = errors(Brox(), lambda image: image)
    brighter, darker = (lambda image: image + 15), (lambda image: image - 15)
    for change in (brighter, darker, lambda image: 0.9 * image + 10, lambda image: 1.1 * image - 10):
        changed = errors(Brox(), change)
        # On the average only: the brightness still pulls by a hundredth of a pixel or two, and that is many times the
        # error of frames that match exactly, those moved by whole pixels. In no pair does it show in a flow image.
        assert changed.mean() < 1.5 * unchanged.mean()
        assert (changed - unchanged).max() < 1 / 32  # half a step of a flow image
    # It is the constancy of the gradient that makes it so.
    assert errors(Brox(gamma=0), brighter).mean() > 50 * unchanged.mean()


def test_identical_frames_give_exactly_zero():
    image = frame(texture(3))
    flow = Brox()(image, image)
    assert not flow.any()
    assert np.all(encode_flow(flow) == 128)


@pytest.mark.parametrize("size", [SMALL, {"height": 97, "width": 129}, {"height": 96, "width": 129}])
def test_mirrored_frames_give_the_mirrored_flow(size):
    previous, following, _ = warped_pair(rotation_and_zoom(4, 1.03, **size), seed=4, **size)
    following = np.roll(following, 2, axis=1)
    flow = Brox()(previous, following)
    for axis, flip in ((1, (-1, 1)), (0, (1, -1))):
        mirrored = Brox()(np.flip(previous, axis), np.flip(following, axis))
        assert end_point_error(np.flip(mirrored, axis) * flip, flow) < 0.02


def test_mirrored_real_frames(shared):
    previous, following = frames_of(shared, "v_BaseballPitch_g01_c01", 9, 10)
    mirrored = Brox()(previous[:, ::-1], following[:, ::-1])[:, ::-1] * (-1, 1)
    assert end_point_error(mirrored, Brox()(previous, following)) < 0.02


def assert_energy_falls(previous, following):
    _, energies = Brox().compute(previous, following)
    assert (energies[:, 1] <= energies[:, 0]).all()
    # Where a level's start cannot be improved by a step of this size, it stays as it is; most can.
    assert (energies[:, 1] < energies[:, 0]).mean() > 0.9
    return energies


def test_energy_falls_at_every_warp():
    previous, following, _ = warped_pair(rotation_and_zoom(4, 1.03), seed=5)
    energies = assert_energy_falls(previous, following)
    assert len(energies) == 63
    few = Brox(eta=0.8, outer_iterations=3)
    energies = few.compute(previous, following)[1].reshape(-1, 3, 2)
    assert np.array_equal(energies[:, 1:, 0], energies[:, :-1, 1])  # each warp begins where the last one ended
    assert (energies[..., 1] <= energies[..., 0]).all()


def test_energy_falls_on_real_frames(shared):
    for name in ("v_BaseballPitch_g01_c01", "v_ApplyEyeMakeup_g01_c01"):
        for number in (1, 9, 20):
            assert_energy_falls(*frames_of(shared, name, number, number + 1))


def test_energy_is_that_of_the_definition():
    """By numpy, for no motion: the frames of one level, neither smoothed nor resampled."""
    brox = Brox(sigma=0, coarsest=96, inner_iterations=1, sor_iterations=1, alpha=1e9)
    previous, following, _ = warped_pair(translation(1, 0), seed=6, **SMALL)
    _, energies = brox.compute(previous, following)
    difference = following.astype(np.float64) - previous
    squares = np.square(difference).sum(axis=2)
    for axis in (0, 1):
        padded = np.pad(difference, [(2, 2) if axis == a else (0, 0) for a in range(3)], mode="edge")
        at = [padded.take(range(start, start + difference.shape[axis]), axis=axis) for start in range(5)]
        squares += brox.gamma * np.square((8 * (at[3] - at[1]) - (at[4] - at[0])) / 12).sum(axis=2)
    expected = np.sqrt(squares + brox.epsilon**2).sum() + brox.alpha * brox.epsilon * squares.size
    assert energies[0, 0] == pytest.approx(expected, rel=1e-6)


def test_same_bits_with_any_number_of_threads():
    pairs = [warped_pair(translation(step, 1), seed=step, **SMALL)[:2] for step in range(5)]
    previous, following = (torch.from_numpy(np.stack(frames)) for frames in zip(*pairs, strict=True))
    settings = (80.0, 100.0, 0.001, 0.8, 0.9, 10, 1, 2, 5, 1.5)
    results = [with_threads(count, lambda: brox_flow(previous, following, *settings)) for count in (1, 2, 5)]
    for result in results[1:]:
        assert torch.equal(result[0], results[0][0]) and torch.equal(result[1], results[0][1])


def test_a_batch_has_the_bits_of_its_pairs():
    pairs = [warped_pair(translation(step, 1), seed=step, **SMALL)[:2] for step in range(3)]
    flows, energies = Brox().compute(*map(np.stack, zip(*pairs, strict=True)))
    for pair, flow, steps in zip(pairs, flows, energies, strict=True):
        for found, expected in zip((flow, steps), Brox().compute(*pair), strict=True):
            assert np.array_equal(found, expected)


def test_op():
    previous, following = (torch.from_numpy(f)[None] for f in warped_pair(translation(1, 0), **SMALL)[:2])
    settings = (80.0, 100.0, 0.001, 0.8, 0.9, 10, 1, 1, 2, 1.5)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.lrcn.brox_flow.default, (previous, following, *settings), test_utils=checks)
    with pytest.raises(RuntimeError, match="uint8 expected"):
        brox_flow(previous.float(), following, *settings)
    with pytest.raises(RuntimeError, match=r"following: shape .* expected"):
        brox_flow(previous, following[:, 1:], *settings)
    with pytest.raises(RuntimeError, match="omega"):
        brox_flow(previous, following, *settings[:-1], 2.0)


@pytest.mark.parametrize("size", [(10, 10), (10, 200), (11, 13), (33, 31), (16, 64)])
def test_small_frames_of_any_shape(size):
    image = frame(texture(7, *size))
    assert not Brox()(image, image).any()
    flow = Brox()(image, np.roll(image, 1, axis=1))
    assert flow.shape == (*size, 2) and np.isfinite(flow).all()


def test_extreme_frames_give_finite_flow():
    rng = np.random.default_rng(0)
    black, white = np.zeros((40, 50, 3), np.uint8), np.full((40, 50, 3), 255, np.uint8)
    noise = rng.integers(0, 2, (2, 40, 50, 3), np.uint8) * 255
    for previous, following in ((black, white), (black, black), tuple(noise), (white, noise[0])):
        flow = Brox()(previous, following)
        assert np.isfinite(flow).all()
    assert np.abs(Brox()(black, white)).max() < 1e-6  # nothing tells where to


@pytest.mark.parametrize(
    "setting, value",
    [
        ("alpha", 0),
        ("alpha", float("nan")),
        ("gamma", -1),
        ("epsilon", 0),
        ("sigma", -0.1),
        ("sigma", 20.5),
        ("eta", 1.0),
        ("coarsest", 0),
        ("outer_iterations", 0),
        ("inner_iterations", 0),
        ("sor_iterations", 0),
        ("omega", 2.0),
    ],
)
def test_settings_out_of_range(setting, value):
    with pytest.raises(Error, match=f"{setting} .* {value}"):
        Brox(**{setting: value})


def test_devices_that_are_not_there(monkeypatch):
    with pytest.raises(Error, match="device 'tpu': cpu or cuda expected"):
        Brox(device="tpu")
    with pytest.raises(Error, match="'farneback' runs on the CPU only, found device 'cuda'"):
        flow_method("farneback", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ops, "HAS_CUDA", True)
    with pytest.raises(Error, match="device 'cuda:1': no GPU is found"):
        Brox(device="cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Error, match="device 'cuda:1': there are 1 GPUs, counted from 0"):
        Brox(device="cuda:1")
    monkeypatch.setattr(ops, "HAS_CUDA", False)
    with pytest.raises(Error, match="device 'cuda': lrcn is built without its CUDA kernels"):
        flow_method("brox", "cuda")


def test_every_setting_matters():
    previous, following, _ = warped_pair(rotation_and_zoom(4, 1.03, **SMALL), seed=8, **SMALL)
    start = Brox()(previous, following)
    changes = {"alpha": 40.0, "gamma": 10.0, "epsilon": 0.01, "sigma": 1.2, "eta": 0.9, "coarsest": 20, "omega": 1.2}
    changes |= {"outer_iterations": 2, "inner_iterations": 2, "sor_iterations": 4}
    for setting, value in changes.items():
        assert not np.array_equal(Brox(**{setting: value})(previous, following), start), setting


def test_frames_smaller_than_the_coarsest_level():
    image = np.zeros((9, 40, 3), np.uint8)
    with pytest.raises(Error, match=r"at least 10 pixels .* found 40x9"):
        compute_flow(image, image)


def test_better_than_the_other_methods_on_a_recorded_drive(shared):
    """KITTI, up to 190 pixels of motion."""
    previous, following = (cv2.imread(str(shared / "flow" / f"kitti_frame{n}.png"))[..., ::-1] for n in (1, 2))
    truth = read_ground_truth(shared / "flow" / "kitti_flow_gt.png")

    def scores(method):
        return score_flow(compute_flow(previous, following, method), *truth)

    others = np.min([scores("dis"), scores("farneback")], axis=0)
    assert (np.array(scores("brox")) <= others).all()


def test_ground_truth(tmp_path):
    image = np.zeros((2, 3, 3), np.uint16)
    image[1, 2] = (1, 2**15 - 64, 2**15 + 640)  # validity, y, x: OpenCV's order
    cv2.imwrite(str(tmp_path / "truth.png"), image)
    truth, valid = read_ground_truth(tmp_path / "truth.png")
    assert truth[1, 2].tolist() == [10, -1] and valid.sum() == 1 and valid[1, 2]
    assert score_flow(truth + np.array([3, 0]), truth, valid) == (3, 0)
    assert score_flow(truth + np.array([0, 4]), truth, valid) == (4, 1)
    cv2.imwrite(str(tmp_path / "bytes.png"), np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(Error, match="16 bits expected"):
        read_ground_truth(tmp_path / "bytes.png")


def test_brox_is_the_default():
    previous, following, _ = warped_pair(translation(1, 0), **SMALL)
    assert np.array_equal(compute_flow(previous, following), METHODS["brox"](previous, following))
