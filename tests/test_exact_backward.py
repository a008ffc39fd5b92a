"""Gradients of exact numerics beyond the recorded cases: order, accumulation, threads, agreement with fast."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threads import with_threads

import lrcn
from lrcn.errors import Error
from lrcn.ops import blas, exact, fast
from prototxt_import import parse_net

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def _blas():
    blas.load()


def normal(*shape):
    return torch.from_numpy(RNG.standard_normal(shape, dtype=np.float32))


def parameter(*shape):
    return torch.nn.Parameter(normal(*shape))


def assert_same_bits(a, b):
    assert torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))  # 0 ULP


def gradients(function, inputs, dy):
    """The gradients of the inputs, from nothing, for one pass through `function`."""
    for tensor in inputs:
        tensor.grad = None
    function(*inputs).backward(dy)
    return [tensor.grad.clone() for tensor in inputs]


def test_convolution_gradients_have_the_same_bits_with_any_number_of_threads():
    x, weight, bias = normal(3, 8, 23, 19).requires_grad_(), parameter(50, 4, 5, 5), parameter(50)
    dy = normal(3, 50, 11, 9)

    def run():
        geometry = ((2, 2), (1, 1), (1, 1), 2)
        return gradients(lambda *inputs: exact.convolution(*inputs, *geometry), (x, weight, bias), dy)

    one, two, three = (with_threads(n, run) for n in (1, 2, 3))
    for a, b, c in zip(one, two, three, strict=True):
        assert_same_bits(a, b)
        assert_same_bits(a, c)


def test_convolution_adds_up_parameter_gradients_image_by_image():
    x, weight, bias, dy = normal(3, 4, 9, 8), parameter(6, 4, 3, 3), parameter(6), normal(3, 6, 7, 6)

    def pass_through(images):
        y = exact.convolution(x[images], weight, bias, (1, 1), (0, 0), (1, 1), 1)
        y.backward(dy[images])

    pass_through(slice(None))
    together = weight.grad, bias.grad
    weight.grad = bias.grad = None
    for n in range(3):
        pass_through(slice(n, n + 1))
    assert_same_bits(weight.grad, together[0])
    assert_same_bits(bias.grad, together[1])


def test_a_split_sums_up_in_the_order_of_its_readers():
    x = torch.zeros(1, requires_grad=True)
    large, small = torch.tensor([2.0**24]), torch.ones(1)
    sums = []
    for order in ([large, small, small], [small, small, large]):
        x.grad = None
        torch.autograd.backward(exact.split(x, 3), order)
        sums.append(x.grad.item())
    assert sums == [2.0**24, 2.0**24 + 2]  # small ones vanish one by one beside the large one


def test_a_reader_outside_the_loss_counts_as_zero():
    x = normal(3, 4).requires_grad_()
    first, _ = exact.split(x, 2)
    dy = normal(3, 4)
    dy[0, 0] = -0.0
    first.backward(dy)
    assert_same_bits(x.grad, dy + 0.0)


def test_the_maximum_of_equals_sends_the_gradient_where_caffe_does():
    terms = [torch.tensor([1.0, 2.0, 3.0, 0.0], requires_grad=True) for _ in range(3)]
    exact.maximum(terms).backward(torch.tensor([1.0, 1.0, -0.0, 5.0]))
    assert terms[1].grad.tolist() == [1, 1, 0, 5]  # of the first two the second, and no later one
    assert not terms[0].grad.any() and not terms[2].grad.any()
    assert not torch.signbit(terms[1].grad).any()  # -0 becomes +0


@pytest.mark.parametrize("stable", [True, False])
def test_gradient_of_a_product(stable):
    terms = [(normal(4, 5).abs() + 0.5).requires_grad_() for _ in range(3)]
    dy = normal(4, 5)
    found = gradients(lambda *inputs: exact.product(inputs, stable), terms, dy)
    expected = gradients(lambda *inputs: fast.product(inputs, stable), terms, dy)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)  # a few roundings


sizes = st.integers(1, 4)


@settings(max_examples=60, deadline=None)
@given(outer=sizes, factors=sizes, inner=sizes)
def test_gradients_of_scale(outer, factors, inner):
    x, scale, bias = normal(outer, factors, inner).requires_grad_(), parameter(factors), parameter(factors)
    dy = normal(outer, factors, inner)
    found = gradients(exact.scale, (x, scale, bias), dy)
    expected = gradients(fast.scale, (x, scale, bias), dy)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)  # sums of at most 16 products
    blob = scale.detach().requires_grad_()  # a second bottom: its gradient travels on instead of adding up
    assert_same_bits(gradients(lambda x, s: exact.scale(x, s, None), (x, blob), dy)[1], found[1])


@settings(max_examples=40, deadline=None)
@given(
    power=st.sampled_from([0.0, 1.0, 2.0, 3.0, -0.75]),
    scale=st.sampled_from([0.0, 1.0, 0.5]),
    shift=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_gradients_of_power(power, scale, shift):
    x = (normal(3, 4).abs() + 0.5).requires_grad_()
    dy = normal(3, 4)
    (found,) = gradients(lambda x: exact.power(x, power, scale, shift), [x], dy)
    base = (shift + scale * x.detach().double()) if power != 1 else torch.ones(3, 4)
    expected = dy * power * scale * (base ** (power - 1)) if power * scale else torch.zeros(3, 4)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=0)  # a few roundings


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_embed(bias):
    index = torch.tensor([[3.0, 0.0, 3.0], [3.0, 2.0, 0.0]])
    inputs = [parameter(5, 4), parameter(4)] if bias else [parameter(5, 4)]
    dy = normal(2, 3, 4)

    def embed(numerics):
        return lambda weight, bias=None: numerics.embed(index, weight, bias)

    found, expected = (gradients(embed(numerics), inputs, dy) for numerics in (exact, fast))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # sums of at most 6 values
    assert not found[0][[1, 4]].any()


TRAIN = """
input: "x" input_shape { dim: 4 dim: 6 }
input: "label" input_shape { dim: 4 }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 5 }
        param { lr_mult: 0 } param { lr_mult: 2 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 3 }
        param { name: "shared" } }
