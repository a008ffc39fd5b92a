"""What the benchmarks share: how two things are timed in turn, and how a figure is told."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def describe_machine() -> str:
    """Processor, threads and versions in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    flags = next((f"{line} " for line in lines if line.startswith("flags")), "")
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {name} " in flags]
    return (
        f"{names[0] if names else platform.machine()} ({' '.join(extensions)}), {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads; torch {torch.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}"
    )


def alternately(first: Callable[[], object], second: Callable[[], object], repeats: int) -> dict[str, float]:
    """Run both in turn, once each to warm up, then `repeats` times; medians of times and of ratios, pair by pair."""
    first(), second()
    pairs = [(timed(first), timed(second)) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    return {
        "seconds_first": statistics.median(a for a, _ in pairs),
        "seconds_second": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def timed(function: Callable[[], object]) -> float:
    """Seconds of wall time."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def summary(figure: dict) -> str:
    """One line for the table."""
    if "ratio" not in figure:
        return figure["result"]
    return (
        f"{figure['seconds_first']:.3f} s against {figure['seconds_second']:.3f} s: "
        f"{figure['ratio']:.2f} times (from {figure['ratio_min']:.2f} to {figure['ratio_max']:.2f})"
    )
