"""Rows of HDF5 files, as Caffe's HDF5Data layer hands them out."""

from collections.abc import Sequence

import h5py
import numpy as np

from ..errors import Error
from .files import read_lines
from .generators import CRand


class HDF5Reader:
    """Batches of rows, one dataset per top, from the files of a list, one file after the other, over and over.

    Values are as they are in the file, converted to float32. A batch may span files. With `shuffle` the files come in
    random order and, within each, the rows; the order is Caffe's in a process with one shuffling layer. (It comes from
    the C library's `rand`, which `random_seed` does not touch; Caffe's layers share its numbers, ours each have their
    own.)

    Args:
        source (str): the list, file names separated by white space.
        names (Sequence[str]): the datasets, as the tops are named.
        batch_size (int): rows per batch.
        shuffle (bool): see above.

    Attributes:
        shapes (list[tuple[int, ...]]): of a batch, one per dataset; those of the first file.

    Raises:
        Error: a list, a file or a dataset that is missing, datasets of different numbers of rows.
    """

    def __init__(self, source: str, names: Sequence[str], batch_size: int, shuffle: bool):
        self.files = " ".join(read_lines(source, "list of HDF5 files")).split()
        self.names = names
        self.batch_size = batch_size
        self._generator = CRand() if shuffle else None
        self._files = list(range(len(self.files)))
        self._shuffle(self._files)
        self._file = 0
        self._open()
        self._row = 0
        self.shapes = [(batch_size, *values.shape[1:]) for values in self._values]

    def read(self) -> tuple[np.ndarray, ...]:
        """The next batch, one array per dataset."""
        batch = tuple(np.empty(shape, np.float32) for shape in self.shapes)
        for index in range(self.batch_size):
            for rows, values in zip(batch, self._values, strict=True):
                rows[index] = values[self._rows[self._row]]
            self._advance()
        return batch

    def skip(self) -> None:
        """Pass over a batch."""
        for _ in range(self.batch_size):
            self._advance()

    def _advance(self) -> None:
        self._row += 1
        if self._row < len(self._rows):
            return
        if len(self.files) > 1:
            self._file += 1
            if self._file == len(self.files):
                self._file = 0
                self._shuffle(self._files)
            self._open()
        self._row = 0
        self._shuffle(self._rows)  # A file that was just opened is shuffled twice, as in Caffe.

    def _open(self) -> None:
        path = self.files[self._files[self._file]]
        self._values = read_datasets(path, self.names)
        for name, values, shape in zip(self.names, self._values, getattr(self, "shapes", ()), strict=False):
            if values.shape[1:] != shape[1:]:
                raise Error(
                    f"{path}: dataset {name!r}: rows of shape {shape[1:]} were expected, those of the first file, "
                    f"rows of shape {values.shape[1:]} were found"
                )
        self._rows = list(range(len(self._values[0])))
        self._shuffle(self._rows)

    def _shuffle(self, items: list) -> None:
        if self._generator is not None:
            self._generator.shuffle(items)


def read_datasets(path: str, names: Sequence[str]) -> list[np.ndarray]:
    """The named datasets of an HDF5 file in float32.

    Raises:
        Error: no HDF5 file, or a damaged one; a dataset that is missing, has no rows or holds no numbers; datasets of
            different numbers of rows.
    """
    try:
        with h5py.File(path, "r") as file:
            values = [_read_dataset(file, path, name) for name in names]
    except OSError as error:
        raise Error(f"{path}: an HDF5 file was expected, it cannot be read: {error}") from error
    counts = {name: len(rows) for name, rows in zip(names, values, strict=True)}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise Error(f"{path}: as many rows in every dataset were expected, different numbers were found: {found}")
    return values


def _read_dataset(file: h5py.File, path: str, name: str) -> np.ndarray:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise Error(
            f"{path}: dataset {name!r} was expected, as the top is named; the file has {', '.join(file) or 'nothing'}"
        )
    if dataset.dtype.kind not in "fiu" or dataset.ndim == 0 or len(dataset) == 0:
        raise Error(
            f"{path}: dataset {name!r}: one or more rows of numbers were expected, "
            f"{dataset.dtype} of shape {dataset.shape} was found"
        )
    return dataset.astype(np.float32)[...]
