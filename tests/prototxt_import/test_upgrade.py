import pytest

from prototxt_import import FormatError, Message, parse_net, read_net
from prototxt_import.schema import ENUMS
from prototxt_import.upgrade import _V1_TYPES, upgrade_solver


def test_v0(data):
    assert read_net(data / "recorded" / "legacy_v0" / "net.prototxt") == parse_net("""
        name: "legacy_v0"
        layer { name: "input" type: "Input" top: "data" input_param { shape { dim: [2, 3, 23, 23] } } }
        layer {
          name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          convolution_param { num_output: 8 kernel_size: 5 stride: 2 group: 1 }
        }
        layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer {
          name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
          pooling_param { pool: MAX kernel_size: 3 stride: 2 }
        }
        layer {
          name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }
        }
        layer {
          name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
          convolution_param { num_output: 6 group: 2 kernel_size: 3 pad: 1 }
        }
        layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc" inner_product_param { num_output: 5 } }
        layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
    """)


def test_v1(data):
    assert read_net(data / "recorded" / "legacy_v1" / "net.prototxt") == parse_net("""
        name: "legacy_v1"
        layer { name: "input" type: "Input" top: "data" input_param { shape { dim: [2, 3, 41, 37] } } }
        layer {
          name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
          param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
          convolution_param { num_output: 16 kernel_size: 5 stride: 2 }
        }
        layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
        layer {
          name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
          pooling_param { pool: MAX kernel_size: 3 stride: 2 }
        }
        layer {
          name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }
        }
        layer {
          name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
          convolution_param { num_output: 12 pad: 1 kernel_size: 3 group: 2 }
        }
        layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc" inner_product_param { num_output: 9 } }
        layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
    """)


def test_v0_fields_find_their_place():
    net = parse_net("""
        layers {
          layer {
            name: "d" type: "window_data" source: "s" batchsize: 2 scale: 0.5 meanfile: "m" cropsize: 7 mirror: true
            det_fg_threshold: 0.1 det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 4 det_crop_mode: "square"
          }
          top: "d"
        }
        layers { layer { name: "i" type: "images" shuffle_images: true new_height: 5 new_width: 6 rand_skip: 3 } }
        layers { layer { name: "c" type: "concat" concat_dim: 0 } bottom: "d" bottom: "e" }
        layers { layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "f" } } }
        layers {
          layer { name: "p" type: "innerproduct" biasterm: false weight_filler { type: "gaussian" }
                  blobs_lr: 1 blobs_lr: 2 weight_decay: 0 }
        }
        layers { layer { name: "dr" type: "dropout" dropout_ratio: 0.9 } }
    """)
    assert net == parse_net("""
        layer {
          name: "d" type: "WindowData" top: "d"
          transform_param { scale: 0.5 mean_file: "m" crop_size: 7 mirror: true }
          window_data_param {
            source: "s" batch_size: 2 fg_threshold: 0.1 bg_threshold: 0.2 fg_fraction: 0.3 context_pad: 4
            crop_mode: "square"
          }
        }
        layer {
          name: "i" type: "ImageData" image_data_param { shuffle: true new_height: 5 new_width: 6 rand_skip: 3 }
        }
        layer { name: "c" type: "Concat" bottom: "d" bottom: "e" concat_param { concat_dim: 0 } }
        layer { name: "o" type: "HDF5Output" hdf5_output_param { file_name: "f" } }
        layer {
          name: "p" type: "InnerProduct" param { lr_mult: 1 decay_mult: 0 } param { lr_mult: 2 }
          inner_product_param { bias_term: false weight_filler { type: "gaussian" } }
        }
        layer { name: "dr" type: "Dropout" dropout_param { dropout_ratio: 0.9 } }
    """)


def test_v0_fields_without_use_are_reported():
    with pytest.warns(UserWarning, match="net: layer 'r' of type 'relu' has no use for num_output"):
        parse_net('layers { layer { name: "r" type: "relu" num_output: 3 } }', "net")


def test_v1_data_layers_hand_their_preprocessing_to_transform_param():
    net = parse_net("""
        layers {
          name: "d" type: DATA
          data_param { source: "s" scale: 0.5 mean_file: "m" crop_size: 3 mirror: true batch_size: 4 }
          transform_param { mean_value: 7 }
        }
    """)
    assert net == parse_net("""
        layer {
          name: "d" type: "Data" data_param { source: "s" batch_size: 4 }
          transform_param { scale: 0.5 mean_file: "m" crop_size: 3 mirror: true mean_value: 7 }
        }
    """)


