"""The evaluation script as its user sees it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from activity_material import FRAMES, random_weights, write_frames

from lrcn.activity.models import MODELS, Model
from prototxt_import import write_weights

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "eval_ucf101.py"


def contents(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {f"{model}/{video}": file[model][video][()] for model in file for video in file[model]}


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def expected(material) -> dict[str, np.ndarray]:
    """Rows of every model and video in protocol center, computed without the script."""
    from lrcn.activity.lists import Video
    from lrcn.activity.sources import Source

    results = {}
    for name in MODELS:
        model = material.load(name)
        source = Source(material.folder / {"rgb": "frames", "flow": "flow"}[model.stream.name])
        for video in FRAMES:
            results[f"{name}/{video}"] = model.predict(source.read(Video(video)), "center")
    return results


def test_whole_evaluation(material, command, expected, tmp_path):
    out, report = tmp_path / "out.h5", tmp_path / "report"
    status, printed, _ = command(
        "eval_ucf101.py", *material.data(), *material.arguments(),
        "--protocol", "center", "--predictions", out, "--report", report,
    )  # fmt: skip
    assert status == 0
    assert same(contents(out), expected)
    with h5py.File(out) as file:
        attributes = dict(file["flow_lrcn/v_Hop_g01_c01"].attrs)
    assert {key: attributes[key] for key in ("protocol", "numerics", "quirks", "label")} == {
        "protocol": "center", "numerics": "exact", "quirks": "released", "label": 1,
    }  # fmt: skip
    summary = json.loads((report / "report.json").read_text())
    assert summary["classes"][:3] == ["Bow", "Hop", "class 2"]
    for name in MODELS:
        correct = sum(expected[f"{name}/{video}"].mean(axis=0).argmax() == ("Hop" in video) for video in FRAMES)
        assert summary["results"][name]["correct"] == correct
        assert f"{25.0 * correct:.2f}" in printed
    assert len(summary["results"]) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5", "report"]


def test_list_left_out(material, command, tmp_path):
    """Every folder is a video, without a label and without an accuracy."""
    report = tmp_path / "report"
    status, printed, _ = command(
        "eval_ucf101.py", "--frames", material.folder / "frames", *material.arguments("rgb_single"),
        "--protocol", "center", "--report", report,
    )  # fmt: skip
    assert status == 0
    assert [line.split(":")[0] for line in printed.splitlines()[:4]] and "published" not in printed
    summary = json.loads((report / "report.json").read_text())
    assert sorted(video["name"] for video in summary["videos"]) == sorted(FRAMES)
    assert summary["results"]["rgb_single"]["accuracy"] is None


def arguments(material, tmp_path: Path) -> list[str]:
    """An evaluation that takes long enough to be interrupted."""
    frames = tmp_path / "frames"
    for number in range(12):
        shutil.copytree(material.folder / "frames" / "v_Hop_g02_c01", frames / f"v_Hop_g{number:02d}_c01")
    return [
        "--frames",
        str(frames),
        *material.arguments("rgb_lrcn", "rgb_single"),
        "--predictions",
        f"{tmp_path / 'out.h5'}",
    ]


def test_killed_run_resumes_without_computing_anything_twice(material, command, tmp_path, monkeypatch):
    options = arguments(material, tmp_path)
    run = subprocess.Popen([sys.executable, SCRIPT, *options], stderr=subprocess.DEVNULL)
    finished = tmp_path / "out.h5.unfinished"
    deadline = time.monotonic() + 120
    while len(list(finished.glob("*/*.npy"))) < 3 and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    done = len(list(finished.glob("*/*.npy")))
    assert 3 <= done < 24

    status, _, error = command("eval_ucf101.py", *options)
    assert status == 2
    assert "results of an interrupted run; go on with --resume" in error

    computed = []
    predict = Model.predict
    monkeypatch.setattr(Model, "predict", lambda *call: computed.append(call) or predict(*call))
    status, _, _ = command("eval_ucf101.py", *options, "--resume")
    assert status == 0
    assert len(computed) == 24 - done
    resumed = contents(tmp_path / "out.h5")
    assert len(resumed) == 24
    assert not finished.exists()

    computed.clear()
    status, _, _ = command("eval_ucf101.py", *options, "--resume")
    assert (status, computed) == (0, [])
    (tmp_path / "out.h5").unlink()
    command("eval_ucf101.py", *options)
    assert same(contents(tmp_path / "out.h5"), resumed)

    status, _, error = command("eval_ucf101.py", *options, "--resume", "--quirks", "none")
    assert status == 2
    assert "cannot resume, its results were made with quirks = released, this run has none" in error


def test_several_processes_give_the_same(material, expected, command, tmp_path):
    options = [*material.data(), *material.arguments(), "--protocol", "center"]
    for name, launcher in (
        ("one", [sys.executable]),
        ("two", [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]),
    ):
        output = ["--predictions", f"{tmp_path / name}.h5", "--report", f"{tmp_path / name}"]
        run = subprocess.run([*launcher, SCRIPT, *options, *output], capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("Single frame") == 1
        assert same(contents(tmp_path / f"{name}.h5"), expected)
    one, two = ((tmp_path / name / "report.json").read_text() for name in ("one", "two"))
    assert one == two


def test_bad_videos_are_named_and_the_others_finished(material, command, tmp_path):
    frames = tmp_path / "frames"
    shutil.copytree(material.folder / "frames", frames)
    (frames / "v_Bow_g01_c01" / "v_Bow_g01_c01.0007.jpg").write_bytes(b"\xff\xd8\xff")
    (frames / "v_Bow_g01_c02" / "v_Bow_g01_c02.0016.jpg").unlink()
    assert cv2.imwrite(str(frames / "v_Hop_g01_c01" / "v_Hop_g01_c01.0003.jpg"), np.zeros((100, 100, 3), np.uint8))
    options = [
        "--frames", frames, "--list", material.list, *material.arguments("rgb_lrcn", "rgb_single"),
        "--protocol", "center", "--report", tmp_path / "report",
    ]  # fmt: skip
    status, _, error = command("eval_ucf101.py", *options)
    assert status == 1
    failed = [line for line in error.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 3
    assert "v_Bow_g01_c01: " in failed[0] and "v_Bow_g01_c01.0007.jpg: not a readable image" in failed[0]
    assert failed[1] == "failed: v_Bow_g01_c02: 15 frames, but a clip needs 16"
    assert "v_Hop_g01_c01.0003.jpg has 100x100 pixels" in failed[2]
    summary = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [summary["results"][name]["labelled"] for name in ("rgb_lrcn", "rgb_single")] == [1, 2]
    assert "v_Hop_g01_c01.0003.jpg has 100x100" in (tmp_path / "report" / "index.html").read_text()

    # Mended, and resumed: the failed ones are computed now.
    shutil.rmtree(frames)
    status, _, _ = command("eval_ucf101.py", *options[:1], material.folder / "frames", *options[2:], "--resume")
    assert status == 0
    assert json.loads((tmp_path / "report" / "report.json").read_text())["failures"] == {}


def test_videos_that_are_not_there(material, command, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text(material.list.read_text() + "Hop/v_Hop_g09_c09 1\n")
    options = ["--frames", material.folder / "frames", *material.arguments("rgb_single"), "--protocol", "center"]
    status, printed, error = command("eval_ucf101.py", *options, "--list", listing)
    assert status == 1
    assert "warning: 1 of 5 videos are not in" in error
    assert "failed: v_Hop_g09_c09: no folder or video file of this name in" in error
    assert "Single frame" in printed
    listing.write_text("Hop/v_Hop_g09_c09 1\n")
    status, _, error = command("eval_ucf101.py", *options, "--list", listing)
    assert status == 2
    assert error.startswith("error: none of the 1 videos of")


def test_mistakes_that_stop_at_once(material, command, tmp_path):
    def refused(*options, data=None) -> str:
        status, printed, error = command("eval_ucf101.py", *(material.data() if data is None else data), *options)
        assert status == 2
        assert printed == ""
        last = error.splitlines()[-1]
        assert last.startswith("error: ")
        return last

    single = material.arguments("rgb_single")
    wrong = tmp_path / "list.txt"
    wrong.write_text("Bow/v_Bow_g01_c01 7\n")
    data = ["--frames", str(material.folder / "frames"), "--list", str(wrong)]
    assert "v_Bow_g01_c01: label 7 is out of range, the networks have 7 classes" in refused(*single, data=data)
    assert "name the weights of at least one model: --rgb-lrcn" in refused()
    assert "a model of the flow stream needs --flow" in refused(*material.arguments("flow_lrcn"), data=data[:2])
    assert "--resume needs --predictions or --report" in refused(*single, "--resume")
    assert "exact numerics run on the CPU in float32" in refused(*single, "--device", "cuda")
    assert "no such folder" in refused(*single, data=["--frames", f"{tmp_path / 'nowhere'}"])
    assert "no video in" in refused(*single, data=["--frames", f"{(tmp_path / 'empty').mkdir() or tmp_path / 'empty'}"])

    network = ["--single-net", str(material.network("single"))]
    assert "nowhere.caffemodel" in refused(*network, "--rgb-single", tmp_path / "nowhere.caffemodel")
    assert "lstm1" in refused("--lrcn-net", material.network("lrcn"), "--rgb-lrcn", material.weights("rgb_single"))

    weights = random_weights(material.network("single"), 0)
    weights["fc6"][0][3, 2] = np.nan
    write_weights(tmp_path / "nan.caffemodel", weights)
    assert "'fc6', blob 0 holds nan" in refused(*network, "--rgb-single", tmp_path / "nan.caffemodel")
    (tmp_path / "cut.caffemodel").write_bytes(material.weights("rgb_single").read_bytes()[:-100])
    assert "cut.caffemodel" in refused(*network, "--rgb-single", tmp_path / "cut.caffemodel")

    other = tmp_path / "other.prototxt"
    other.write_text(material.network("single").read_text().replace("num_output: 7", "num_output: 9"))
    write_weights(tmp_path / "other.caffemodel", random_weights(other, 0))
    mixed = ["--lrcn-net", material.network("lrcn"), "--rgb-lrcn", material.weights("rgb_lrcn")]
    error = refused(*mixed, "--single-net", other, "--rgb-single", tmp_path / "other.caffemodel")
    assert "different numbers of classes apart: rgb_lrcn 7, rgb_single 9" in error


def test_one_broken_video_among_video_files(material, command, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(folder / "v_a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for _ in range(20):
        writer.write(cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (320, 240)))
    writer.release()
    (folder / "v_b.avi").write_bytes(b"RIFF" + bytes(100))
    status, printed, error = command(
        "eval_ucf101.py", "--frames", folder, *material.arguments("rgb_lrcn"), "--protocol", "center"
    )
    assert status == 1
    assert printed.startswith("v_a: ")
    assert "failed: v_b: " in error


def test_from_video_files_to_the_table(material, command, tmp_path):
    """Frames and flow are made once, and give the rows that they give when they are named themselves."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in (1, 2):
        path = folder / f"v_Hop_g{number:02d}_c01.avi"
        writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), 30, (48, 32))
        rng = np.random.default_rng(number)
        for _ in range(17):
            writer.write(rng.integers(0, 256, (32, 48, 3), np.uint8))
        writer.release()
    (folder / "v_Hop_g03_c01.avi").write_bytes(b"no video")
    models = [*material.arguments("rgb_single", "flow_lrcn"), "--protocol", "center"]
    cache = tmp_path / "cache"
    options = ["--videos", folder, "--cache", cache, *models]
    status, _, error = command("eval_ucf101.py", *options, "--predictions", tmp_path / "a.h5")
    assert status == 1 and "v_Hop_g03_c01.avi: not a video" in error
    assert len(list((cache / "frames" / "v_Hop_g01_c01").iterdir())) == 17
    flow = cache / "flow_brox" / "v_Hop_g01_c01"
    assert sorted(path.name for path in flow.iterdir())[0] == "flow_image_v_Hop_g01_c01.0002.jpg"
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*.jpg")}

    named = ["--frames", cache / "frames", "--flow", cache / "flow_brox", *models]
    assert command("eval_ucf101.py", *named, "--predictions", tmp_path / "b.h5")[0] == 0
    command("eval_ucf101.py", *options, "--predictions", tmp_path / "c.h5")
    results = contents(tmp_path / "a.h5")
    assert len(results) == 4
    assert same(results, contents(tmp_path / "b.h5")) and same(results, contents(tmp_path / "c.h5"))
    assert made == {path: path.stat().st_mtime_ns for path in cache.rglob("*.jpg")}

    status, _, error = command("eval_ucf101.py", "--videos", folder, "--frames", folder, *models)
    assert status == 2 and "leave --frames and --flow out" in error


