"""Clips of videos for training LRCN: the authors' Python data layer (`sequence_input_layer`), with its random order."""

import json
import random
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..activity.lists import Video, VideoError, read_list
from ..activity.preprocess import FRAME_SIZE, STREAMS, Stream, caffe_image, resize_image, unit_image, value_table
from ..activity.sources import read_image
from ..errors import Error
from ..processes import ALONE, Processes
from .prefetch import Prefetcher

MODULE = "sequence_input_layer"
"""What `python_param { module: ... }` calls the authors' layers."""

QUIRKS = {
    "crop_only_mirrored_clips": (
        "The random crop is applied to the clips that are mirrored; of the others the whole frames are shrunk to the "
        "size of the crop, which squeezes them sideways."
    )
}
"""What the released layer does by mistake: name -> what happens."""

# One generator for all of these layers in a process, begun anew by each: so the authors' layers share Python's own.
_random = random.Random()


@dataclass(frozen=True)
class VideoSettings:
    """What a video layer reads. `param_str` of the layer may change any of it, as a JSON object: '{"videos": 8}'.

    Attributes:
        source (str): the list of videos, lines `Action/v_Action_g01_c01 LABEL`.
        frames (str): the folder with a folder of images per video, NAME/PREFIX.0001.jpg and on.
        stream (str): "rgb" or "flow"; mirrored flow images get their horizontal flow turned round.
        videos (int): clips per batch, N.
        clip_length (int): frames per clip, T.
        size (int): rows and columns of a crop.
        quirks (str): "released" keeps `QUIRKS`, "none" mends them: every clip is cropped.
    """

    source: str
    frames: str
    stream: str
    videos: int
    clip_length: int = 16
    size: int = 227
    quirks: str = "released"

    def changed(self, param_str: str) -> "VideoSettings":
        """These settings with those of a `param_str`. Raises `Error` for one that is none."""
        try:
            changes = json.loads(param_str or "{}")
        except ValueError as error:
            raise Error(f"param_str: a JSON object was expected, {param_str!r} was found: {error}") from None
        types = {field.name: field.type for field in fields(self)}
        if not isinstance(changes, dict):
            raise Error(f"param_str: a JSON object was expected, {param_str!r} was found")
        for name, value in changes.items():
            if name not in types:
                raise Error(f"param_str: {name!r} is not a setting of a video layer; there are {', '.join(types)}")
            if type(value) is not types[name] or (isinstance(value, int) and value < 1):
                what = "a whole number of 1 or more" if types[name] is int else "a text"
                raise Error(f"param_str: {name}: {what} was expected, {value!r} was found")
        settings = replace(self, **changes)
        for name, allowed in (("stream", tuple(STREAMS)), ("quirks", ("released", "none"))):
            if getattr(settings, name) not in allowed:
                raise Error(f"param_str: {name}: {' or '.join(allowed)} was expected, {asdict(settings)[name]!r} found")
        return settings


def _released(part: str, stream: str, frames: str, videos: int) -> VideoSettings:
    return VideoSettings(f"ucf101_split1_{part}Videos.txt", frames, stream, videos)


LAYERS = {
    "videoReadTrain_RGB": _released("train", "rgb", "frames/", 24),
    "videoReadTest_RGB": _released("test", "rgb", "frames/", 3),
    "videoReadTrain_flow": _released("train", "flow", "flow_images/", 24),
    "videoReadTest_flow": _released("test", "flow", "flow_images/", 3),
}
"""The authors' four layers and the settings that they have built in."""


class Frames(NamedTuple):
    """The numbered frames of one video in its folder."""

    label: int
    prefix: Path
    count: int

    def path(self, number: int) -> Path:
        """The file of a frame; frames count from 1."""
        return self.prefix.with_name(f"{self.prefix.name}.{number:04d}.jpg")


class PlannedFrame(NamedTuple):
    """One frame of a clip, its label, and what chance decided for the clip: corner of the crop, mirrored or not."""

    path: Path
    label: int
    top: int
    left: int
    mirrored: bool


