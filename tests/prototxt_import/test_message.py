import copy
import pickle

import numpy as np
import pytest

from prototxt_import import Message
from prototxt_import.schema import FIELDS


@pytest.fixture
def layer() -> Message:
    layer = Message("LayerParameter", name="fc6", type="InnerProduct", top=["fc6"])
    layer.inner_product_param = Message("InnerProductParameter", num_output=4096)
    layer.blobs.append(Message("BlobProto", data=[1, 2]))
    return layer


def test_fields_that_are_not_set_have_the_default_of_the_schema(layer):
    assert layer.lrn_param.local_size == 5
    assert layer.inner_product_param.bias_term is True
    assert layer.convolution_param.weight_filler.type == "constant"
    assert layer.pooling_param.pool == "MAX"
    assert Message("SolverParameter").solver_mode == "GPU"
    assert Message("BatchNormParameter").eps == np.float32(1e-5)
    assert layer.bottom == []


def test_has_tells_set_from_default(layer):
    assert layer.has("name") and layer.has("top")
    assert not layer.has("phase") and not layer.has("bottom") and not layer.has("lrn_param")
    layer.phase = "TRAIN"
    assert layer.has("phase")
    layer.clear("phase")
    assert not layer.has("phase")


def test_an_unknown_field_is_named_with_its_neighbours(layer):
    with pytest.raises(AttributeError, match=r"LayerParameter has no field 'botom'; did you mean bottom"):
        layer.botom = "x"
    with pytest.raises(AttributeError, match="no field 'botom'"):
        _ = layer.botom
    with pytest.raises(AttributeError, match="no field"):
        layer.has("botom")
    with pytest.raises(ValueError, match=r"no message LayerParam; did you mean LayerParameter"):
        Message("LayerParam")


def test_a_message_that_is_not_set_refuses_to_be_written(layer):
    with pytest.raises(AttributeError, match="not set"):
        layer.lrn_param.local_size = 3
    with pytest.raises(AttributeError, match="not set"):
        layer.convolution_param.pad.append(1)
    with pytest.raises(AttributeError, match="not set"):
        layer.convolution_param.weight_filler.std = 1
    assert not layer.has("lrn_param") and not layer.has("convolution_param")


@pytest.mark.parametrize(
    ("type_name", "field", "value", "problem"),
    [
        ("LayerParameter", "name", 1, "expected string"),
        ("LayerParameter", "phase", "Test", "expected one of TRAIN, TEST"),
        ("LayerParameter", "phase", 1, "expected one of TRAIN, TEST"),
        ("LayerParameter", "bottom", [1], "expected string"),
        ("LayerParameter", "lrn_param", Message("ReLUParameter"), "expected a LRNParameter"),
        ("LRNParameter", "local_size", 2.5, "expected an integer"),
        ("LRNParameter", "local_size", True, "expected an integer"),
        ("LRNParameter", "local_size", -1, "expected uint32"),
        ("LRNParameter", "local_size", 2**32, "expected uint32"),
        ("LRNParameter", "alpha", "1", "expected a number"),
        ("InnerProductParameter", "bias_term", 1, "expected bool"),
        ("Datum", "data", "text", "expected bytes"),
    ],
)
def test_values_that_do_not_fit_are_refused(type_name, field, value, problem):
    with pytest.raises((TypeError, ValueError), match=problem):
        setattr(Message(type_name), field, value)


def test_members_of_repeated_fields_are_checked_too(layer):
    for change in (
        lambda: layer.top.append(1),
        lambda: layer.top.extend(["a", 1]),
        lambda: layer.top.insert(0, 1),
        lambda: layer.top.__setitem__(0, 1),
        lambda: layer.top.__setitem__(slice(0, 1), [1]),
        lambda: layer.top.__iadd__([1]),
    ):
        with pytest.raises(TypeError, match="top: expected string"):
            change()
    assert layer.top == ["fc6"]
    layer.top += ["b"]
    assert layer.top == ["fc6", "b"]


def test_floats_are_rounded_to_float32():
    assert Message("LRNParameter", alpha=0.0001).alpha == float(np.float32(0.0001)) != 0.0001
    assert Message("LRNParameter", alpha=1e39).alpha == float("inf")
    assert Message("BlobProto", double_data=[0.1]).double_data[0] == 0.1


def test_blob_numbers_are_arrays():
    blob = Message("BlobProto", data=np.arange(6).reshape(2, 3))
    assert blob.data.dtype == np.float32 and blob.data.shape == (6,)
    assert Message("BlobProto").double_data.dtype == np.float64 and not blob.has("double_data")


def test_copies_are_deep_but_share_blobs(layer):
    other = layer.copy()
    assert other == layer
    other.inner_product_param.num_output = 7
    other.top.append("x")
    assert layer.inner_product_param.num_output == 4096 and layer.top == ["fc6"] and other != layer
    assert other.blobs[0].data is layer.blobs[0].data


def test_equality_compares_blobs_bit_by_bit(layer):
    other = layer.copy()
    other.blobs[0].data = np.array([1, -0.0], np.float32)
    layer.blobs[0].data = np.array([1, 0.0], np.float32)
    assert other != layer
    other.blobs[0].data = layer.blobs[0].data = np.array([np.nan], np.float32)
    assert other == layer


def test_reading_does_not_change_a_message(layer):
    before = repr(layer)
    assert layer.bottom == [] and layer.lrn_param.alpha == 1
    assert repr(layer) == before and list(dict(layer.fields())) == [
        "name", "type", "top", "blobs", "inner_product_param",
    ]  # fmt: skip


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda message: pickle.loads(pickle.dumps(message))])
def test_pickles_and_deep_copies(layer, duplicate):
    other = duplicate(layer)
    assert other == layer
    with pytest.raises(TypeError):
        other.top.append(1)


def test_no_field_hides_a_method():
    for message, fields in FIELDS.items():
        for name in fields:
            assert not hasattr(Message, name), f"{message}.{name}"
