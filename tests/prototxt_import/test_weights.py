import os
import struct
import sys
import time

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototxt_import import FormatError, LayerWeights, Message, Weights, parse_net, read_weights, write_weights
from prototxt_import.schema import DIALECTS
from prototxt_import.wire import Encoder, write_message

DEFINITION = parse_net("""
    name: "net"
    layer { name: "relu" type: "ReLU" }
    layer { name: "lstm" type: "LSTM" recurrent_param { num_output: 2 } }
    layer { name: "e" type: "Embed" embed_param { num_output: 3 } }
""")


def bits(weights: Weights) -> dict[str, tuple]:
    return {name: (blob.shape, blob.dtype, blob.tobytes()) for name, blob in weights.blobs()}


@pytest.mark.parametrize("name", ["legacy_v0", "legacy_v1"])
def test_blobs_of_the_older_forms(data, name):
    path = data / "recorded" / name / "weights.caffemodel"
    weights = read_weights(path)
    assert (weights.name, weights.dialect, weights.path) == (name, "bvlc", str(path))
    assert weights.format == name[-2:].upper()
    assert [layer.name for layer in weights.layers] == ["conv1", "conv2", "fc"]
    assert [layer.type for layer in weights.layers] == ["Convolution", "Convolution", "InnerProduct"]
    assert all(blob.ndim == 4 for _, blob in weights.blobs())
    theirs = oracle.message_class("bvlc", "NetParameter").FromString(path.read_bytes())
    stored = [layer.layer if name == "legacy_v0" else layer for layer in theirs.layers]
    for layer in stored:
        for blob, ours in zip(layer.blobs, weights[layer.name] if layer.blobs else [], strict=True):
            assert ours.shape == (blob.num, blob.channels, blob.height, blob.width)
            assert ours.tobytes() == np.array(blob.data, np.float32).tobytes()


@pytest.mark.parametrize("name", ["legacy_v0", "legacy_v1"])
def test_the_older_forms_can_be_written_in_the_current_one(data, tmp_path, name):
    weights = read_weights(data / "recorded" / name / "weights.caffemodel")
    assert write_weights(tmp_path / "new.caffemodel", weights) == {}
    new = read_weights(tmp_path / "new.caffemodel")
    assert new.format == "current" and bits(new) == bits(weights) and new.net == weights.net


SHAPES = st.lists(st.integers(1, 4), max_size=5).map(tuple)


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=40, deadline=None)
@given(shapes=st.lists(SHAPES, min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1), double=st.booleans())
def test_every_bit_survives_in_every_dialect(tmp_path_factory, dialect, shapes, seed, double):
    rng = np.random.default_rng(seed)
    number, pattern = (np.float64, np.uint64) if double else (np.float32, np.uint32)
    blobs = [rng.integers(0, np.iinfo(pattern).max, shape, pattern, endpoint=True).view(number) for shape in shapes]
    weights = Weights(
        "net", [LayerWeights("lstm", "LSTM", blobs), LayerWeights("extra", "Scale", blobs[:1])], DEFINITION
    )
    path = tmp_path_factory.mktemp("round_trip") / "w.caffemodel"
    assert write_weights(path, weights, dialect) == {}
    read = read_weights(path)
    assert read.dialect == dialect and read.format == "current"
    assert bits(read) == bits(weights)
    assert read.net.layer[:3] == DEFINITION.layer[:3]
    assert read.net.layer[3] == Message("LayerParameter", name="extra", type="Scale")
    theirs = oracle.message_class(dialect, "NetParameter").FromString(path.read_bytes())
    assert theirs.layer[1].recurrent_param.num_output == 2 and theirs.layer[2].embed_param.num_output == 3
    assert [tuple(blob.shape.dim) for blob in theirs.layer[1].blobs] == shapes


def test_blobs_are_read_only_views_of_the_map(data):
    for _, blob in read_weights(data / "recorded" / "legacy_v1" / "weights.caffemodel").blobs():
        assert not blob.flags.owndata and not blob.flags.writeable


