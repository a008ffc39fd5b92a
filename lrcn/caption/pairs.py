"""The probability of every caption under every image, with nothing computed twice.

`OneByOne` does it as the authors' code does: image by image, all captions anew. `PairScorer` gives the same numbers
faster, from the structure of the word net and of the captions:

- captions that begin with the same words are a tree, in which a word is taken once however many captions share it, and
  W_h h_{t-1} once however many words follow;
- what does not depend on the image (the embedding, an LSTM that does not see it, W_x x_t) is computed once per caption,
  what does not depend on the words (W_static x_static) once per image;
- what is left goes through the remaining layers for many captions and many images at a time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Error
from ..ops import fast
from .decoder import IMAGE, LEAST_PROBABILITY, Decoder
from .vocabulary import EOS

_ROWS = 512
"""Words whose probabilities are in memory together, each as many as there are words in the vocabulary."""


@dataclass(frozen=True)
class Level:
    """The distinct beginnings of t words among captions, one node each; all captions of more than t words have one.

    Attributes:
        parent (Tensor): (nodes,) the node of the beginning of t - 1 words, in the level before.
        word (Tensor): (nodes,) the last word of the beginning, `<EOS>` for the empty one.
        caption (Tensor): (pairs,) the captions of more than t words.
        node (Tensor): (pairs,) the beginning of each, never decreasing.
        target (Tensor): (pairs,) the next word of each.
    """

    parent: Tensor
    word: Tensor
    caption: Tensor
    node: Tensor
    target: Tensor

    def to(self, device: torch.device) -> "Level":
        """The same on a device."""
        return Level(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Captions:
    """Captions, and what of them does not depend on an image.

    Attributes:
        order (list[int]): the captions in lexicographic order.
        tree (list[Level]): of the captions in that order.
        terms (list[Tensor]): (nodes, 4H) per level, W_x x_t + b of the first LSTM that sees the image.
    """

    order: list[int]
    tree: list[Level]
    terms: list[Tensor]


def levels(captions: Sequence[Sequence[int]]) -> list[Level]:
    """The tree of captions that are in lexicographic order, level by level."""
    found = []
    alive = list(range(len(captions)))
    node = [0] * len(captions)  # of each caption, in the level before
    for t in range(max(map(len, captions))):
        alive = [k for k in alive if len(captions[k]) > t]
        beginnings = [(node[k], captions[k][t - 1] if t else EOS) for k in alive]
        steps = [int(this != last) for last, this in zip([None, *beginnings], beginnings, strict=False)]
        numbers = [count - 1 for count in accumulate(steps)]
        first = [k for k, step in enumerate(steps) if step]
        tensors = (
            [beginnings[k][0] for k in first],
            [beginnings[k][1] for k in first],
            alive,
            numbers,
            [captions[k][t] for k in alive],
        )
        found.append(Level(*map(torch.tensor, tensors)))
        for k, number in zip(alive, numbers, strict=True):
            node[k] = number
    return found


class _LSTM:
    """One LSTM of the word net, on streams of which none starts anew: `lrcn.ops.recurrent.lstm` with cont 1."""

    def __init__(self, blobs: Sequence[Tensor]):
        w_x, b, *w_static, self._w_h = blobs
        self.word_terms = fast.PreparedInnerProduct(w_x, b)  # W_x x_t + b, (..., 4H)
        self._hidden_terms = fast.PreparedInnerProduct(self._w_h)
        self._static_terms = fast.PreparedInnerProduct(w_static[0]) if w_static else None

    def image_terms(self, descriptors: Tensor) -> Tensor | int:
        """W_static x_static, (images, 4H); 0 for an LSTM that sees no image."""
        return 0 if self._static_terms is None else self._static_terms(descriptors)

    def begin(self, *streams: int) -> tuple[Tensor, Tensor]:
        """h_0 and c_0, zeros (*streams, H)."""
        zeros = self._w_h.new_zeros(*streams, self._w_h.shape[1])
        return zeros, zeros.float()

    def step(self, terms: Sequence[Tensor], state: tuple[Tensor, Tensor], parent: Tensor) -> tuple[Tensor, Tensor]:
        """h_t and c_t (nodes, ..., H) from the terms of words and image, each of which broadcasts to (nodes, ..., 4H).

        The state is h_{t-1} and c_{t-1}, in which parent (nodes,), never decreasing, names the one of each node.
        """
        h, c = state
        parents, which = parent.unique_consecutive(return_inverse=True)
        gates = self._hidden_terms(h[parents]).float()
        if len(parents) < len(parent):
            gates = gates[which]
        for term in terms:
            gates += term
        c = c[parent]
        cont = gates.new_ones(1, c[..., 0].numel())
        h, c_t = torch.ops.lrcn.lstm_recurrence(
            gates.view(*cont.shape, -1), cont, self._w_h, c.view(-1, c.shape[-1]), False, False
        )
        return h.view(c.shape), c_t.view(c.shape)


class OneByOne:
    """The plain form: image by image, all captions anew, in the order and with the bits of the authors' code.

    Args:
        decoder (Decoder): any word net.
    """

    images_at_a_time = 1

    def __init__(self, decoder: Decoder):
        self._decoder = decoder

    def groups(self, captions: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The captions to score together, as indices: all."""
        return [np.arange(len(captions))]

    def read(self, captions: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """The captions."""
        return captions

    def log_p(self, captions: Sequence[Sequence[int]], descriptors: np.ndarray) -> np.ndarray:
        """log p of caption j under image i, (images, captions) float64, for descriptors (images, D) float32."""
        rows = (np.repeat(descriptor[None], len(captions), axis=0) for descriptor in descriptors)
        return np.array([[word.sum() for word in self._decoder.word_log_probabilities(captions, row)] for row in rows])


class PairScorer:
    """The same numbers faster; see the module.

        scorer = PairScorer(decoder)
        for group in scorer.groups(captions):
            read = scorer.read([captions[k] for k in group])
            log_p[:, group] = scorer.log_p(read, descriptors)

    Args:
        decoder (Decoder): of a word net of Embed, one or more LSTM layers, InnerProduct, Softmax, in fast numerics.

    Raises:
        Error: other layers, or in another order.
    """

    images_at_a_time = 16
    captions_at_a_time = 256

    def __init__(self, decoder: Decoder):
        self._decoder, net = decoder, decoder.net
        layers = [layer for layer in net.definition.layer if layer.type not in ("Input", "Dropout")]
        kinds = [layer.type for layer in layers]
        chained = all(upper.bottom[0] == lower.top[0] for lower, upper in pairwise(layers))
        if kinds != ["Embed", *["LSTM"] * max(len(kinds) - 3, 1), "InnerProduct", "Softmax"] or not chained:
            raise Error(
                f"only word nets of Embed, LSTM, InnerProduct and Softmax, each on the one before, are scored in large "
                f"batches; this one has {', '.join(kinds)}; score it with exact numerics"
            )
        embedding, *lstms, predict = (net.params[layer.name] for layer in layers[:-1])
        self._embedding = embedding[0] if len(embedding) == 1 else embedding[0] + embedding[1]
        weight, bias = predict if len(predict) == 2 else (*predict, None)
        self._predict = fast.PreparedInnerProduct(weight, bias, layers[-2].inner_product_param.transpose)
        self._lstms = [_LSTM(blobs) for blobs in lstms]
        seeing = [number for number, layer in enumerate(layers[1:-2]) if IMAGE in layer.bottom]
        self._blind = seeing[0] if seeing else len(self._lstms) - 1  # so many LSTMs see no image, nor what comes of one

    def groups(self, captions: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The captions to score together, as indices: neighbours in the order of their words, which begin alike."""
        order = np.array(sorted(range(len(captions)), key=lambda k: tuple(captions[k])))
        return np.split(order, range(self.captions_at_a_time, len(order), self.captions_at_a_time))

    @torch.inference_mode()
    def read(self, captions: Sequence[Sequence[int]]) -> Captions:
        """What of the captions does not depend on an image; memory for 4H numbers per word.

        Raises:
            Error: an empty caption, a word outside the vocabulary.
        """
        self._decoder.check_captions(captions)
        order = sorted(range(len(captions)), key=lambda k: tuple(captions[k]))
        tree = [level.to(self._embedding.device) for level in levels([captions[k] for k in order])]
        states = [lstm.begin(1) for lstm in self._lstms[: self._blind]]
        terms = []
        for level in tree:
            x = F.embedding(level.word, self._embedding)
            for number, lstm in enumerate(self._lstms[: self._blind]):
                states[number] = lstm.step([lstm.word_terms(x)], states[number], level.parent)
                x = states[number][0]
            terms.append(self._lstms[self._blind].word_terms(x))
        return Captions(order, tree, terms)

    @torch.inference_mode()
    def log_p(self, captions: Captions, descriptors: np.ndarray) -> np.ndarray:
        """log p of caption j under image i, (images, captions) float64.

        Args:
            captions: of `read`.
            descriptors: (images, D) float32; the memory needed grows with images times captions.

        Raises:
            Error: descriptors of another size.
        """
        lstms = self._lstms[self._blind :]
        descriptors = self._decoder.check_descriptors(descriptors).to(captions.terms[0].dtype)
        images = [lstm.image_terms(descriptors) for lstm in lstms]
        states = [lstm.begin(1, len(descriptors)) for lstm in lstms]
        found = torch.zeros(len(captions.order), len(descriptors), dtype=torch.float64, device=descriptors.device)
        step = max(_ROWS // len(descriptors), 1)
        for level, terms in zip(captions.tree, captions.terms, strict=True):
            parts = []
            for first in range(0, len(terms), step):
                nodes = slice(first, first + step)
                part, x_terms = [], terms[nodes, None]
                for lstm, image, state in zip(lstms, images, states, strict=True):
                    if part:
                        x_terms = lstm.word_terms(part[-1][0])
                    part.append(lstm.step([x_terms, image], state, level.parent[nodes]))
                self._add_words(found, level, nodes, part[-1][0])
                parts.append(part)
            states = [tuple(map(torch.cat, zip(*state, strict=True))) for state in zip(*parts, strict=True)]
        scores = np.empty(found.shape[::-1])
        scores[:, captions.order] = found.T.cpu().numpy()
        return scores

    def _add_words(self, found: Tensor, level: Level, nodes: slice, h: Tensor) -> None:
        """Add log p of each caption's next word to found (captions, images), from h (nodes, images, H)."""
        pairs = slice(*torch.searchsorted(level.node, level.node.new_tensor([nodes.start, nodes.stop])).tolist())
        scores = self._predict(h).float()
        node = level.node[pairs] - nodes.start
        log_p = scores[node, :, level.target[pairs]] - fast.log_sum_exp(scores)[node]
        found[level.caption[pairs]] += log_p.double().clamp_(min=math.log(LEAST_PROBABILITY))