def test_demonstration_without_arguments(command, tmp_path, monkeypatch):
    """No data and no weights at hand: LRCN tells the synthetic actions apart, single frames do not."""
    monkeypatch.chdir(tmp_path)
    status, printed, _ = command("eval_ucf101.py")
    assert status == 0
    assert "demo_output/report/index.html" in printed
    summary = json.loads((tmp_path / "demo_output" / "report" / "report.json").read_text())
    accuracy = {name: score["accuracy"] for name, score in summary["results"].items()}
    assert len(accuracy) == 8
    for single, lrcn in (
        ("rgb_single", "rgb_lrcn"),
        ("flow_single", "flow_lrcn"),
        ("single_fusion_0.5", "lrcn_fusion_0.5"),
        ("single_fusion_0.33", "lrcn_fusion_0.33"),
    ):
        assert accuracy[lrcn] >= accuracy[single] + 40


def test_classify_video(material, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, printed, _ = command(
        "classify_video.py", "v_Hop_g01_c01", *material.data(), *material.arguments(), "--json", "--protocol", "center"
    )
    assert status == 0
    answer = json.loads(printed)
    assert (answer["video"], answer["picture"]) == ("v_Hop_g01_c01", "v_Hop_g01_c01.png")
    assert len(answer["top"]) == 8
    for best in answer["top"].values():
        assert len(best) == 5
        probabilities = [entry["probability"] for entry in best]
        assert probabilities == sorted(probabilities, reverse=True)
        assert {entry["class"] for entry in best} <= {"Bow", "Hop", *(f"class {label}" for label in range(2, 7))}
    assert cv2.imread("v_Hop_g01_c01.png") is not None

    folder = material.folder / "frames" / "v_Hop_g01_c01"
    status, printed, _ = command(
        "classify_video.py", folder, *material.arguments("rgb_single"), "--picture", tmp_path / "strip.png"
    )
    assert status == 0
    assert printed.startswith("Single frame, RGB\n")
    assert cv2.imread(str(tmp_path / "strip.png")) is not None


def test_classify_video_that_is_not_there_or_too_short(material, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, error = command("classify_video.py", "v_none", *material.arguments("rgb_single"))
    assert (status, error) == (
        2,
        "error: v_none: no such file or folder; a model of the rgb stream needs one or --frames\n",
    )
    write_frames(tmp_path / "v_short", 15, seed=0)
    status, _, error = command("classify_video.py", tmp_path / "v_short", *material.arguments("rgb_lrcn"))
    assert (status, error) == (2, "error: 15 frames, but a clip needs 16\n")