def test_not_contiguous_blobs_are_written_in_their_order(tmp_path):
    blob = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2]
    write_weights(tmp_path / "w.caffemodel", Weights("n", [LayerWeights("a", "Scale", [blob])]))
    assert np.array_equal(read_weights(tmp_path / "w.caffemodel")["a"][0], blob)


def test_unpacked_numbers_and_doubles(tmp_path):
    blob = bytes.fromhex("3a040a020201") + b"".join(b"\x2d" + struct.pack("<f", x) for x in (1.5, -2))
    layer = Encoder("bvlc").encode(Message("LayerParameter", name="a", type="Scale"))
    layer = b"".join(layer) + b"\x3a" + bytes([len(blob)]) + blob
    (tmp_path / "w.caffemodel").write_bytes(b"\xa2\x06" + bytes([len(layer)]) + layer)
    weights = read_weights(tmp_path / "w.caffemodel")
    assert weights["a"][0].tolist() == [[1.5], [-2]]
    both = Message("BlobProto", shape=Message("BlobShape", dim=[1]), data=[1], double_data=[0.1])
    net = Message("NetParameter", layer=[Message("LayerParameter", name="a", blobs=[both])])
    write_message(tmp_path / "w.caffemodel", net)
    assert read_weights(tmp_path / "w.caffemodel")["a"][0].tolist() == [0.1]  # doubles come first, as in Caffe


@pytest.mark.parametrize(
    ("blob", "problem"),
    [
        (
            Message("BlobProto", shape=Message("BlobShape", dim=[2, 3]), data=[1]),
            r"shape \(2, 3\) has 6 values; found 1",
        ),
        (Message("BlobProto", num=2, data=[1]), r"shape \(2, 0, 0, 0\) has 0 values; found 1"),
        (Message("BlobProto", shape=Message("BlobShape", dim=[2**62, 2**62]), data=[1]), "has 21267647932558653966"),
        (Message("BlobProto", shape=Message("BlobShape", dim=[-1, -1]), data=[1]), "none negative"),
        (Message("BlobProto", shape=Message("BlobShape", dim=[1] * 33), data=[1]), "at most 32 axes"),
        (Message("BlobProto"), r"shape \(\) has 1 values; found 0"),
    ],
)
def test_blobs_must_fit_their_shape(tmp_path, blob, problem):
    path = tmp_path / "w.caffemodel"
    write_message(path, Message("NetParameter", layer=[Message("LayerParameter", name="fc6", blobs=[blob])]))
    with pytest.raises(FormatError, match=f"w.caffemodel: layer 'fc6', blob 0: .*{problem}"):
        read_weights(path)


def test_two_layers_of_one_name(tmp_path):
    blob = Message("BlobProto", num=1, channels=1, height=1, width=1, data=[1])
    layer = Message("LayerParameter", name="fc6", blobs=[blob])
    write_message(tmp_path / "w.caffemodel", Message("NetParameter", layer=[layer, layer]))
    with pytest.raises(FormatError, match=r"w.caffemodel: 2 layers with blobs are called 'fc6'"):
        read_weights(tmp_path / "w.caffemodel")


def test_layers_by_name():
    weights = Weights("n", [LayerWeights("fc6", "InnerProduct", [np.zeros(3, np.float32)])])
    assert "fc6" in weights and "fc7" not in weights and weights["fc6"][0].shape == (3,)
    with pytest.raises(KeyError, match="no layer 'fc7' with blobs; did you mean fc6"):
        weights["fc7"]