class VideoSequenceReader:
    """Batches of N clips of T frames from a list of videos, read in the order of the list, over and over.

    Each clip begins at a random frame, is cropped at a random place and mirrored or not. Batches are time-major: row
    t * N + n is step t of clip n.

    Args:
        settings (VideoSettings): what to read.
        processes (Processes): those that share every batch; each loads its share, all make the same random draws.

    Attributes:
        shapes (list[tuple[int, ...]]): of the images, the labels and the clip markers (cont) of a batch.

    Raises:
        Error: a list that is missing or wrong; a video without frames, or with too few.
    """

    def __init__(self, settings: VideoSettings, processes: Processes = ALONE):
        self.settings = settings
        self.processes = processes
        self.stream = STREAMS[settings.stream]
        if settings.size > min(FRAME_SIZE):
            raise Error(f"size {settings.size} is larger than frames of {FRAME_SIZE[1]}x{FRAME_SIZE[0]} pixels")
        try:
            videos = read_list(settings.source)
        except OSError as error:
            raise Error(f"{settings.source}: {error.strerror}; the list of videos was expected") from None
        self._videos = [find_frames(Path(settings.frames), video, settings.clip_length) for video in videos]
        self._position = 0
        frames = processes.share_size(settings.videos) * settings.clip_length
        self.shapes = [(frames, 3, settings.size, settings.size), (frames,), (frames,)]
        _random.seed(10)
        # One batch ahead, planned when the one before it is handed out: layers that share the draws need this order.
        self._frames = Prefetcher(self._plan, self._load, self._assemble, depth=1)

    def read(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The next batch: images (T * N, 3, size, size), labels (T * N,) and clip markers (T * N,), float32.

        N is this process's share of the clips. A clip marker is 0 on the first step of a clip and 1 on the others.
        """
        return self._frames.read()

    @property
    def seconds_waited(self) -> float:
        """How long `read` has waited for frames that were not there yet."""
        return self._frames.seconds_waited

    def skip(self) -> None:
        """Pass over a batch."""
        self._frames.skip()

    def close(self) -> None:
        """Stop loading ahead."""
        self._frames.close()

    def _plan(self) -> list[tuple[PlannedFrame, np.ndarray]]:
        """This process's frames of the next batch, time-major, and for each its place in the batch."""
        count = self.settings.videos
        clips = []
        for index in range(count):
            clips.append(_plan_clip(self._videos[(self._position + index) % len(self._videos)], self.settings))
        self._position = (self._position + count) % len(self._videos)
        frames = [frame for step in zip(*self.processes.share(clips), strict=True) for frame in step]
        return list(zip(frames, np.empty(self.shapes[0], np.float32), strict=True))

    def _load(self, planned: tuple[PlannedFrame, np.ndarray]) -> tuple[np.ndarray, int]:
        """Fill a frame's place in the batch; returns the batch and the frame's label."""
        frame, place = planned
        try:
            image = read_image(frame.path)
        except OSError as error:
            raise Error(f"{frame.path}: {error.strerror}; a frame was expected") from None
        crops = frame.mirrored or self.settings.quirks == "none"
        prepare_frame(image, frame, place, self.stream, crops)
        return place.base, frame.label

    def _assemble(self, frames: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        batches, labels = zip(*frames, strict=True)
        images, labels = batches[0], np.array(labels, np.float32)
        markers = np.ones(len(images), np.float32)
        markers[: len(markers) // self.settings.clip_length] = 0
        return images, labels, markers


def _plan_clip(frames: Frames, settings: VideoSettings) -> list[PlannedFrame]:
    """Draw corner, mirroring and first frame, in this order, as Python 2 drew them."""
    top = int(_random.random() * (FRAME_SIZE[0] - settings.size))
    left = int(_random.random() * (FRAME_SIZE[1] - settings.size))
    mirrored = int(_random.random() * 2) == 1
    # Frames count from 1 and the first is never chosen: flow images begin with frame 2.
    first = int(_random.random() * (frames.count - settings.clip_length) + 1 + 1)
    numbers = range(first, first + settings.clip_length)
    return [PlannedFrame(frames.path(number), frames.label, top, left, mirrored) for number in numbers]


def prepare_frame(image: np.ndarray, frame: PlannedFrame, place: np.ndarray, stream: Stream, crops: bool) -> None:
    """Fill `place` (BGR, size, size) float32 with one frame (rows, columns, RGB; uint8) as the network sees it.

    Frames with a side shorter than 240x320 are resized to that. A frame is mirrored before it is cropped; one that is
    not cropped is shrunk.
    """
    size = place.shape[1]
    is_small = image.shape[0] < FRAME_SIZE[0] or image.shape[1] < FRAME_SIZE[1]
    turns_x = frame.mirrored and stream.name == "flow"
    if is_small:
        image = resize_image(unit_image(image), FRAME_SIZE)
    if frame.mirrored:
        image = cv2.flip(image, 1)
    if crops:
        image = image[frame.top : frame.top + size, frame.left : frame.left + size]
    if image.dtype == np.uint8 and image.shape[:2] == (size, size):
        # Value by value from a table: the same bits, in a fraction of the time.
        planes = reversed(cv2.split(np.ascontiguousarray(image)))
        tables = value_table(stream, turns_x, "cpu").numpy()
        for plane, table, target in zip(planes, tables, place, strict=True):
            cv2.LUT(plane, table[None], dst=target)
        return
    if not is_small:
        image = unit_image(image)
    if turns_x:
        image[:, :, 0] = 1 - image[:, :, 0]
    if image.shape[:2] != (size, size):
        image = resize_image(image, (size, size))
    place[...] = caffe_image(image, stream)


def find_frames(folder: Path, video: Video, clip_length: int) -> Frames:
    """The frames of a video in `folder`. Raises `VideoError` where there are too few for a clip at any place."""
    names = sorted(path.name for path in (folder / video.name).glob("*.jpg"))
    if not names:
        raise VideoError(f"{folder / video.name}: no frames of this video of the list (images named *.0001.jpg and on)")
    prefix, _, number = names[-1].removesuffix(".jpg").rpartition(".")
    if not prefix or not number.isdecimal():
        raise VideoError(f"{folder / video.name / names[-1]}: a frame named *.0001.jpg was expected")
    if video.label is None:
        raise VideoError(f"{video.name}: no label in the list; training needs 'Action/{video.name} LABEL'")
    frames = Frames(video.label, folder / video.name / prefix, len(names))
    last = max(frames.count - clip_length + 1, 2) + clip_length - 1
    if frames.count < clip_length or int(number) < last:
        raise VideoError(
            f"{folder / video.name}: {len(names)} frames up to number {int(number)} were found; a clip of "
            f"{clip_length} frames that begins with frame 2 or later needs frame {last}"
        )
    return frames
