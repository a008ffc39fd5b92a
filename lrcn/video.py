"""Videos to frames, as the authors extracted them: `ffmpeg -i VIDEO -r 30 NAME/NAME.%4d.jpg`.

`-r` makes ffmpeg write a constant frame rate: it repeats or drops source frames so that output frame k shows what the
video shows at time k / rate. `FrameRateSync` mirrors that decision (the constant-frame-rate mode of ffmpeg's
`do_video_out`, unchanged from 2014 to ffmpeg 5), so that the same source frames come out, the same number of times.
The pixels of the JPEG files are not reproducible bit for bit: they depend on the versions of decoder, colour conversion
and JPEG encoder. Whoever needs the very files of another extraction uses those files.
"""

import math
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from .errors import Error
from .image_files import decode_file

FRAME_RATE = 30.0
JPEG_QUALITY = 95
VIDEO_SUFFIXES = (".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

# ffmpeg moves every timestamp by this fraction of an output frame, so that exact halves round up on every machine.
_ROUNDING_GUARD = 2.0**-17
# A source frame that ends this many output frames before or after the next one due is dropped or repeated.
_TOLERANCE = 1.1


@dataclass
class FrameRateSync:
    """How many times ffmpeg writes each source frame, told one frame after the other.

    source_fps: nominal frame rate of the source, frames per second; fps: the constant rate to write.
    from_zero: time before the first source frame is filled with that frame, as ffmpeg does for a file that has more
        than one stream (a video with sound); otherwise the output begins at the first frame.
    """

    source_fps: float
    fps: float
    from_zero: bool = False
    _written: int = 0
    _is_first: bool = True
    _repeats_before: list[int] = field(default_factory=lambda: [0, 0, 0])

    def push(self, time: float) -> tuple[int, int]:
        """Take the source frame shown from `time` (seconds).

        Returns (n, m): write the frame before it n more times, then the frame itself m times.
        """
        due = time * self.fps
        due += math.copysign(_ROUNDING_GUARD, due) if due else 0.0
        duration = self._duration()
        if self._is_first and not self.from_zero and due - self._written >= 0.5:
            self._written = round(due)
            start, end = 0.0, duration
        else:
            start = due - self._written
            end = start + duration
        self._is_first = False

        before, total = 0, 1
        if end < -_TOLERANCE:
            total = 0
        elif end > _TOLERANCE:
            total = round(end)
            if start > _TOLERANCE:
                before = round(start - 0.6)
        self._repeats_before = [before, *self._repeats_before[:2]]
        self._written += total
        return before, total - before

    def finish(self) -> int:
        """How many more times the last source frame is written at the end: the median of the last three gaps."""
        return sorted(self._repeats_before)[1]

    def _duration(self) -> float:
        """Output frames that one source frame covers: whole frames where that is at least one."""
        exact = self.fps / self.source_fps
        return round(exact) or exact


def resample_indices(
    times: Sequence[float], source_fps: float, fps: float = FRAME_RATE, from_zero: bool = False
) -> list[int]:
    """Source frame (from 0) that `ffmpeg -r fps` shows as each output frame.

    times: when each source frame is shown, in seconds, rising; source_fps, fps, from_zero: see `FrameRateSync`.
    A 25 fps video of 164 frames gives 197 indices at 30 fps; with a sound track and its first frame at 1/25 s, 198.
    """
    sync = FrameRateSync(source_fps, fps, from_zero)
    indices: list[int] = []
    for index, time in enumerate(times):
        before, itself = sync.push(time)
        indices += [max(index - 1, 0)] * before + [index] * itself
    return indices + [len(times) - 1] * sync.finish()


def read_video(path: Path | str, fps: float | None = FRAME_RATE) -> Iterator[np.ndarray]:
    """Frames of a video, (height, width, 3) uint8 RGB, one after the other: the sequence that extraction writes.

    fps: frames per second to convert to as `ffmpeg -r` does; None keeps the source frames as they are.
    A frame that is repeated is yielded as the same array again. Only one source frame is held at a time.
    Raises Error for a file that is missing, not a video, without frames, or cut off.
    """
    path = Path(path)
    has_sound = _has_sound(path)
    with _opened(path) as capture:
        source_fps = capture.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(source_fps) and source_fps > 0):
            raise Error(f"{path}: the file states no usable frame rate (found {source_fps}); re-encode the video")
        sync = FrameRateSync(source_fps, fps, has_sound) if fps else None
        frame = None
        count = 0
        for time, image in _decode(capture, source_fps):
            before, itself = sync.push(time) if sync else (0, 1)
            previous, frame = (image if frame is None else frame), image
            for _ in range(before):
                yield previous
            for _ in range(itself):
                yield frame
            count += 1
        declared = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if frame is None:
        raise Error(f"{path}: no frame could be decoded; the video is empty or damaged")
    # A second of grace: outside AVI the declared number is an estimate from the length of the longest stream.
    if count < declared - max(source_fps, 1):
        raise Error(f"{path}: only {count} of {declared:.0f} frames could be decoded; the video is cut off or damaged")
    for _ in range(sync.finish() if sync else 0):
        yield frame


