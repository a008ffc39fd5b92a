"""Training from image lists and HDF5 streams, frozen and end to end, with captions on the way."""

import cv2
import numpy as np
import pytest
from caption_material import IMAGE_NET, vocabulary, word_net_text

from lrcn import Net
from lrcn.caption.decoder import Decoder
from lrcn.caption.generate import Beam, beam_search
from lrcn.caption.progress import Progress
from lrcn.caption.streams import Example, write_streams
from lrcn.convert import load_weights
from lrcn.errors import Error
from prototxt_import import parse_net

STREAMS, WORDS = 4, 12

DATA = """
    layer {{ name: "data" type: "ImageData" top: "data" top: "label"
             transform_param {{ crop_size: 32 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.01 }}
             image_data_param {{ source: "{folder}/image_list.with_dummy_labels.txt" batch_size: 4
                                 new_height: 36 new_width: 36 }} }}
    layer {{ name: "silence" type: "Silence" bottom: "label" }}
"""
SENTENCES = """
    layer {{ name: "sentences" type: "HDF5Data" top: "cont_sentence" top: "input_sentence" top: "target_sentence"
             hdf5_data_param {{ source: "{folder}/hdf5_chunk_list.txt" batch_size: 6 }} }}
"""
LOSS = """
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "predict" bottom: "target_sentence" top: "loss"
            loss_param { ignore_label: -1 } softmax_param { axis: 2 } }
"""
SOLVER = """
    net: "train.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 3 random_seed: 1
    test_iter: 1 test_interval: 2 display: 1 snapshot_prefix: "small"
"""


def layers_of(text):
    """A network's text without its inputs."""
    return "\n".join(line for line in text.splitlines() if "input_shape" not in line)


def with_fillers(text):
    """Random initial values for all weights."""
    for field in (
        "num_output: 6 }",
        "num_output: 12 axis: 2 }",
        "bias_term: false }",
        "stride: 8 }",
        "num_output: 5 }",
    ):
        text = text.replace(field, field[:-1] + 'weight_filler { type: "uniform" min: -0.3 max: 0.3 } }')
    return text


