import struct
import tracemalloc

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototxt_import import FormatError, Message
from prototxt_import.schema import DIALECTS, NUMBERING
from prototxt_import.wire import Decoder, Encoder, detect_dialect, read_message, write_message


def decode(data: bytes, type_name: str, dialect: str = "bvlc") -> Message:
    return Decoder(data, "file", dialect).message(type_name)


def encode(message: Message, dialect: str = "bvlc") -> bytes:
    return b"".join(Encoder(dialect).encode(message))


def key(number: int, wire_type: int) -> bytes:
    value, encoded = number << 3 | wire_type, b""
    while value >= 0x80:
        encoded, value = encoded + bytes([value & 0x7F | 0x80]), value >> 7
    return encoded + bytes([value])


def delimited(number: int, content: bytes) -> bytes:
    length, encoded = len(content), b""
    while length >= 0x80:
        encoded, length = encoded + bytes([length & 0x7F | 0x80]), length >> 7
    return key(number, 2) + encoded + bytes([length]) + content


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_are_those_of_protobuf(dialect, data):
    type_name = data.draw(st.sampled_from(sorted(NUMBERING[dialect])))
    message = data.draw(oracle.messages(type_name, dialect))
    encoded = encode(message, dialect)
    theirs = oracle.message_class(dialect, type_name).FromString(encoded)
    assert theirs.SerializeToString(deterministic=True) == encoded
    assert decode(encoded, type_name, dialect) == message


def test_bytes_of_blob_numbers_are_not_copied():
    data = encode(Message("BlobProto", data=np.arange(1000, dtype=np.float32)))
    blob = decode(data, "BlobProto")
    assert blob.data.tolist() == list(range(1000))
    assert np.shares_memory(blob.data, np.frombuffer(data, np.uint8))
    assert not blob.data.flags.writeable


@pytest.mark.parametrize(("name", "number", "wire_type", "code"), [("data", 5, 5, "<f"), ("double_data", 8, 1, "<d")])
def test_numbers_that_are_not_packed_become_a_strided_view(name, number, wire_type, code):
    values = np.linspace(-1, 1, 1000).astype(code[1])
    run = b"".join(key(number, wire_type) + struct.pack(code, value) for value in values)
    data = key(1, 0) + b"\x02" + run + key(2, 0) + b"\x05"
    blob = decode(data, "BlobProto")
    array = getattr(blob, name)
    assert array.tobytes() == values.tobytes()
    assert np.may_share_memory(array, np.frombuffer(data, np.uint8))
    assert array.strides == (1 + values.itemsize,)
    assert (blob.num, blob.channels) == (2, 5)


def test_a_view_of_unpacked_numbers_allocates_nothing():
    data = (key(5, 5) + struct.pack("<f", 1.5)) * 400_000
    tracemalloc.start()
    blob = decode(data, "BlobProto")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert blob.data.shape == (400_000,) and (blob.data == 1.5).all()
    assert peak < 1_000_000  # comparing the tags takes half a byte per number, the numbers nothing


def test_packed_and_unpacked_pieces_of_one_blob_are_joined():
    data = delimited(5, struct.pack("<2f", 1, 2)) + (key(5, 5) + struct.pack("<f", 3)) * 2 + delimited(5, b"")
    data += key(1, 0) + b"\x07" + key(5, 5) + struct.pack("<f", 4) + delimited(5, struct.pack("<f", 5))
    assert decode(data, "BlobProto").data.tolist() == [1, 2, 3, 3, 4, 5]


def test_alternating_fields_take_linear_time():
    data = (key(5, 5) + struct.pack("<f", 1) + key(1, 0) + b"\x01") * 40_000
    assert decode(data, "BlobProto").data.shape == (40_000,)


def test_other_repeated_numbers_may_be_packed_or_not():
    assert decode(delimited(1, b"\x03\x05"), "BlobShape").dim == [3, 5]
    assert decode(b"\x08\x03\x08\x05", "BlobShape").dim == [3, 5]
    assert decode(delimited(5, struct.pack("<2f", 1, 2)), "LayerParameter").loss_weight == [1, 2]