layer { name: "c" type: "InnerProduct" bottom: "a" top: "c" inner_product_param { num_output: 3 }
        param { name: "shared" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss" loss_weight: 20 }
layer { name: "other" type: "EuclideanLoss" bottom: "b" bottom: "c" top: "other" }
"""


def trained(numerics):
    net = lrcn.Net(parse_net(TRAIN), numerics=numerics, phase="TRAIN")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for blob in net.parameters():
            blob.copy_(torch.randn(blob.shape, generator=generator))
    return net, {"x": torch.randn(4, 6, generator=generator), "label": torch.tensor([0.0, 2, 1, 2])}


def test_one_backward_serves_both_numerics():
    found = {}
    for numerics in ("exact", "fast"):
        net, inputs = trained(numerics)
        blobs = net(**inputs)
        assert net.loss_weights == {"loss": 20.0, "other": 1.0}
        loss = net.loss(blobs)
        assert loss.item() == pytest.approx(20 * blobs["loss"].item() + blobs["other"].item(), rel=1e-6)
        loss.backward()
        assert net.params["a"][0].grad is None  # lr_mult 0
        assert net.params["b"][0] is net.params["c"][0]
        found[numerics] = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    for name, gradient in found["exact"].items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(gradient, found["fast"][name], rtol=0, atol=1e-5 * scale)  # order of short sums


def test_gradients_add_up_over_passes_like_those_of_autograd():
    net, inputs = trained("exact")
    net.loss(net(**inputs)).backward()
    once = net.params["b"][1].grad.clone()
    net.loss(net(**inputs)).backward()
    torch.testing.assert_close(net.params["b"][1].grad, 2 * once)


def test_nothing_is_kept_without_gradients():
    net, inputs = trained("exact")
    with torch.no_grad():
        assert net(**inputs)["loss"].grad_fn is None
    assert net(**inputs)["loss"].grad_fn is not None


def test_a_loss_that_is_missing_or_none():
    net, inputs = trained("exact")
    blobs = net(**inputs)
    with pytest.raises(Error, match="'other' is part of the loss"):
        net.loss({"loss": blobs["loss"]})
    with pytest.raises(Error, match="no loss"):
        lrcn.Net(parse_net('input: "x" input_shape { dim: 1 }')).loss({})