@pytest.fixture
def train(run_script, monkeypatch, tmp_path):
    """Runs scripts/train.py in a folder of its own; returns status, output and problems."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_script("train", *arguments)


@pytest.fixture
def data(tmp_path):
    """Eight pictures with captions, as HDF5 streams and image lists."""
    rng = np.random.default_rng(0)
    examples = []
    for number in range(2 * STREAMS):
        path = tmp_path / f"picture{number}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (40, 40, 3), np.uint8))
        examples.append(Example(rng.integers(2, WORDS, rng.integers(1, 5)).tolist(), str(path)))
    write_streams(tmp_path / "aligned", examples, streams=STREAMS, length=6)
    write_streams(tmp_path / "unaligned", examples, streams=STREAMS)
    vocabulary(WORDS).save(tmp_path / "vocabulary.txt")
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def captioning_net(folder, frozen):
    """The training network of a small captioning model."""
    image_net = layers_of(IMAGE_NET.format(descriptor=5))
    if frozen:
        image_net = image_net.replace('top: "conv1"', 'top: "conv1" param { lr_mult: 0 } param { lr_mult: 0 }')
    words = layers_of(word_net_text("factored", WORDS, 6, 5)).replace('"image_features"', '"fc8"')
    words = "\n".join(line for line in words.splitlines() if '"probs"' not in line)
    data = DATA.format(folder=folder / "aligned") + SENTENCES.format(folder=folder / "aligned")
    return data + with_fillers(image_net + words) + LOSS


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_captioner_learns_with_and_without_its_image_net(train, data, frozen, numerics):
    (data / "train.prototxt").write_text(captioning_net(data, frozen))
    (data / "words.prototxt").write_text(word_net_text("factored", WORDS, 6, 5))
    (data / "image.prototxt").write_text(IMAGE_NET.format(descriptor=5))
    status, printed, problem = train(
        "--solver", "solver.prototxt", "--numerics", numerics, "--vocab", "vocabulary.txt",
        "--word-net", "words.prototxt", "--image-net", "image.prototxt", "--pictures", "picture0.png", "picture1.png",
    )  # fmt: skip
    assert status == 0, problem
    assert printed.count("    picture0.png: ") == printed.count("    picture1.png: ") == 2  # at iterations 0 and 2


def test_a_frozen_image_net_stays_as_its_weights_file_has_it(train, data):
    changed = {}
    for frozen in (True, False):
        (data / "train.prototxt").write_text(captioning_net(data, frozen))
        assert train("--solver", "solver.prototxt", "--numerics", "fast", "--iterations", 1)[0] == 0
        start = load_weights(data / "small_iter_1.caffemodel")
        begun = start["conv1"][0].copy()
        assert train(
            "--solver", "solver.prototxt", "--numerics", "fast", "--weights", "small_iter_1.caffemodel"
        )[0] == 0  # fmt: skip
        changed[frozen] = not np.array_equal(load_weights(data / "small_iter_3.caffemodel")["conv1"][0], begun)
    assert changed == {True: False, False: True}


def test_a_language_model_learns_and_shows_sentences(train, data):
    words = layers_of(word_net_text("language model", WORDS, 6, 0))
    words = "\n".join(line for line in words.splitlines() if '"probs"' not in line)
    (data / "train.prototxt").write_text(SENTENCES.format(folder=data / "unaligned") + with_fillers(words) + LOSS)
    (data / "words.prototxt").write_text(word_net_text("language model", WORDS, 6, 0))
    arguments = ["--solver", "solver.prototxt", "--vocab", "vocabulary.txt", "--word-net", "words.prototxt"]
    status, printed, problem = train(*arguments)
    assert status == 0, problem
    written = [line for line in printed.splitlines() if line.endswith(".") and line.startswith("    ")]
    assert len(written) == 6  # three at iteration 0, three at 2


def test_options_that_do_not_go_together(train, data):
    (data / "train.prototxt").write_text(captioning_net(data, False))
    (data / "words.prototxt").write_text(word_net_text("factored", WORDS + 1, 6, 5))
    (data / "image.prototxt").write_text(IMAGE_NET.format(descriptor=5))
    solver = ["--solver", "solver.prototxt"]
    assert "captions need --vocab and --word-net" in train(*solver, "--vocab", "vocabulary.txt")[2]
    words = ["--vocab", "vocabulary.txt", "--word-net", "words.prototxt"]
    assert "--image-net and --pictures" in train(*solver, *words, "--image-net", "image.prototxt")[2]
    pictures = ["--image-net", "image.prototxt", "--pictures", data / "picture0.png"]
    assert "the vocabulary has 12 words with <EOS>, the word net 13" in train(*solver, *words, *pictures)[2]
    (data / "words.prototxt").write_text(word_net_text("factored", WORDS, 7, 5))
    assert "in the network that is trained they are" in train(*solver, *words, *pictures)[2]


def test_progress_writes_what_the_trained_net_would():
    trained, deployed = (Net(parse_net(word_net_text("language model", WORDS, 6, 0))) for _ in range(2))
    for blobs in trained.params.values():
        for blob in blobs:
            blob.data.uniform_(-1, 1)
    progress = Progress(trained, deployed, vocabulary(WORDS))
    first = progress.lines(seed=1)
    assert len(first) == 3 and first == progress.lines(seed=1) != progress.lines(seed=2)
    one, two = (beam_search(Decoder(net), np.empty((1, 0), np.float32), Beam(2)) for net in (trained, deployed))
    assert one == two
    with pytest.raises(Error, match="the vocabulary has 13 words"):
        Progress(trained, deployed, vocabulary(WORDS + 1))
