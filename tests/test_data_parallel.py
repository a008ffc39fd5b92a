"""Two processes that share every batch, against one process with the whole batch."""

import multiprocessing
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from test_data_layers import image_data, images_folder, lmdb_data, raw_datum, video_data, video_folder, write_lmdb
from torch import distributed

from lrcn import Error, Net, random
from lrcn.processes import ALONE, Processes
from lrcn.solver import Solver
from prototxt_import import Message, parse_net

SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
NUMERICS = pytest.mark.parametrize("numerics", ["exact", "fast"])
# The sums over a batch are added up in another order: some units in the last place of a gradient in each of 50 steps.
TOLERANCE = 1e-6


class Pair:
    """Two processes that wait for functions to call, together."""

    def __init__(self, folder):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.ends, theirs = zip(*(context.Pipe() for _ in range(2)), strict=True)
        arguments = [(rank, str(folder / "store"), end) for rank, end in enumerate(theirs)]
        self.processes = [context.Process(target=serve, args=given, daemon=True) for given in arguments]
        for process in self.processes:
            process.start()

    def __call__(self, function, *arguments):
        """What the function returned or raised in each, given its `Processes` and the arguments."""
        for end in self.ends:
            end.send((function, arguments))
        answers = []
        for end in self.ends:
            assert end.poll(300), "a process hangs"
            answers.append(end.recv())
        return answers

    def close(self):
        for end in self.ends:
            end.send(None)
        for process in self.processes:
            process.join(30)
            assert process.exitcode == 0


def serve(rank, store, end):
    torch.set_num_threads(1)  # as torchrun has it
    with Processes(rank, 2, rank, distributed.FileStore(store, 2)) as processes:
        while (job := end.recv()) is not None:
            function, arguments = job
            try:
                end.send(function(processes, *arguments))
            except Error as error:
                end.send(error)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()


# ---- networks: a batch of 4 clips of 3 steps

CLASSIFIER = """
    layer { name: "lstm" type: "LSTM" bottom: "h" bottom: "cont" top: "lstm"
      recurrent_param { num_output: 6 weight_filler { type: "uniform" min: -0.3 max: 0.3 } } }
    layer { name: "out" type: "InnerProduct" bottom: "lstm" top: "o"
      param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
      inner_product_param { axis: 2 num_output: 3 weight_filler { type: "gaussian" std: 0.3 } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "o" bottom: "target" top: "loss" softmax_param { axis: 2 }
      loss_param { ignore_label: -1 } }
    layer { name: "accuracy" type: "Accuracy" bottom: "o" bottom: "target" top: "accuracy" top: "per_class"
      accuracy_param { axis: 2 ignore_label: -1 } }
"""


def sentence_net(folder, batch_size=3, dropout=""):
    return (
        f"""
    layer {{ name: "data" type: "HDF5Data" top: "x" top: "cont" top: "target"
             hdf5_data_param {{ source: "{folder}/sentences.txt" batch_size: {batch_size} }} }}
    layer {{ name: "embed" type: "InnerProduct" bottom: "x" top: "h" param {{ }} param {{ lr_mult: 0 }}
             inner_product_param {{ axis: 2 num_output: 5 weight_filler {{ type: "xavier" }} }} }}
    {dropout}
    layer {{ name: "idle" type: "InnerProduct" bottom: "x" top: "idle"
             inner_product_param {{ axis: 2 num_output: 2 weight_filler {{ type: "xavier" }} }} }}"""
        + CLASSIFIER
    )


