"""Train a network as `caffe train` does: a solver prototxt in, snapshots out.

Ctrl-C takes a snapshot and stops; --snapshot goes on from it with the bits of a run that was never interrupted.
"""

import argparse
import signal
from pathlib import Path

from tqdm import tqdm

from lrcn.cli import run
from lrcn.errors import Error
from lrcn.solver import Solver, Step
from lrcn.training import Log, draw_curves, lines


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """The options, named as in Caffe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    training = parser.add_argument_group("training")
    training.add_argument("--solver", type=Path, required=True, metavar="SOLVER.prototxt", help="what to train and how")
    start = training.add_mutually_exclusive_group()
    start.add_argument("--weights", default="", metavar="A,B", help="begin from these weights, layers by their names")
    start.add_argument(
        "--snapshot", type=Path, metavar="X.solverstate", help="go on from this snapshot, ours or Caffe's"
    )
    training.add_argument("--iterations", type=int, metavar="N", help="stop after so many (default: at max_iter)")
    training.add_argument(
        "--sigint_effect", choices=("stop", "snapshot", "none"), default="stop", help="of Ctrl-C (default: stop)"
    )
    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--numerics", choices=("exact", "fast"), help="exact has the bits of Caffe on a CPU (default; fast on a GPU)"
    )
    machine.add_argument("--gpu", type=int, metavar="ID", help="the GPU to train on (default: the CPU)")
    output = parser.add_argument_group("output")
    output.add_argument("--log", type=Path, metavar="X.csv", help="the numbers (default: SNAPSHOT_PREFIX_log.csv)")
    output.add_argument("--curves", type=Path, metavar="X.png", help="a picture of them (default: beside the log)")
    return parser.parse_args(argv)


class Interrupt:
    """Counts Ctrl-C instead of breaking off in the middle of a step; `taken` says whether there was one since."""

    def __init__(self) -> None:
        self.count = 0
        signal.signal(signal.SIGINT, self._note)

    def _note(self, *_) -> None:
        self.count += 1

    def taken(self) -> bool:
        """Whether there was one; the next call tells only of later ones."""
        count, self.count = self.count, 0
        return count > 0


def main(argv: list[str] | None = None) -> int:
    """Train, and draw the curves at the end."""
    options = parse_arguments(argv)
    if options.iterations is not None and options.iterations < 1:
        raise Error(f"--iterations must be 1 or more, {options.iterations} was found")
    numerics = options.numerics or ("exact" if options.gpu is None else "fast")
    weights = [path.strip() for path in options.weights.split(",") if path.strip()]
    device = "cpu" if options.gpu is None else f"cuda:{options.gpu}"
    solver = Solver(options.solver, weights=weights, numerics=numerics, device=device)
    for report in solver.load_reports:
        print(report)
    if options.snapshot is not None:
        solver.restore(options.snapshot)
        print(f"going on from iteration {solver.iteration}")
    train(solver, options)
    return 0


def train(solver: Solver, options: argparse.Namespace) -> None:
    """Run the solver to the end, or until it is stopped; show and log what happens."""
    end = solver.definition.max_iter
    if options.iterations is not None:
        end = min(end, solver.iteration + options.iterations)
    log = options.log or Path(f"{solver.definition.snapshot_prefix}_log.csv")
    interrupt = Interrupt()
    with Log(log, solver.iteration) as record, tqdm(total=end, initial=solver.iteration, disable=None) as bar:
        for event in solver.run():
            record.add(event)
            for line in lines(event, solver):
                bar.write(line)
            if not isinstance(event, Step):
                continue
            bar.update()
            bar.set_postfix(loss=f"{event.smoothed_loss:.4g}")
            effect = options.sigint_effect if interrupt.taken() else "none"
            stopping = effect == "stop" or solver.iteration == end < solver.definition.max_iter
            if stopping or effect == "snapshot":
                bar.write(lines(solver.snapshot(), solver)[0])
            if stopping:
                bar.write(f"stopped; go on with --snapshot and the file above (max_iter {solver.definition.max_iter})")
                break
    curves = options.curves or log.with_suffix(".png")
    draw_curves(log, curves)
    print(f"numbers in {log}, curves in {curves}")


if __name__ == "__main__":
    run(main)
