"""Writing sentences: beam search, of which greedy search is the narrowest, and sampling.

As the authors' captioner does it, with the same words, probabilities and random draws, but for many images at a time
and with the recurrent state carried on, where the original runs the whole sentence again for every word of every beam.
"""

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..errors import Error
from .decoder import Decoder
from .vocabulary import EOS

MAX_WORDS = 50
"""Words of a sentence, `<EOS>` included; one that is not over by then is left open."""

_SENTENCES = 512
"""Sentences written at a time."""

_LEAST_FLOAT = 2.0**-149
"""A probability that float32 rounds to 0 counts as the least one that it does not."""

_LEAST_TEMPERATURE, _MOST_FLOAT = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
"""Scores are float32, and so is what they are multiplied by; more than the largest is infinity."""

_MOST_PENALTY = 100
"""Beyond, words ** length_penalty leaves the range of floats."""

_FALLBACK = 1
"""The word drawn where rounding leaves the probabilities with a sum below the number drawn: `<unk>`."""


@dataclass(frozen=True)
class Caption:
    """A sentence as word indices, with the probability of each word given those before it; 0 (`<EOS>`) ends it."""

    words: tuple[int, ...] = ()
    word_p: tuple[float, ...] = ()

    @property
    def log_p(self) -> float:
        """The natural logarithm of the probability of the whole sentence."""
        return sum(math.log(max(p, _LEAST_FLOAT)) for p in self.word_p)

    @property
    def is_over(self) -> bool:
        """Whether no word can follow."""
        return self.words[-1:] == (EOS,) or len(self.words) >= MAX_WORDS

    def followed_by(self, word: int, p: float) -> "Caption":
        """The sentence with one more word."""
        return Caption((*self.words, word), (*self.word_p, p))


@dataclass(frozen=True)
class Beam:
    """How to search.

    Attributes:
        size (int): sentences to pursue at a time; 1 is greedy search.
        length_penalty (float): sentences are compared by log_p / words ** length_penalty; 0, as in the original,
            favours short ones, 1 compares the means over their words.
        groups (int): the sentences are pursued in so many groups, one after the other (Vijayakumar et al. 2016).
        diversity (float): what a word loses, as a logarithm, for every group that took it in the same place.
    """

    size: int = 1
    length_penalty: float = 0.0
    groups: int = 1
    diversity: float = 0.0

    def __post_init__(self):
        if self.size < 1:
            raise Error(f"a beam of 1 or more sentences was expected, {self.size} was found")
        if self.groups < 1 or self.size % self.groups:
            raise Error(f"a beam of {self.size} sentences cannot be divided into {self.groups} equal groups")
        if not abs(self.length_penalty) <= _MOST_PENALTY:
            raise Error(f"a length penalty of at most {_MOST_PENALTY} was expected, {self.length_penalty} was found")
        if not math.isfinite(self.diversity):
            raise Error(f"a finite diversity was expected, {self.diversity} was found")

    def __str__(self) -> str:
        return _told("beam search", self)


@dataclass(frozen=True)
class Sampling:
    """How to draw words.

    Attributes:
        count (int): sentences for each image.
        temperature (float): what scores are multiplied by before the softmax, as the original has it: more than 1 makes
            likely words likelier, and infinity always takes the likeliest.
        seed (int): of Python's `random`, anew for each image, so that its captions do not depend on the others.
        top_k (int | None): draw only from the k most probable words.
        top_p (float): draw only from the most probable words that together have at least this probability.
    """

    count: int = 1
    temperature: float = 1.0
    seed: int = 0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self):
        if self.count < 1:
            raise Error(f"1 or more samples were expected, {self.count} was found")
        if not self.temperature >= _LEAST_TEMPERATURE:
            raise Error(f"a temperature above 0 was expected, {self.temperature} was found")
        if self.top_k is not None and self.top_k < 1:
            raise Error(f"top-k takes 1 or more words, {self.top_k} was found")
        if not 0 < self.top_p <= 1:
            raise Error(f"top-p is a probability above 0, {self.top_p} was found")

    def __str__(self) -> str:
        return _told("sampling", self)


def _told(what: str, settings: Beam | Sampling) -> str:
    """The settings that are not the usual ones, in words."""
    chosen = [field.name for field in fields(settings) if getattr(settings, field.name) != field.default]
    return ", ".join([what, *(f"{name.replace('_', ' ')} {getattr(settings, name)}" for name in chosen)])


def best(captions: Sequence[Caption], count: int) -> list[Caption]:
    """The `count` most probable captions, best first; of equals the first ones."""
    return sorted(captions, key=lambda caption: -caption.log_p)[:count]


def beam_search(
    decoder: Decoder, descriptors: np.ndarray, beam: Beam, forbidden: Collection[int] = ()
) -> list[list[Caption]]:
    """The `beam.size` captions found for each descriptor (n, D), best first; none has a forbidden word.

    Image by image it is what the original's search returns, ties between words aside.
    """
    found: list[list[Caption]] = []
    for block in _blocks(descriptors, beam.size):
        found += _search(decoder, block, beam, list(forbidden))
    return found


@dataclass(eq=False)
class _Path:
    """A sentence being pursued: what it is compared by, and which sentence of the decoder it is or goes on from."""

    caption: Caption
    log_p: float
    rank: float
    sentence: int


