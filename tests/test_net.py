import numpy as np
import pytest
import torch

import lrcn
from lrcn.convert import save_weights
from prototxt_import import FormatError, LayerWeights, parse_net, read_weights

TWO_LAYERS = """
input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 4 } }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 2 } }
"""

SEQUENCE = """
input: "x" input_shape { dim: 4 dim: 3 dim: 5 }
input: "cont" input_shape { dim: 4 dim: 3 }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 6 } }
"""


def build(text, seed=0, **options):
    net = lrcn.Net(parse_net(text), **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return net


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


def test_inputs_outputs_and_shapes_come_from_the_definition():
    net = build(TWO_LAYERS)
    assert net.inputs == {"x": (2, 3)}
    assert net.outputs == ["b"]
    assert net.blob_shapes["a"] == (2, 4)
    assert [tuple(p.shape) for p in net.params["a"]] == [(4, 3), (4,)]


def test_asking_for_a_blob_gives_its_value_after_the_in_place_layer():
    net = build(TWO_LAYERS)
    x = np.random.default_rng(0).standard_normal((2, 3), dtype=np.float32)
    out = net(x=x, blobs=["a"])
    weight, bias = (p.detach().numpy() for p in net.params["a"])
    assert set(out) == {"a", "b"}
    np.testing.assert_allclose(out["a"].detach().numpy(), np.maximum(x @ weight.T + bias, 0), rtol=1e-6, atol=1e-6)


def test_parts_of_a_network_equal_the_whole_in_every_bit():
    net = build(TWO_LAYERS)
    x = torch.randn(2, 3)
    whole = net(x=x)["b"]
    middle = net(x=x, end="r")
    assert list(middle) == ["a"]
    assert torch.equal(bits(net(a=middle["a"], start="b")["b"]), bits(whole))  # 0 ULP


RECTIFIED_MAXIMA = """
input: "x" input_shape { dim: 2 dim: 3 dim: 9 dim: 8 }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 5 kernel_size: 2 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" relu_param { negative_slope: SLOPE } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
"""


@pytest.mark.parametrize("slope", [0, 0.1])
def test_fast_numerics_rectifies_behind_a_maximum_with_the_same_bits(slope):
    net = build(RECTIFIED_MAXIMA.replace("SLOPE", str(slope)), numerics="fast")
    # Small whole numbers make ties; some windows have nothing above 0.
    x = torch.randint(-2, 3, (2, 3, 9, 8), generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    dy = torch.randn(2, 5, 5, 4, generator=torch.Generator().manual_seed(1))
    found = []
    for kept in ([], ["c"]):
        out = net(x=x, blobs=kept)
        found.append([out["p"], *torch.autograd.grad(out["p"], [x, *net.parameters()], dy)])
    assert arranged(net, []) == ["c", "p", "r"] and arranged(net, ["c"]) == ["c", "r", "p"]
    assert (out["c"] >= 0).all() or slope
    assert (found[0][0] <= 0).any() and (found[0][0] > 0).any()
    for first, second in zip(*found, strict=True):
        assert torch.equal(bits(first), bits(second))  # 0 ULP


def arranged(net, wanted):
    return [layer.name for layer in net.ops.arrange(net.graph.layer, wanted) if layer.type != "Input"]


@pytest.mark.parametrize(
    "before, after",
    [("pool: MAX", "pool: AVE"), ("SLOPE", "-0.1"), ('top: "p"', 'top: "p" top: "where"')],
)
def test_only_what_keeps_the_bits_is_rearranged(before, after):
    text = RECTIFIED_MAXIMA.replace(before, after).replace("SLOPE", "0")
    assert arranged(build(text, numerics="fast"), []) == ["c", "r", "p"]


def test_exact_numerics_keeps_the_order():
    assert arranged(build(RECTIFIED_MAXIMA.replace("SLOPE", "0")), []) == ["c", "r", "p"]


def test_a_part_that_starts_behind_a_split_finds_the_blob_by_its_own_name():
    net = build(
        """input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { scale: 2 } }
        layer { name: "s" type: "Sigmoid" bottom: "p" top: "s" }
        layer { name: "sum" type: "Eltwise" bottom: "p" bottom: "s" top: "sum" }"""
    )
    p = torch.randn(2, 3)
    out = net(start="s", p=p)
    torch.testing.assert_close(out["sum"], p + torch.sigmoid(p))


def test_batch_size_may_change_from_call_to_call():
    net = build(TWO_LAYERS)
    for rows in (1, 7, 2):
        assert net(x=torch.randn(rows, 3))["b"].shape == (rows, 2)


@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_time_steps_and_streams_may_change_from_call_to_call(numerics):
    net = build(SEQUENCE, numerics=numerics)
    for T, N in ((4, 3), (1, 3), (9, 2), (2, 5)):
        assert net(x=torch.randn(T, N, 5), cont=torch.ones(T, N))["h"].shape == (T, N, 6)


@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_a_sequence_equals_its_steps_because_the_state_goes_on(numerics):
    net = build(SEQUENCE, numerics=numerics)
    x, cont = torch.randn(4, 3, 5), torch.tensor([[0.0, 1, 0], [1, 0, 1], [1, 1, 0.5], [0, 1, 1]])
    whole = net(x=x, cont=cont)["h"]
    net.reset_state()
    steps = torch.cat([net(x=x[t : t + 1], cont=cont[t : t + 1])["h"] for t in range(4)])
    # The input product of all steps at once differs from that of one step in its order of additions.
    torch.testing.assert_close(steps, whole, rtol=0, atol=1e-6)


def test_state_survives_a_smaller_number_of_streams_as_flat_memory_does():
    net = build(SEQUENCE)
    ones = torch.ones(1, 3)
    net(x=torch.randn(1, 3, 5), cont=ones)
    memory = net._layers["lstm"].memory[0].memory.clone()
    fewer = build(SEQUENCE)
    for target, source in zip(fewer._layers["lstm"].memory, net._layers["lstm"].memory, strict=True):
        target.memory = source.memory[: 2 * 6].clone()
    x = torch.randn(1, 2, 5)
    assert torch.equal(bits(net(x=x, cont=ones[:, :2])["h"]), bits(fewer(x=x, cont=ones[:, :2])["h"]))  # 0 ULP
    assert torch.equal(net._layers["lstm"].memory[0].memory[2 * 6 :], memory[2 * 6 :])


def test_reset_state_begins_anew():
    net = build(SEQUENCE)
    x, cont = torch.randn(4, 3, 5), torch.ones(4, 3)
    first = net(x=x, cont=cont)["h"]
    assert not torch.equal(net(x=x, cont=cont)["h"], first)
    net.reset_state()
    assert torch.equal(bits(net(x=x, cont=cont)["h"]), bits(first))  # 0 ULP


def test_exposed_state_is_bottoms_and_tops():
    net = build(
        """input: "x" input_shape { dim: 2 dim: 3 dim: 5 } input: "cont" input_shape { dim: 2 dim: 3 }
        input: "h0" input_shape { dim: 1 dim: 3 dim: 6 } input: "c0" input_shape { dim: 1 dim: 3 dim: 6 }
        layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" bottom: "h0" bottom: "c0"
                top: "h" top: "hT" top: "cT" recurrent_param { num_output: 6 expose_hidden: true } }"""
    )
    plain = build(SEQUENCE)
    x, cont = torch.randn(4, 3, 5), torch.ones(4, 3)
    whole = plain(x=x, cont=cont)["h"]
    zeros = torch.zeros(1, 3, 6)
    first = net(x=x[:2], cont=cont[:2], h0=zeros, c0=zeros)
    second = net(x=x[2:], cont=cont[2:], h0=first["hT"], c0=first["cT"])
    # The input product of four steps at once differs from that of two in its order of additions.
    torch.testing.assert_close(torch.cat([first["h"], second["h"]]), whole, rtol=0, atol=1e-6)


def test_gradients_reach_every_parameter_in_fast_numerics():
    net = build(SEQUENCE, numerics="fast", phase="TRAIN")
    net(x=torch.randn(4, 3, 5), cont=torch.ones(4, 3))["h"].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_shared_parameters_are_one():
    text = """input: "x" input_shape { dim: 2 dim: 3 }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
            param { name: "w" } inner_product_param { num_output: 3 } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
            param { name: "w" } inner_product_param { num_output: 3 } }
    """
    net = lrcn.Net(parse_net(text))
    assert net.params["a"][0] is net.params["b"][0]
    assert net.params["a"][1] is not net.params["b"][1]
    with pytest.raises(lrcn.Error, match=r"'b'.*cannot share 'w'"):
        lrcn.Net(parse_net(text[: text.rindex("num_output: 3")] + "num_output: 4 } }"))


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ('layer { name: "q" type: "Warp" bottom: "x" top: "q" }', r"layer 'q': type 'Warp' is not known"),
        ('layer { name: "q" type: "ReLU" bottom: "y" top: "q" }', r"layer 'q' reads blob 'y'"),
        (
            'layer { name: "q" type: "Softmax" bottom: "x" top: "q" softmax_param { axis: 2 } }',
            "axis 2 is out of range",
        ),
        (
            'layer { name: "q" type: "Pooling" bottom: "x" top: "q" }',
            r"layer 'q' \(Pooling\): kernel_size must be positive",
        ),
        ('layer { name: "q" type: "InnerProduct" bottom: "x" top: "q" }', "num_output must be positive"),
        ('layer { name: "q" type: "Slice" bottom: "x" top: "q" top: "r" }', "does not divide into 2 tops"),
        (
            'layer { name: "q" type: "Reshape" bottom: "x" top: "q" reshape_param { shape { dim: 5 } } }',
            "does not fill",
        ),
        (
            'layer { name: "q" type: "ReLU" bottom: "x" top: "q" } '
            'layer { name: "q" type: "TanH" bottom: "q" top: "z" }',
            "two layers",
        ),
        ('layer { name: "q" type: "Softmax" bottom: "x" top: "q" top: "r" }', "2 tops are declared, the layer has 1"),
    ],
)
def test_a_definition_that_does_not_fit_is_an_error_that_names_the_layer(definition, message):
    with pytest.raises((lrcn.Error, FormatError), match=message):
        lrcn.Net(parse_net('input: "x" input_shape { dim: 1 dim: 3 } ' + definition))


