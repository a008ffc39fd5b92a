"""Check the released RGB LRCN weights, and what a network makes of two UCF101 clips, against their fingerprints.

Says which step of a reproduction went wrong, weights, frames or activations, and what the likely cause is. The exit
status is 0 only when every fingerprint that could be checked agrees.
"""

import argparse
from pathlib import Path

from lrcn import cli
from lrcn.release import RGB_LRCN, Step, verify
from prototxt_import import read_weights


def main(argv: list[str] | None = None) -> int:
    """Check the weights and frames named on the command line; 0 when they agree with the release, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help=f"the weights: {RGB_LRCN.name}.caffemodel")
    parser.add_argument(
        "--frames",
        type=Path,
        metavar="DIR",
        help=f"folder of frames as extract_frames.py writes them, with {' or '.join(RGB_LRCN.videos)} in it",
    )
    arguments = parser.parse_args(argv)
    steps = verify(read_weights(arguments.weights), arguments.frames)
    for step in steps:
        _print(step)
    agree = all(step.agrees for step in steps)
    if agree and arguments.frames is None:
        print("Frames and activations were not checked: give --frames DIR.")
    print(f"As released: {RGB_LRCN.name}." if agree else "Not as released.")
    return 0 if agree else cli.EXIT_FAILURE


def _print(step: Step) -> None:
    agreeing = sum(agrees for *_, agrees in step.checks)
    print(f"{step.name}: {agreeing} of {len(step.checks)} fingerprints agree")
    for what, expected, found, agrees in step.checks:
        if not agrees:
            print(f"  {what}: expected {expected:.9g}, found {found:.9g}")
    for cause in step.causes:
        print(f"  Likely cause: {cause}")


if __name__ == "__main__":
    cli.run(main)
