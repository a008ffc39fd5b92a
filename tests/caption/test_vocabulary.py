"""Words and indices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcn.caption.vocabulary import Vocabulary
from lrcn.errors import Error

LETTERS = st.characters(exclude_categories=["Zl", "Zp", "C"])
WORDS = st.lists(
    st.text(LETTERS, min_size=1).filter(lambda word: word == word.strip() != "<EOS>"), min_size=1, unique=True
)


@given(words=WORDS)
def test_what_is_saved_is_loaded(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("vocabulary") / "words.txt"
    vocabulary = Vocabulary(words)
    vocabulary.save(path)
    assert Vocabulary.load(path).words == ["<EOS>", *words]
    assert vocabulary.indices(words) == list(range(1, len(vocabulary)))


def test_words_that_are_not_in_it_are_unknown():
    vocabulary = Vocabulary(["a", "<unk>", "dog"])
    assert vocabulary.unknown == 2
    assert vocabulary.indices(["a", "cat", "dog"]) == [1, 2, 3]
    assert "dog" in vocabulary.words and "cat" not in vocabulary.words
    with pytest.raises(Error, match=r"'cat' is not among the 3 words of the vocabulary, nor is <unk>"):
        Vocabulary(["a", "dog"]).indices(["cat"])


@pytest.mark.parametrize(
    ("indices", "sentence"),
    [
        ([], ""),
        ([0], "<EOS>..."),
        ([1, 2, 0], "A dog."),
        ([1, 2], "A dog..."),
        ([3, 0], "École."),
        ([0, 0], "<EOS>."),
    ],
)
def test_sentences(indices, sentence):
    assert Vocabulary(["a", "dog", "école"]).sentence(indices) == sentence


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "word 1 of the vocabulary is ''"),
        (b"a\n\ndog\n", "word 2 of the vocabulary is ''"),
        (b"a\ndog\na\n", "words 1 and 3 of the vocabulary are both 'a'"),
        (b"<EOS>\na\n", "words 0 and 1 of the vocabulary are both '<EOS>'"),
        (b"\xff\xfe\x00", "one word on each line in UTF-8, was expected"),
    ],
)
def test_files_that_are_no_vocabulary(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(Error, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


def test_the_released_vocabulary(shared):
    vocabulary = Vocabulary.load(shared / "captions" / "coco_vocabulary.txt")
    assert len(vocabulary) == 8801
    assert vocabulary.words[:2] == ["<EOS>", "<unk>"]