def test_calls_that_do_not_fit_are_errors():
    net = build(TWO_LAYERS)
    with pytest.raises(lrcn.Error, match=r"needs blob 'x', which was not passed; its declared shape is \(2, 3\)"):
        net()
    with pytest.raises(lrcn.Error, match=r"blob 'y' is not in the network; its inputs are x"):
        net(y=torch.zeros(2, 3))
    with pytest.raises(lrcn.Error, match=r"layer 'a' \(InnerProduct\): 3 inputs from axis 1 on were expected"):
        net(x=torch.zeros(2, 4))
    with pytest.raises(lrcn.Error, match=r"layer 'c' is not in the network"):
        net(x=torch.zeros(2, 3), end="c")
    with pytest.raises(lrcn.Error, match=r"blob 'c' is not computed"):
        net(x=torch.zeros(2, 3), blobs=["c"])


def test_sequences_with_time_and_streams_exchanged_are_told_so():
    net = build(SEQUENCE)
    with pytest.raises(lrcn.Error, match="Time comes first"):
        net(x=torch.zeros(3, 4, 5), cont=torch.zeros(4, 3))


def test_settings_that_do_not_exist_are_errors():
    with pytest.raises(lrcn.Error, match=r"numerics 'quick' is not known"):
        build(TWO_LAYERS, numerics="quick")
    with pytest.raises(lrcn.Error, match=r"phase 'test' is not known"):
        build(TWO_LAYERS, phase="test")
    with pytest.raises(lrcn.Error, match="exact numerics is float32 on the CPU"):
        build(TWO_LAYERS).to(torch.bfloat16)


