"""Frames and flow images of videos, made on the way to an evaluation and kept for the next one."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from ..errors import Error
from ..flow import flow_method, write_flow_images
from ..flow.clips import Clip
from ..video import extract_frames
from .lists import Video
from .sources import Source


class Cache:
    """A folder with frames and flow images of videos in the authors' layout.

    frames: the folder of frames; flow: the folder of flow images, one for each method.
    """

    def __init__(self, folder: Path, method: str = "brox", device: str = "cpu"):
        """Makes the folders; method: of the flow, a key of `lrcn.flow.METHODS`; device: as `lrcn.flow.flow_method`."""
        self.frames = folder / "frames"
        self.flow = folder / f"flow_{method}"
        self.method = flow_method(method, device)
        for place in (self.frames, self.flow):
            place.mkdir(parents=True, exist_ok=True)

    def fill(
        self, videos: Sequence[Video], source: Source, with_flow: bool, workers: int, progress: bool = False
    ) -> dict[str, str]:
        """Make what is not there yet, frames from the videos of `source` and flow images from the frames.

        workers: pairs of frames whose flow is computed at once. A video without a file is passed over. Returns what
        went wrong, by the name of the video.
        """
        failures = {}
        for video in tqdm(videos, desc="frames and flow", unit="video", disable=None if progress else True):
            path = source.find(video)
            if path is None:
                continue
            try:
                extract_frames(path, self.frames)
                if with_flow:
                    frames = Clip(self.frames / video.name, Path(video.name)).frames()
                    write_flow_images(frames, self.flow, video.name, self.method, workers)
            except Error as error:
                failures[video.name] = str(error)
        return failures
