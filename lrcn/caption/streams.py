"""Captions as the HDF5 files that the captioning networks of the authors train on.

A file holds rows of N streams, one time step per row. Stream i of consecutive rows is one caption after the other:

    cont_sentence    0 at the first word of a caption, 1 after it: what the LSTM takes for its past
    input_sentence   <EOS> (0), then the words
    target_sentence  the words, then <EOS>: at each step the word to predict
    hashed_image_path  the same number for the whole caption, to find captions put beside the wrong image

Aligned: each caption takes L rows, cut or padded, so that rows k L to (k + 1) L - 1 hold the captions of N consecutive
lines of the image list. Unaligned: captions have their own length, and each stream takes the next one as soon as it is
free. Words are padded with -1, which the loss ignores.
"""

import hashlib
import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import h5py
import numpy as np

from prototxt_import import replacing

from ..errors import Error

MAX_WORDS = 20
STREAMS = 100
ROWS_PER_FILE = 100_000
_HASHES = 100_000
PADDING = -1  # of words; everything else is padded with 0
_LIST = "hdf5_chunk_list.txt"


@dataclass(frozen=True)
class Example:
    """A caption to learn.

    Attributes:
        words (Sequence[int]): vocabulary indices without `<EOS>`.
        image (str): the path of the image it describes; empty where there is none.
    """

    words: Sequence[int]
    image: str = ""


def fill_up(examples: Sequence[Example], streams: int, random: Random) -> list[Example]:
    """The examples and as many of them again, drawn at random, as make a multiple of `streams`."""
    return [*examples, *(random.choice(examples) for _ in range(-len(examples) % streams))]


def sequences(example: Example, length: int | None = None) -> dict[str, np.ndarray]:
    """What a stream holds while it has this caption, by dataset.

    Args:
        example: the caption.
        length: cut, or padded, to so many rows: longer captions lose their end, `<EOS>` too. None: one row per word
            and one for `<EOS>`.
    """
    words = list(example.words)
    rows = len(words) + 1 if length is None else length

    def fit(values: list[int], padding: int = 0) -> np.ndarray:
        return np.array((values + [padding] * rows)[:rows], np.float32)

    return {
        "cont": fit([0], padding=1),  # of the whole slot, padding included
        "stage_indicators": fit([1] * (len(words) + 1)),
        "cont_sentence": fit([0] + [1] * len(words)),
        "input_sentence": fit([0, *words], PADDING),
        "target_sentence": fit([*words, 0], PADDING),
        "hashed_image_path": fit([], image_hash(example.image)),
    }


def image_hash(path: str) -> int:
    """The number that stands for an image in `hashed_image_path` and as the label in the image list."""
    return int(hashlib.sha1(path.encode()).hexdigest(), 16) % _HASHES


def fill_streams(examples: Sequence[Example], streams: int, length: int | None = None) -> dict[str, np.ndarray]:
    """All examples in their order, each on the stream that is free first, the leftmost of those that are.

    Args:
        examples: one or more.
        streams: how many run side by side.
        length: rows per caption, as for `sequences`.

    Returns:
        (rows, streams) float32 by dataset; what no caption covers is padding.
    """
    free = [(0, stream) for stream in range(streams)]
    places = []
    for example in examples:
        columns = sequences(example, length)
        row, stream = free[0]
        heapq.heapreplace(free, (row + len(columns["cont"]), stream))
        places.append((row, stream, columns))
    rows = max(row for row, _ in free)
    arrays = {
        name: np.full((rows, streams), PADDING if name in ("input_sentence", "target_sentence") else 0, np.float32)
        for name in places[0][2]
    }
    for row, stream, columns in places:
        for name, values in columns.items():
            arrays[name][row : row + len(values), stream] = values
    return arrays


def write_streams(
    folder: str | os.PathLike, examples: Sequence[Example], *, streams: int = STREAMS, length: int | None = None
) -> list[Path]:
    """Write `batch_0.h5` and on, the list of them, and, where examples have images, the image lists.

    The image lists name the image of each caption in order, `image_list.with_dummy_labels.txt` with its hash as the
    label, as ImageData reads it.

    Args:
        folder: made where it is not there. Paths in the list of files begin with it.
        examples: the captions, in order.
        streams: captions side by side.
        length: rows per caption, as for `sequences`.

    Returns:
        the HDF5 files.

    Raises:
        Error: there is no caption, or white space in the name of the folder.
        OSError: something cannot be written.
    """
    if not examples:
        raise Error(f"{folder}: there are no captions to write")
    if any(character.isspace() for character in str(folder)):
        raise Error(f"{str(folder)!r}: lists of HDF5 files are split at blanks; take a folder without any in its name")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = fill_streams(examples, streams, length)
    files = []
    for first in range(0, len(arrays["cont"]), ROWS_PER_FILE):
        files.append(folder / f"batch_{len(files)}.h5")
        with replacing(files[-1]) as temporary, h5py.File(temporary, "w") as file:
            file["buffer_size"] = np.array([streams])
            for name, values in arrays.items():
                file.create_dataset(name, data=values[first : first + ROWS_PER_FILE], compression="gzip")
    images = [example.image for example in examples]
    lists = {_LIST: [str(file) for file in files]}
    if any(images):
        lists["image_list.txt"] = images
        lists["image_list.with_dummy_labels.txt"] = [f"{image} {image_hash(image)}" for image in images]
    for name, lines in lists.items():
        with replacing(folder / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return files
