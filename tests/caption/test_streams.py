"""The HDF5 streams: written by hand here, and read back by the data layers."""

import itertools
from random import Random

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcn
from lrcn.caption import streams as streams_module
from lrcn.caption.streams import Example, fill_streams, fill_up, image_hash, write_streams
from prototxt_import import parse_net

THREE = [Example([5, 6], "a.jpg"), Example([7], "b.jpg"), Example([8, 9, 10, 11, 12], "a.jpg")]
examples = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=7).map(Example), min_size=1, max_size=30)


def test_aligned():
    arrays = fill_streams([*THREE, THREE[0]], streams=2, length=4)
    assert arrays["input_sentence"].T.tolist() == [[0, 5, 6, -1, 0, 8, 9, 10], [0, 7, -1, -1, 0, 5, 6, -1]]
    assert arrays["target_sentence"].T.tolist() == [[5, 6, 0, -1, 8, 9, 10, 11], [7, 0, -1, -1, 5, 6, 0, -1]]
    assert arrays["cont_sentence"].T.tolist() == [[0, 1, 1, 0, 0, 1, 1, 1], [0, 1, 0, 0, 0, 1, 1, 0]]
    assert arrays["stage_indicators"].T.tolist() == [[1, 1, 1, 0, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1, 1, 0]]
    assert arrays["cont"].T.tolist() == [[0, 1, 1, 1, 0, 1, 1, 1]] * 2
    a, b = image_hash("a.jpg"), image_hash("b.jpg")
    assert arrays["hashed_image_path"].T.tolist() == [[a] * 8, [b] * 4 + [a] * 4]


def test_unaligned():
    arrays = fill_streams([*THREE, THREE[1]], streams=2)
    assert arrays["input_sentence"].T.tolist() == [[0, 5, 6, 0, 7, -1, -1, -1], [0, 7, 0, 8, 9, 10, 11, 12]]
    assert arrays["target_sentence"].T.tolist() == [[5, 6, 0, 7, 0, -1, -1, -1], [7, 0, 8, 9, 10, 11, 12, 0]]
    assert arrays["cont_sentence"].T.tolist() == [[0, 1, 1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 1, 1, 1, 1]]


def test_hash_of_an_image_is_the_authors():
    """SHA-1 of the path modulo 100,000."""
    assert image_hash("abc") == 0xA9993E364706816ABA3E25717850C26C9CD0D89D % 100_000


def one_step_at_a_time(captions: list[Example], streams: int) -> list[list[tuple[int, int]]]:
    """(input, target) by row and stream, as the authors make them: row by row, stream by stream, None where none is."""
    waiting = iter(captions)
    current = [iter(()) for _ in range(streams)]
    rows = []
    while True:
        row = []
        for stream in range(streams):
            pair = next(current[stream], None)
            if pair is None:
                caption = next(waiting, None)
                if caption is not None:
                    words = [0, *caption.words, 0]
                    current[stream] = iter(itertools.pairwise(words))
                    pair = next(current[stream])
            row.append(pair)
        if not any(row):
            return rows
        rows.append(row)


@settings(max_examples=30)
@given(examples, st.integers(1, 5))
def test_streams_are_filled_as_the_authors_fill_them(captions, streams):
    arrays = fill_streams(captions, streams)
    found = [
        [(int(i), int(t)) if t >= 0 else None for i, t in zip(inputs, targets, strict=True)]
        for inputs, targets in zip(arrays["input_sentence"], arrays["target_sentence"], strict=True)
    ]
    assert found == one_step_at_a_time(captions, streams)


@settings(max_examples=30)
@given(examples, st.integers(1, 5))
def test_fill_up(captions, streams):
    filled = fill_up(captions, streams, Random(3))
    assert len(filled) % streams == 0
    assert len(filled) - len(captions) < streams
    assert filled[: len(captions)] == captions
    assert all(caption in captions for caption in filled)


