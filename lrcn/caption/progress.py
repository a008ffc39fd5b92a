"""Captions that a network writes while it is trained, to see how it comes along."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import Error
from ..net import Net
from .captioner import Captioner
from .decoder import Decoder
from .generate import Beam, Sampling, beam_search, sample
from .vocabulary import Vocabulary

SENTENCES = 3
"""How many sentences a language model writes."""


class Progress:
    """Writes what a network in training would write, of a few images, or as a language model of nothing.

    Args:
        trained (Net): the network in training.
        word_net (Net): the word net of the same layers, see `Decoder`.
        vocabulary (Vocabulary): its words.
        image_net (Net | None): the image net of the same layers, see `Captioner`; None for a language model.
        images (Sequence[Path]): what to caption, greedily.

    Raises:
        Error: nets and vocabulary that do not belong together.
    """

    def __init__(
        self,
        trained: Net,
        word_net: Net,
        vocabulary: Vocabulary,
        image_net: Net | None = None,
        images: Sequence[Path] = (),
    ):
        self.trained = trained
        self.nets = [word_net] if image_net is None else [word_net, image_net]
        self.vocabulary = vocabulary
        self.images = list(images)
        self.captioner = None if image_net is None else Captioner(image_net, word_net, vocabulary)
        self.decoder = Decoder(word_net) if self.captioner is None else self.captioner.decoder
        self.decoder.check_vocabulary(vocabulary)
        for net in self.nets:
            for name, blobs in net.params.items():
                found = [tuple(blob.shape) for blob in trained.params.get(name, [])]
                expected = [tuple(blob.shape) for blob in blobs]
                if found != expected:
                    raise Error(
                        f"layer {name!r} of {net.definition.name!r} has blobs {expected}, "
                        f"in the network that is trained they are {found or 'missing'}"
                    )

    @torch.no_grad()
    def lines(self, seed: int) -> list[str]:
        """Sentences as the network stands now; the seed is that of a language model's samples."""
        for net in self.nets:
            for name, blobs in net.params.items():
                for blob, learned in zip(blobs, self.trained.params[name], strict=True):
                    blob.copy_(learned)
        if self.captioner is None:
            ((*samples,),) = sample(self.decoder, np.empty((1, 0), np.float32), Sampling(SENTENCES, seed=seed))
            return [f"    {self.vocabulary.sentence(caption.words)}" for caption in samples]
        captions = beam_search(self.decoder, self.captioner.descriptors(self.images), Beam(1))
        return [
            f"    {path.name}: {self.vocabulary.sentence(caption.words)}"
            for path, (caption,) in zip(self.images, captions, strict=True)
        ]
