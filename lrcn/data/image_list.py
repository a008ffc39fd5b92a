"""Images named in a list, as Caffe's ImageData layer hands them out."""

from typing import NamedTuple

import cv2
import numpy as np

from prototxt_import import Message

from ..errors import Error
from ..image_files import decode_file
from ..processes import ALONE, Processes
from .files import read_lines
from .generators import MersenneTwister, process_draw
from .prefetch import Prefetcher
from .transform import Draws, Transform


class ListedImage(NamedTuple):
    """One line of the list, and what chance decides for its image."""

    path: str
    label: int
    draws: Draws


class ImageListReader:
    """Batches of images (blue, green, red) and labels in the order of a list, or shuffled anew in every round.

    Images are brought to new_height x new_width; failing that, those with a side shorter than min_height or min_width
    grow, keeping their shape, until both are long enough (a setting of the authors' fork).

    Args:
        definition (Message): the ImageDataParameter.
        transform (Transform): what happens to each image.
        depth (int): batches to load ahead.
        processes (Processes): those that share every batch; each loads its share, all make the same random draws.

    Attributes:
        shapes (list[tuple[int, ...]]): of a batch of images and of one of labels.

    Raises:
        Error: a list that is missing or not one, settings that do not go together, a first image that cannot be used.
    """

    def __init__(self, definition: Message, transform: Transform, depth: int, processes: Processes = ALONE):
        for height, width in (("new_height", "new_width"), ("min_height", "min_width")):
            if (getattr(definition, height) > 0) != (getattr(definition, width) > 0):
                raise Error(f"image_data_param: {height} and {width} must be given together")
        self.definition = definition
        self.transform = transform
        self.processes = processes
        self.batch_size = definition.batch_size
        self._lines = read_image_list(definition.source)
        if definition.shuffle:
            self._generator = MersenneTwister(process_draw())
            self._generator.shuffle(self._lines)
        self._position = process_draw() % definition.rand_skip if definition.rand_skip else 0
        if self._position >= len(self._lines):
            raise Error(
                f"{definition.source}: rand_skip asks to skip {self._position} images, the list has {len(self._lines)}"
            )
        first = self.read_image(self._lines[self._position][0])
        size = processes.share_size(self.batch_size)
        self.shapes = [(size, *transform.shape(*first.shape)), (size,)]
        transform.seed()
        self._images = Prefetcher(self._plan, self._load, stack, depth)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The next batch: images (batch_size, channels, height, width) and labels (batch_size,), float32."""
        return self._images.read()

    def skip(self) -> None:
        """Pass over a batch."""
        self._images.skip()

    def close(self) -> None:
        """Stop loading ahead."""
        self._images.close()

    def read_image(self, path: str) -> np.ndarray:
        """The image of a line of the list, resized: (channels, height, width) uint8, blue first. `Error` if none."""
        # Caffe puts folder and name together as text, with no separator.
        flags = cv2.IMREAD_COLOR if self.definition.is_color else cv2.IMREAD_GRAYSCALE
        image = decode_file(self._file(path), flags)
        size = self._new_size(*image.shape[:2])
        if size is not None:
            image = cv2.resize(image, size)
        return channels_first(image)

    def _file(self, path: str) -> str:
        return self.definition.root_folder + path

    def _new_size(self, rows: int, columns: int) -> tuple[int, int] | None:
        """Columns and rows to resize to, or None."""
        wanted = self.definition
        if wanted.new_height:
            return wanted.new_width, wanted.new_height
        if rows >= wanted.min_height and columns >= wanted.min_width:
            return None
        if wanted.min_width - columns > wanted.min_height - rows:
            return wanted.min_width, _rounded_product(wanted.min_width, rows, columns)
        return _rounded_product(wanted.min_height, columns, rows), wanted.min_height

    def _plan(self) -> list[ListedImage]:
        plan = []
        for _ in range(self.batch_size):
            path, label = self._lines[self._position]
            plan.append(ListedImage(path, label, self.transform.draw()))
            self._position += 1
            if self._position == len(self._lines):
                self._position = 0
                if self.definition.shuffle:
                    self._generator.shuffle(self._lines)
        return self.processes.share(plan)

    def _load(self, item: ListedImage) -> tuple[np.ndarray, int]:
        image = self.read_image(item.path)
        try:
            return self.transform.apply(image, item.draws), item.label
        except Error as error:
            raise Error(f"{self._file(item.path)}: {error}") from None


def read_image_list(path: str) -> list[tuple[str, int]]:
    """The lines `IMAGE LABEL` of a list; the label follows the last space, so names may contain spaces."""
    images = []
    for number, line in enumerate(read_lines(path, "list of images"), start=1):
        if not line.strip():
            continue
        name, _, label = line.rstrip().rpartition(" ")
        if not name or not label.lstrip("+-").isdecimal():
            raise Error(f"{path}, line {number}: 'IMAGE LABEL' was expected, {line!r} was found")
        images.append((name, int(label)))
    return images


def channels_first(image: np.ndarray) -> np.ndarray:
    """(rows, columns) or (rows, columns, channels) -> (channels, rows, columns)."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def stack(examples: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Images with their labels as one batch, float32. Raises `Error` where shapes differ."""
    images, labels = zip(*examples, strict=True)
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise Error(
            f"images of one shape were expected in a batch, found {' and '.join(map(str, sorted(shapes)))} "
            "(channels, height, width); give crop_size or a new size"
        )
    return np.stack(images), np.array(labels, np.float32)


def _rounded_product(length: int, numerator: int, denominator: int) -> int:
    """length * numerator / denominator, rounded half up, in float32 as the authors' fork has it."""
    return int(float(np.float32(length) * (np.float32(numerator) / np.float32(denominator))) + 0.5)
