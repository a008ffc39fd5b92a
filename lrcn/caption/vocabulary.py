"""Words and their indices."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from prototxt_import import replacing

from ..errors import Error

EOS = 0
"""Index of the word that ends a sentence, and that stands before its first word."""

EOS_WORD = "<EOS>"
UNKNOWN_WORD = "<unk>"


class Vocabulary:
    """The words that a word net knows, `<EOS>` and then those of a vocabulary file, one on each line.

    Args:
        words (Iterable[str]): the words without `<EOS>`; the first of them has index 1.

    Attributes:
        words (list[str]): all words by index, `<EOS>` included.
        unknown (int | None): the index of `<unk>`, which stands for all other words; None where there is none.

    Raises:
        Error: a word that is empty, has white space around it, is `<EOS>`, or occurs twice.
    """

    def __init__(self, words: Iterable[str]):
        self.words = [EOS_WORD, *words]
        self._indices: dict[str, int] = {}
        for index, word in enumerate(self.words):
            if not word or word != word.strip():  # signs such as `, "` have a blank inside
                raise Error(
                    f"word {index} of the vocabulary is {word!r}; a word was expected, no white space around it"
                )
            if word in self._indices:
                raise Error(f"words {self._indices[word]} and {index} of the vocabulary are both {word!r}")
            self._indices[word] = index
        self.unknown = self._indices.get(UNKNOWN_WORD)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Vocabulary":
        """The vocabulary in a file. Raises `Error` for what is no such file and OSError for one that cannot be read."""
        try:
            lines = Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            raise Error(f"{path}: a vocabulary, one word on each line in UTF-8, was expected") from None
        try:
            return cls(line.strip() for line in lines)
        except Error as error:
            raise Error(f"{path}: {error}") from None

    def save(self, path: str | os.PathLike) -> None:
        """Write the file that `load` reads, without `<EOS>`, as the authors' code has it."""
        with replacing(path) as temporary:
            temporary.write_text("".join(f"{word}\n" for word in self.words[1:]), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.words)

    def indices(self, words: Iterable[str]) -> list[int]:
        """The indices of words, without an `<EOS>` at the end; words that it lacks become `<unk>`.

        Raises:
            Error: a word is not in a vocabulary without `<unk>`.
        """
        found = []
        for word in words:
            index = self._indices.get(word, self.unknown)
            if index is None:
                raise Error(f"{word!r} is not among the {len(self)} words of the vocabulary, nor is {UNKNOWN_WORD}")
            found.append(index)
        return found

    def sentence(self, indices: Sequence[int]) -> str:
        """Words as a sentence, as the authors write it: a capital first, `.` for `<EOS>`, `...` where none came.

        A sentence of nothing but `<EOS>` is `<EOS>...`, because there it is the first word.
        """
        sentence = " ".join(self.words[index] for index in indices)
        if not sentence:
            return sentence
        ending = f" {EOS_WORD}"
        closed = f"{sentence.removesuffix(ending)}." if sentence.endswith(ending) else f"{sentence}..."
        return closed[0].upper() + closed[1:]
