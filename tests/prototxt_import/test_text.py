import math

import numpy as np
import oracle
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from prototxt_import import FormatError, Message
from prototxt_import.text import format_message, parse


def layer(text: str) -> Message:
    return parse(text, "LayerParameter", "net.prototxt")


@pytest.mark.parametrize(
    "text",
    [
        'name: "a" top: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 }',
        'name: "a" top: "x", top: "y"; lrn_param: { local_size: 3; alpha: 0.5, };',
        "name: 'a' top: ['x', 'y'] lrn_param < local_size: 0x3 alpha: .5f >",
        '# a comment\nname:"a"#another\ntop :\n"x"top:"y"lrn_param{local_size:03 alpha:5e-1}#',
        'name: "\\x61" top: "" "x" top: \'\' "y" lrn_param: < local_size: 3 alpha: 0.5F >',
        '\tname: "\\141"\r\n top: ["x"] top: "\\u0079" top: [] lrn_param {alpha:5E-1 local_size:0X3}',
    ],
)
def test_the_same_layer_in_many_spellings(text):
    parameters = Message("LRNParameter", local_size=3, alpha=0.5)
    assert layer(text) == Message("LayerParameter", name="a", top=["x", "y"], lrn_param=parameters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a\\n\\t\\r\\a\\b\\f\\v\\\\\\"\\\'\\?"', "a\n\t\r\a\b\f\v\\\"'?"),
        (r'"\303\251"', "é"),
        (r'"\xc3\xA9"', "é"),
        (r'"\u00e9\U0001F600"', "é\U0001f600"),
        ('"é"', "é"),
        (r'"\0601"', "01"),
        ("'\"' \"'\"", "\"'"),
    ],
)
def test_strings(text, expected):
    assert layer(f"name: {text}").name == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("-1", -1), ("1.", 1), (".5", 0.5), ("-1.5e3f", -1500), ("1e400", math.inf), ("- inf", -math.inf),
     ("Infinity", math.inf), ("1e-50", 0), ("16777217", 16777216)],
)  # fmt: skip
def test_numbers(text, expected):
    assert layer(f"loss_weight: {text}").loss_weight == [expected]


def test_not_a_number():
    assert math.isnan(layer("loss_weight: nan").loss_weight[0])


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("t", True), ("1", True), ("false", False), ("f", False), ("0", False)]
)
def test_booleans(text, expected):
    assert layer(f"propagate_down: {text}").propagate_down == [expected]


def test_enums_by_name_or_number():
    assert layer("phase: TEST") == layer("phase: 1") == Message("LayerParameter", phase="TEST")


def test_lists_of_messages():
    text = "include: [{ phase: TRAIN }, < phase: TEST >] include { level }"
    with pytest.raises(FormatError, match="no field 'level'"):
        layer(text)
    assert [rule.phase for rule in layer(text.replace("level", "min_level: 1")).include] == ["TRAIN", "TEST", "TRAIN"]


def test_blobs_in_text_become_arrays():
    blob = parse("data: 1 data: [2.5, -3] double_data: 1e-300", "BlobProto", "blob")
    assert blob.data.dtype == np.float32 and blob.data.tolist() == [1, 2.5, -3]
    assert blob.double_data.dtype == np.float64 and blob.double_data.tolist() == [1e-300]
    assert parse("data: 1\n" * 30_000, "BlobProto", "blob").data.shape == (30_000,)


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ('name: "a"\nbotom: "x"', "2:1", "LayerParameter has no field 'botom'; did you mean bottom"),
        ("lrn_param {\n  alhpa: 1\n}", "2:3", "LRNParameter has no field 'alhpa'; did you mean alpha"),
        ("name: a", "1:7", "expected a string in quotes for name, found 'a'"),
        ('name: "a" name: "b"', "1:11", "name occurs twice"),
        ("lrn_param {} lrn_param {}", "1:14", "lrn_param occurs twice"),
        ('name "a"', "1:6", "expected ':' after name, found '\"a\"'"),
        ("lrn_param: 3", "1:12", "expected '{' and the fields of LRNParameter for lrn_param, found '3'"),
        ("lrn_param { alpha: 1", "1:21", "expected a field name or '}' in LRNParameter, found the end of the file"),
        ("lrn_param { alpha: 1 >", "1:22", "expected a field name or '}' in LRNParameter, found '>'"),
        ("} ", "1:1", "expected a field name in LayerParameter, found '}'"),
        ("lrn_param { local_size: 1.5 }", "1:25", "expected an integer for local_size, found '1.5'"),
        ("lrn_param { local_size: -1 }", "1:25", "expected uint32, from 0 to 4294967295, found -1"),
        ("lrn_param { local_size: 09 }", "1:25", "expected an integer"),
        (f"lrn_param {{ local_size: {'9' * 5000} }}", "1:25", "expected a 64-bit integer"),
        ("loss_weight: 0x10", "1:14", "expected a decimal number for loss_weight, found '0x10'"),
        ("loss_weight: 1.2.3", "1:14", "expected a number, found '1.2.3'"),
        ("loss_weight: 12abc", "1:14", "expected a number, found '12abc'"),
        ("loss_weight: [1, 2", "1:19", "expected ',', found the end of the file"),
        ("loss_weight: [1 2]", "1:17", "expected ',', found '2'"),
        ("phase: Test", "1:8", "expected one of TRAIN, TEST, found 'Test'; did you mean TEST"),
        ("phase: 7", "1:8", "7 is not a number of Phase"),
        ("phase: -TEST", "1:9", "expected one of TRAIN, TEST"),
        ("propagate_down: 2", "1:17", "expected true or false for propagate_down, found '2'"),
        ('name: "abc\n"', "1:7", "a string that does not end on its line"),
        (r'name: "\q"', "1:7", r"unknown escape '\\\\q'"),
        (r'name: "\UFFFFFFFF"', "1:7", "unknown escape"),
        (r'name: "\ud800"', "1:7", "unknown escape"),
        (r'name: "\xff"', "1:7", "the string of name is not UTF-8"),
        ("name: $", "1:7", r"unexpected character '\$'"),
        ("[caffe.extension]: 1", "1:1", r"expected a field name in LayerParameter, found '\['"),
    ],
)
def test_errors_say_where_and_what(text, place, problem):
    with pytest.raises(FormatError, match=f"^net.prototxt:{place}: .*{problem}"):
        layer(text)


def test_lines_are_counted_in_long_files():
    with pytest.raises(FormatError, match=r"^net.prototxt:5001:3: LayerParameter has no field"):
        layer('top: "x" # comment\n' * 5000 + '  tpo: "x"')


def test_long_digits_and_strings_take_linear_time():
    for text in ("loss_weight: " + "1" * 300_000 + "x", 'name: "' + "\\" * 300_000, 'name: "' + "a" * 300_000):
        with pytest.raises(FormatError):
            layer(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_text_is_what_protobuf_reads_and_writes(data):
    type_name = data.draw(oracle.TYPE_NAMES.filter(lambda name: name != "ScalarParameter"))
    message = data.draw(oracle.messages(type_name))
    text = format_message(message)
    assert parse(text, type_name, "ours") == message
    theirs = text_format.Parse(text, oracle.message_class("bvlc", type_name)())
    assert parse(text_format.MessageToString(theirs), type_name, "theirs") == message
    assert parse(text_format.MessageToString(theirs, as_one_line=True, use_short_repeated_primitives=True),
                 type_name, "theirs") == message  # fmt: skip
