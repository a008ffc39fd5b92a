from functools import partial

import cv2
import numpy as np
import pytest
import torch
from flow_material import frame, texture

from lrcn import cli


@pytest.fixture
def compute(command):
    """Calls the script as a shell does; gives its exit status and what it printed."""
    return partial(command, "compute_flow.py")


def write_frames(folder, count=3, size=(48, 64), first=1):
    """A texture that moves two pixels to the right from frame to frame."""
    folder.mkdir(parents=True)
    image = frame(texture(1, *size))
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"{folder.name}.{number:04d}.png"), np.roll(image, 2 * number, axis=1))


@pytest.fixture
def frames(tmp_path):
    """Two clips in folders of their actions."""
    for action in ("Juggling", "Surfing"):
        write_frames(tmp_path / "frames" / action / f"v_{action}_g01_c01")
    return tmp_path / "frames"


def test_a_tree_of_frames(compute, frames, tmp_path):
    result = compute(frames, "-o", tmp_path / "flow")
    assert result.status == 0, result.stderr
    assert "2 clips written" in result.stdout
    for action in ("Juggling", "Surfing"):
        name = f"v_{action}_g01_c01"
        images = sorted((tmp_path / "flow" / action / name).iterdir())
        assert [path.name for path in images] == [f"flow_image_{name}.{number:04d}.jpg" for number in (2, 3)]
        middle = cv2.imread(str(images[0]))[10:-10, 10:-10, ::-1].reshape(-1, 3)
        assert np.abs(np.median(middle, axis=0) - (160, 128, 160)).max() <= 1


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_one_folder_with_another_method(compute, frames, tmp_path, method):
    clip = frames / "Surfing" / "v_Surfing_g01_c01"
    assert compute(clip, "-o", tmp_path / "flow", "--method", method, "--workers", 1).status == 0
    assert len(list((tmp_path / "flow" / "v_Surfing_g01_c01").iterdir())) == 2


def test_videos(compute, tmp_path):
    path = tmp_path / "videos" / "Surfing" / "v_Surfing_g01_c01.avi"
    path.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for number in range(4):
        writer.write(np.roll(frame(texture(1, 48, 64)), number, axis=1))
    writer.release()
    assert compute(tmp_path / "videos", "-o", tmp_path / "flow").status == 0
    assert len(list((tmp_path / "flow" / "Surfing" / "v_Surfing_g01_c01").iterdir())) == 3


def test_resume_keeps_what_is_complete(compute, frames, tmp_path):
    write_frames(frames / "Zumba" / "v_Zumba_g01_c01")
    done = tmp_path / "flow" / "Juggling" / "v_Juggling_g01_c01"
    done.mkdir(parents=True)
    (done / "flow_image_v_Juggling_g01_c01.0002.jpg").write_bytes(b"kept")
    (tmp_path / "flow" / "Surfing" / ".v_Surfing_g01_c01.partial").mkdir(parents=True)  # what an interruption leaves
    refused = compute(frames, "-o", tmp_path / "flow")
    assert refused.status == cli.EXIT_USER_ERROR
    assert "is there already" in refused.stderr and "--resume" in refused.stderr
    resumed = compute(frames, "-o", tmp_path / "flow", "--resume")
    assert resumed.status == 0
    assert "2 clips written" in resumed.stdout and "1 there already" in resumed.stdout
    assert [path.read_bytes() for path in done.iterdir()] == [b"kept"]
    assert [path.name for path in (tmp_path / "flow" / "Surfing").iterdir()] == ["v_Surfing_g01_c01"]


def test_resume_counts_only_folders_with_flow_images(compute, tmp_path):
    """Of four clips one has an empty folder, one a file, one a folder of other things in its place, one none."""
    for name in "abcd":
        write_frames(tmp_path / "frames" / name, 2)
    flow = tmp_path / "flow"
    (flow / "b").mkdir(parents=True)
    (flow / "c").touch()
    (flow / "d").mkdir()
    (flow / "d" / "notes.txt").touch()
    result = compute(tmp_path / "frames", "-o", flow, "--resume")
    assert result.status == cli.EXIT_FAILURE
    assert "2 clips written" in result.stdout and "0 there already, 2 failed" in result.stdout
    assert f"{flow / 'c'}: a folder for images was expected, found a file" in result.stderr
    assert f"{flow / 'd'} holds something other than the clip's flow images" in result.stderr
    assert sorted(path.name for path in flow.rglob("*.jpg")) == ["flow_image_a.0002.jpg", "flow_image_b.0002.jpg"]
    assert "2 there already, 2 failed" in compute(tmp_path / "frames", "-o", flow, "--resume").stdout


def test_a_clip_inside_another(compute, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "nest" / "a", 1)
    write_frames(tmp_path / "nest" / "a" / "b")
    for tree in ("nest", "nest/a"):
        result = compute(tree, "-o", "flow")
        assert result.status == cli.EXIT_USER_ERROR
        assert "nest/a/b would be written into the folder of nest/a," in result.stderr
        assert not (tmp_path / "flow").exists()


