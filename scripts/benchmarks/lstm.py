"""The fused LSTM against torch.nn.LSTM, a loop over steps as Caffe runs it, and the exact path.

torch.nn.LSTM knows no resets: where streams begin anew its sequences are cut at them and packed, and its output put
back in place; where there is a static input it is joined to every step's input. Both count as part of the call.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lrcn.nn import LSTM
from lrcn.ops import blas, exact, recurrent
from prototxt_import import replacing

from . import alternately, describe_machine

RESETS = 0.03  # share of the steps at which a stream begins anew, where there are any
COLUMNS = (
    "device", "T", "N", "I", "H", "static", "resets", "precision", "direction", "against",
    "seconds_theirs", "seconds_ours", "ratio", "ratio_min", "ratio_max",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Sizes of a sequence, and what is special about it; a single step is only run forward, as in decoding."""

    T: int
    N: int
    inputs: int
    H: int
    static: int = 0
    resets: float = 0.0

    def __str__(self) -> str:
        special = [f"static input of {self.static}"] * bool(self.static) + [f"{self.resets:.0%} resets"] * bool(
            self.resets
        )
        return ", ".join([f"(T, N, I, H) = ({self.T}, {self.N}, {self.inputs}, {self.H})", *special])


CASES = {
    "lstm-activity": Case(16, 10, 4096, 256),
    "lstm-activity-training": Case(16, 24, 4096, 256),
    "lstm-activity-many": Case(16, 500, 4096, 256),
    "lstm-caption": Case(20, 100, 1000, 1000),
    "lstm-caption-resets": Case(20, 100, 1000, 1000, resets=RESETS),
    "lstm-caption-static": Case(20, 100, 1000, 1000, static=1000),
    "lstm-caption-static-resets": Case(20, 100, 1000, 1000, static=1000, resets=RESETS),
    "lstm-step-1": Case(1, 1, 1000, 1000),
    "lstm-step-5": Case(1, 5, 1000, 1000),
    "lstm-step-100": Case(1, 100, 1000, 1000),
    "lstm-step-1000": Case(1, 1000, 1000, 1000),
    "lstm-long": Case(128, 128, 256, 256),
}


class Sequence:
    """The input of a case, the module of the project, and the ways to run it."""

    def __init__(self, case: Case, device: str, precision: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.module = LSTM(case.inputs, case.H, case.static or None, precision=precision).to(device)
        self.x = torch.randn(case.T, case.N, case.inputs, generator=generator).to(device).requires_grad_()
        self.x_static = torch.randn(case.N, case.static, generator=generator).to(device) if case.static else None
        cont = (torch.rand(case.T, case.N, generator=generator) >= case.resets).float()
        cont[0] = 0
        self.cont = cont.to(device)
        self.zeros = self.x.new_zeros(case.N, case.H)
        self.has_resets = case.resets > 0
        self.theirs = nn.LSTM(case.inputs + case.static, case.H).to(device)

    def parameters(self) -> list[nn.Parameter]:
        """Of both modules."""
        return [*self.module.parameters(), *self.theirs.parameters()]

    def ours(self) -> Tensor:
        """The fused op."""
        return self.module(self.x, self.cont, self.x_static)[0]

    def torch(self) -> Tensor:
        """torch.nn.LSTM."""
        x = self.x
        if self.x_static is not None:
            x = torch.cat([x, self.x_static.expand(len(x), -1, -1)], dim=2)
        if not self.has_resets:
            return self.theirs(x)[0]
        place, batch_sizes = cut(self.cont)
        h = self.theirs(PackedSequence(x.flatten(0, 1)[place], batch_sizes))[0].data
        return torch.empty_like(h).index_copy(0, place, h).view(*self.cont.shape, -1)

    def _caffe_order(self) -> tuple:
        module = self.module
        return self.x, self.cont, module.w_x, module.b, module.w_h, self.x_static, module.w_static

    def loop(self) -> Tensor:
        """The equations step by step, a dozen operations each."""
        return recurrent.lstm(*self._caffe_order(), self.zeros, self.zeros)[0]

    def exact(self) -> Tensor:
        """Caffe's bits."""
        return exact.lstm(*self._caffe_order(), self.zeros, self.zeros)[0]


def cut(cont: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences cut where cont is 0, as a packed batch, longest first: the place of each row in (T N), batch sizes."""
    T, N = cont.shape
    stream, start = (cont.t() == 0).nonzero(as_tuple=True)
    last = torch.cat([stream[1:] != stream[:-1], stream.new_ones(1, dtype=torch.bool)])
    end = torch.where(last, T, torch.cat([start[1:], start[:1]]))
    length, order = (end - start).sort(descending=True, stable=True)
    step = torch.arange(int(length[0]), device=cont.device)[:, None]
    inside = step < length
    return ((start[order] + step) * N + stream[order])[inside], inside.sum(1).cpu()


def compare(case: Case, options: argparse.Namespace) -> dict:
    """All rows of one case."""
    device = options.device
    precisions = ("ieee", "tf32") if device == "cuda" else ("ieee",)
    rows = [row for precision in precisions for row in compare_at(case, options, precision)]
    return {"what": str(case), "result": "".join(map(line, rows)), "rows": rows}


def line(row: dict) -> str:
    """One row for the table, on a line of its own."""
    return (
        f"\n    {row['direction']:18} {row['precision']} {row['against']:15} {row['seconds_theirs'] * 1e3:9.2f} ms"
        f" against {row['seconds_ours'] * 1e3:9.2f} ms: {row['ratio']:6.2f} times"
        f" (from {row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
    )


def compare_at(case: Case, options: argparse.Namespace, precision: str) -> list[dict]:
    """The rows of one case in one precision, for both sides the same."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    sequence = Sequence(case, options.device, precision)
    against = {"torch.nn.LSTM": sequence.torch, "loop over steps": sequence.loop}
    if options.device == "cpu":
        blas.load()
        against["exact"] = sequence.exact
    directions = {"forward": forward, "forward + backward": forward_backward}
    if case.T == 1:
        del directions["forward + backward"]
    name = torch.cuda.get_device_name() if options.device == "cuda" else describe_machine()
    return [
        {
            "device": name, "T": case.T, "N": case.N, "I": case.inputs, "H": case.H, "static": case.static,
            "resets": case.resets, "precision": precision, "direction": direction, "against": theirs,
        }
        | renamed(alternately(partial(run, sequence, function), partial(run, sequence, sequence.ours), options.repeats))
        for direction, run in directions.items()
        for theirs, function in against.items()
    ]  # fmt: skip


def renamed(figure: dict[str, float]) -> dict[str, float]:
    """The figure of `alternately` with the names of the columns."""
    return {
        "seconds_theirs": figure.pop("seconds_first"),
        "seconds_ours": figure.pop("seconds_second"),
        **figure,
    }


def finish(x: Tensor) -> None:
    """Wait until the device is done."""
    if x.is_cuda:
        torch.cuda.synchronize()


def forward(sequence: Sequence, function: Callable[[], Tensor]) -> None:
    """Without gradients."""
    with torch.no_grad():
        finish(function())


def forward_backward(sequence: Sequence, function: Callable[[], Tensor]) -> None:
    """With gradients of x and of the weights."""
    sequence.x.grad = None
    for parameter in sequence.parameters():
        parameter.grad = None
    h = function()
    h.backward(torch.ones_like(h))
    finish(h)


def write_csv(path: Path, results: dict[str, dict]) -> None:
    """The rows of those figures that have any."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for result in results.values():
            writer.writerows(result.get("rows", []))


FIGURES = {name: partial(compare, case) for name, case in CASES.items()}
