"""Twenty runs of the training command, each killed at a random moment and resumed: the bits of a run left in peace."""

import multiprocessing
import random
import runpy
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lrcn.snapshot import SolverState, carried_path, read_state
from lrcn.training import read_log
from prototxt_import import read_weights

SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
RUNS, ITERATIONS = 20, 16

# Shuffled images, random crops and mirroring, loaded ahead; dropout; and blobs large enough that a good part of each
# iteration is the writing of its snapshot.
NET = """
    name: "killed"
    layer { name: "in" type: "ImageData" top: "x" top: "label"
      image_data_param { source: "%(folder)s/images.txt" batch_size: 4 shuffle: true }
      transform_param { crop_size: 8 mirror: true mean_value: 120 scale: 0.01 } }
    layer { name: "one" type: "InnerProduct" bottom: "x" top: "a"
      inner_product_param { num_output: 2048 weight_filler { type: "xavier" } } }
    layer { name: "dropout" type: "Dropout" bottom: "a" top: "a" }
    layer { name: "two" type: "InnerProduct" bottom: "a" top: "b"
      inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss" }
"""
SOLVER = """
    net: "%(folder)s/net.prototxt" base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 6 momentum: 0.9
    weight_decay: 0.01 random_seed: 5 max_iter: %(iterations)d test_iter: 2 test_interval: 5 snapshot: 1
    snapshot_prefix: "%(folder)s/%(name)s/s"
"""

# A process forked from one that has imported everything starts in a tenth of a second.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["lrcn.training", "torch.utils.tensorboard", "torch._dynamo", "pytest"])


def run_script(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    runpy.run_path(str(SCRIPT), run_name="train")["main"](arguments)


def start(folder: Path, name: str) -> BaseProcess:
    """Train in a folder of its own, from the newest snapshot there, if there is one."""
    run = folder / name
    if not run.is_dir():
        run.mkdir()
        settings = {"folder": folder, "name": name, "iterations": ITERATIONS}
        (run / "solver.prototxt").write_text(SOLVER % settings)
    states = sorted(run.glob("*.solverstate"), key=lambda path: int(path.stem.split("_")[-1]))
    resumed = ["--snapshot", str(states[-1])] if states else []
    process = PROCESSES.Process(target=run_script, args=(["--solver", str(run / "solver.prototxt"), *resumed],))
    process.start()
    return process


def iterations_logged(run: Path) -> int:
    log = run / "s_log.csv"
    return log.read_bytes().count(b",train,loss,") if log.is_file() else 0


def kill_somewhere(folder: Path, name: str, chance: random.Random) -> str:
    """Start a run and kill it in a random iteration, at any moment or in the middle of a file; tells where that was."""
    iteration, in_file, delay = chance.randrange(ITERATIONS), chance.random() < 0.5, chance.uniform(0, 0.05)
    run, process = folder / name, start(folder, name)
    while process.is_alive() and iterations_logged(run) < iteration:
        time.sleep(0.002)
    if in_file:
        while process.is_alive() and not left_over(run):
            pass
    else:
        time.sleep(delay)
    process.kill()
    process.join()
    state = "finished" if process.exitcode == 0 else "in the middle of a file" if left_over(run) else "between files"
    return f"{name}: {state}, iteration {iterations_logged(run)}"


def left_over(run: Path) -> list[Path]:
    """Files that were being written when a run ended."""
    return list(run.glob(".*.tmp"))


def outcome(run: Path) -> tuple:
    """All that a run ends with, in bytes."""
    path = run / f"s_iter_{ITERATIONS}.solverstate"
    weights = read_weights(path.with_suffix(".caffemodel"))
    parameters = [blob.tobytes() for layer in weights.layers for blob in layer.blobs]
    state: SolverState = read_state(path)
    history = [blob.tobytes() for blob in state.history]
    return parameters, history, state.iteration, state.current_step, carried_path(path).read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    pixels = np.random.default_rng(1).integers(0, 256, (11, 10, 12, 3), np.uint8)
    for index, image in enumerate(pixels):
        cv2.imwrite(str(folder / f"{index}.png"), image)
    (folder / "images.txt").write_text("".join(f"{folder}/{index}.png {index % 5}\n" for index in range(len(pixels))))
    (folder / "net.prototxt").write_text(NET % {"folder": folder})
    return folder


def test_killed_runs_resume_to_the_same_bits(folder):
    whole = start(folder, "whole")
    whole.join()
    assert whole.exitcode == 0
    expected, log = outcome(folder / "whole"), read_log(folder / "whole" / "s_log.csv")
    assert len(expected[0]) == len(expected[1]) == 4

    def kill_and_resume(index: int) -> str:
        name = f"run{index}"
        where = kill_somewhere(folder, name, random.Random(index))
        resumed = start(folder, name)
        resumed.join()
        assert resumed.exitcode == 0, where
        assert outcome(folder / name) == expected, where
        assert read_log(folder / name / "s_log.csv") == log, where
        return where

    with ThreadPoolExecutor(2) as pool:
        places = list(pool.map(kill_and_resume, range(RUNS)))
    print(*places, sep="\n")
    assert sum("finished" not in place for place in places) >= RUNS // 2
    assert any("middle of a file" in place for place in places)
