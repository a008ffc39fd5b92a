"""What a training run leaves behind besides snapshots: lines on the console, its numbers in two logs, a picture."""

import csv
import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prototxt_import import replacing

from .errors import Error
from .net import Net
from .solver import Scores, Snapshot, Solver, Step

COLUMNS = ("iteration", "phase", "name", "value")


def lines(event: Step | Scores | Snapshot, solver: Solver) -> list[str]:
    """What the console shows of an event, in the words of Caffe; of a step, only every `display` iterations."""
    if isinstance(event, Snapshot):
        return [f"Iteration {event.iteration}, snapshot {event.state}"]
    if isinstance(event, Scores):
        net = solver.test_nets[event.index]
        shown = [f"Iteration {event.iteration}, testing net (#{event.index})"]
        if event.loss is not None:
            shown.append(f"    Test loss: {event.loss:.6g}")
        return shown + _outputs("Test", net, event.scores)
    display = solver.definition.display
    if not display or event.iteration % display:
        return []
    shown = [f"Iteration {event.iteration}, loss = {event.smoothed_loss:.6g}, lr = {event.rate:.6g}"]
    values = {name: value.float().cpu().numpy() for name, value in event.outputs.items()}
    return shown + _outputs("Train", solver.net, values)


def _outputs(phase: str, net: Net, values: dict[str, np.ndarray]) -> list[str]:
    shown = []
    for name in sorted(values):
        weight = net.loss_weights.get(name)
        for value in values[name].ravel():
            loss = f" (* {weight:.6g} = {weight * value:.6g} loss)" if weight else ""
            shown.append(f"    {phase} net output #{len(shown)}: {name} = {value:.6g}{loss}")
    return shown


class Log:
    """The numbers of a run as a table (CSV) with the columns `iteration`, `phase`, `name`, `value`.

    The phase is "train" or "test K" for test network K; names are those of scalar outputs, "loss" for the weighted sum
    and "lr" for the learning rate. Every row is on the disk before the next iteration.

    Args:
        path: the file. A run that goes on from iteration N keeps the rows of what came before N.
        iteration: where the run begins.

    Raises:
        Error: the file is there and is no such table.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike, iteration: int):
        self.path = Path(path)
        kept = [row for row in read_log(path) if row[0] < iteration] if self.path.is_file() else []
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *kept])
        self._file = self.path.open("a", newline="")
        self._writer = csv.writer(self._file)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def add(self, event: Step | Scores | Snapshot) -> None:
        """Take in what happened; snapshots have no numbers."""
        phase = phase_name(event)
        for name, value in numbers(event).items():
            self._writer.writerow((event.iteration, phase, name, repr(value)))
        self._file.flush()


class TensorBoardLog:
    """The same numbers for TensorBoard, which shows them while they come in: scalars `PHASE/NAME`, in float32.

    Every number is on the disk before the next iteration.

    Args:
        folder: where the event files go, made if it is not there. What is there already stays; of it, TensorBoard shows
            what came before `iteration`.
        iteration: where the run begins.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike, iteration: int):
        # Here, not above: only a run that logs waits for this import.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=iteration)

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(self, *exception) -> None:
        self._writer.close()

    def add(self, event: Step | Scores | Snapshot) -> None:
        """Take in what happened; snapshots have no numbers."""
        phase = phase_name(event)
        for name, value in numbers(event).items():
            self._writer.add_scalar(f"{phase}/{name}", value, event.iteration)
        self._writer.flush()


def phase_name(event: Step | Scores | Snapshot) -> str:
    """Where the numbers of an event come from: "train", or "test K" for test network K."""
    return f"test {event.index}" if isinstance(event, Scores) else "train"


def numbers(event: Step | Scores | Snapshot) -> dict[str, float]:
    """The numbers of an event by name."""
    if isinstance(event, Step):
        scalars = {name: float(value) for name, value in event.outputs.items() if value.numel() == 1}
        return scalars | {"loss": event.loss, "lr": event.rate}
    if isinstance(event, Scores):
        scalars = {name: float(value.item()) for name, value in event.scores.items() if value.size == 1}
        return scalars | ({} if event.loss is None else {"loss": event.loss})
    return {}


def read_log(path: str | os.PathLike) -> list[tuple[int, str, str, float]]:
    """The rows of a table that `Log` wrote; a last row that was cut off is left out.

    Raises:
        Error: the file is no such table.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise Error(f"{path}: expected a table with the columns {', '.join(COLUMNS)}; name another file for the log")
    found = []
    for number, row in enumerate(rows[1:], 2):
        try:
            iteration, phase, name, value = row
            found.append((int(iteration), phase, name, float(value)))
        except ValueError:
            if number < len(rows):
                raise Error(f"{path}:{number}: expected {', '.join(COLUMNS)}, found {row}") from None
    return found


def draw_curves(log: str | os.PathLike, picture: str | os.PathLike) -> None:
    """Draw what a log holds over the iterations as a PNG: one panel per name, one line per phase.

    Raises:
        Error: the log is no such table.
        OSError: the picture cannot be written.
    """
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for iteration, phase, name, value in read_log(log):
        curves.setdefault(name, {}).setdefault(phase, []).append((iteration, value))
    figure = Figure(figsize=(8, 3 * max(len(curves), 1)), layout="constrained")
    for index, (name, phases) in enumerate(curves.items()):
        panel = figure.add_subplot(len(curves), 1, index + 1)
        for phase, points in phases.items():
            panel.plot(*zip(*points, strict=True), label=phase, marker="o" if phase != "train" else None, markersize=3)
        panel.set_title(name)
        panel.set_xlabel("iteration")
        panel.grid(alpha=0.3)
        panel.legend()
    with replacing(picture) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
