"""The network files of the paper: what they say is what CAFFE's description of the released networks says."""

import numpy as np
import pytest

import lrcn
from lrcn import networks
from lrcn.errors import Error
from prototxt_import import read_net

RELEASED_SHAPES = {
    "conv1": [(96, 3, 7, 7), (96,)],
    "conv2": [(384, 48, 5, 5), (384,)],
    "conv3": [(512, 384, 3, 3), (512,)],
    "conv4": [(512, 256, 3, 3), (512,)],
    "conv5": [(384, 256, 3, 3), (384,)],
    "fc6": [(4096, 13824), (4096,)],
}
LRCN_SHAPES = RELEASED_SHAPES | {
    "lstm1": [(1024, 4096), (1024,), (1024, 256)],
    "fc8-final": [(101, 256), (101,)],
}
SINGLE_FRAME_SHAPES = RELEASED_SHAPES | {"fc7": [(4096, 4096), (4096,)], "fc8-ucf": [(101, 4096), (101,)]}


@pytest.mark.parametrize(
    ("name", "shapes"), [("lrcn.prototxt", LRCN_SHAPES), ("single_frame.prototxt", SINGLE_FRAME_SHAPES)]
)
def test_parameters_have_the_names_and_shapes_of_the_released_weights(name, shapes):
    net = lrcn.Net(networks.path(name))
    assert {layer: [tuple(blob.shape) for blob in blobs] for layer, blobs in net.params.items()} == shapes
    assert net.inputs["data"] == (160, 3, 227, 227)
    assert net.outputs == ["probs"]


def test_layers_come_in_the_order_of_the_paper_with_pooling_before_normalisation():
    types = [layer.type for layer in read_net(networks.path("lrcn.prototxt")).layer if layer.type != "Input"]
    block = ["Convolution", "ReLU", "Pooling", "LRN"]
    assert types == [
        *block,
        *block,
        *["Convolution", "ReLU"] * 3,
        *["Pooling", "InnerProduct", "ReLU", "Reshape", "Reshape", "LSTM", "InnerProduct", "Softmax"],
    ]


def test_both_networks_share_the_same_convolutions():
    definitions = [
        {layer.name: layer for layer in read_net(networks.path(name)).layer}
        for name in ("lrcn.prototxt", "single_frame.prototxt")
    ]
    for name in ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2", "conv3", "conv4", "conv5", "pool5", "fc6"]:
        assert definitions[0][name] == definitions[1][name]


def test_a_batch_may_hold_any_number_of_streams():
    net = lrcn.Net(networks.path("lrcn.prototxt"), numerics="fast")
    features = np.zeros((16 * 3, 4096), np.float32)
    out = net(fc6=features, clip_markers=np.zeros((16 * 3, 1, 1, 1), np.float32), start="reshape-data", end="probs")
    assert tuple(out["probs"].shape) == (16, 3, 101)


def test_unknown_name():
    with pytest.raises(Error, match=r"lrcn\.prototxt, .*single_frame\.prototxt"):
        networks.path("alexnet.prototxt")