@settings(max_examples=10, deadline=None)
@given(examples, st.sampled_from([None, 4]), st.integers(2, 50))
def test_hdf5_data_reads_what_was_written(tmp_path_factory, captions, length, rows_per_file):
    folder = tmp_path_factory.mktemp("streams")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams_module, "ROWS_PER_FILE", rows_per_file)
        files = write_streams(folder / "train", captions, streams=3, length=length)
    arrays = fill_streams(captions, 3, length)
    total = len(arrays["cont"])
    assert len(files) == -(-total // rows_per_file)
    tops = ("cont_sentence", "input_sentence", "target_sentence", "hashed_image_path")
    net = lrcn.Net(
        parse_net(
            f'layer {{ name: "data" type: "HDF5Data" {" ".join(f"top: {top!r}" for top in tops)} '
            f'hdf5_data_param {{ source: "{folder}/train/hdf5_chunk_list.txt" batch_size: {total} }} }}'
        )
    )
    batch = net()
    for top in tops:
        np.testing.assert_array_equal(batch[top].numpy(), arrays[top])


def test_buffer_size_and_image_lists(tmp_path):
    write_streams(tmp_path, THREE, streams=2, length=4)
    with h5py.File(tmp_path / "batch_0.h5") as file:
        assert file["buffer_size"][:].tolist() == [2]
        assert all(file[name].dtype.kind == "f" for name in file if name != "buffer_size")
    assert (tmp_path / "image_list.txt").read_text() == "a.jpg\nb.jpg\na.jpg\n"
    labelled = (tmp_path / "image_list.with_dummy_labels.txt").read_text().splitlines()
    assert labelled[1] == f"b.jpg {image_hash('b.jpg')}"


LANGUAGE_MODEL = """
layer { name: "data" type: "HDF5Data" top: "cont_sentence" top: "input_sentence" top: "target_sentence"
        hdf5_data_param { source: "%s/hdf5_chunk_list.txt" batch_size: 8 } }
layer { name: "embedding" type: "Embed" bottom: "input_sentence" top: "embedded"
        embed_param { input_dim: 13 num_output: 4 bias_term: false weight_filler { type: "gaussian" std: 1 } } }
layer { name: "lstm1" type: "LSTM" bottom: "embedded" bottom: "cont_sentence" top: "lstm1"
        recurrent_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "predict" type: "InnerProduct" bottom: "lstm1" top: "predict"
        inner_product_param { num_output: 13 axis: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "predict" bottom: "target_sentence" top: "loss"
        loss_param { ignore_label: -1 } softmax_param { axis: 2 } }
"""


@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_padding_is_not_learnt(tmp_path, numerics):
    """Another word in its place gives the same loss and the same gradients."""
    found = []
    for name, padding in (("ours", -1), ("other", 7)):
        write_streams(tmp_path / name, [*THREE, THREE[0]], streams=2, length=4)
        with h5py.File(tmp_path / name / "batch_0.h5", "r+") as file:
            words = file["input_sentence"][...]
            file["input_sentence"][...] = np.where(words < 0, padding, words)
        net = lrcn.Net(parse_net(LANGUAGE_MODEL % (tmp_path / name)), numerics=numerics, phase="TRAIN")
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        loss = net.loss(net())
        loss.backward()
        found.append([loss.item(), *(parameter.grad for parameter in net.parameters())])
    assert found[0][0] == found[1][0]
    for ours, other in zip(found[0][1:], found[1][1:], strict=True):
        assert torch.equal(ours, other)


def test_no_captions(tmp_path):
    with pytest.raises(lrcn.Error, match="no captions"):
        write_streams(tmp_path, [])


def test_a_folder_that_a_list_could_not_name(tmp_path):
    with pytest.raises(lrcn.Error, match="take a folder without any in its name"):
        write_streams(tmp_path / "my data", [Example([1], "")])
    assert not any(tmp_path.iterdir())