def test_negative_and_oversized_integers_wrap_as_in_protobuf():
    minus_one = b"\xff" * 9 + b"\x01"
    assert decode(b"\x08" + minus_one, "BlobShape").dim == [-1]
    assert decode(b"\x08" + minus_one, "BlobProto").num == -1
    assert decode(b"\x08\xff\xff\xff\xff\x1f", "BlobProto").num == -1
    assert decode(b"\x08" + minus_one, "LRNParameter").local_size == 2**32 - 1


def test_what_the_schema_does_not_know_is_skipped_and_counted():
    group = key(900, 3) + key(1, 0) + b"\x01" + key(2, 3) + delimited(3, b"xyz") + key(2, 4) + key(900, 4)
    layer = delimited(1, b"a") + key(999, 0) + b"\x01" + key(999, 1) + b"12345678" + group + delimited(2, b"T")
    decoder = Decoder(delimited(100, layer), "file", "bvlc")
    net = decoder.message("NetParameter")
    assert (net.layer[0].name, net.layer[0].type) == ("a", "T")
    assert decoder.skipped == {"LayerParameter field 999": 2, "LayerParameter field 900": 1}


def test_unknown_numbers_of_enums_are_skipped_and_counted():
    decoder = Decoder(key(5, 0) + b"\x63", "file", "bvlc")
    assert not decoder.message("V1LayerParameter").has("type")
    assert decoder.skipped == {"V1LayerType number 99": 1}


