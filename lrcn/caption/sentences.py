"""Sentences to words, and the words of many sentences to a vocabulary."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .vocabulary import UNKNOWN_WORD, Vocabulary

MIN_COUNT = 5
_BETWEEN_WORDS = re.compile(r"(\W+)", re.ASCII)


def split_sentence(sentence: str) -> list[str]:
    """The words of a sentence as the authors split it: lower case, what stands between words is a word too.

    A full stop at the end is dropped, one with a blank before it is kept. Signs that stand together are one word,
    blanks between them included: `, "`; letters outside ASCII are signs. A sentence of blanks or a full stop has none.
    """
    line = " ".join(sentence.splitlines())  # a vocabulary file has one word on each line
    parts = [part.lower() for part in _BETWEEN_WORDS.split(line.strip()) if part.strip()]
    return [part.strip() for part in (parts[:-1] if parts and parts[-1] == "." else parts)]


def build_vocabulary(sentences: Iterable[Sequence[str]], min_count: int = MIN_COUNT) -> Vocabulary:
    """The vocabulary of sentences already split: `<unk>`, then the words by falling count.

    Words of one count are in the order of their characters; words seen less than `min_count` times are left out.
    """
    counts = Counter(word for words in sentences for word in words)
    kept = [word for word, count in counts.items() if count >= min_count]
    return Vocabulary([UNKNOWN_WORD, *sorted(kept, key=lambda word: (-counts[word], word))])
