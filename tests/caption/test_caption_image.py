"""The command line, from image files to captions, JSON and the page."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from caption_material import word_net, word_net_text, write_model

from lrcn.caption.options import read_weights, variant
from prototxt_import import LayerWeights, Weights, write_weights


def options(files):
    return [part for name, path in files.items() for part in (f"--{name}", path)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of a colour, a grey and a transparent image, one of 16 bits, and one with a troublesome name."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, shape, dtype in (
        ("a.jpg", (60, 80, 3), np.uint8),
        ("b.png", (60, 80), np.uint8),
        ("c.png", (50, 40, 4), np.uint8),
        ("d.png", (50, 40, 3), np.uint16),
        ("<b>&.png", (300, 400, 3), np.uint8),
    ):
        cv2.imwrite(str(folder / name), rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True))
    return folder


def test_recorded_images(recorded, run_script, tmp_path):
    files = {
        "weights": f"{recorded.folder / 'image.caffemodel'},{recorded.folder / 'words.caffemodel'}",
        "vocab": recorded.folder / "vocabulary.txt",
        "image-net": recorded.folder / "image_net.prototxt",
        "word-net": recorded.folder / "word_net.prototxt",
    }
    for search, name in ((["--beam", 3], "beam3"), (["--sample", 3, "--temp", 1.5, "--seed", 0], "sample_seed0")):
        output = ["--json", tmp_path / "out.json"]
        status, _, problem = run_script("caption_image", *recorded.images, *options(files), *search, *output)
        assert status == 0, problem
        found = json.loads((tmp_path / "out.json").read_text())
        assert [image["image"] for image in found] == [str(path) for path in recorded.images]
        for image, expected in zip(found, recorded.values[name], strict=True):
            if name == "sample_seed0":
                assert [caption["words"] for caption in image["captions"]] == expected
                continue
            for caption, wanted in zip(image["captions"], expected, strict=True):
                assert {key: caption[key] for key in wanted} == wanted
                assert sum(np.log(caption["word_p"])) == pytest.approx(caption["log_p"], abs=1e-9)


def test_a_folder_with_a_page(run_script, model, pictures, tmp_path):
    page = tmp_path / "page.html"
    arguments = [pictures, *options(model), "--n-best", 2, "--json", tmp_path / "out.json", "--html", page]
    status, printed, problem = run_script("caption_image", *arguments)
    assert status == 0, problem
    found = json.loads((tmp_path / "out.json").read_text())
    assert [Path(image["image"]).name for image in found] == ["<b>&.png", "a.jpg", "b.png", "c.png", "d.png"]
    assert all(len(image["captions"]) == 2 for image in found)
    assert all(f"{image['image']}: {image['captions'][0]['sentence']}\n" in printed for image in found)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 5
    assert "&lt;b&gt;&amp;.png" in text and "<b>" not in text
    assert "&lt;EOS&gt;" in text and "<EOS>" not in text
    assert not re.search(r"https?://", text)
    for probability in found[0]["captions"][0]["word_p"]:
        assert f"{probability:.3f}" in text


def test_fast_numerics_and_best_of_samples(run_script, model, pictures, tmp_path):
    arguments = [pictures, *options(model), "--numerics", "fast", "--sample", 6, "--json", tmp_path / "out.json"]
    assert run_script("caption_image", *arguments)[0] == 0
    drawn = json.loads((tmp_path / "out.json").read_text())
    assert run_script("caption_image", *arguments, "--n-best", 1)[0] == 0
    for image, kept in zip(drawn, json.loads((tmp_path / "out.json").read_text()), strict=True):
        (caption,) = kept["captions"]
        assert caption["log_p"] == max(other["log_p"] for other in image["captions"])


def test_bfloat16(run_script, model, pictures, tmp_path):
    found = []
    for precision in ("float32", "bfloat16"):
        output = ["--beam", 1, "--precision", precision, "--json", tmp_path / "out.json"]
        status, _, problem = run_script("caption_image", pictures, *options(model), "--numerics", "fast", *output)
        assert status == 0, problem
        found.append([image["captions"][0]["word_p"][0] for image in json.loads((tmp_path / "out.json").read_text())])
    assert found[0] != found[1] and np.allclose(*found, atol=0.1)  # eight bits of each number


def test_problems_of_the_users_making(run_script, model, pictures, tmp_path):
    def message(*arguments, **changed):
        files = model | {key.replace("_", "-"): path for key, path in changed.items()}
        status, _, problem = run_script("caption_image", *arguments, *options(files))
        assert status == 2 and problem.startswith("error: ")
        return problem

    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    assert "broken.jpg: not a readable image" in message(tmp_path / "broken.jpg")
    assert "no such file or folder" in message(tmp_path / "gone.jpg")
    (tmp_path / "short.txt").write_text("<unk>\na\n")
    assert "the vocabulary has 3 words with <EOS>, the word net 12" in message(pictures, vocab=tmp_path / "short.txt")
    (tmp_path / "wide.prototxt").write_text(word_net_text("factored", 12, 6, 9))
    assert "has shape (24, 5), the network needs (24, 9)" in message(pictures, word_net=tmp_path / "wide.prototxt")
    assert "--temp goes with --sample" in message(pictures, "--temp", 2)
    assert "--groups goes with --beam" in message(pictures, "--sample", 2, "--groups", 2)
    assert "a beam of 1 or more" in message(pictures, "--beam", 0)
    assert "--n-best takes 1 or more" in message(pictures, "--n-best", 0)
    assert "exact numerics run on the CPU" in message(pictures, "--device", "cuda")
    assert "exact numerics run on the CPU in float32" in message(pictures, "--precision", "bfloat16")
    assert "--weights is missing" in run_script("caption_image", pictures)[2]


@pytest.mark.parametrize(
    ("kind", "stages"),
    [("factored", ()), ("unfactored", ("unfactored", "2-layer")), ("single layer", ("unfactored",))],
)
def test_the_variant_is_seen_from_the_weights(tmp_path, kind, stages):
    layers = [
        LayerWeights(name, "", [blob.detach().numpy() for blob in blobs])
        for name, blobs in word_net(kind).params.items()
    ]
    write_weights(tmp_path / "words.caffemodel", Weights("words", layers))
    assert variant(read_weights(str(tmp_path / "words.caffemodel"))) == stages


def test_of_two_files_the_later_one_wins(tmp_path):
    for value, names in ((1.0, ("a", "b")), (2.0, ("b", "c"))):
        layers = [LayerWeights(name, "", [np.full(3, value, np.float32)]) for name in names]
        write_weights(tmp_path / f"{value}.caffemodel", Weights("", layers))
    found = read_weights(f"{tmp_path / '1.0.caffemodel'}, {tmp_path / '2.0.caffemodel'}")
    assert {layer.name: layer.blobs[0][0] for layer in found.layers} == {"a": 1.0, "b": 2.0, "c": 2.0}