def video_net(folder, videos=4, shape="dim: 3 dim: -1"):
    return (
        video_data(folder, videos=videos, clip_length=3, size=8, quirks="none")
        + """
    layer { name: "scale" type: "Power" bottom: "data" top: "data" power_param { scale: 0.01 } }
    layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "f"
      inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
    layer { name: "relu" type: "ReLU" bottom: "f" top: "f" }
    layer { name: "steps" type: "Reshape" bottom: "f" top: "h" reshape_param { shape { SHAPE dim: 8 } } }
    layer { name: "marks" type: "Reshape" bottom: "clip_markers" top: "cont" reshape_param { shape { SHAPE } } }
    layer { name: "labels" type: "Reshape" bottom: "label" top: "target" reshape_param { shape { SHAPE } } }
    """.replace("SHAPE", shape)
        + CLASSIFIER
    )


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    generator = np.random.default_rng(0)
    with h5py.File(folder / "sentences.h5", "w") as file:
        target = generator.integers(0, 3, (21, 4))
        target[:, 1:][generator.random((21, 3)) < 0.4] = -1  # in the first process fewer than in the second
        target[:, 2:][generator.random((21, 2)) < 0.4] = -1
        file["x"] = generator.standard_normal((21, 4, 7)).astype(np.float32)
        file["cont"] = (generator.random((21, 4)) < 0.8).astype(np.float32)
        file["target"] = target.astype(np.float32)
    (folder / "sentences.txt").write_text(f"{folder}/sentences.h5\n")
    video_folder(folder / "videos", [6, 9, 7])
    images_folder(folder, [(9, 8), (8, 9), (9, 9), (8, 8), (10, 9)])
    write_lmdb(folder / "base", [raw_datum(np.full((1, 4, 4), index, np.uint8), index) for index in range(5)])
    return folder


def make_solver(processes, net, numerics, fields):
    given = {"base_lr": 0.02, "lr_policy": "step", "gamma": 0.5, "stepsize": 20, "max_iter": 50, "momentum": 0.9}
    given |= {"snapshot_after_train": False}
    definition = Message("SolverParameter", **(given | {"random_seed": 5, "weight_decay": 0.01} | fields))
    definition.net_param = parse_net(net)
    return Solver(definition, numerics=numerics, processes=processes)


def train(processes, net, numerics, fields=(), restored=None):
    """What happened, as numbers, and the parameters at the end."""
    solver = make_solver(processes, net, numerics, dict(fields))
    if restored is not None:
        solver.restore(restored)
    numbers = []
    for event in solver.run():
        if hasattr(event, "loss"):
            values = event.outputs if hasattr(event, "outputs") else event.scores
            numbers.append(
                [event.loss or 0.0, *(float(value.sum()) for name, value in sorted(values.items()) if name != "idle")]
            )
    return np.array(numbers), [blob.parameter.detach().numpy() for blob in solver.learnables]


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def assert_alike(pair, *arguments):
    expected, parameters = train(ALONE, *arguments)
    answers = pair(train, *arguments)
    for found, _ in answers:
        np.testing.assert_allclose(found, expected, rtol=0, atol=10 * TOLERANCE)
    assert same(answers[0][1], answers[1][1])
    for found, wanted in zip(answers[0][1], parameters, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    return expected


@NUMERICS
def test_videos(pair, material, numerics):
    numbers = assert_alike(pair, video_net(material / "videos"), numerics)
    assert len(numbers) == 50


@NUMERICS
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"iter_size": 2, "clip_gradients": 0.3},
        {
            "type": "Adam",
            "momentum2": 0.999,
            "base_lr": 0.001,
            "test_iter": [2],
            "test_interval": 20,
            "test_compute_loss": True,
        },
    ],
    ids=["plain", "passes", "tests"],
)
def test_sentences_with_labels_that_do_not_count(pair, material, numerics, fields):
    numbers = assert_alike(pair, sentence_net(material), numerics, fields)
    assert numbers[-1, 0] < numbers[0, 0]


def test_clipping_is_active(material):
    fields = {"iter_size": 2, "max_iter": 3}
    _, free = train(ALONE, sentence_net(material), "exact", fields)
    _, clipped = train(ALONE, sentence_net(material), "exact", fields | {"clip_gradients": 0.3})
    assert not same(free, clipped)


INPUTS = """
    layer { name: "in" type: "Input" top: "x" top: "y" input_param { shape { dim: 6 dim: 3 } shape { dim: 6 dim: 2 } } }
    layer { name: "out" type: "InnerProduct" bottom: "x" top: "o"
      inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.5 } } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "o" bottom: "y" top: "loss" loss_weight: 2 }
    layer { name: "size" type: "Power" bottom: "o" top: "size" loss_weight: 0.1 power_param { power: 2 } }
"""