def test_a_stray_image_beside_clips_does_not_hide_them(compute, frames, tmp_path):
    cv2.imwrite(str(frames / "cover.jpg"), np.zeros((48, 64, 3), np.uint8))
    result = compute(frames, "-o", tmp_path / "flow")
    assert result.status == cli.EXIT_USER_ERROR
    assert (
        f"{frames / 'Juggling' / 'v_Juggling_g01_c01'} would be written into the folder of {frames}," in result.stderr
    )


@pytest.mark.parametrize("output", ["here", "here/flow", "elsewhere/../here/flow"])
def test_output_inside_the_input(compute, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "here")
    result = compute("here", "-o", output, "--resume")
    assert result.status == cli.EXIT_USER_ERROR
    assert f"error: {output} lies in here" in result.stderr
    assert not [path for path in (tmp_path / "here").iterdir() if path.is_dir()]


def test_preview(compute, frames, tmp_path):
    """Of the first good clip; one that is not good fails, as without a preview."""
    damage(frames / "Juggling" / "v_Juggling_g01_c01", "single")
    picture = tmp_path / "preview.png"
    result = compute(frames, "-o", tmp_path / "flow", "--preview", picture)
    assert result.status == cli.EXIT_FAILURE
    assert "1 clips written" in result.stdout and "1 failed" in result.stdout
    image = cv2.imread(str(picture))
    assert image.shape[1] == 1200  # six columns
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 100


def test_a_preview_that_cannot_be_written_is_told_before_the_work(compute, frames, tmp_path):
    result = compute(frames, "-o", tmp_path / "flow", "--preview", tmp_path / "absent" / "preview.png")
    assert result.status == cli.EXIT_USER_ERROR
    assert "absent/preview.png: No such file" in result.stderr and not (tmp_path / "flow").exists()


def damage(folder, kind):
    images = sorted(folder.iterdir())
    if kind == "size":
        cv2.imwrite(str(images[2]), np.zeros((40, 64, 3), np.uint8))
    elif kind == "single":
        for image in images[1:]:
            image.unlink()
    elif kind == "grey":
        cv2.imwrite(str(images[1]), np.zeros((48, 64), np.uint8))
    elif kind == "small":
        for image in images:
            cv2.imwrite(str(image), np.zeros((8, 64, 3), np.uint8))
    elif kind == "unreadable":
        images[1].write_bytes(b"no image")
    elif kind == "link":
        images[1].unlink()
        images[1].symlink_to("absent.png")
    elif kind == "folder":
        (folder / "g.jpg").mkdir()
    elif kind == "cut":
        content = cv2.imencode(".jpg", frame(texture(1, 48, 64)))[1].tobytes()
        images[1].unlink()
        images[1].with_suffix(".jpg").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "kind, message",
    [
        ("size", "c01.0003.png has 64x40 pixels, the frame before it 64x48"),
        ("single", "at least two frames, found 1"),
        ("grey", "c01.0002.png: a grey image"),
        ("small", "at least 10 pixels each way"),
        ("unreadable", "c01.0002.png: not a readable image"),
        ("link", "c01.0002.png: No such file or directory; an image was expected"),
        ("folder", "g.jpg: Is a directory; an image was expected"),
        ("cut", "c01.0002.jpg: not a readable image (it breaks off)"),
    ],
)
def test_a_bad_clip_is_named_and_the_rest_finished(compute, frames, tmp_path, kind, message):
    bad = frames / "Juggling" / "v_Juggling_g01_c01"
    damage(bad, kind)
    result = compute(frames, "-o", tmp_path / "flow")
    assert result.status == cli.EXIT_FAILURE
    assert message in result.stderr and str(bad) in result.stderr
    written = sorted(path.name for path in (tmp_path / "flow").rglob("*") if path.is_file())
    assert written == [f"flow_image_v_Surfing_g01_c01.{number:04d}.jpg" for number in (2, 3)]
    assert not list((tmp_path / "flow").rglob(".*"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent", "-o", "out"], "no such folder or video"),
        (["empty", "-o", "out"], "neither images nor videos"),
        (["empty", "-o", "out", "--workers", "0"], "invalid positive integer"),
        (["empty", "-o", "out", "--method", "horn"], "invalid choice: 'horn'"),
        (["empty", "-o", "out", "--method", "dis", "--device", "cuda"], "'dis' runs on the CPU only"),
    ],
)
def test_mistakes_end_with_a_message(compute, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    result = compute(*arguments)
    assert result.status != 0
    assert message in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(compute, frames, tmp_path):
    result = compute(frames, "-o", tmp_path / "flow", "--device", "cuda")
    assert result.status == cli.EXIT_USER_ERROR
    assert "error: device 'cuda'" in result.stderr and not (tmp_path / "flow").exists()


def test_two_clips_of_one_place(compute, frames, tmp_path):
    (frames / "Surfing" / "v_Surfing_g01_c01.avi").write_bytes(b"")
    result = compute(frames, "-o", tmp_path / "flow")
    assert result.status == cli.EXIT_USER_ERROR
    assert "would be written to one folder" in result.stderr
