"""The demo's scenes, and what its model writes about those that it has not seen."""

import json
import os

import numpy as np
import pytest

from lrcn.caption.annotations import read_annotations
from lrcn.caption.images import load_image
from lrcn.caption.options import read_weights
from lrcn.caption.sentences import split_sentence
from lrcn.caption.synthetic import COLOURS, DEMO_FOLDER, OPPOSITES, SHAPES, SPLITS, render, scenes
from lrcn.caption.vocabulary import Vocabulary


def test_no_test_scene_is_shown_in_training():
    train, test = scenes("train"), scenes("test")
    assert (len(train), len(test)) == tuple(SPLITS.values())
    assert len({*train, *test}) == len(train) + len(test)
    for split in (train, test):
        assert {s.relation for s in split} == set(OPPOSITES)
        assert {thing.colour for s in split for thing in (s.first, s.second)} == set(COLOURS)
        assert {thing.shape for s in split for thing in (s.first, s.second)} == set(SHAPES)


@pytest.mark.parametrize("number", range(12))
def test_a_picture_shows_its_scene(number):
    scene, picture = scenes("test")[number], render("test", number).astype(int)
    places = []
    for thing in (scene.first, scene.second):
        distance = np.abs(picture - COLOURS[thing.colour]).max(axis=2)
        y, x = np.nonzero(distance < 36)
        assert len(y) > 100
        places.append((x.mean(), y.mean(), len(y)))
    first, second = places
    if scene.relation == "left of":
        assert first[0] < second[0] - 20
    elif scene.relation == "above":
        assert first[1] < second[1] - 20
    else:
        assert abs(first[0] - second[0]) < 10 and first[2] < second[2]


def test_pictures_are_the_same_every_time():
    assert np.array_equal(render("train", 7), render("train", 7))
    assert not np.array_equal(render("train", 7), render("train", 8))
    assert not np.array_equal(render("train", 7), render("test", 7))


def test_the_vocabulary_is_that_of_the_sentences():
    vocabulary = Vocabulary.load(DEMO_FOLDER / "vocabulary.txt")
    words = {word for split in SPLITS for s in scenes(split) for text in s.sentences for word in split_sentence(text)}
    assert {"<EOS>", "<unk>", *words} == set(vocabulary.words)


def test_the_demo(run_script, tmp_path, monkeypatch):
    """On all test scenes, exact numerics: most captions are one of the two sentences of its scene."""
    monkeypatch.chdir(tmp_path)
    status, printed, problem = run_script("caption_image")
    assert status == 0, problem
    found = json.loads((tmp_path / "caption_demo" / "captions.json").read_text())
    right = [
        image["captions"][0]["sentence"].lower() in scene.sentences
        for image, scene in zip(found, scenes("test"), strict=True)
    ]
    assert len(right) == 100 and np.mean(right) > 0.7
    scores = dict(line.split() for line in printed.splitlines() if line.startswith("BLEU"))
    assert float(scores["BLEU-4"]) > 0.9
    page = (tmp_path / "caption_demo" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 100
    annotated = read_annotations(tmp_path / "caption_demo" / "test.token")
    assert [image.sentences for image in annotated] == [scene.sentences for scene in scenes("test")]
    assert [image.name for image in annotated] == [os.path.basename(image["image"]) for image in found]
    assert np.array_equal(load_image(found[3]["image"]), render("test", 3))


def test_the_demos_weights_are_small():
    assert os.path.getsize(DEMO_FOLDER / "scenes.caffemodel") <= 2 * 2**20
    assert "lstm2" in read_weights(str(DEMO_FOLDER / "scenes.caffemodel"))
