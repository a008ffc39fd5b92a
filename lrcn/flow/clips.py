"""Clips to compute the flow of: folders of images and video files, in a tree of folders."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import Error
from ..video import FRAME_RATE, VIDEO_SUFFIXES, list_images, read_image_file, read_video


@dataclass(frozen=True)
class Clip:
    """A folder of images or a video file. place: where its flow images belong below the folder of all results."""

    path: Path
    place: Path

    def frames(self) -> Iterator[np.ndarray]:
        """Its RGB frames in order, (height, width, 3) uint8, one at a time.

        Raises `Error` for a file that cannot be read, a grey image, frames of several sizes, and fewer than two.
        """
        count = 0
        for frame in checked_frames(self._named_frames()):
            count += 1
            yield frame
        if count < 2:
            raise Error(f"{self.path}: flow needs at least two frames, found {count}")

    def expected_frames(self) -> int:
        """How many frames there are; of a video what its header promises, 0 where it has none."""
        if self.path.is_dir():
            return len(list_images(self.path))
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        return round(max(count, 0) * FRAME_RATE / rate) if rate > 0 else 0

    def _named_frames(self) -> Iterator[tuple[str, np.ndarray]]:
        if self.path.is_dir():
            for image in list_images(self.path):
                yield str(image), read_image_file(image)
        else:
            for number, frame in enumerate(read_video(self.path), start=1):
                yield f"{self.path}, frame {number}", frame


def checked_frames(named_frames: Iterable[tuple[str, np.ndarray]]) -> Iterator[np.ndarray]:
    """The frames; raises `Error` with the name of one that is grey or has another size than the one before it."""
    size = None
    for name, frame in named_frames:
        if frame.ndim == 2:
            raise Error(f"{name}: a grey image; flow is computed from RGB frames, convert it to RGB")
        if size not in (None, frame.shape):
            raise Error(f"{name} has {_pixels(frame.shape)}, the frame before it {_pixels(size)}; give all one size")
        size = frame.shape
        yield frame


def find_clips(path: Path) -> list[Clip]:
    """The clips at or below `path`, sorted: every folder that holds images, `path` itself too, every video file.

    Hidden files and folders (unfinished ones among them) are passed over. Raises `Error` where there is no clip, where
    two would be written to one place, and where one would be written into the folder of another.
    """
    if path.is_file():
        return [Clip(path, Path(path.stem))]
    if not path.is_dir():
        raise Error(f"{path}: no such folder or video")
    clips: dict[Path, Clip] = {}
    for entry in [path, *sorted(path.rglob("*"))]:
        place = entry.relative_to(path)
        if any(part.startswith(".") for part in place.parts):
            continue
        if entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES:
            place = place.with_suffix("")
        elif not (entry.is_dir() and list_images(entry)):
            continue
        clip = clips.setdefault(place, Clip(entry, place))
        if clip.path != entry:
            raise Error(f"{clip.path} and {entry} would be written to one folder, {place}; rename one of them")
    if not clips:
        raise Error(f"{path}: neither images nor videos in this folder or below it")
    for clip in clips.values():
        for outer in clip.place.parents:
            if outer in clips:
                raise Error(
                    f"{clip.path} would be written into the folder of {clips[outer].path}, which has images of its own "
                    "or is a video; move one of them away"
                )
    if Path() in clips:
        return [Clip(path, Path(path.resolve().name))]
    return list(clips.values())


def _pixels(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]} pixels"
