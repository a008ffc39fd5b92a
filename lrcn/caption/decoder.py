"""The word net: from an image's descriptor and the words so far to the probabilities of the next word."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import Error
from ..net import Net
from .vocabulary import EOS, Vocabulary

PREVIOUS, CONT, IMAGE = "input_sentence", "cont_sentence", "image_features"
SCORES, PROBABILITIES = "predict", "probs"

LEAST_PROBABILITY = 1e-12
"""Logarithms are taken of at least this much, as in the authors' code."""

_MANY_STREAMS = 512
"""Sentences in one pass of fast numerics; each has as many probabilities as there are words in the vocabulary."""

_STREAMS_LIKE_ONE = 3
"""The bits depend on how many sentences go together; up to three have those of one alone, as the original ran them."""


class NextWord(NamedTuple):
    """What the word net says about the next word of n sentences: scores before the softmax and probabilities (n, V)."""

    scores: Tensor
    probabilities: Tensor


class Decoder:
    """A word net and the sentences that it is in the middle of.

        next_word = decoder.begin(descriptors)
        next_word = decoder.extend([0, 0, 2], [17, 4, 9])  # the first sentence goes on in two ways, the second is over

    Args:
        net (Net): the word net with one time step: blobs `cont_sentence`, `input_sentence`, perhaps `image_features`;
            `predict`, `probs`.

    Attributes:
        vocabulary_size (int): V, how many words it tells apart, `<EOS>` included.
        descriptor_size (int): D, of an image's descriptor; 0 for a language model, which sees no image: its descriptors
            have the shape (n, 0).

    Raises:
        Error: a network without these blobs.
    """

    def __init__(self, net: Net):
        missing = [name for name in (PREVIOUS, CONT, SCORES, PROBABILITIES) if name not in net.blob_shapes]
        if missing:
            raise Error(f"this is not a word net: it has no blob {missing[0]!r}; it has {', '.join(net.blob_shapes)}")
        self.net = net
        self.vocabulary_size = net.blob_shapes[SCORES][-1]
        self.descriptor_size = net.inputs[IMAGE][1] if IMAGE in net.inputs else 0

    def begin(self, descriptors: np.ndarray | Tensor) -> NextWord:
        """Begin one sentence for each descriptor (n, D) float32."""
        self._descriptors = self.check_descriptors(descriptors)
        self.net.reset_state()
        self._state = self.net.state(len(self._descriptors))
        return self._next([EOS] * len(self._descriptors), cont=0)

    def extend(self, sentences: Sequence[int], words: Sequence[int]) -> NextWord:
        """Sentence k is what sentence `sentences[k]` of the last call was, with `words[k]` after it."""
        rows = torch.as_tensor(sentences, device=self.net.device)
        self._descriptors = self._descriptors[rows]
        self._state = {name: [values[rows] for values in state] for name, state in self._state.items()}
        return self._next(words, cont=1)

    def word_log_probabilities(
        self, captions: Sequence[Sequence[int]], descriptors: np.ndarray | Tensor
    ) -> list[np.ndarray]:
        """The logarithm of the probability of every word of caption k, given the words before it and descriptor k.

        Captions are taken by their length, as many at a time as the net declares streams: so does the authors' code.

        Args:
            captions: word indices; `<EOS>` counts where it is among them, so it belongs at the end.
            descriptors: (n, D) float32, one for each caption.

        Returns:
            One array (words,) float64 for each caption.

        Raises:
            Error: an empty caption, a word outside the vocabulary, descriptors of another number or size.
        """
        self.check_captions(captions)
        descriptors = self.check_descriptors(descriptors)
        if len(descriptors) != len(captions):
            raise Error(f"{len(captions)} captions need as many descriptors, {len(descriptors)} were found")
        lengths = [len(caption) for caption in captions]
        found = [np.empty(length) for length in lengths]
        order = np.argsort(lengths, kind="stable")
        streams = self.net.inputs[PREVIOUS][1] if self._is_exact else _MANY_STREAMS
        for block in (order[first : first + streams] for first in range(0, len(order), streams)):
            rows = np.zeros(streams if self._is_exact else len(block), int)  # what is left over repeats a caption
            rows[: len(block)] = block
            self.net.reset_state()
            previous = np.full(len(rows), EOS)
            for position in range(lengths[block[-1]]):
                cont = np.full(len(rows), position > 0)
                probabilities = self._run(previous, cont, descriptors[rows]).probabilities
                previous = np.array([captions[k][position] if position < lengths[k] else EOS for k in rows])
                chosen = probabilities[torch.arange(len(rows)), torch.from_numpy(previous)]
                for k, value in zip(block, log_probability(chosen.float().cpu().numpy()), strict=False):
                    if position < lengths[k]:
                        found[k][position] = value
        return found

    @property
    def _is_exact(self) -> bool:
        return self.net.numerics == "exact"

    def _next(self, words: Sequence[int], cont: float) -> NextWord:
        """One word for each sentence; leaves their state."""
        streams = _STREAMS_LIKE_ONE if self._is_exact else _MANY_STREAMS
        previous = np.asarray(words)
        said, states = [], []
        for first in range(0, len(previous), streams):
            part = slice(first, first + streams)
            self.net.set_state({name: [values[part] for values in state] for name, state in self._state.items()})
            said.append(self._run(previous[part], np.full(len(previous[part]), cont), self._descriptors[part]))
            states.append(self.net.state(len(previous[part])))
        self._state = {
            name: [torch.cat(values) for values in zip(*(state[name] for state in states), strict=True)]
            for name in self._state
        }
        return NextWord(*map(torch.cat, zip(*said, strict=True)))

    def _run(self, previous: np.ndarray, cont: np.ndarray, descriptors: Tensor) -> NextWord:
        """One step of the net."""
        inputs = {PREVIOUS: previous[None], CONT: cont[None]} | ({IMAGE: descriptors} if self.descriptor_size else {})
        with torch.no_grad():
            blobs = self.net(**inputs, blobs=[SCORES, PROBABILITIES])
        return NextWord(blobs[SCORES][0], blobs[PROBABILITIES][0])

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Raise `Error` for a vocabulary of another size."""
        if len(vocabulary) != self.vocabulary_size:
            raise Error(
                f"the vocabulary has {len(vocabulary)} words with <EOS>, the word net {self.vocabulary_size}; "
                "take the vocabulary that the weights were trained with"
            )

    def check_descriptors(self, descriptors: np.ndarray | Tensor) -> Tensor:
        """Descriptors (n, D) as float32 where the net is. Raises `Error` where they have another size."""
        descriptors = torch.as_tensor(descriptors, dtype=torch.float32, device=self.net.device)
        if descriptors.dim() != 2 or descriptors.shape[1] != self.descriptor_size:
            raise Error(
                f"descriptors of shape (images, {self.descriptor_size}) were expected by the word net, "
                f"{tuple(descriptors.shape)} was found; image net and word net do not belong together"
            )
        return descriptors

    def check_captions(self, captions: Sequence[Sequence[int]]) -> None:
        """Raise `Error` for an empty caption and for a word outside the vocabulary."""
        for number, caption in enumerate(captions):
            if not len(caption):
                raise Error(f"caption {number} has no words; it must have at least its <EOS>")
            if not 0 <= min(caption) <= max(caption) < self.vocabulary_size:
                raise Error(
                    f"caption {number} has words from {min(caption)} to {max(caption)}; "
                    f"the word net knows 0 to {self.vocabulary_size - 1}"
                )


def log_probability(probability: np.ndarray) -> np.ndarray:
    """The natural logarithm of probabilities float32, of which those below 1e-12 count as that.

    Taken in float32, as the authors' retrieval does, and returned in float64, in which logarithms are to be added up.
    """
    return np.log(np.maximum(probability, np.float32(LEAST_PROBABILITY))).astype(np.float64)
