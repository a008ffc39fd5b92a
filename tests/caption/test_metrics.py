import gzip
import json
import random

import numpy as np
import pytest

from lrcn import Error
from lrcn.caption import metrics
from lrcn.caption.annotations import AnnotatedImage
from lrcn.caption.metrics import METRICS, evaluate, has_java, perplexity, read_captions, treebank_words, write_results

pytest.importorskip("pycocoevalcap")

WORDS = ["a", "the", "man", "dog", "runs,", "sits", "on", "red", "blue", '"stop"', "isn't", "well-kept", "(small)"]
IMAGES = [AnnotatedImage(7, "seven.jpg", ("A dog.",)), AnnotatedImage(3, "sub/three.jpg", ("A cat.", "One cat"))]


def sentence(generator: random.Random) -> str:
    words = generator.choices(WORDS, k=generator.randint(3, 12))
    return " ".join(words).capitalize() + generator.choice([".", " .", "", "!"])


@pytest.fixture(scope="module")
def material() -> tuple[dict[int, str], dict[int, list[str]]]:
    """Captions of 30 images and their references; some captions are among the references."""
    generator = random.Random(0)
    references = {image: [sentence(generator) for _ in range(generator.randint(1, 5))] for image in range(30)}
    captions = {image: generator.choice([sentence(generator), references[image][0]]) for image in references}
    return captions, references


@pytest.mark.skipif(not has_java(), reason="Java is not installed")
def test_scores_are_those_of_pycocoevalcap_by_itself(material, tmp_path, monkeypatch):
    """Its own evaluation of the same files; only SPICE, which downloads models, is taken out of it."""
    import pycocoevalcap.eval
    from pycocotools.coco import COCO

    class NoSpice:
        def method(self):
            return "SPICE"

        def compute_score(self, expected, found):
            return 0.0, [0.0] * len(found)

    monkeypatch.setattr(pycocoevalcap.eval, "Spice", NoSpice)
    captions, references = material
    annotations = [{"image_id": image, "caption": text} for image in references for text in references[image]]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number
    document = {"images": [{"id": image, "file_name": f"{image}.jpg"} for image in references]}
    (tmp_path / "references.json").write_text(json.dumps(document | {"annotations": annotations}))
    write_results(tmp_path / "results.json", captions)
    coco = COCO(str(tmp_path / "references.json"))
    theirs = pycocoevalcap.eval.COCOEvalCap(coco, coco.loadRes(str(tmp_path / "results.json")))
    theirs.evaluate()

    ours = evaluate(captions, references)
    names = dict(zip(METRICS, ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"), strict=True))
    assert ours.scores == {name: float(theirs.eval[their_name]) for name, their_name in names.items()}
    for image, scores in ours.per_image.items():
        assert scores == {name: float(theirs.imgToEval[image][their_name]) for name, their_name in names.items()}
    assert ours.notes == ()


def test_without_java_the_others_still_run(material, monkeypatch):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    monkeypatch.setattr(metrics.shutil, "which", lambda _: None)
    captions, references = material
    ours = evaluate(captions, references)
    expected = {image: [treebank_words(text) for text in each] for image, each in references.items()}
    found = {image: [treebank_words(text)] for image, text in captions.items()}
    assert [ours.scores[name] for name in METRICS[:4]] == Bleu(4).compute_score(expected, found, verbose=0)[0]
    assert ours.scores["ROUGE-L"] == Rouge().compute_score(expected, found)[0]
    assert ours.scores["CIDEr"] == Cider().compute_score(expected, found)[0]
    assert "METEOR" not in ours.scores
    assert "METEOR is left out" in ours.notes[0]
    assert "without Java" in ours.notes[1]


def test_a_java_that_does_nothing(material, tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 0\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error, match="other than one line for each sentence"):
        evaluate(*material)
    java.write_text("#!/bin/sh\nexit 1\n")
    assert not has_java()


@pytest.mark.skipif(not has_java(), reason="Java is not installed")
def test_java_and_our_words(shared):
    """Real sentences: at most one in 500 is split otherwise than by the Java program."""
    with gzip.open(shared / "captions" / "flickr30k_val.1.en.gz", "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    theirs = metrics._split_with_java(dict(enumerate([line] for line in lines)))
    assert sum(theirs[k] != [treebank_words(line)] for k, line in enumerate(lines)) <= len(lines) / 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man, isn't he?", "a man is n't he"),
        ('The sign says "Stop". It is red.', "the sign says stop it is red"),
        ("Salt &amp; pepper; a well-kept (small) shop...", "salt & pepper a well-kept -lrb- small -rrb- shop"),
        (" ", ""),
    ],
)
def test_words(text, words):
    assert treebank_words(text) == words


def test_perfect_captions_score_1(monkeypatch):
    monkeypatch.setattr(metrics, "has_java", lambda: False)
    references = {1: ["A man runs on the red grass.", "He runs."], 2: ["Two dogs sit near a house."]}
    scores = evaluate({1: "a man runs on the red grass", 2: "Two dogs sit near a house!"}, references).scores
    assert scores["BLEU-4"] == pytest.approx(1, abs=1e-6)
    assert scores["ROUGE-L"] == 1


def test_problems(material):
    _, references = material
    with pytest.raises(Error, match="no captions"):
        evaluate({}, references)
    with pytest.raises(Error, match="image 99 has a caption and no reference"):
        evaluate({99: "A dog."}, references)


def test_read_captions(tmp_path):
    path = tmp_path / "captions.json"
    path.write_text(
        json.dumps(
            [
                {"image": "some/where/seven.jpg", "captions": [{"sentence": "One."}, {"sentence": "Two."}]},
                {"image": "three.jpg", "captions": [{"sentence": "Three."}]},
            ]
        )
    )
    assert read_captions(path, IMAGES) == {7: "One.", 3: "Three."}
    write_results(path, {3: "Three."})
    assert json.loads(path.read_text()) == [{"image_id": 3, "caption": "Three."}]
    assert read_captions(path, IMAGES) == {3: "Three."}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "a list of captions was expected"),
        ("[]", "a list of captions was expected"),
        ("[5]", "entry 0: expected"),
        ('[{"image": "seven.jpg"}]', "entry 0: expected"),
        ('[{"image": "seven.jpg", "captions": []}]', "entry 0: expected"),
        ('[{"image": 5, "captions": [{"sentence": "A."}]}]', "entry 0: expected"),
        ('[{"image": "five.jpg", "captions": [{"sentence": "A."}]}]', "entry 0: the image is not annotated"),
        ('[{"image_id": [3], "caption": "A."}]', "entry 0: the image is not annotated"),
        ('[{"image_id": true, "caption": "A."}]', "entry 0: the image is not annotated"),
        ('[{"image_id": 3, "caption": 5}]', "entry 0: the caption is no string"),
        (
            '[{"image_id": 3, "caption": "A"}, {"image_id": 3, "caption": "B"}]',
            "entry 1: image 3 has a caption already",
        ),
    ],
)
def test_captions_of_another_form(tmp_path, content, message):
    path = tmp_path / "captions.json"
    path.write_text(content)
    with pytest.raises(Error, match=message):
        read_captions(path, IMAGES)


def test_perplexity():
    assert perplexity([np.log([0.5, 0.25]), np.log([0.125])]) == pytest.approx(4)
