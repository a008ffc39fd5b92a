"""Measure speed: every figure is a ratio of two things run alternately in one process.

    python scripts/benchmark.py [GROUP ...] [--only NAME ...] [--repeats N] [--device cpu|cuda] [--json OUT]
    python scripts/benchmark.py lstm [--csv OUT]

The networks are the paper's at full size with random weights; the frames are random, or, with --frames, those of one
video. Absolute times say little about another machine, ratios more.
"""

import argparse
import json
from pathlib import Path

from benchmarks import caption, describe_machine, flow, inference, lstm, retrieval, summary, training

from lrcn.cli import run
from lrcn.devices import check_device
from lrcn.errors import Error

GROUPS = {
    "inference": inference.FIGURES,
    "training": training.FIGURES,
    "lstm": lstm.FIGURES,
    "flow": flow.FIGURES,
    "caption": caption.FIGURES,
    "retrieval": retrieval.FIGURES,
}


def main(argv: list[str] | None = None) -> int:
    """Parse, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)} (default: all)")
    names = [name for figures in GROUPS.values() for name in figures]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"single figures: {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each thing; the median counts (default 5)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="for the group lstm (default cpu)")
    parser.add_argument("--frames", type=Path, help="folder with the frames of one video")
    parser.add_argument("--json", type=Path, help="file that receives the figures")
    parser.add_argument("--csv", type=Path, help="file that receives the rows of the group lstm")
    options = parser.parse_args(argv)
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        raise Error(f"unknown group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    check_device(options.device)
    machine = describe_machine()
    print(machine)
    results = {}
    for name, figure in chosen(options.groups or list(GROUPS), options.only).items():
        results[name] = figure(options)
        print(f"{name:18} {results[name]['what']}\n{'':18} {summary(results[name])}", flush=True)
    if options.csv:
        lstm.write_csv(options.csv, results)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "figures": results}, indent=2))
    return 0


def chosen(groups: list[str], only: list[str] | None) -> dict:
    """The figures of these groups by name, or of them those named."""
    figures = {name: figure for group in groups for name, figure in GROUPS[group].items()}
    return {name: figure for name, figure in figures.items() if only is None or name in only}


if __name__ == "__main__":
    run(main)
