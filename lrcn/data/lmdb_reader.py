"""Examples in an LMDB data base, as Caffe's Data layer hands them out."""

import functools
import os
from typing import NamedTuple

import cv2
import lmdb
import numpy as np

from prototxt_import import FormatError, Message
from prototxt_import.wire import Decoder

from ..errors import Error
from ..processes import ALONE, Processes
from .generators import process_draw
from .image_list import channels_first, stack
from .prefetch import Prefetcher
from .transform import Draws, Transform


class StoredExample(NamedTuple):
    """One value of the data base, and what chance decides for it."""

    place: str
    content: bytes
    draws: Draws


class LMDBReader:
    """Batches of examples (messages of type Datum, encoded images or plain numbers) in the order of their keys.

    Behind the last example comes the first again.

    Args:
        definition (Message): the DataParameter.
        transform (Transform): what happens to each example.
        processes (Processes): those that share every batch; each loads its share, all make the same random draws.

    Attributes:
        shapes (list[tuple[int, ...]]): of a batch of images and of one of labels.

    Raises:
        Error: a data base that is missing, damaged or empty, or an example that is none.
    """

    def __init__(self, definition: Message, transform: Transform, processes: Processes = ALONE):
        if definition.backend != "LMDB":
            raise Error(
                f"data_param: backend {definition.backend} cannot be read, LMDB can (backend: LMDB); "
                "convert the data base with Caffe's convert_imageset"
            )
        self.definition = definition
        self.transform = transform
        self.processes = processes
        self.batch_size = definition.batch_size
        self._cursor = _open(definition.source)
        skipped = process_draw() % definition.rand_skip if definition.rand_skip else 0
        for _ in range(skipped):
            self._advance()
        image, _ = self._decode(self._place(), self._cursor.value())
        size = processes.share_size(self.batch_size)
        self.shapes = [(size, *transform.shape(*image.shape)), (size,)]
        transform.seed()
        self._examples = Prefetcher(self._plan, self._load, stack, definition.prefetch)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: images (batch_size, channels, height, width) and labels (batch_size,), float32."""
        return self._examples.read()

    def skip(self) -> None:
        """Pass over a batch."""
        self._examples.skip()

    def close(self) -> None:
        """Stop loading ahead."""
        self._examples.close()

    def _place(self) -> str:
        return f"{self.definition.source}, key {self._cursor.key()!r}"

    def _advance(self) -> None:
        if not self._cursor.next():
            self._cursor.first()

    def _plan(self) -> list[StoredExample]:
        plan = []
        for _ in range(self.batch_size):
            plan.append(StoredExample(self._place(), self._cursor.value(), self.transform.draw()))
            self._advance()
        return self.processes.share(plan)

    def _load(self, example: StoredExample) -> tuple[np.ndarray, int]:
        image, datum = self._decode(example.place, example.content)
        flow = self.transform.definition.flow and not datum.encoded
        try:
            return self.transform.apply(image, example.draws, flow), datum.label
        except Error as error:
            raise Error(f"{example.place}: {error}") from None

    def _decode(self, place: str, content: bytes) -> tuple[np.ndarray, Message]:
        """The image of a Datum (channels, height, width), uint8 or float32, and the message."""
        try:
            datum = Decoder(content, place, "bvlc").message("Datum")
        except FormatError as error:
            raise Error(f"{error} (a message of type Datum was expected)") from None
        if datum.encoded:
            return channels_first(self._decode_image(place, datum.data)), datum
        shape = (datum.channels, datum.height, datum.width)
        values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
        if min(shape) < 1 or values.size != np.prod(shape):
            raise Error(
                f"{place}: numbers of shape {shape} (channels, height, width) were expected, {values.size} found"
            )
        return values.reshape(shape), datum

    def _decode_image(self, place: str, content: bytes) -> np.ndarray:
        wanted = self.transform.definition
        flags = cv2.IMREAD_UNCHANGED
        if wanted.force_color or wanted.force_gray:
            flags = cv2.IMREAD_COLOR if wanted.force_color else cv2.IMREAD_GRAYSCALE
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
        if image is None or image.dtype != np.uint8:
            raise Error(f"{place}: an encoded image of 8 bits per channel was expected, it cannot be decoded as one")
        return image


def _open(path: str) -> lmdb.Cursor:
    """A cursor on the first example; `Error` where there is none."""
    if not os.path.exists(path):
        raise Error(f"{path}: no such data base; relative paths start at the working directory")
    try:
        cursor = _environment(os.path.realpath(path)).begin().cursor()
        found = cursor.first()
    except lmdb.Error as error:
        raise Error(f"{path}: an LMDB data base was expected, it cannot be read: {error}") from None
    if not found:
        raise Error(f"{path}: the data base is empty")
    return cursor


@functools.cache
def _environment(path: str) -> lmdb.Environment:
    """The open data base; LMDB lets a process open each one once."""
    return lmdb.open(path, readonly=True, lock=False, subdir=os.path.isdir(path))