def extract_frames(path: Path | str, folder: Path | str, fps: float | None = FRAME_RATE) -> bool:
    """Write the frames of a video in the authors' layout, FOLDER/NAME/NAME.0001.jpg and on (NAME: file without suffix).

    The folder NAME appears when it is complete; one that is there already is left as it is. Returns whether it was
    written now. fps and errors: as `read_video`.
    """
    name = Path(path).stem
    return write_images(read_video(path, fps), Path(folder) / name, f"{name}.", quality=JPEG_QUALITY)


def write_images(images: Iterable[np.ndarray], folder: Path, prefix: str, first: int = 1, *, quality: int) -> bool:
    """Write RGB uint8 images as FOLDER/PREFIX%04d.jpg, numbered from `first`; the folder is complete or absent.

    Nothing is read or written where the folder exists and holds something: returns False then, True otherwise.
    Raises Error for an image that cannot be encoded, and where a file has the folder's name.
    """
    if folder.exists() and not folder.is_dir():
        raise Error(f"{folder}: a folder for images was expected, found a file; remove it or write elsewhere")
    if folder.is_dir() and any(folder.iterdir()):
        return False
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for number, image in enumerate(images, first):
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            encoded, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if not encoded:
                raise Error(f"{folder}: image {number} of shape {image.shape} could not be encoded as JPEG")
            (partial / f"{prefix}{number:04d}.jpg").write_bytes(jpeg)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def read_image_file(path: Path, *, keep_depth: bool = False) -> np.ndarray:
    """An image file as (height, width, 3) uint8 RGB, or (height, width) where it is grey.

    keep_depth: give a file of 16 bits per channel as uint16 instead.
    Raises Error where it cannot be read or is not a whole image.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION | (cv2.IMREAD_ANYDEPTH if keep_depth else 0)
    image = decode_file(path, flags)
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder in the order of their names."""
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)


def find_videos(path: Path | str) -> list[Path]:
    """The video itself, or all videos below a folder, sorted; two of one name are an error (they share an output)."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    videos = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    if not videos:
        raise Error(f"{path}: no video below this folder (looked for {' '.join(VIDEO_SUFFIXES)})")
    seen: dict[str, Path] = {}
    for video in videos:
        other = seen.setdefault(video.stem, video)
        if other is not video:
            raise Error(f"{other} and {video} would be written to one folder, {video.stem}; rename one of them")
    return videos


def _has_sound(path: Path) -> bool:
    """Whether an AVI file (the format of UCF101) has more than one stream; raises Error if it is cut off.

    OpenCV does not tell either. In other formats sound and picture begin together, so that it does not matter.
    """
    if not path.is_file():
        raise Error(f"{path}: no such video file")
    size = path.stat().st_size
    if size == 0:
        raise Error(f"{path}: the file is empty")
    with path.open("rb") as file:
        header = file.read(60)
    if len(header) < 60 or (header[:4], header[8:12], header[24:28]) != (b"RIFF", b"AVI ", b"avih"):
        return False
    (content,) = struct.unpack_from("<I", header, 4)
    if size < content + 8:
        raise Error(f"{path}: cut off: its header says {content + 8} bytes, the file has {size}; copy it again")
    (streams,) = struct.unpack_from("<I", header, 56)
    return streams > 1


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise Error(f"{path}: not a video that can be read (no known format, or damaged)")
        yield capture
    finally:
        capture.release()


def _decode(capture: cv2.VideoCapture, source_fps: float) -> Iterator[tuple[float, np.ndarray]]:
    """Time in seconds and RGB image of every source frame."""
    time = None
    while True:
        decoded, bgr = capture.read()
        if not decoded:
            return
        stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        # The last frames of a stream can lack a timestamp, which reads as 0: they follow at the nominal rate.
        time = stated if time is None or stated > time else time + 1 / source_fps
        yield time, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
