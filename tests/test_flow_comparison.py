from functools import partial

import cv2
import numpy as np
import pytest
from flow_material import frame, texture

from lrcn import cli
from lrcn.flow import METHODS


@pytest.fixture
def compare(command, tmp_path, monkeypatch):
    """Calls the script in a folder with two frames, the second moved by two pixels, and their true flow."""
    monkeypatch.chdir(tmp_path)
    image = frame(texture(1, 48, 64))
    cv2.imwrite("previous.png", image)
    cv2.imwrite("following.png", np.roll(image, 2, axis=1))
    write_truth("truth.png", 48, 64)
    return partial(command, "compare_flow.py")


def write_truth(path, height, width):
    """A motion of two pixels to the right, valid off the edges."""
    validity, x, y = np.zeros((height, width)), np.full((height, width), 2**15 + 128), np.full((height, width), 2**15)
    edge = height // 5
    validity[edge:-edge, edge:-edge] = 1
    cv2.imwrite(path, np.stack([validity, y, x], axis=2).astype(np.uint16))


def test_a_line_for_each_method(compare):
    result = compare("previous.png", "following.png", "truth.png")
    assert result.status == 0, result.stderr
    header, *lines = [line.split() for line in result.stdout.splitlines()]
    assert header == ["method", "mean", "error", "outliers", "seconds"]
    assert [line[0] for line in lines] == list(METHODS)
    assert all(float(line[1]) < 0.1 and line[3] == "0.0%" for line in lines)  # two pixels, found to a twentieth


def test_mistakes_are_named_before_anything_is_printed(compare):
    write_truth("small_truth.png", 40, 64)
    cv2.imwrite("small.png", np.zeros((40, 64, 3), np.uint8))
    cv2.imwrite("grey.png", np.zeros((48, 64), np.uint8))
    cv2.imwrite("tiny.png", np.zeros((8, 8, 3), np.uint8))
    write_truth("tiny_truth.png", 8, 8)
    with open("notes.png", "w") as file:
        file.write("no image")
    for arguments, message in {
        ("previous.png", "small.png", "truth.png"): "small.png has 64x40 pixels, the frame before it 64x48",
        ("previous.png", "grey.png", "truth.png"): "grey.png: a grey image",
        ("absent.png", "following.png", "truth.png"): "absent.png: No such file or directory",
        ("previous.png", "following.png", "absent.png"): "absent.png: No such file or directory",
        ("previous.png", "following.png", "notes.png"): "notes.png: not a readable image",
        ("previous.png", "following.png", "small.png"): "small.png: a PNG with three channels of 16 bits expected",
        ("previous.png", "following.png", "small_truth.png"): "small_truth.png: (height, width) of the frames",
        ("tiny.png", "tiny.png", "tiny_truth.png"): "at least 10 pixels each way",
    }.items():
        result = compare(*arguments)
        assert result.status == cli.EXIT_USER_ERROR
        assert message in result.stderr and not result.stdout, arguments
