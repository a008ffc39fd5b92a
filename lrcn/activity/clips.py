"""Frames -> clips: 16 frames that start every 8 frames (section 4.1 of the paper)."""

from .lists import VideoError


def clip_starts(frames: int, length: int = 16, *, last_clip_repeated: bool = True) -> list[int]:
    """First frame of each clip of `length` frames in a video of so many frames; a clip starts every `length / 2`.

    A clip that would pass the end is the last `length` frames instead. The authors' two scripts say this with
    `start + 16 < frames` and with `start + 16 > frames`; where both sides are equal the last 16 frames are the 16
    frames from `start`, so both mean the same clips. With `last_clip_repeated` (a quirk, see `preprocess.QUIRKS`) this
    happens for every start within the video, otherwise once at most.

    Raises `VideoError` for a video shorter than one clip.
    """
    if frames < length:
        raise VideoError(f"{frames} frames, but a clip needs {length}")
    last = frames - length
    starts = [min(start, last) for start in range(0, frames, length // 2)]
    return starts if last_clip_repeated else sorted(set(starts))
