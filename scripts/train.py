"""Train a network as `caffe train` does: a solver prototxt in, snapshots out.

Ctrl-C takes a snapshot and stops; --snapshot goes on from it with the bits of a run that was never interrupted.
With several processes: torchrun --nproc-per-node K scripts/train.py ... They share every batch; sizes and settings in
the prototxts stay those of the whole. On GPUs, with --gpu all, each process has its own.
"""

import argparse
import signal
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from lrcn import Net
from lrcn.caption.images import find_images
from lrcn.caption.progress import Progress
from lrcn.caption.vocabulary import Vocabulary
from lrcn.cli import run
from lrcn.devices import check_device, use_precision
from lrcn.errors import Error
from lrcn.processes import Processes
from lrcn.solver import Scores, Snapshot, Solver, Step
from lrcn.training import Log, TensorBoardLog, draw_curves, lines


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
    machine.add_argument(
        "--gpu", metavar="ID", help="the GPU to train on; all: each process of torchrun its own (default: the CPU)"
    )
    captions = parser.add_argument_group("captions written at every test, of a network for captioning or of language")
    captions.add_argument("--vocab", type=Path, metavar="V", help="its vocabulary")
    captions.add_argument("--word-net", type=Path, metavar="P", help="prototxt that writes word by word")
    captions.add_argument("--image-net", type=Path, metavar="P", help="prototxt of the image net")
    captions.add_argument("--pictures", nargs="+", metavar="IMAGE|FOLDER", help="what to caption")
    output = parser.add_argument_group("output")
    output.add_argument("--log", type=Path, metavar="X.csv", help="the numbers (default: SNAPSHOT_PREFIX_log.csv)")
    output.add_argument(
        "--tensorboard", type=Path, metavar="FOLDER", help="the numbers for TensorBoard (default: beside the log)"
    )
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
    with Processes.join(gpu=options.gpu is not None) as processes:
        numerics = options.numerics or ("exact" if options.gpu is None else "fast")
        weights = [path.strip() for path in options.weights.split(",") if path.strip()]
        device = find_device(options.gpu, processes)
        solver = Solver(options.solver, weights=weights, numerics=numerics, device=device, processes=processes)
        if options.snapshot is not None:
            solver.restore(options.snapshot)
        end = solver.definition.max_iter
        if options.iterations is not None:
            end = min(end, solver.iteration + options.iterations)
        events = train(solver, end, options.sigint_effect)
        if processes.rank == 0:
            show(events, solver, end, options, captioning(solver, options))
        else:
            for _ in events:
                pass
    return 0


def find_device(gpu: str | None, processes: Processes) -> str:
    """Where PyTorch is to compute."""
    if gpu is None:
        return "cpu"
    if (gpu == "all") != (processes.count > 1):
        raise Error(f"--gpu {gpu}: --gpu all belongs to several processes (torchrun), --gpu NUMBER to one")
    if gpu != "all" and not gpu.isdecimal():
        raise Error(f"--gpu {gpu}: the number of a GPU, or all, was expected")
    device = f"cuda:{processes.local_rank if gpu == 'all' else gpu}"
    check_device(device)
    use_precision("float32")
    return device


def train(solver: Solver, end: int, sigint_effect: str) -> Iterator[Step | Scores | Snapshot]:
    """Run the solver until so many iterations are done in all, or it is interrupted; what happened, as it happens."""
    interrupt = Interrupt()
    for event in solver.run():
        yield event
        if not isinstance(event, Step):
            continue
        effect = sigint_effect if solver.processes.any(interrupt.taken()) else "none"
        stopping = effect == "stop" or solver.iteration == end < solver.definition.max_iter
        if stopping or effect == "snapshot":
            yield solver.snapshot()
        if stopping:
            return


def captioning(solver: Solver, options: argparse.Namespace) -> Progress | None:
    """What writes captions at every test, if the options ask for it."""
    if not any((options.vocab, options.word_net, options.image_net, options.pictures)):
        return None
    if not (options.vocab and options.word_net) or bool(options.image_net) != bool(options.pictures):
        raise Error("captions need --vocab and --word-net, and of images --image-net and --pictures")
    if not solver.test_nets:
        raise Error("captions are written at every test, and the solver has none; give it test_iter and test_interval")
    word_net, image_net = (
        path and Net(path, numerics=solver.net.numerics).to(solver.net.device)
        for path in (options.word_net, options.image_net)
    )
    images = find_images(options.pictures) if options.pictures else []
    return Progress(solver.net, word_net, Vocabulary.load(options.vocab), image_net, images)


def show(
    events: Iterator[Step | Scores | Snapshot],
    solver: Solver,
    end: int,
    options: argparse.Namespace,
    progress: Progress | None,
) -> None:
    """Print and log what happens, and draw the curves at the end."""
    for report in solver.load_reports:
        print(report)
    if options.snapshot is not None:
        print(f"going on from iteration {solver.iteration}")
    log = options.log or Path(f"{solver.definition.snapshot_prefix}_log.csv")
    board_folder = options.tensorboard or log.with_suffix(".tensorboard")
    with (
        Log(log, solver.iteration) as table,
        TensorBoardLog(board_folder, solver.iteration) as board,
        tqdm(total=end, initial=solver.iteration, disable=None) as bar,
    ):
        for event in events:
            table.add(event)
            board.add(event)
            for line in lines(event, solver):
                bar.write(line)
            if progress is not None and isinstance(event, Scores) and event.index == 0:
                bar.write("\n".join(progress.lines(seed=event.iteration)))
            if isinstance(event, Step):
                bar.update()
                bar.set_postfix(loss=f"{event.smoothed_loss:.4g}")
    if solver.iteration < solver.definition.max_iter:
        print(f"stopped; go on with --snapshot and the file above (max_iter {solver.definition.max_iter})")
    curves = options.curves or log.with_suffix(".png")
    draw_curves(log, curves)
    print(f"numbers in {log} and {board_folder} (tensorboard --logdir {board_folder}), curves in {curves}")


if __name__ == "__main__":
    run(main)
