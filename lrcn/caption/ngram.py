"""The n-gram model that a language model is compared with: interpolated Kneser-Ney, by nltk."""

import functools
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ..errors import Error

ORDER, DISCOUNT = 4, 0.9
"""The best of orders 3 to 5 and discounts 0.1, 0.6, 0.75, 0.9 on Flickr30k's validation sentences."""

_BEGIN, _END = "<s>", "</s>"


class NgramModel:
    """Probabilities of words after the `order - 1` words before them.

    Args:
        sentences (Sequence[Sequence[str]]): to learn from, rare words already replaced by `<unk>`.
        order (int): n.
        discount (float): taken off every count.

    Raises:
        Error: nltk is not installed.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], order: int = ORDER, discount: float = DISCOUNT):
        try:
            from nltk.lm import KneserNeyInterpolated
            from nltk.lm import Vocabulary as Words
            from nltk.util import everygrams
        except ImportError:
            raise Error("an n-gram model needs nltk; install it, or this project as lrcn[caption]") from None
        self._order = order
        words = {word for sentence in sentences for word in sentence}
        self._model = KneserNeyInterpolated(order, discount, vocabulary=Words([*words, _BEGIN, _END], unk_cutoff=1))
        self._model.fit(everygrams(self._padded(sentence), max_len=order) for sentence in sentences)
        self._model.estimator._continuation_counts = _continuation_counts(self._model.counts, order)
        self._log_p = functools.cache(lambda word, *context: self._model.logscore(word, context) * np.log(2))

    def word_log_probabilities(self, sentences: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """The natural logarithm of the probability of each word and of the end, (words + 1,) float64 per sentence."""
        found = []
        for sentence in sentences:
            words = self._padded(sentence)
            places = range(self._order - 1, len(words))
            found.append(np.array([self._log_p(words[k], *words[k - self._order + 1 : k]) for k in places]))
        return found

    def _padded(self, sentence: Sequence[str]) -> list[str]:
        return [_BEGIN] * (self._order - 1) + [*sentence, _END]


def _continuation_counts(counts, order: int):
    """What nltk's `KneserNey._continuation_counts` computes, from tables instead of all n-grams anew for each word.

    Of a context and a word: how many different words stand before them, and how many before the context and any word.
    """
    table: dict[tuple, Counter] = defaultdict(Counter)
    for length in range(2, order + 1):
        for before, after in counts[length].items():
            table[before[1:]].update(word for word, count in after.items() if count > 0)
    totals = {context: words.total() for context, words in table.items()}
    return lambda word, context=(): (table[context][word], totals[context])