@pytest.mark.parametrize(
    ("data", "place", "problem"),
    [
        (b"\x0a", 1, "runs beyond the end"),
        (b"\x0a\x05abc", 1, "a value of 5 bytes in LayerParameter with 3 left"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", 1, "a value of 18446744073709551615 bytes"),
        (b"\x0a" + b"\xff" * 10 + b"\x01", 1, "at most 10 bytes"),
        (b"\x0a\x01\xff", 2, "expected a string in UTF-8"),
        (b"\x00\x01", 0, "expected the number of a field of LayerParameter, found 0"),
        (b"\x08\x01", 0, "LayerParameter.name: expected length-delimited, found varint"),
        (b"\x0f\x01", 1, "wire type 7"),
        (b"\x0c", 1, "wire type 4"),
        (b"\x0b\x08\x01", 3, "runs beyond the end"),
        (delimited(7, delimited(5, b"12345")), 2, "data: expected a multiple of 4 bytes, found 1 more"),
        (delimited(5, b"12345"), 2, "loss_weight: 5 bytes are not a whole number of values"),
        (delimited(118, b"") * 2, 3, "lrn_param occurs twice"),
        (delimited(118, b"\x0d\x00\x00\x00\x00"), 3, "LRNParameter.local_size: expected varint, found fixed32"),
    ],
)
def test_damage_is_reported_with_its_offset(data, place, problem):
    with pytest.raises(FormatError, match=f"^file: byte {place}: .*{problem}"):
        decode(data, "LayerParameter")


def test_deep_groups_do_not_exhaust_the_stack():
    with pytest.raises(FormatError, match="runs beyond the end"):
        decode(b"\x93\x3e" * 100_000, "LayerParameter")


def lstm(dialect: str, name: str = "lstm1") -> bytes:
    layer = Message("LayerParameter", name=name, type="LSTM")
    layer.recurrent_param = Message("RecurrentParameter", num_output=256)
    return encode(Message("NetParameter", layer=[layer]), dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_dialect_of_an_lstm_shows(dialect):
    data = lstm(dialect)
    assert detect_dialect(data, "file") == dialect
    assert decode(data, "NetParameter", dialect).layer[0].recurrent_param.num_output == 256


def test_the_dialect_of_an_embedding_shows():
    layer = Message("LayerParameter", name="e", type="Embed")
    layer.embed_param = Message("EmbedParameter", num_output=5)
    net = Message("NetParameter", layer=[layer])
    assert detect_dialect(encode(net, "fork"), "file") == "fork"
    assert detect_dialect(encode(net, "recurrent"), "file") == "bvlc"  # both number it alike
    assert detect_dialect(encode(net, "recurrent") + lstm("recurrent"), "file") == "recurrent"


def test_without_evidence_the_dialect_is_that_of_bvlc():
    assert detect_dialect(encode(Message("NetParameter", name="n")), "file") == "bvlc"
    layer = Message("LayerParameter", name="l", type="LSTM")  # no parameters, so nothing to tell by
    assert detect_dialect(encode(Message("NetParameter", layer=[layer])), "file") == "bvlc"
    other = Message("LayerParameter", name="l", type="Mystery", log_param=Message("LogParameter"))
    assert detect_dialect(encode(Message("NetParameter", layer=[other])), "file") == "bvlc"


def test_layers_of_two_dialects_contradict_each_other():
    with pytest.raises(FormatError, match=r"not of one dialect: layer 'a' \(LSTM, field 134\).* fork.*'b'.* bvlc"):
        detect_dialect(lstm("fork", "a") + lstm("bvlc", "b"), "file")


def test_parameters_that_do_not_read_as_those_of_the_type_are_no_evidence_for_it():
    log = encode(Message("LogParameter", base=2))
    net = delimited(100, delimited(1, b"l") + delimited(2, b"LSTM") + delimited(134, log))
    with pytest.raises(FormatError, match="none of the dialects"):
        detect_dialect(net, "file")


def test_an_unknown_dialect_is_not_misread():
    """Field 142 is a ScaleParameter to BVLC, and a RecurrentParameter would read as one."""
    recurrent = encode(Message("RecurrentParameter", num_output=256))
    net = delimited(100, delimited(1, b"l") + delimited(2, b"LSTM") + delimited(142, recurrent))
    with pytest.raises(FormatError, match=r"layer 'l' \(LSTM, field 142\) is written as by none of the dialects"):
        detect_dialect(net, "file")


def test_a_wrong_dialect_is_not_misread():
    with pytest.raises(FormatError, match=r"LogParameter.base: expected fixed32.*dialect is not 'bvlc'"):
        decode(lstm("fork"), "NetParameter", "bvlc")


def test_what_a_dialect_lacks_is_left_out_and_counted():
    layer = Message("LayerParameter", type="Input", input_param=Message("InputParameter"))
    encoder = Encoder("fork")
    assert b"".join(encoder.encode(layer)) == delimited(2, b"Input")
    assert encoder.left_out == {"LayerParameter.input_param": 1}


def test_files(tmp_path):
    state = Message("SolverState", iter=20, learned_net="snap.caffemodel", current_step=2)
    state.history.append(Message("BlobProto", data=[1, 2], shape=Message("BlobShape", dim=[2])))
    write_message(tmp_path / "snap.solverstate", state)
    assert read_message(tmp_path / "snap.solverstate", "SolverState") == state


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "found text, 'version https"),
        (b"\x89HDF\r\n\x1a\n rest", "found HDF5"),
        (b"PK\x03\x04 rest", "found a zip archive"),
        (b"\x1f\x8b rest", "found a gzip archive"),
    ],
)
def test_other_kinds_of_file_are_named(tmp_path, content, problem):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"x.caffemodel: .*{problem}"):
        read_message(path, "NetParameter")


def test_solver_states_of_caffe(shared):
    for path in sorted((shared / "goldens" / "training").glob("*/*.solverstate")):
        state = read_message(path, "SolverState")
        assert state.iter == int(path.stem.rpartition("_")[2])
        assert state.learned_net == f"{path.stem}.caffemodel"
        assert all(blob.data.size == np.prod(blob.shape.dim) for blob in state.history)
