"""Damaged and random files: a FormatError or a result, never another exception, a hang or a giant allocation."""

import random
import time
import tracemalloc
import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prototxt_import import FormatError, parse_net, read_net, read_weights
from prototxt_import.schema import DIALECTS, FIELDS, NUMBERING
from prototxt_import.wire import Decoder, detect_dialect

SECONDS, BYTES = 2, 20_000_000  # for one file of 40 kB; both are a hundred times what they take


def survives(read: Callable[[], object]) -> bool:
    """Whether `read` gave a result; fails unless it did, or raised FormatError, soon and within bounds."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
        return True
    except FormatError as error:
        assert str(error)
        return False
    finally:
        assert time.perf_counter() - start < SECONDS


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes flipped, dropped, doubled, replaced by large numbers, or its end cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(changed) or 1)
        kind = rng.randrange(6)
        if kind == 0 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[place : place + rng.randint(1, 20)]
        elif kind == 2:
            changed[place:place] = changed[place : place + rng.randint(1, 200)]
        elif kind == 3:
            changed[place : place + 1] = b"\xff" * rng.randint(1, 11) + b"\x01"
        elif kind == 4:
            changed[place:place] = rng.randbytes(rng.randint(1, 8))
        else:
            del changed[rng.randrange(len(changed) or 1) :]
    return bytes(changed)


def structure_first(data: bytes, rng: random.Random) -> bytes:
    """Damage to the first bytes, where lengths and numbers of fields stand, rather than to the numbers of blobs."""
    return mutated(data[:60], rng) + data[60:]


@pytest.mark.parametrize("name", ["legacy_v0", "legacy_v1"])
@pytest.mark.parametrize("damage", [mutated, structure_first])
def test_damaged_weights(data, tmp_path, name, damage):
    original, path = (data / "recorded" / name / "weights.caffemodel").read_bytes(), tmp_path / "w.caffemodel"
    rng, results = random.Random(f"{name} {damage.__name__}"), set()
    for _ in range(250):
        path.write_bytes(damage(original, rng))
        results.add(survives(lambda: read_weights(path)))
        survives(lambda: read_net(path))
    assert results == {True, False}


def test_every_truncation(data, tmp_path):
    original, path = (data / "recorded" / "legacy_v0" / "weights.caffemodel").read_bytes(), tmp_path / "w.caffemodel"
    for size in [*range(0, 300), *range(300, len(original), 97)]:
        path.write_bytes(original[:size])
        survives(lambda: read_weights(path))
    path.write_bytes(original[: len(original) // 2])
    with pytest.raises(FormatError, match=r"w.caffemodel: byte \d+: .*truncated or damaged"):
        read_weights(path)


@pytest.mark.parametrize("name", ["legacy_v0", "legacy_v1"])
def test_damaged_definitions(data, name):
    original, rng = (data / "recorded" / name / "net.prototxt").read_bytes(), random.Random(name)
    results = {survives(lambda: parse_net(mutated(original, rng).decode("latin-1"))) for _ in range(250)}
    assert results == {True, False}


WORDS = [*FIELDS["NetParameter"], *FIELDS["LayerParameter"], *FIELDS["V1LayerParameter"], *FIELDS["V0LayerParameter"]]
TOKENS = [
    *WORDS,
    *"{}<>[]:;,-#\n\"'\\",
    "1",
    "-1",
    "0x",
    "1e9",
    ".5",
    "true",
    '"conv"',
    "'padding'",
    "MAX",
    "\x00",
    "é",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(" ".join) | st.text(max_size=60))
def test_random_text(text):
    survives(lambda: parse_net(text))


LAYERS = st.lists(
    st.sampled_from(
        ['layer { type: "padding" pad: 1 }', 'layer { type: "conv" }', 'layer { type: "pool" pool: MAX }',
         'layer { type: "data" batchsize: 2 scale: 1 }', "type: DATA", "data_param { scale: 2 }", 'name: "a"',
         'top: "a"', 'bottom: "a"', 'top: "b"', 'bottom: "b"', "blobs_lr: 1", 'param: "w"', "include { phase: TEST }"]
    ),
    max_size=5,
)  # fmt: skip
INPUTS = st.sampled_from(["", 'input: "x"', "input_dim: 1", "input_dim: [1, 2, 3, 4]", "input_shape { dim: -1 }"])


@settings(max_examples=200, deadline=None)
@given(st.lists(LAYERS, max_size=4), st.lists(INPUTS, max_size=3))
def test_random_definitions_of_the_older_forms(layers, inputs):
    text = "\n".join([*inputs, *("layers { " + " ".join(fields) + " }" for fields in layers)])
    survives(lambda: parse_net(text))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(DIALECTS)), st.data())
def test_random_bytes(content, dialect, data):
    type_name = data.draw(st.sampled_from(sorted(NUMBERING[dialect])))
    survives(lambda: Decoder(content, "file", dialect).message(type_name))
    survives(lambda: detect_dialect(content, "file"))


def test_no_file_makes_us_allocate_more_than_a_multiple_of_its_size(data, tmp_path):
    huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
    layer = b"\x3a\x80\x80\x80\x80\x08"  # a blob of 2 GB
    shape = b"\x3a\x0c\x3a\x0a\x0a\x08" + b"\xff\xff\xff\x7f" * 2 + b"\x2a\x00"
    path, rng = tmp_path / "w.caffemodel", random.Random(0)
    original = (data / "recorded" / "legacy_v1" / "weights.caffemodel").read_bytes()
    contents = [b"\x0a" + huge, b"\xa2\x06" + huge + b"\x0a", b"\xa2\x06\x06" + layer, b"\xa2\x06\x0e" + shape]
    contents += [mutated(original, rng) for _ in range(50)]
    tracemalloc.start()
    for content in contents:
        path.write_bytes(content)
        tracemalloc.reset_peak()
        survives(lambda: read_weights(path))
        assert tracemalloc.get_traced_memory()[1] < BYTES
    tracemalloc.stop()
