"""Extract the frames of videos in the authors' layout: DIR/NAME/NAME.0001.jpg and on.

The frame sequence is that of `ffmpeg -r 30`, repeated and dropped frames included.
"""

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from lrcn import cli
from lrcn.errors import Error
from lrcn.video import FRAME_RATE, extract_frames, find_videos


def main(argv: list[str] | None = None) -> int:
    """Extract what is asked for; returns 1 when some videos could not be read (they are named), else 0."""
    arguments = _parse(argv)
    videos = find_videos(arguments.videos)
    written, failures = 0, []
    with ThreadPoolExecutor(arguments.workers) as pool:
        jobs = {pool.submit(extract_frames, video, arguments.output, arguments.fps): video for video in videos}
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), unit="video", disable=None):
                try:
                    written += job.result()
                except Error as error:
                    failures.append(str(error))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    skipped = len(videos) - written - len(failures)
    print(f"{written} extracted to {arguments.output}, {skipped} there already, {len(failures)} failed")
    for failure in sorted(failures):
        print(f"error: {failure}", file=sys.stderr)
    return cli.EXIT_FAILURE if failures else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, help="a video, or a folder: every video below it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder that receives one folder per video")
    parser.add_argument(
        "--fps",
        type=_frame_rate,
        default=FRAME_RATE,
        help="frames per second, or 'native' for the frames as they are in the video (default: %(default)g)",
    )
    parser.add_argument(
        "--workers",
        type=cli.positive_integer,
        default=os.cpu_count(),
        help="videos read at once (default: %(default)s)",
    )
    return parser.parse_args(argv)


def _frame_rate(text: str) -> float | None:
    if text == "native":
        return None
    fps = float(text)
    if not 0 < fps < 1000:
        raise ValueError
    return fps


_frame_rate.__name__ = "frame rate"  # what argparse's message calls it: "invalid frame rate value"

if __name__ == "__main__":
    cli.run(main)
