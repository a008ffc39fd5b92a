"""Images and the sentences that people wrote about them, from the files in which such data sets come."""

import contextlib
import gzip
import io
import json
import os
import re
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.files import read_lines
from ..errors import Error
from .sentences import split_sentence

_TOKEN_LINE = re.compile(r"(?P<name>[^\t]+)#\d+\t(?P<sentence>.*)")


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its sentences.

    Attributes:
        id (int | str): COCO's number, or the name where the file has no numbers.
        name (str): of the file; empty where the file has sentences only.
        sentences (tuple[str, ...]): in the order of the file, as written there; one or more.
    """

    id: int | str
    name: str
    sentences: tuple[str, ...]


def read_annotations(path: str | os.PathLike) -> list[AnnotatedImage]:
    """Read a file of any of these forms, `.gz` or not, told apart by what is in it:

    - COCO's JSON: `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`;
    - Flickr8k's and Flickr30k's tokens: `name.jpg#0<TAB>sentence` per line;
    - plain text: one sentence per line, of no image.

    Sentences without words (see `split_sentence`) and images without sentences are left out, with a warning.

    Raises:
        Error: the file is none of these, a field is missing, or no sentence is in it.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            text = file.read().decode("utf-8-sig")
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Error(f"{path}: sentences in UTF-8 were expected, it cannot be read: {error}") from None
    read = _read_coco if text.lstrip()[:1] in ("{", "[") else _read_lines
    images = _with_words(path, list(read(path, text)))
    if not images:
        raise Error(f"{path}: there is no sentence in it")
    return images


def read_all(paths: Iterable[str | os.PathLike]) -> list[AnnotatedImage]:
    """The images of several files; one that several files name has the sentences of all of them.

    Raises:
        Error: as `read_annotations`; two images have one id.
        OSError: a file cannot be read.
    """
    images: dict[object, AnnotatedImage] = {}
    names: dict[int | str, str] = {}
    for path in paths:
        for image in read_annotations(path):
            if image.name and names.setdefault(image.id, image.name) != image.name:
                raise Error(f"{path}: image {image.id!r} is {image.name} here, {names[image.id]} before; read one file")
            key = image.name or (path, image.id)
            before = images.get(key)
            images[key] = image if before is None else replace(before, sentences=before.sentences + image.sentences)
    return list(images.values())


def choose(images: Sequence[AnnotatedImage], path: str | os.PathLike) -> list[AnnotatedImage]:
    """Those images that a list names, one number or file name per line, in the order of the list.

    Raises:
        Error: the list names an image that is not there or has no sentences, or none at all, or it cannot be read.
    """
    known = {str(key): image for image in images for key in (image.id, image.name)}
    chosen = []
    for number, line in enumerate(read_lines(str(path), "list of images"), 1):
        key = line.strip()
        if key and key not in known:
            raise Error(f"{path}:{number}: image {key!r} is not among the annotated ones (say {images[0].id})")
        if key:
            chosen.append(known[key])
    return chosen


class ImagesByFile:
    """Annotated images, to be found by the paths of their files in whatever folder."""

    def __init__(self, images: Iterable[AnnotatedImage]):
        self._by_name: dict[str, list[AnnotatedImage]] = {}
        for image in images:
            if image.name:
                self._by_name.setdefault(os.path.basename(image.name), []).append(image)

    def find(self, path: str | os.PathLike) -> AnnotatedImage | None:
        """The image whose file this is; None if there is none.

        Raises:
            Error: several have this name, in folders that the path does not tell apart.
        """
        named = self._by_name.get(os.path.basename(path), [])
        parts = Path(path).parts
        whole = [image for image in named if parts[-len(Path(image.name).parts) :] == Path(image.name).parts]
        found = whole or named
        if len(found) > 1:
            raise Error(f"{path}: may be {found[0].name} or {found[1].name}; name it with its folder")
        return found[0] if found else None