def one_step(processes, batch, numerics):
    solver = make_solver(processes, INPUTS, numerics, {})
    step = solver.step({name: processes.share(values) for name, values in batch.items()})
    return step.loss, [blob.parameter.detach().numpy() for blob in solver.learnables]


@NUMERICS
def test_caller_passes_shares_and_other_losses_add_up(pair, numerics):
    generator = np.random.default_rng(1)
    batch = {"x": generator.standard_normal((6, 3)), "y": generator.standard_normal((6, 2))}
    loss, parameters = one_step(ALONE, batch, numerics)
    for found, values in pair(one_step, batch, numerics):
        assert found == pytest.approx(loss, rel=TOLERANCE)
        for mine, wanted in zip(values, parameters, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=TOLERANCE)


# ---- data


def read_batches(processes, text):
    random.seed(7)
    net = Net(parse_net(text), numerics="fast", phase="TRAIN", processes=processes)
    return [[value.numpy() for value in net().values()] for _ in range(3)]


@pytest.mark.parametrize("kind", ["images", "base", "rows"])
def test_shares_are_those_of_the_whole_batch(pair, material, kind):
    text = {
        "images": image_data(material, "batch_size: 4 shuffle: true", "mirror: true crop_size: 6"),
        "base": lmdb_data(material / "base", 4, "mirror: true crop_size: 3"),
        "rows": f"""layer {{ name: "data" type: "HDF5Data" top: "x" top: "target"
            hdf5_data_param {{ source: "{material}/sentences.txt" batch_size: 4 }} }}""",
    }[kind]
    whole = read_batches(ALONE, text)
    for expected, *shares in zip(whole, *pair(read_batches, text), strict=True):
        assert same(expected, [np.concatenate(parts) for parts in zip(*shares, strict=True)])


def raised(pair, *arguments):
    """The message that both processes end with."""
    answers = pair(*arguments)
    assert [type(answer) for answer in answers] == [Error, Error], answers
    assert str(answers[0]) == str(answers[1])
    return str(answers[0])


def build(processes, text):
    Net(parse_net(text), phase="TRAIN", processes=processes)


def test_what_cannot_be_shared_is_said(pair, material):
    videos = material / "videos"
    flat_rows = sentence_net(material, 4).replace('bottom: "h" bottom: "cont"', 'bottom: "steps" bottom: "marks"')
    flat_rows = flat_rows.replace(
        'layer { name: "lstm"',
        """
        layer { name: "s" type: "Reshape" bottom: "h" top: "steps" reshape_param { shape { dim: 4 dim: -1 dim: 5 } } }
        layer { name: "m" type: "Reshape" bottom: "cont" top: "marks" reshape_param { shape { dim: 4 dim: -1 } } }
        layer { name: "lstm\"""",
    )
    for text, message in [
        (video_net(videos, videos=3), "layer 'data' (Python): a batch of 3 cannot be shared equally by 2 processes"),
        (video_net(videos, shape="dim: 3 dim: 4"), "write dim: -1 for the number of items or streams"),
        (video_net(videos, videos=6, shape="dim: -1 dim: 3"), "a Reshape before it fixes the number of streams"),
        (flat_rows, "its clip markers come from 'data' as flat rows"),
    ]:
        assert message in raised(pair, build, text)


# ---- snapshots and failures

DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "h" top: "h" }'


@NUMERICS
def test_resumed_run_is_the_whole_one(pair, material, tmp_path, numerics):
    fields = {"max_iter": 9, "snapshot": 4, "snapshot_prefix": f"{tmp_path}/s"}
    arguments = (sentence_net(material, dropout=DROPOUT), numerics, fields)
    whole = pair(train, *arguments)
    resumed = pair(train, *arguments, f"{tmp_path}/s_iter_4.solverstate")
    for (_, expected), (numbers, found) in zip(whole, resumed, strict=True):
        assert len(numbers) == 5
        assert same(expected, found)
    with pytest.raises(Error, match="found those of 2, and this run has 1"):
        train(ALONE, *arguments, f"{tmp_path}/s_iter_4.solverstate")


