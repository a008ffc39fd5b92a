"""Image net, word net and vocabulary: all that captioning and retrieval need."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch

from ..errors import Error
from ..net import Net
from .decoder import Decoder
from .images import load_image, prepare
from .vocabulary import Vocabulary

DESCRIPTOR = "fc8"
"""The blob of the image net that describes an image."""


class Captioner:
    """The two nets of a captioning model, and its words.

    Args:
        image_net (Net): blobs `data` (n, 3, rows, columns) and `fc8` (n, D).
        word_net (Net): see `Decoder`.
        vocabulary (Vocabulary): V words.

    Attributes:
        image_net (Net): as passed.
        decoder (Decoder): the word net.
        vocabulary (Vocabulary): as passed.

    Raises:
        Error: a net without these blobs, a vocabulary or a descriptor of another size than the word net has.
    """

    def __init__(self, image_net: Net, word_net: Net, vocabulary: Vocabulary):
        self.decoder = Decoder(word_net)
        self.decoder.check_vocabulary(vocabulary)
        if "data" not in image_net.inputs or DESCRIPTOR not in image_net.blob_shapes:
            raise Error(
                f"this is not an image net: blobs 'data' and {DESCRIPTOR!r} were expected, it has "
                f"{', '.join(image_net.blob_shapes)}"
            )
        size = image_net.blob_shapes[DESCRIPTOR][1]
        if size != self.decoder.descriptor_size:
            raise Error(
                f"the image net makes descriptors of {size} numbers, the word net takes "
                f"{self.decoder.descriptor_size or 'none'}; they do not belong together"
            )
        self.image_net = image_net
        self.vocabulary = vocabulary

    def descriptors(self, images: Iterable[str | os.PathLike | np.ndarray]) -> np.ndarray:
        """What the image net says of each image: (n, D) float32.

        Args:
            images: files, or arrays (rows, columns, RGB) uint8.

        Raises:
            Error: an image that cannot be read.
        """
        batch, _, *size = self.image_net.inputs["data"]
        found = [np.empty((0, self.decoder.descriptor_size), np.float32)]
        for block in _blocks(images, batch):
            prepared = [
                prepare(image if isinstance(image, np.ndarray) else load_image(image), tuple(size)) for image in block
            ]
            # The bits depend on how many images go together, so that in exact numerics it is always the same number.
            passed = np.zeros((batch if self.image_net.numerics == "exact" else len(block), 3, *size), np.float32)
            passed[: len(block)] = prepared
            with torch.no_grad():
                blobs = self.image_net(data=passed, blobs=[DESCRIPTOR])
            found.append(blobs[DESCRIPTOR][: len(block)].float().cpu().numpy())
        return np.concatenate(found)


def _blocks(items: Iterable, size: int) -> Iterator[list]:
    """The items in order, `size` at a time."""
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
