import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn.caption.sentences import build_vocabulary, split_sentence
from lrcn.caption.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Two young guys look at their hands.", ["two", "young", "guys", "look", "at", "their", "hands"]),
        ("  A man, in a T-shirt .\n", ["a", "man", ",", "in", "a", "t", "-", "shirt", "."]),
        ("The dog's bone!", ["the", "dog", "'", "s", "bone", "!"]),
        ('A sign, "stop".', ["a", "sign", ', "', "stop", '".']),
        ("A caf\u00e9", ["a", "caf", "\u00e9"]),
        ("one\ntwo", ["one", "two"]),
        ("so ... .", ["so", "... ."]),
        (".", []),
        (" . ", []),
        ("   ", []),
    ],
)
def test_split_sentence(sentence, words):
    assert split_sentence(sentence) == words


@given(st.text())
def test_words_fit_a_vocabulary_file(sentence):
    for word in split_sentence(sentence):
        assert word
        assert word == word.strip()
        assert word.splitlines() == [word]


def test_vocabulary_is_ordered_by_count_then_alphabetically():
    sentences = [["b", "a", "c"], ["b", "a"], ["b", "d", "B"], ["a"]]
    assert build_vocabulary(sentences, min_count=2).words == ["<EOS>", "<unk>", "a", "b"]
    assert build_vocabulary(sentences, min_count=1).words == ["<EOS>", "<unk>", "a", "b", "B", "c", "d"]


def test_released_vocabulary_is_of_this_form(shared, tmp_path):
    """Each of its words is one that `split_sentence` gives."""
    vocabulary = Vocabulary.load(shared / "captions" / "coco_vocabulary.txt")
    assert len(vocabulary) == 8801
    assert vocabulary.words[:3] == ["<EOS>", "<unk>", "a"]
    assert all(split_sentence(f"a {word}") in (["a", word], [word]) for word in vocabulary.words[2:])
    vocabulary.save(tmp_path / "v.txt")
    assert (tmp_path / "v.txt").read_bytes() == (shared / "captions" / "coco_vocabulary.txt").read_bytes()