def mask(processes, numerics):
    net = """
        layer { name: "x" type: "DummyData" top: "x" dummy_data_param { data_filler { value: 1 }
          shape { dim: 90 dim: 1 } } }
        layer { name: "drop" type: "Dropout" bottom: "x" top: "x" }
        layer { name: "o" type: "InnerProduct" bottom: "x" top: "o" loss_weight: 1
          inner_product_param { num_output: 1 } }"""
    return make_solver(processes, net, numerics, {}).step(blobs=["x"]).outputs["x"].numpy()


@NUMERICS
def test_each_process_drops_by_itself_and_the_first_as_one_alone(pair, numerics):
    first, second = pair(mask, numerics)
    assert len(first) == len(second) == 45
    assert (first != second).any()
    if numerics == "exact":  # PyTorch's masks of 45 are not the beginning of those of 90
        assert same(first, mask(ALONE, numerics)[:45])


@NUMERICS
def test_divergence_stops_both(pair, material, tmp_path, numerics):
    fields = {"base_lr": 1e30, "snapshot_prefix": f"{tmp_path}/s"}
    assert re.search(r"iteration \d+: the loss is", raised(pair, train, sentence_net(material), numerics, fields))


def test_snapshot_that_cannot_be_written_stops_both(pair, material, tmp_path):
    fields = {"max_iter": 2, "snapshot": 1, "snapshot_prefix": f"{tmp_path}/absent/s"}
    assert "must be a folder" in raised(pair, train, sentence_net(material), "exact", fields)


# ---- the command

SOLVER = """
    net: "net.prototxt" base_lr: %g lr_policy: "fixed" max_iter: %d random_seed: 3 display: 5
    snapshot: 4 snapshot_prefix: "%s/s"
"""


def command(folder, net, base_lr, max_iter, *options):
    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(SOLVER % (base_lr, max_iter, folder))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launcher, SCRIPT, "--solver", folder / "solver.prototxt", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("gpu, message", [("all", "belongs to several processes"), ("0,1", "the number of a GPU")])
def test_gpus_must_fit_the_processes(gpu, message):
    with pytest.raises(Error, match=message):
        runpy.run_path(str(SCRIPT))["find_device"](gpu, ALONE)


def test_interrupt_takes_one_snapshot_and_stops_all(material, tmp_path):
    process = command(tmp_path, sentence_net(material, dropout=DROPOUT), 0.01, 10**9, "--numerics", "fast")
    shown = ""
    while "Iteration 4, snapshot" not in shown:
        assert process.poll() is None, process.stderr.read()
        shown += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=300)
    shown += rest
    assert shown.count("Iteration 0, loss = ") == 1
    assert shown.count("stopped; go on with --snapshot") == 1, error
    last = max(int(name) for name in re.findall(r"s_iter_(\d+).solverstate\n", shown))
    solver = make_solver(ALONE, sentence_net(material, dropout=DROPOUT), "fast", {})
    with pytest.raises(Error, match="found those of 2, and this run has 1"):
        solver.restore(tmp_path / f"s_iter_{last}.solverstate")


@pytest.mark.parametrize(
    "last, base_lr, message", [("absent.png", 0.01, "absent.png"), ("image 3.png", 1e37, "The training diverged")]
)
def test_one_message_tells_why_all_end(material, tmp_path, last, base_lr, message):
    for image in material.glob("image *.png"):
        shutil.copy(image, tmp_path)
    names = ["image 0.png", "image 1.png", "image 2.png", last]  # the second process reads the last
    (tmp_path / "list.txt").write_text("".join(f"{name} 0\n" for name in names))
    net = (
        image_data(tmp_path, "batch_size: 4", "crop_size: 6")
        + """
        layer { name: "out" type: "InnerProduct" bottom: "data" top: "o"
          inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "o" bottom: "label" top: "loss" }"""
    )
    process = command(tmp_path, net, base_lr, 50)
    _, error = process.communicate(timeout=300)
    assert process.returncode != 0
    messages = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1, error
    assert message in messages[0]
    assert "Connection" not in error
