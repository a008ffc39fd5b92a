"""The training of the demo's networks: its prototxts through the solver, on a few of its clips."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lrcn
from lrcn.activity.preprocess import STREAMS
from lrcn.activity.synthetic import DEMO_FOLDER, DemoPaths, clips, prepare_clips, write_lists
from lrcn.solver import Solver

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "train.py"
NETWORKS = ("directions", "single_frame", "lrcn")
GROUPS = (8, 9)

# Fast and exact add in different orders: 1e-6 in one loss, and every step of Adam, which divides by the size of the
# gradients, passes its difference on to the next. Ten steps were seen to bring less than a tenth of this.
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder to train in, as scripts/train_demo.py makes it, with eight clips; smaller batches, and no dropout.

    Networks in the working directory come before those beside the solver prototxt.
    """
    folder = tmp_path_factory.mktemp("work")
    few = clips(GROUPS)
    prepare_clips(few, folder)
    write_lists(folder)
    for train_list in folder.glob("*train_*.txt"):
        lines = [line for line in train_list.read_text().splitlines() if any(clip.name in line for clip in few)]
        assert len(lines) >= len(few)
        train_list.write_text("\n".join(lines) + "\n")
        (folder / train_list.name.replace("train", "test")).write_text(train_list.read_text())
    for name in NETWORKS:
        text = (DEMO_FOLDER / f"{name}_train.prototxt").read_text()
        for pattern, value in ((r"dropout_ratio: ", "0"), (r"batch_size: ", "16"), (r'"videos": ', "2")):
            text = re.sub(rf"(?<={pattern})[\d.]+", value, text)
        (folder / f"{name}_train.prototxt").write_text(text)
    return folder


def beginning(network: str, stream: str) -> list[Path]:
    """Where a network begins: with nothing, or with the committed weights of the single-frame network."""
    return [] if network == "directions" else [DEMO_FOLDER / f"{stream}_single.caffemodel"]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("network", NETWORKS)
def test_loss_curves_of_fast_and_exact_overlap(work, monkeypatch, network, stream):
    monkeypatch.chdir(work)
    definition, losses = DEMO_FOLDER / f"{network}_{stream}_solver.prototxt", {}
    for numerics in ("exact", "fast"):
        solver = Solver(definition, weights=beginning(network, stream), numerics=numerics)
        losses[numerics] = [solver.step().loss for _ in range(10)]
    assert len(set(losses["exact"])) == 10
    np.testing.assert_allclose(losses["fast"], losses["exact"], rtol=TOLERANCE)


@pytest.mark.parametrize("stream", STREAMS)
def test_each_network_begins_from_the_one_before_and_the_demo_reads_the_last_two(work, stream):
    begin = []
    for network in NETWORKS:
        solver = DEMO_FOLDER / f"{network}_{stream}_solver.prototxt"
        command = [sys.executable, SCRIPT, "--solver", solver, "--numerics", "fast", "--iterations", "2", *begin]
        finished = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr
        assert not begin or "loaded: conv1, conv2, conv3, fc6\n" in finished.stdout
        begin = ["--weights", f"{network}_{stream}_iter_2.caffemodel"]
    for network, name in ((DemoPaths.single_net, "single_frame"), (DemoPaths.lrcn_net, "lrcn")):
        lrcn.Net(network, weights=work / f"{name}_{stream}_iter_2.caffemodel")