def find_files(images: Sequence[AnnotatedImage], folder: str | os.PathLike) -> dict[str, AnnotatedImage]:
    """The images by the paths of their files in a folder; those that are not there are left out, with a warning.

    Raises:
        Error: none is there, or the annotations name no files.
    """
    if not all(image.name for image in images):
        raise Error(f"{folder}: the sentences are of no images; leave the folder of images out")
    found = {path: image for image in images if os.path.isfile(path := os.path.join(folder, image.name))}
    missing = [image.name for image in images if os.path.join(folder, image.name) not in found]
    if not found:
        raise Error(f"{folder}: none of the {len(images)} annotated images is there (say {images[0].name})")
    _warn_left_out(folder, missing, "images that are not there")
    return found


def _read_lines(path: Path, text: str) -> Iterator[AnnotatedImage]:
    """Tokens if the first line is one, else plain sentences."""
    lines = text.splitlines()
    if not lines or not _TOKEN_LINE.fullmatch(lines[0]):
        yield from (AnnotatedImage(number, "", (line,)) for number, line in enumerate(lines, 1))
        return
    sentences: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        match = _TOKEN_LINE.fullmatch(line)
        if match is None:
            raise Error(f"{path}:{number}: expected 'name.jpg#0<TAB>sentence', found {line!r}")
        sentences.setdefault(match["name"], []).append(match["sentence"])
    yield from (AnnotatedImage(name, name, tuple(found)) for name, found in sentences.items())


def _read_coco(path: Path, text: str) -> Iterator[AnnotatedImage]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Error(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists within lists
        raise Error(f"{path}: not JSON: {error}") from None
    document = _require(document, dict, f"{path}")
    _check_entries(path, document, "images", {"id": (int, str), "file_name": str})
    _check_entries(path, document, "annotations", {"image_id": (int, str), "caption": str})
    coco = coco_index(document)
    strangers = [image_id for image_id in coco.imgToAnns if image_id not in coco.imgs]
    if strangers:
        raise Error(f"{path}: annotations: image_id {strangers[0]} is not among the ids of 'images'")
    for image_id, image in coco.imgs.items():
        captions = tuple(printable(annotation["caption"]) for annotation in coco.imgToAnns.get(image_id, ()))
        yield AnnotatedImage(image_id, image["file_name"], captions)


def coco_index(document: dict):
    """The `pycocotools.coco.COCO` of an annotation document whose fields are known to be there.

    Raises:
        Error: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
    except ImportError:
        raise Error("COCO's annotations need pycocotools; install it, or this project as lrcn[caption]") from None
    for number, annotation in enumerate(document["annotations"]):
        annotation.setdefault("id", number)  # the index wants one, nothing here does
    coco = COCO()
    coco.dataset = {name: document[name] for name in ("images", "annotations")}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def printable(text: str) -> str:
    """The text with `?` for the halves of characters that JSON can hold and no file can."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _check_entries(path: Path, document: dict, name: str, fields: dict[str, type | tuple[type, ...]]) -> None:
    entries = _require(document.get(name), list, f"{path}: {name!r}")
    for number, entry in enumerate(entries):
        place = f"{path}: {name}[{number}]"
        _require(entry, dict, place)
        for field, kind in fields.items():
            _require(entry.get(field), kind, f"{place}: field {field!r}")


def _require(value: object, kind: type | tuple[type, ...], place: str):
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}
        found = "nothing" if value is None else repr(value)[:60]
        raise Error(f"{place}: {' or '.join(names[each] for each in kinds)} was expected, {found} was found")
    return value


def _with_words(path: Path, images: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """The images with what sentences they have that have words."""
    kept, empty, bare = [], [], []
    for image in images:
        sentences = tuple(sentence for sentence in image.sentences if split_sentence(sentence))
        empty += [str(image.id)] * (len(image.sentences) - len(sentences))
        if sentences:
            kept.append(AnnotatedImage(image.id, image.name, sentences))
        elif not image.sentences:
            bare.append(str(image.id))
    _warn_left_out(path, empty, "sentences without words, of")
    _warn_left_out(path, bare, "images without sentences")
    return kept


def _warn_left_out(path: str | os.PathLike, names: Collection[str], what: str) -> None:
    if names:
        examples = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
        warnings.warn(f"{path}: left out {len(names)} {what}: {examples}", stacklevel=3)
