"""The network files of the paper: what they say is what CAFFE's description of the released networks says."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import lrcn
from lrcn import networks
from lrcn.errors import Error
from prototxt_import import read_net, read_solver, select_layers

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


CAFFENET_SHAPES = {
    "conv1": [(96, 3, 11, 11), (96,)],
    "conv2": [(256, 48, 5, 5), (256,)],
    "conv3": [(384, 256, 3, 3), (384,)],
    "conv4": [(384, 192, 3, 3), (384,)],
    "conv5": [(256, 192, 3, 3), (256,)],
    "fc6": [(4096, 9216), (4096,)],
    "fc7": [(4096, 4096), (4096,)],
    "fc8": [(1000, 4096), (1000,)],
}
VGG_SHAPES = {
    f"conv{block}_{index}": [(outputs, inputs, 3, 3), (outputs,)]
    for block, widths in enumerate(
        [(3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512)], start=1
    )
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths), start=1)
} | {
    "fc6": [(4096, 25088), (4096,)],
    "fc7": [(4096, 4096), (4096,)],
    "fc8": [(1000, 4096), (1000,)],
}
LSTM_SHAPES = [(4000, 1000), (4000,), (4000, 1000)]
LSTM_WITH_IMAGE_SHAPES = [(4000, 1000), (4000,), (4000, 1000), (4000, 1000)]
WORDS_SHAPES = {"embedding": [(8801, 1000)], "predict": [(8801, 1000), (8801,)]}
VARIANTS = {
    (): {"lstm1": LSTM_SHAPES, "lstm2": LSTM_WITH_IMAGE_SHAPES},
    ("unfactored", "2-layer"): {"lstm1": LSTM_WITH_IMAGE_SHAPES, "lstm2": LSTM_SHAPES},
    ("unfactored",): {"lstm1": LSTM_WITH_IMAGE_SHAPES},
}
LANGUAGE_MODEL_SHAPES = {"lstm1": LSTM_SHAPES, **WORDS_SHAPES}


def shapes(net):
    return {layer: [tuple(blob.shape) for blob in blobs] for layer, blobs in net.params.items()}


@pytest.mark.parametrize(("name", "expected"), [("caffenet.prototxt", CAFFENET_SHAPES), ("vgg16.prototxt", VGG_SHAPES)])
def test_image_nets(name, expected):
    net = lrcn.Net(networks.path(name))
    assert shapes(net) == expected
    assert net.outputs == ["fc8"]


@pytest.mark.parametrize(("stages", "lstm"), VARIANTS.items())
def test_word_nets(stages, lstm):
    net = lrcn.Net(networks.path("caption_words.prototxt"), stages=stages)
    assert shapes(net) == lstm | WORDS_SHAPES
    assert net.inputs == {"cont_sentence": (1, 100), "input_sentence": (1, 100), "image_features": (100, 1000)}
    assert net.outputs == ["probs"]


def test_language_model():
    net = lrcn.Net(networks.path("language_model.prototxt"))
    assert shapes(net) == LANGUAGE_MODEL_SHAPES


def settings(layer):
    """What a layer computes: its settings without those of training."""
    layer = layer.copy()
    for field in ("include", "exclude", "param"):
        layer.clear(field)
    for part in (layer.convolution_param, layer.inner_product_param, layer.embed_param, layer.recurrent_param):
        part.clear("weight_filler")
        part.clear("bias_filler")
    layer.bottom = ["image_features" if bottom == "fc8" else bottom for bottom in layer.bottom]
    return layer


def selected(name, phase, stages):
    """The layers of a network by name."""
    return {layer.name: layer for layer in select_layers(read_net(networks.path(name)), phase, 0, stages).layer}


FACTORED, UNFACTORED, SINGLE = (), ("unfactored", "2-layer"), ("unfactored",)
RECIPES = {
    "caption": ("caffenet", FACTORED, "h5_data/train_aligned_20_batches"),
    "caption_unfactored": ("caffenet", UNFACTORED, "h5_data/train_aligned_20_batches"),
    "caption_single_layer": ("caffenet", SINGLE, "h5_data/train_aligned_20_batches"),
    "caption_from_language_model": ("caffenet", FACTORED, "h5_data/train_aligned_20_batches"),
    "caption_finetune": ("caffenet", FACTORED, "h5_data/train_aligned_20_batches"),
    "caption_finetune_trainval": ("caffenet", FACTORED, "h5_data/trainval_aligned_20_batches"),
    "caption_vgg": ("vgg16", FACTORED, "h5_data/train_aligned_20_batches"),
    "caption_vgg_finetune": ("vgg16", FACTORED, "h5_data_50/train_aligned_20_batches"),
    "caption_vgg_finetune_trainval": ("vgg16", FACTORED, "h5_data_50/trainval_aligned_20_batches"),
    "language_model": (None, FACTORED, "h5_data/train_unaligned_batches"),
}


@pytest.mark.parametrize(("name", "expected"), RECIPES.items())
def test_captioning_recipes_train_what_the_deployed_nets_read(name, expected):
    image_net, variant, data = expected
    solver = read_solver(networks.path(f"{name}_solver.prototxt"))
    deployed = selected("caption_words.prototxt" if image_net else "language_model.prototxt", "TEST", variant)
    if image_net:
        deployed |= selected(f"{image_net}.prototxt", "TEST", ())
    deployed = {name: layer for name, layer in deployed.items() if layer.type not in ("Input", "Softmax")}
    states = [("TRAIN", solver.train_state), *(("TEST", state) for state in solver.test_state)]
    for phase, state in states:
        layers = selected(Path(solver.net).name, phase, state.stage)
        assert {name: settings(layers[name]) for name in deployed} == {n: settings(f) for n, f in deployed.items()}
        others = {layer.type for name, layer in layers.items() if name not in deployed}
        assert others <= {"ImageData", "HDF5Data", "Silence", "Dropout", "SoftmaxWithLoss", "Accuracy"}
        frozen = {n for n, layer in layers.items() if len(layer.param) and not any(p.lr_mult for p in layer.param)}
        images = set(deployed) & set(CAFFENET_SHAPES | VGG_SHAPES) - {"fc8"}
        assert frozen == (images if "freeze-convnet" in state.stage else set())
    layers = selected(Path(solver.net).name, "TRAIN", solver.train_state.stage)
    folder = Path(layers["sentences"].hdf5_data_param.source).parent
    assert folder == Path(data)
    if image_net:
        assert Path(layers["data"].image_data_param.source).parent == folder
        # One image for each stream of the HDF5 data.
        streams = {"h5_data": 100, "h5_data_50": 50}[folder.parent.name]
        assert layers["data"].image_data_param.batch_size == streams
