"""Make the authors' flow images of frames or videos: DIR/.../NAME/flow_image_NAME.0002.jpg and on.

FRAMES is a folder of images or a tree of such folders, VIDEOS a video file or a tree of them; the flow images stand in
the same tree. A clip's folder appears when it is complete.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lrcn import cli
from lrcn.errors import Error
from lrcn.flow import METHODS, flow_method, has_flow_images, write_flow_images
from lrcn.flow.clips import find_clips
from lrcn.flow.preview import write_preview
from prototxt_import import check_destinations


def main(argv: list[str] | None = None) -> int:
    """Make what is asked for; returns 1 when the flow of some clips could not be computed (they are named), else 0."""
    arguments = _parse(argv)
    method = flow_method(arguments.method, arguments.device)
    check_destinations(arguments.preview)
    if arguments.output.resolve().is_relative_to(arguments.input.resolve()):
        raise Error(
            f"{arguments.output} lies in {arguments.input}, where flow images would be taken for frames; "
            "choose an -o outside of it"
        )
    clips = find_clips(arguments.input)
    present = {clip.place for clip in clips if has_flow_images(arguments.output / clip.place)}
    if present and not arguments.resume:
        raise Error(
            f"{arguments.output / min(present)} is there already; "
            "--resume keeps what is complete and makes the rest, another -o starts anew"
        )
    missing = [clip for clip in clips if clip.place not in present]
    written, failures, preview = 0, [], arguments.preview
    with tqdm(total=sum(clip.expected_frames() for clip in missing), unit="frame", disable=None) as progress:
        for clip in clips:
            try:
                if clip.place not in present:
                    frames = _counted(clip.frames(), progress)
                    folder = arguments.output / clip.place
                    if not write_flow_images(frames, folder.parent, folder.name, method, arguments.workers):
                        raise Error(f"{folder} holds something other than the clip's flow images; move it away")
                    written += 1
                if preview:
                    write_preview(clip, preview, method)
                    preview = None
            except Error as error:
                failures.append(f"{clip.path}: {error}" if str(clip.path) not in str(error) else str(error))
    print(f"{written} clips written to {arguments.output}, {len(present)} there already, {len(failures)} failed")
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return cli.EXIT_FAILURE if failures else 0


def _counted(frames: Iterator[np.ndarray], progress: tqdm) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        progress.update()


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, metavar="FRAMES|VIDEOS", help="frames, a video, or a tree of folders")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="receives the flow images")
    parser.add_argument(
        "--method", choices=METHODS, default="brox", help="brox: the paper's (default); dis, farneback: OpenCV's"
    )
    parser.add_argument(
        "--workers",
        type=cli.positive_integer,
        default=os.cpu_count(),
        help="pairs computed at once (default: %(default)s)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda: brox on a GPU, with the same bits"
    )
    parser.add_argument("--resume", action="store_true", help="go on after an interruption: keep complete clips")
    parser.add_argument(
        "--preview", type=Path, metavar="PNG", help="also draw frames and flow of the first good clip side by side"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.run(main)
