"""Train the four small networks of the demo on synthetic clips: how the weights in lrcn/activity/demo were made.

As in the paper, for RGB and for flow: layers that have learned from other labels (there ImageNet's, here the direction
of motion), from their weights the single-frame network, and from its weights LRCN. Each is one run of scripts/train.py
in the work folder, with a solver prototxt of lrcn/activity/demo; the command is shown, and logs, curves and snapshots
stay in that folder.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lrcn import cli
from lrcn.activity.preprocess import STREAMS
from lrcn.activity.synthetic import DEMO_FOLDER, TEST_GROUPS, TRAIN_GROUPS, clips, prepare_clips, write_lists
from lrcn.errors import Error
from lrcn.snapshot import weights_path
from prototxt_import import read_solver, replacing

TRAIN = Path(__file__).resolve().parent / "train.py"


def main(argv: list[str] | None = None) -> int:
    """Make the clips, then train the networks of each stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the clips and the training (0.6 GB)")
    parser.add_argument("--output", type=Path, default=DEMO_FOLDER, help="folder for the weights (default: the demo's)")
    parser.add_argument("--stream", choices=STREAMS, nargs="+", default=list(STREAMS), help="default: both")
    options = parser.parse_args(argv)

    begin = time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    prepare_clips(clips(TEST_GROUPS) + clips(TRAIN_GROUPS), options.work)
    write_lists(options.work)
    print(f"{time.monotonic() - begin:.0f} s: clips, frames and flow images in {options.work}", flush=True)
    for stream in options.stream:
        directions = train(options.work, f"directions_{stream}")
        single_frame = train(options.work, f"single_frame_{stream}", directions)
        recurrent = train(options.work, f"lrcn_{stream}", single_frame)
        for trained, name in ((single_frame, f"{stream}_single"), (recurrent, f"{stream}_lrcn")):
            with replacing(options.output / f"{name}.caffemodel") as temporary:
                shutil.copyfile(options.work / trained, temporary)
        print(f"{time.monotonic() - begin:.0f} s: {stream} trained, weights in {options.output}", flush=True)
    return 0


def train(work: Path, name: str, weights: Path | None = None) -> Path:
    """Train as the solver prototxt called `name` says, in the folder `work`; returns the weights, relative to it."""
    solver = DEMO_FOLDER / f"{name}_solver.prototxt"
    command = [sys.executable, str(TRAIN), "--solver", str(solver), "--numerics", "fast"]
    if weights is not None:
        command += ["--weights", str(weights)]
    print(shlex.join(command), flush=True)
    # One core computes, so that sums, and with them the weights, do not depend on their number; the others read data.
    finished = subprocess.run(command, cwd=work, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if finished.returncode:
        raise Error(f"training {name} ended with status {finished.returncode}; its messages are above")
    definition = read_solver(solver)
    return weights_path(definition.snapshot_prefix, definition.max_iter, hdf5=False)


if __name__ == "__main__":
    cli.run(main)