def _search(decoder: Decoder, descriptors: np.ndarray, beam: Beam, forbidden: list[int]) -> list[list[Caption]]:
    """Beam search for images that are worked on together, each with its groups of paths."""
    images = [[[_Path(Caption(), 0.0, 0.0, image)] for _ in range(beam.groups)] for image in range(len(descriptors))]
    next_word = decoder.begin(descriptors)
    while True:
        next_word.probabilities[:, forbidden] = -1
        top = next_word.probabilities.topk(min(beam.size, decoder.vocabulary_size))
        # The least probable first, as the original has them: it decides between equals.
        choices = [
            list(zip(words, p, strict=True))[::-1]
            for words, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]
        images = [_advance(groups, choices, beam) for groups in images]
        going_on = [path for groups in images for group in groups for path in group if not path.caption.is_over]
        if not going_on:
            return [
                [path.caption for path in sorted((path for group in groups for path in group), key=_best_first)]
                for groups in images
            ]
        next_word = decoder.extend([path.sentence for path in going_on], [path.caption.words[-1] for path in going_on])
        for sentence, path in enumerate(going_on):
            path.sentence = sentence


def _advance(
    groups: list[list[_Path]], choices: Sequence[Sequence[tuple[int, float]]], beam: Beam
) -> list[list[_Path]]:
    """The best ways in which the paths of an image go on; those that are over compete with the others."""
    taken: Counter[int] = Counter()  # by earlier groups, in this place
    advanced = []
    for group in groups:
        expansions: list[_Path] = []
        for path in group:
            if path.caption.is_over:
                expansions.append(path)
                continue
            for word, p in choices[path.sentence]:
                if p < 0:
                    continue  # forbidden
                caption = path.caption.followed_by(word, p)
                log_p = path.log_p + math.log(max(p, _LEAST_FLOAT))
                rank = (log_p - beam.diversity * taken[word]) / len(caption.words) ** beam.length_penalty
                expansions.append(_Path(caption, log_p, rank, path.sentence))
        kept = sorted(expansions, key=_best_first)[: beam.size // beam.groups]
        taken.update(path.caption.words[-1] for path in kept if path not in group)
        advanced.append(kept)
    return advanced


def _best_first(path: _Path) -> float:
    return -path.rank


def sample(
    decoder: Decoder, descriptors: np.ndarray, sampling: Sampling, forbidden: Collection[int] = ()
) -> list[list[Caption]]:
    """`sampling.count` captions for each descriptor (n, D), in the order drawn; none has a forbidden word.

    Probabilities of words are those of the word net, whatever the temperature and the other settings.
    """
    found: list[list[Caption]] = []
    for block in _blocks(descriptors, 1):
        generators = [random.Random(sampling.seed) for _ in block]
        # One after the other, because the original draws the words of one sentence before those of the next.
        rounds = [_draw(decoder, block, sampling, list(forbidden), generators) for _ in range(sampling.count)]
        found += map(list, zip(*rounds, strict=True))
    return found


def _draw(
    decoder: Decoder,
    descriptors: np.ndarray,
    sampling: Sampling,
    forbidden: list[int],
    generators: Sequence[random.Random],
) -> list[Caption]:
    """One sentence for each image."""
    captions = [Caption()] * len(descriptors)
    drawing = list(range(len(descriptors)))  # the images whose sentences are not over
    next_word = decoder.begin(descriptors)
    while True:
        scores = next_word.scores.float().cpu().numpy()
        every_p = _softmax(scores, 1.0)
        choice = _choice(scores, sampling, forbidden)
        for row, image in enumerate(drawing):
            word = _drawn(choice[row], generators[image])
            captions[image] = captions[image].followed_by(word, float(every_p[row, word]))
        rows = [row for row, image in enumerate(drawing) if not captions[image].is_over]
        if not rows:
            return captions
        drawing = [drawing[row] for row in rows]
        next_word = decoder.extend(rows, [captions[image].words[-1] for image in drawing])


def _choice(scores: np.ndarray, sampling: Sampling, forbidden: list[int]) -> np.ndarray:
    """What to draw from: the probabilities (n, V) of words by their scores, after what `sampling` says."""
    scores = scores.copy()
    scores[:, forbidden] = -np.inf
    if sampling.temperature > _MOST_FLOAT:
        return np.eye(scores.shape[1], dtype=np.float32)[scores.argmax(axis=1)]
    p = _softmax(scores, sampling.temperature)
    if sampling.top_k is None and sampling.top_p == 1:
        return p
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1, dtype=np.float64) - ranked
    kept = before < sampling.top_p
    if sampling.top_k is not None:
        kept[:, sampling.top_k :] = False
    np.put_along_axis(p, order, np.where(kept, ranked, 0), axis=1)
    return p / p.sum(axis=1, keepdims=True)


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, V) float32 from scores, in the order of the original's arithmetic."""
    powers = np.exp(np.float32(temperature) * (scores - scores.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True)


def _drawn(p: np.ndarray, generator: random.Random) -> int:
    """The first word up to which the probabilities add up to the number drawn."""
    word = int(np.searchsorted(np.cumsum(p, dtype=np.float64), generator.random()))
    return word if word < len(p) else _FALLBACK


def _blocks(descriptors: np.ndarray, sentences: int) -> Iterator[np.ndarray]:
    """Descriptors to work on together, each with so many sentences."""
    images = max(1, _SENTENCES // sentences)
    for first in range(0, len(descriptors), images):
        yield descriptors[first : first + images]