def test_the_dialect_can_be_chosen(tmp_path):
    blob = [np.zeros(1, np.float32)]
    write_weights(tmp_path / "w.caffemodel", Weights("n", [LayerWeights("lstm", "LSTM", blob)], DEFINITION), "fork")
    assert read_weights(tmp_path / "w.caffemodel", dialect="fork").dialect == "fork"
    with pytest.raises(FormatError, match="dialect is not 'bvlc'"):
        read_weights(tmp_path / "w.caffemodel", dialect="bvlc")
    with pytest.raises(ValueError, match="expected one of the dialects bvlc, recurrent, fork, found 'caffe2'"):
        read_weights(tmp_path / "w.caffemodel", dialect="caffe2")


def test_a_failure_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "w.caffemodel"
    path.write_bytes(b"old")
    with pytest.raises(FormatError, match=r"w.caffemodel: a/0: expected float32 or float64.*found float16"):
        write_weights(path, Weights("n", [LayerWeights("a", "Scale", [np.zeros(1, np.float16)])]))
    with pytest.raises(FileNotFoundError):
        write_weights(tmp_path / "absent" / "w.caffemodel", Weights("n", []))
    assert path.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == ["w.caffemodel"]


def test_a_file_can_be_replaced_while_its_blobs_are_in_use(tmp_path):
    path = tmp_path / "w.caffemodel"
    write_weights(path, Weights("n", [LayerWeights("a", "Scale", [np.full(1000, 7, np.float32)])]))
    weights = read_weights(path)
    write_weights(path, Weights("n", [LayerWeights("a", "Scale", [2 * weights["a"][0]])]))
    assert (weights["a"][0] == 7).all() and (read_weights(path)["a"][0] == 14).all()


def test_more_than_protobuf_reads_is_refused(tmp_path):
    zeros = np.zeros(2**29, np.float32)  # never written to, so it takes no memory
    layers = [LayerWeights("a", "Scale", [zeros])]
    with pytest.raises(FormatError, match="Caffe reads at most 2147483647; write HDF5 instead"):
        write_weights(tmp_path / "w.caffemodel", Weights("n", layers))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the memory in use from /proc")
def test_a_large_file_opens_at_once_and_takes_no_memory(tmp_path):
    """240 MB, the size of the released weights: under 0.1 s, and only the pages between the blobs are touched."""
    layers = []
    for index in range(8):
        blob = Message("BlobProto", shape=Message("BlobShape", dim=[7_500_000]), data=np.zeros(7_500_000, np.float32))
        layers.append(Message("LayerParameter", name=f"fc{index}", type="InnerProduct", blobs=[blob]))
    path = tmp_path / "large.caffemodel"
    with path.open("wb") as file:
        for piece in Encoder("bvlc").encode(Message("NetParameter", layer=layers)):
            file.seek(len(piece), os.SEEK_CUR) if len(piece) > 1000 else file.write(piece)  # holes take no disk
        file.truncate()
    assert path.stat().st_size > 240_000_000

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before, start = resident(), time.perf_counter()
    weights = read_weights(path)
    seconds, taken = time.perf_counter() - start, resident() - before
    assert seconds < 0.1 and taken < 4_000_000
    assert weights["fc3"][0].shape == (7_500_000,) and weights["fc3"][0][-1] == 0


def test_recorded_weights(shared):
    paths = sorted((shared / "goldens").glob("**/*.caffemodel"))
    assert len(paths) > 30
    for path in paths:
        expected = "fork" if path.parent.name.endswith("_fork") else "bvlc"
        weights = read_weights(path)
        assert weights.dialect == expected and weights.skipped == {}, path
        assert {"legacy_v0": "V0", "legacy_v1": "V1"}.get(path.parent.name, "current") == weights.format


def test_caffe_itself_would_have_written_the_same_bytes(shared, tmp_path):
    """A file of the current form, read and written, is Caffe's own byte for byte."""
    for path in sorted((shared / "goldens").glob("**/*.caffemodel")):
        weights = read_weights(path)
        if weights.dialect == "bvlc" and weights.format == "current":
            write_weights(tmp_path / "w.caffemodel", weights)
            assert (tmp_path / "w.caffemodel").read_bytes() == path.read_bytes(), path
