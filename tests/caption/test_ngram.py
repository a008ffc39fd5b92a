import numpy as np
import pytest

from lrcn.caption.ngram import NgramModel

pytest.importorskip("nltk")

SENTENCES = [
    line.split() for line in ("a man runs", "a man sits", "the dog runs", "a dog sits on the dog", "<unk> runs")
]
OTHERS = [line.split() for line in ("a dog runs", "the man sits on <unk>", "dog", "on on on")]


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_numbers_are_those_of_nltk(order):
    from nltk.lm import KneserNeyInterpolated, Vocabulary
    from nltk.util import everygrams

    words = {word for sentence in SENTENCES for word in sentence} | {"<s>", "</s>"}
    theirs = KneserNeyInterpolated(order, 0.9, vocabulary=Vocabulary(words, unk_cutoff=1))
    theirs.fit(everygrams(["<s>"] * (order - 1) + [*words, "</s>"], max_len=order) for words in SENTENCES)
    for sentence, found in zip(OTHERS, NgramModel(SENTENCES, order).word_log_probabilities(OTHERS), strict=True):
        padded = ["<s>"] * (order - 1) + [*sentence, "</s>"]
        expected = [theirs.score(padded[k], padded[k - order + 1 : k]) for k in range(order - 1, len(padded))]
        np.testing.assert_allclose(np.exp(found), expected, rtol=1e-12)


def test_probabilities_sum_to_one():
    """Inside a sentence; at its beginning nltk's are a little more, by one of so many words that can begin one."""
    model = NgramModel(SENTENCES, 3)
    words = {word for sentence in SENTENCES for word in sentence} | {"<s>", "</s>"}
    for context in (["a", "man"], ["a", "dog", "sits"], ["on", "on"]):
        last = [np.exp(model.word_log_probabilities([[*context, word]])[0][len(context)]) for word in words - {"</s>"}]
        ends = np.exp(model.word_log_probabilities([context])[0][-1])
        assert sum(last) + ends == pytest.approx(1, abs=1e-9)
