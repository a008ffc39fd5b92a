"""Compare the flow methods on a pair of frames with ground truth in KITTI's coding: errors and outliers."""

import argparse
import time
from pathlib import Path

from lrcn.cli import run
from lrcn.errors import Error
from lrcn.flow import METHODS, compute_flow
from lrcn.flow.clips import checked_frames
from lrcn.flow.ground_truth import read_ground_truth, score_flow
from lrcn.video import read_image_file


def main(argv: list[str] | None = None) -> int:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in (("previous", "first frame"), ("following", "second frame"), ("truth", "flow between them")):
        parser.add_argument(name, type=Path, help=what)
    options = parser.parse_args(argv)
    frames = list(checked_frames((path, read_image_file(path)) for path in (options.previous, options.following)))
    truth, valid = read_ground_truth(options.truth)
    if truth.shape[:2] != frames[0].shape[:2]:
        raise Error(
            f"{options.truth}: (height, width) of the frames expected, {frames[0].shape[:2]}, found {truth.shape[:2]}; "
            "take the truth of these frames"
        )
    if not valid.any():
        raise Error(f"{options.truth}: no valid point in it")
    lines = [f"{'method':10} {'mean error':>12} {'outliers':>9} {'seconds':>8}"]
    for method in METHODS:
        begin = time.perf_counter()
        flow = compute_flow(*frames, method)
        seconds = time.perf_counter() - begin
        error, outliers = score_flow(flow, truth, valid)
        lines.append(f"{method:10} {error:9.2f} px {outliers:9.1%} {seconds:8.2f}")
    print(*lines, sep="\n")
    return 0


if __name__ == "__main__":
    run(main)
