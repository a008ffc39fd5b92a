"""Retrieval by the command line, of a small model with random weights on images of noise."""

import json

import cv2
import h5py
import numpy as np
import pytest
from caption_material import write_model

TOKENS = """a.png#0\tWord1 word2 word3.
a.png#1\tword4
b.png#0\tWord5 word1 word2 other.
b.png#1\tword4
c.png#0\tword6 word7 word8 word9
"""


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "captions.token").write_text(TOKENS)
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), generator.integers(0, 256, (40, 50, 3), np.uint8))
    model = [part for name, file in write_model(tmp_path).items() for part in (f"--{name}", file)]
    return ["--captions", tmp_path / "captions.token", "--images", tmp_path / "images", *model]


def test_figures(command, arguments, tmp_path):
    status, out, err = command("eval_retrieval.py", *arguments, "--json", tmp_path / "exact.json")
    assert status == 0, err
    assert out.startswith("3 images, 5 captions\n")
    assert "caption to image:  R@1 " in out
    summary = json.loads((tmp_path / "exact.json").read_text())
    assert [caption["words"][0] for caption in summary["captions"]] == ["word4", "word4", "word1", "word5", "word6"]
    assert [image["image"] for image in summary["images"]] == [str(tmp_path / "images" / f"{n}.png") for n in "abc"]
    places = [caption["rank"] for caption in summary["captions"]]
    assert summary["caption_to_image"]["R@1"] == sum(place == 1 for place in places) / 5
    assert summary["caption_to_image"]["mean rank"] == sum(places) / 5
    assert summary["image_to_caption"]["median rank"] == sorted(image["rank"] for image in summary["images"])[1]

    status, fast, err = command("eval_retrieval.py", *arguments, "--numerics", "fast")
    assert (status, fast) == (0, out), err


def test_kept_scores_are_used_again(command, arguments, tmp_path):
    first = command("eval_retrieval.py", *arguments, "--scores", tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5", "r+") as file:
        assert file["log_p"].shape == (3, 5)
        file["log_p"][0, 0] = np.nan
    assert command("eval_retrieval.py", *arguments, "--scores", tmp_path / "scores.h5")[:2] == first[:2]
    with h5py.File(tmp_path / "scores.h5") as file:
        assert not np.isnan(file["log_p"][...]).any()
    status, _, err = command("eval_retrieval.py", *arguments, "--scores", tmp_path / "scores.h5", "--numerics", "fast")
    assert status == 2
    assert "numerics = exact, this run has fast" in err
    (tmp_path / "captions.token").write_text(TOKENS.replace("word7", "word8"))
    status, _, err = command("eval_retrieval.py", *arguments, "--scores", tmp_path / "scores.h5")
    assert status == 2
    assert "captions = " in err


def test_bfloat16(command, arguments):
    assert command("eval_retrieval.py", *arguments, "--numerics", "fast", "--precision", "bfloat16")[0] == 0
    status, _, err = command("eval_retrieval.py", *arguments, "--precision", "bfloat16")
    assert status == 2
    assert "exact numerics run on the CPU in float32" in err


def test_problems_end_with_a_message(command, arguments, tmp_path):
    (tmp_path / "images" / "b.png").write_text("no image")
    status, _, err = command("eval_retrieval.py", *arguments)
    assert status == 2
    assert "b.png" in err
    (tmp_path / "vocab.txt").write_text("a\n")
    status, _, err = command("eval_retrieval.py", *arguments)
    assert status == 2
    assert "the vocabulary has 2 words with <EOS>, the word net 12" in err
