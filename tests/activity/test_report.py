import csv
import json
import math
import re

import cv2
import numpy as np
import pytest

from lrcn.activity.lists import UCF101_CLASSES, Video
from lrcn.activity.report import result_names, summarize, table, top_classes, with_fusions, write_report, write_strip

CLASSES = ["Bow", "<Hop & Run>", "Jump"]
VIDEOS = [
    Video("v_1", "Bow", 0),
    Video("v_2", "<Hop & Run>", 1),
    Video("v_3", "<Hop & Run>", 1),
    Video("v_4", "Jump", 2),
]
RGB = {"v_1": [0.6, 0.3, 0.1], "v_2": [0.5, 0.4, 0.1], "v_3": [0.1, 0.8, 0.1], "v_4": [0.4, 0.35, 0.25]}
FLOW = {"v_1": [0.3, 0.6, 0.1], "v_2": [0.2, 0.7, 0.1], "v_3": [0.1, 0.8, 0.1]}


def means() -> dict:
    return {
        "rgb_lrcn": {name: np.array(row) for name, row in RGB.items()},
        "flow_lrcn": {name: np.array(row) for name, row in FLOW.items()},
    }


@pytest.fixture
def summary() -> dict:
    failures = {"v_4": {"flow_lrcn": "frame 3 is not a readable image"}}
    return summarize(VIDEOS, CLASSES, means(), failures, {"protocol": "center", "numerics": "exact"})


def test_fusions_weigh_rgb_by_half_and_by_a_third():
    results = with_fusions(means())
    assert list(results) == ["rgb_lrcn", "flow_lrcn", "lrcn_fusion_0.5", "lrcn_fusion_0.33"]
    assert np.array_equal(results["lrcn_fusion_0.5"]["v_1"], 0.5 * np.array(RGB["v_1"]) + 0.5 * np.array(FLOW["v_1"]))
    expected = 0.33 * np.array(RGB["v_2"]) + (1 - 0.33) * np.array(FLOW["v_2"])
    assert np.array_equal(results["lrcn_fusion_0.33"]["v_2"], expected)
    assert "v_4" not in results["lrcn_fusion_0.5"]


@pytest.mark.parametrize("absent", [["rgb_lrcn"], ["flow_lrcn"], ["rgb_lrcn", "flow_lrcn"]])
def test_fusion_needs_both_streams_of_one_kind(absent):
    some = {**means(), "rgb_single": means()["rgb_lrcn"]}
    for name in absent:
        del some[name]
    assert set(with_fusions(some)) == set(some)


def test_accuracy_is_over_the_videos_that_have_the_result(summary):
    scores = summary["results"]
    assert (scores["rgb_lrcn"]["correct"], scores["rgb_lrcn"]["labelled"]) == (2, 4)
    assert scores["rgb_lrcn"]["accuracy"] == 50
    assert (scores["flow_lrcn"]["correct"], scores["flow_lrcn"]["labelled"]) == (2, 3)
    assert scores["flow_lrcn"]["accuracy"] == pytest.approx(200 / 3)
    assert scores["flow_lrcn"]["accuracy_per_class"] == [0, 100, None]
    assert scores["rgb_lrcn"]["confusion"] == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]


def test_most_wrong_video_comes_first(summary):
    assert summary["sorted_by"] == "lrcn_fusion_0.33"
    assert [video["name"] for video in summary["videos"]] == ["v_1", "v_2", "v_3", "v_4"]
    outcome = summary["videos"][0]["results"]["rgb_lrcn"]
    assert outcome["true_class_log_probability"] == math.log(0.6)


def test_table_shows_ours_and_the_published_numbers(summary):
    lines = table(summary).splitlines()
    assert lines[0].split() == ["RGB", "flow", "1/2,", "1/2", "1/3,", "2/3"]
    assert lines[1].split() == ["LRCN", "50.00", "66.67", "100.00", "66.67"]
    assert lines[2].split()[:5] == ["published", "68.20", "77.28", "80.90", "82.34"]
    assert lines[3].split()[:5] == ["published", "71.00", "-", "-", "82.90"]
    assert "of UCF101; these classes are others" in lines[4]
    ucf101 = summarize([Video("v", "Archery", 2)], UCF101_CLASSES, {"rgb_single": {"v": np.eye(101)[2]}}, {}, {})
    assert "67.37" in table(ucf101)
    assert "others" not in table(ucf101)


def test_report_files(summary, tmp_path):
    write_report(summary, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(summary))
    with (tmp_path / "per_class.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["class"] for line in lines] == CLASSES
    assert lines[1] == {
        "label": "1", "class": "<Hop & Run>", "videos": "2", "rgb_lrcn": "50.00", "flow_lrcn": "100.00",
        "lrcn_fusion_0.5": "100.00", "lrcn_fusion_0.33": "100.00",
    }  # fmt: skip
    for name in summary["results"]:
        for kind in ("confusion", "per_class"):
            assert cv2.imread(str(tmp_path / f"{kind}_{name}.png")).std() > 1
    page = (tmp_path / "index.html").read_text()
    assert "<Hop & Run>" not in page
    assert "&lt;Hop &amp; Run&gt;" in page
    assert page.count("data:image/png;base64,") == 2 * len(summary["results"])
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing outside the file
    for text in ("frame 3 is not a readable image", "82.34", "arXiv v4", "66.67", "v_4"):
        assert text in page
    assert page.index("v_1</td>") < page.index("v_2</td>") < page.index("v_3</td>")


def test_report_without_labels(tmp_path):
    videos = [Video(name) for name in RGB]
    summary = summarize(videos, CLASSES, {"rgb_lrcn": means()["rgb_lrcn"]}, {}, {})
    assert summary["results"]["rgb_lrcn"]["accuracy"] is None
    assert [video["name"] for video in summary["videos"]] == ["v_4", "v_2", "v_1", "v_3"]
    write_report(summary, tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert "least certain first" in (tmp_path / "index.html").read_text()


def test_report_where_every_video_failed(tmp_path):
    summary = summarize(VIDEOS, CLASSES, {"rgb_lrcn": {}}, {video.name: {"rgb_lrcn": "gone"} for video in VIDEOS}, {})
    write_report(summary, tmp_path)
    assert "4\n  videos left out" in (tmp_path / "index.html").read_text()


def test_top_classes():
    assert top_classes(np.array([0.1, 0.3, 0.1, 0.5]), list("abcd"), 3) == [("d", 0.5), ("b", 0.3), ("a", 0.1)]


def test_names_of_results():
    assert result_names()[:3] == ["rgb_single", "flow_single", "single_fusion_0.5"]


def test_strip_of_frames(tmp_path):
    frames = [np.full((24, 32, 3), 10 * index, np.uint8) for index in range(20)]
    curves = {"LRCN, RGB": np.random.default_rng(0).random((20, 3))}
    write_strip(tmp_path / "strip.png", frames, curves, CLASSES)
    assert cv2.imread(str(tmp_path / "strip.png")).shape[1] == 1320