def test_v1_shared_parameters_rules_and_loss_weights():
    net = parse_net("""
        layers {
          name: "a" type: INNER_PRODUCT param: "w" param: "b" blob_share_mode: PERMISSIVE blobs_lr: 3
          include { phase: TRAIN } loss_weight: 2
        }
    """)
    assert net == parse_net("""
        layer {
          name: "a" type: "InnerProduct" include { phase: TRAIN } loss_weight: 2
          param { name: "w" share_mode: PERMISSIVE lr_mult: 3 } param { name: "b" }
        }
    """)


def test_every_v1_type_has_a_name():
    assert set(_V1_TYPES) == set(ENUMS["V1LayerType"])


@pytest.mark.parametrize(
    "inputs",
    [
        'input: "a" input: "b" input_shape { dim: [5, 4] } input_shape { dim: 5 }',
        'input: "a" input_shape { dim: 5 dim: 4 } input: "b" input_shape { dim: 5 }',
    ],
)
def test_input_shapes_become_a_layer(inputs):
    net = parse_net(f'layer {{ name: "first" }} {inputs}')
    assert [layer.name for layer in net.layer] == ["input", "first"]
    layer = net.layer[0]
    assert layer.type == "Input" and layer.top == ["a", "b"]
    assert [shape.dim for shape in layer.input_param.shape] == [[5, 4], [5]]
    assert not net.has("input") and not net.has("input_shape")


def test_inputs_without_shapes_are_dropped():
    """Weights that Caffe wrote before 2015 name their inputs, but not their shapes."""
    assert parse_net('input: "data" layer { name: "a" }') == parse_net('layer { name: "a" }')


def test_the_statistics_of_batch_norm_are_not_learned():
    net = parse_net('layer { type: "BatchNorm" param { lr_mult: 1 } param { lr_mult: 1 } param { name: "f" } }')
    assert [(param.lr_mult, param.decay_mult) for param in net.layer[0].param] == [(0, 0)] * 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('layer { name: "a" } layers { name: "b" }', "both `layer` and `layers`"),
        ('layers { layer { name: "a" } } layers { name: "b" }', "V0 and V1 layers"),
        ('layers { layer { name: "a" type: "convolution" } }', "layer 'a' has type 'convolution'.* none of V0"),
        ('layers { layer { type: "images" new_height: -1 } }', "new_height: expected uint32"),
        ('input: "a" input_dim: [1, 2, 3]', "3 values of input_dim; expected four for each of the 1 inputs"),
        ('input: "a" input: "b" input_shape { dim: 1 }', "1 values of input_shape; expected one for each of 2"),
        (
            'layers { layer { name: "p" type: "padding" } bottom: "x" top: "y" }'
            'layers { layer { name: "r" type: "relu" } bottom: "y" }',
            "layer 'r' of type 'relu' reads the padding layer 'p'",
        ),
        (
            'layers { layer { name: "p" type: "padding" } bottom: "x" top: "y" }'
            'layers { layer { name: "c" type: "conv" } bottom: "y" bottom: "z" }',
            "expected a conv or pool layer with one bottom",
        ),
    ],
)
def test_what_cannot_be_upgraded(text, problem):
    with pytest.raises(FormatError, match=f"^net: .*{problem}"):
        parse_net(text, "net")


def test_solver_types():
    assert upgrade_solver(Message("SolverParameter", solver_type="ADAGRAD"), "s") == Message(
        "SolverParameter", type="AdaGrad"
    )
    with pytest.raises(FormatError, match="both `type` and the older `solver_type`"):
        upgrade_solver(Message("SolverParameter", solver_type="SGD", type="SGD"), "s")


def test_networks_inside_a_solver():
    old = Message("NetParameter", layers=[Message("V1LayerParameter", name="a", type="RELU")])
    new = Message("NetParameter", layer=[Message("LayerParameter", name="a", type="ReLU")])
    solver = Message("SolverParameter", net_param=old, train_net_param=old, test_net_param=[old, old])
    upgraded = upgrade_solver(solver, "s")
    assert [upgraded.net_param, upgraded.train_net_param, *upgraded.test_net_param] == [new] * 4
    assert solver.net_param == old