def weights_of(net, path):
    from prototxt_import import Weights, write_weights

    layers = [
        LayerWeights(name, net._layers[name].definition.type, [p.detach().numpy() for p in blobs])
        for name, blobs in net.params.items()
    ]
    write_weights(path, Weights(name="net", layers=layers))
    return path


def test_loading_reports_what_went_where(tmp_path):
    net = build(TWO_LAYERS)
    path = weights_of(net, tmp_path / "w.caffemodel")
    same = lrcn.Net(parse_net(TWO_LAYERS), path)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    report = lrcn.Net(parse_net(TWO_LAYERS.replace('"b" type', '"c" type')), path, allow_missing=True).load_report
    assert (report.loaded, report.unused, report.missing) == (["a"], ["b"], ["c"])
    assert "unused: b" in str(report) and "dialect bvlc" in str(report)


@pytest.mark.parametrize("suffix", [".h5", ".safetensors", ".pt"])
def test_weights_load_from_every_kind_of_file(tmp_path, suffix):
    net = build(TWO_LAYERS)
    path = tmp_path / f"w{suffix}"
    save_weights(path, read_weights(weights_of(net, tmp_path / "w.caffemodel")))
    same = lrcn.Net(parse_net(TWO_LAYERS), path)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"b" type', '"c" type', r"has no weights for 'c'; it has 'a', 'b'"),
        ("num_output: 2", "num_output: 3", r"layer 'b', blob 0 has shape \(2, 4\), the network needs \(3, 4\)"),
        ("num_output: 2", "num_output: 2 bias_term: false", r"layer 'b' has 2 blobs where the network has 1"),
    ],
)
def test_weights_of_another_network_are_an_error(tmp_path, old, new, message):
    path = weights_of(build(TWO_LAYERS), tmp_path / "w.caffemodel")
    with pytest.raises(lrcn.Error, match=message):
        lrcn.Net(parse_net(TWO_LAYERS.replace(old, new)), path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(tmp_path, value):
    net = build(TWO_LAYERS)
    with torch.no_grad():
        net.params["b"][0][1, 2] = value
    path = weights_of(net, tmp_path / "w.caffemodel")
    with pytest.raises(lrcn.Error, match=rf"layer 'b', blob 0 holds {value} at \(1, 2\)"):
        lrcn.Net(parse_net(TWO_LAYERS), path)


def test_older_files_hold_every_blob_with_four_axes(data):
    weights = read_weights(data / "recorded" / "legacy_v1" / "weights.caffemodel")
    net = lrcn.Net(data / "recorded" / "legacy_v1" / "net.prototxt", weights)
    assert net.load_report.missing == []
