"""Scores and perplexities by the command line, of a small model with random weights on images of noise."""

import json

import cv2
import numpy as np
import pytest
from caption_material import vocabulary, word_net_text, write_model

from lrcn import Net
from lrcn.caption import metrics
from lrcn.caption.decoder import Decoder
from lrcn.caption.metrics import METRICS, perplexity
from prototxt_import import LayerWeights, Weights, write_weights

TOKENS = """a.png#0\tWord1 word2 word3.
a.png#1\tword4
b.png#0\tWord5 word1 word2 other.
c.png#0\tword6 word7 word8 word9
"""


@pytest.fixture
def material(tmp_path, monkeypatch):
    """References, captions in both forms, images, a model; without Java, which would take half a minute."""
    monkeypatch.setattr(metrics, "has_java", lambda: False)
    (tmp_path / "references.token").write_text(TOKENS)
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), generator.integers(0, 256, (40, 50, 3), np.uint8))
    captions = [
        {"image": "x/b.png", "captions": [{"sentence": "Word5 word1 word2."}, {"sentence": "No."}]},
        {"image": "a.png", "captions": [{"sentence": "Word1 word2 word3."}]},
    ]
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    return tmp_path


@pytest.fixture
def model(material):
    return [part for name, file in write_model(material).items() for part in (f"--{name}", file)]


def test_scores(command, material):
    pytest.importorskip("pycocoevalcap")
    status, out, err = command(
        "eval_captions.py", "--references", material / "references.token", "--captions", material / "captions.json",
        "--results", material / "results.json", "--json", material / "scores.json",
    )  # fmt: skip
    assert status == 0, err
    assert "2 captions, of 3 annotated images" in out
    assert "note: METEOR is left out" in out
    results = json.loads((material / "results.json").read_text())
    assert results == [
        {"image_id": "b.png", "caption": "Word5 word1 word2."},
        {"image_id": "a.png", "caption": "Word1 word2 word3."},
    ]
    summary = json.loads((material / "scores.json").read_text())
    assert list(summary["scores"]) == [name for name in METRICS if name != "METEOR"]
    assert [image["image_id"] for image in summary["images"]] == ["b.png", "a.png"]
    assert summary["images"][1]["ROUGE-L"] == 1

    status, again, _ = command(
        "eval_captions.py", "--references", material / "references.token", "--captions", material / "results.json"
    )
    assert status == 0
    assert again == out


def test_references_in_one_file_for_each_annotator(command, material):
    pytest.importorskip("pycocoevalcap")
    files = [material / "first.txt", material / "second.txt"]
    files[0].write_text("a small dog runs here\na big cat sits there\n")
    files[1].write_text("the red cow stands still\nthe old man walks on\n")
    captions = [{"image_id": 1, "caption": "a small dog runs here"}, {"image_id": 2, "caption": "the old man walks on"}]
    (material / "captions.json").write_text(json.dumps(captions))
    status, out, _ = command("eval_captions.py", "--references", *files, "--captions", material / "captions.json")
    assert status == 0
    assert "2 captions, of 2 annotated images" in out and "BLEU-4      1.0000" in out


def test_perplexity_of_a_captioning_model(command, material, model):
    arguments = ["--references", material / "references.token", "--images", material / "images", *model]
    status, out, err = command("eval_captions.py", *arguments, "--json", material / "scores.json")
    assert status == 0, err
    found = json.loads((material / "scores.json").read_text())["perplexity"]
    assert f"perplexity  {found:.3f} per word" in out
    _, fast, _ = command("eval_captions.py", *arguments, "--numerics", "fast")
    assert float(fast.split()[1]) == pytest.approx(found, rel=1e-3)


def test_perplexity_of_a_language_model(command, material):
    (material / "words.prototxt").write_text(word_net_text("language model", 12, 6, 0))
    net = Net(material / "words.prototxt")
    layers = [LayerWeights(name, "", [blob.detach().numpy() for blob in blobs]) for name, blobs in net.params.items()]
    write_weights(material / "words.caffemodel", Weights("words", layers))
    vocabulary(12).save(material / "words.txt")
    status, out, err = command(
        "eval_captions.py", "--references", material / "references.token", "--weights", material / "words.caffemodel",
        "--word-net", material / "words.prototxt", "--vocab", material / "words.txt",
    )  # fmt: skip
    assert status == 0, err
    sentences = [[3, 4, 5, 0], [6, 0], [7, 3, 4, 1, 0], [8, 9, 10, 11, 0]]
    expected = perplexity(Decoder(net).word_log_probabilities(sentences, np.empty((4, 0), np.float32)))
    assert out == f"perplexity  {expected:.3f} per word\n"


def test_perplexity_of_an_ngram_model(command, material):
    pytest.importorskip("nltk")
    vocabulary(12).save(material / "words.txt")
    status, out, err = command(
        "eval_captions.py", "--references", material / "references.token", "--vocab", material / "words.txt",
        "--ngram", material / "references.token",
    )  # fmt: skip
    assert status == 0, err
    number = float(out.split()[1])
    assert 1 < number < 4  # of 17 words that it has seen, in sentences that it has seen
    assert "of nltk's Kneser-Ney 4-gram model" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to do"),
        (["--ngram", "x"], "--ngram needs --vocab"),
        (["--weights", "x", "--results", "y"], "--results needs --captions"),
        (["--captions", "nowhere.json"], "nowhere.json: No such file"),
        (["--captions", "nowhere.json", "--json", "nowhere/out.json"], "nowhere/out.json: No such file"),
        (["--captions", "nowhere.json", "--images", "x"], "--images needs --weights"),
        (["--weights", "nowhere.caffemodel"], "--vocab is missing"),
    ],
)
def test_problems_end_with_a_message(command, material, arguments, message):
    status, _, err = command("eval_captions.py", "--references", material / "references.token", *arguments)
    assert status == 2
    assert err.startswith("error: ")
    assert message in err


def test_a_vocabulary_of_another_size(command, material, model):
    (material / "vocab.txt").write_text("<unk>\na\n")
    for images in ([], ["--images", material / "images"]):
        status, _, err = command("eval_captions.py", "--references", material / "references.token", *images, *model)
        assert status == 2
        assert "the vocabulary has 3 words with <EOS>, the word net 12" in err
