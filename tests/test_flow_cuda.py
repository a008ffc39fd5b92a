"""The flow on a GPU. `pytest -k cuda` runs these and those that need no GPU (test_flow_cuda_source.py)."""

from dataclasses import astuple

import cv2
import numpy as np
import pytest
import torch
from flow_material import end_point_error, frame, rotation_and_zoom, texture, translation, warped_pair

from lrcn.flow import Brox, flow_images
from lrcn.ops.flow import HAS_CUDA, brox_flow

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")


@pytest.fixture(autouse=True)
def kernels():
    if torch.cuda.is_available() and not HAS_CUDA:
        pytest.fail("lrcn is built without its CUDA kernels; FORCE_CUDA=1 makes the build say what is missing")


def pairs(count, height, width):
    motions = [rotation_and_zoom(4 + n, 1.03, height, width) for n in range(count)]
    frames = [warped_pair(motion, n, height, width)[:2] for n, motion in enumerate(motions)]
    return [np.stack(one) for one in zip(*frames, strict=True)]


def settings(brox):
    return astuple(brox)[:-1]


def on_gpu(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)).cuda() for array in arrays]


def assert_same_bits(previous, following, **changes):
    """0 ULP: the arithmetic, its order and its rounding are those of the CPU."""
    found, expected = (Brox(**changes, device=device).compute(previous, following) for device in ("cuda", "cpu"))
    for ours, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("size", [(1, 10, 10), (2, 11, 13), (5, 33, 31), (3, 97, 129), (16, 240, 320)], ids=str)
def test_same_bits_as_on_the_cpu(size):
    assert_same_bits(*pairs(*size))


@pytest.mark.parametrize(
    "changes",
    [{"outer_iterations": 2}, {"sigma": 0.0, "eta": 0.5}, {"sigma": 20.0}, {"eta": 0.13, "coarsest": 1}],
    ids=str,
)
def test_same_bits_for_other_settings(changes):
    assert_same_bits(*pairs(2, 97, 129), **changes)


def test_same_bits_where_steps_are_refused():
    noise = np.random.default_rng(0).integers(0, 2, (2, 3, 60, 70, 3), np.uint8) * 255
    assert_same_bits(*noise, alpha=1.0)


def test_same_bits_on_a_recorded_drive(shared):
    assert_same_bits(*(cv2.imread(str(shared / "flow" / f"kitti_frame{n}.png"))[..., ::-1] for n in (1, 2)))


def test_identical_frames_give_exactly_zero():
    image = frame(texture(3))
    assert not Brox(device="cuda")(image, image).any()


def test_translation():
    previous, following, truth = warped_pair(translation(-2, 1.3))
    assert end_point_error(Brox(device="cuda")(previous, following), truth) < 0.1


def test_same_bits_every_time_and_beside_other_pairs():
    previous, following = on_gpu(*pairs(4, 97, 129))
    first = brox_flow(previous, following, *settings(Brox()))
    for _ in range(5):
        again = brox_flow(previous, following, *settings(Brox()))
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))
    alone = brox_flow(previous[2:3], following[2:3], *settings(Brox()))
    assert all(torch.equal(a, b[2:3]) for a, b in zip(alone, first, strict=True))


def test_op():
    previous, following = on_gpu(*pairs(2, 40, 50))
    checks = ("test_schema", "test_faketensor")
    arguments = (previous, following, *settings(Brox()))
    torch.library.opcheck(torch.ops.lrcn.brox_flow.default, arguments, test_utils=checks)
    with pytest.raises(RuntimeError, match="following: device cuda:0 expected"):
        brox_flow(previous, following.cpu(), *settings(Brox()))
    flow, energies = brox_flow(previous[:0], following[:0], *settings(Brox()))
    assert flow.shape == (0, 40, 50, 2) and len(energies) == 0


def test_work_is_put_on_the_stream_of_the_caller():
    """The images become ready late on a stream of ours, while the default stream is free."""
    given = on_gpu(*pairs(2, 60, 80))
    expected = brox_flow(*given, *settings(Brox()))
    late = [torch.zeros_like(images) for images in given]
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        for images, ready in zip(late, given, strict=True):
            images.copy_(ready)
        found = brox_flow(*late, *settings(Brox()))
    stream.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_call_does_not_wait_for_the_gpu():
    given = on_gpu(*pairs(2, 60, 80))
    brox_flow(*given, *settings(Brox()))
    torch.cuda.set_sync_debug_mode("error")
    try:
        brox_flow(*given, *settings(Brox()))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_capture_and_replay():
    given = on_gpu(*pairs(2, 60, 80))
    fixed = [torch.zeros_like(images) for images in given]
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = brox_flow(*fixed, *settings(Brox()))
    for images, ready in zip(fixed, given, strict=True):
        images.copy_(ready)
    graph.replay()
    expected = brox_flow(*given, *settings(Brox()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_offsets_beyond_32_bits():
    """The planes of the solver are 2.6e9 numbers."""
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] < 75 * 2**30:
        pytest.skip("75 GiB of GPU memory are needed")
    count, coarse = 2000, Brox(eta=0.5, inner_iterations=1, sor_iterations=2)
    previous, following = on_gpu(*pairs(1, 240, 320))
    flow, _ = brox_flow(previous.expand(count, -1, -1, -1), following.expand(count, -1, -1, -1), *settings(coarse))
    expected, _ = brox_flow(previous, following, *settings(coarse))
    assert torch.equal(flow[-1:], expected) and torch.equal(flow[count // 2 :][:1], expected)


def test_flow_images():
    frames = [np.roll(frame(texture(1, 48, 64)), 2 * step, axis=1) for step in range(5)]
    found, expected = (list(flow_images(frames, Brox(device=device), workers=3)) for device in ("cuda", "cpu"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_a_device_that_is_not_the_current_one():
    previous, following = pairs(2, 60, 80)
    with torch.cuda.device(0):
        found = Brox(device="cuda:1")(previous, following)
    np.testing.assert_array_equal(found, Brox()(previous, following))
