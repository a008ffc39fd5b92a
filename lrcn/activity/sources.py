"""The frames of a video by its name: from a folder of images or from a video file, decoded ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import Error
from ..video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_images, read_image_file, read_video
from .lists import Video, VideoError


class Source:
    """A folder with one video per entry: a folder of images, or a video file, named like the video.

    The entries may also lie one level deeper, in a folder per action, as UCF101 comes out of its archive.
    """

    def __init__(self, folder: str | Path):
        """Raises `Error` where `folder` is none."""
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise Error(f"{self.folder}: no such folder of frames or videos")

    def find(self, video: Video) -> Path | None:
        """The folder of images or the video file of `video`, None where there is none."""
        for folder in [self.folder] if video.action is None else [self.folder, self.folder / video.action]:
            if (folder / video.name).is_dir():
                return folder / video.name
            for suffix in VIDEO_SUFFIXES:
                if (folder / (video.name + suffix)).is_file():
                    return folder / (video.name + suffix)
        return None

    def videos(self) -> list[Video]:
        """Every video directly in the folder, by name, without labels."""
        names = {
            entry.name if entry.is_dir() else entry.stem
            for entry in self.folder.iterdir()
            if (entry.is_dir() or entry.suffix.lower() in VIDEO_SUFFIXES) and not entry.name.startswith(".")
        }
        return [Video(name) for name in sorted(names)]

    def read(self, video: Video) -> list[np.ndarray]:
        """The frames of `video` in order, each (rows, columns, RGB) uint8.

        Raises `VideoError` where there are none, where one cannot be read, or where their sizes differ.
        """
        path = self.find(video)
        if path is None:
            raise VideoError(f"no folder or video file of this name in {self.folder}")
        try:
            return read_frames(path)
        except OSError as error:
            raise VideoError(f"{error.filename}: {error.strerror}") from error


def read_frames(path: Path) -> list[np.ndarray]:
    """The frames of a folder of images, in the order of their names, or of a video file: (rows, columns, RGB) uint8.

    Images are sorted by name, where the authors' code takes them as the file system lists them.
    """
    if path.is_dir():
        images = list_images(path)
        with ThreadPoolExecutor() as threads:
            named_frames = [
                (image.name, frame) for image, frame in zip(images, threads.map(read_image, images), strict=True)
            ]
    else:
        try:
            named_frames = [(f"frame {number}", frame) for number, frame in enumerate(read_video(path), start=1)]
        except Error as error:
            raise VideoError(str(error)) from error
    if not named_frames:
        raise VideoError(f"{path}: no frames (images named {', '.join(IMAGE_SUFFIXES)})")
    first_name, first = named_frames[0]
    for name, frame in named_frames:
        if frame.shape != first.shape:
            raise VideoError(
                f"{path}: {name} has {frame.shape[1]}x{frame.shape[0]} pixels, but {first_name} has "
                f"{first.shape[1]}x{first.shape[0]}; all frames of a video must have one size"
            )
    return [frame for _, frame in named_frames]


def read_image(path: Path) -> np.ndarray:
    """An image file as (rows, columns, RGB) uint8, a grey one in RGB. Raises `VideoError` where it is not whole."""
    try:
        image = read_image_file(path)
    except Error as error:
        raise VideoError(str(error)) from error
    return image if image.ndim == 3 else np.stack([image] * 3, axis=2)


def read_ahead(read: Callable, items: Iterable, depth: int = 1) -> Iterator[tuple[object, Callable]]:
    """Yield (item, result) for each item while a thread works on the `depth` next ones.

    `result()` gives what `read(item)` returned, or raises what it raised. Never more than `depth` results wait.
    """
    waiting: deque[tuple[object, Future]] = deque()
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            for item in items:
                waiting.append((item, thread.submit(read, item)))
                if len(waiting) > depth:
                    item, future = waiting.popleft()
                    yield item, future.result
                    del future
            while waiting:
                item, future = waiting.popleft()
                yield item, future.result
                del future
        finally:
            for _, future in waiting:
                future.cancel()
