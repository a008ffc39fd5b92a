"""The LSTM module: torch's and Caffe's weights in and out."""

import pytest
import torch

from lrcn import Error
from lrcn.nn import LSTM
from lrcn.ops import lstm
from prototxt_import import LayerWeights, Weights, read_weights, write_weights


def sequences(T=6, N=3, inputs=5, dtype=torch.float32):
    return torch.randn(T, N, inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("bias", [True, False])
def test_from_torch_computes_the_same(bias):
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(5, 7, bias=bias, dtype=torch.float64)
    ours, x = LSTM.from_torch(theirs), sequences(dtype=torch.float64)
    expected, (h_T, c_T) = theirs(x)
    h, state = ours(x)
    torch.testing.assert_close((h, *state), (expected, h_T[0], c_T[0]))
    again = ours(x, state=state)[0]
    torch.testing.assert_close(again, theirs(x, (h_T, c_T))[0])


def test_to_torch_computes_the_same_and_back_has_the_same_weights():
    torch.manual_seed(0)
    ours, x = LSTM(5, 7, dtype=torch.float64), sequences(dtype=torch.float64)
    theirs = ours.to_torch()
    torch.testing.assert_close(theirs(x)[0], ours(x)[0])
    back = LSTM.from_torch(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), back.parameters(), strict=True))  # 0 ULP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 2}, "num_layers=1 expected, 2 given"),
        ({"bidirectional": True}, "bidirectional=False expected, True given"),
        ({"proj_size": 3}, "proj_size=0 expected, 3 given"),
        ({"batch_first": True}, "batch_first=False expected, True given"),
    ],
)
def test_what_torch_has_beyond_one_layer_is_refused(arguments, message):
    with pytest.raises(Error, match=message):
        LSTM.from_torch(torch.nn.LSTM(5, 7, **arguments))
    with pytest.raises(Error, match="no static input"):
        LSTM(5, 7, static_size=2).to_torch()


@pytest.mark.parametrize("static", [None, 4])
def test_caffe_blobs_through_a_caffemodel(tmp_path, static):
    module = LSTM(5, 7, static)
    path = tmp_path / "lstm.caffemodel"
    write_weights(path, Weights(name="net", layers=[LayerWeights("lstm1", "LSTM", module.to_caffe())]))
    blobs = read_weights(path).layers[0].blobs
    assert [blob.shape for blob in blobs] == [(28, 5), (28,), *([] if static is None else [(28, 4)]), (28, 7)]
    back = LSTM.from_caffe(blobs)
    assert [name for name, _ in back.named_parameters()] == [name for name, _ in module.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), back.parameters(), strict=True))  # 0 ULP


def test_caffe_blobs_are_copies():
    module = LSTM(5, 7)
    before = module.w_x.detach().clone()
    blobs = module.to_caffe()
    blobs[0][:] = 0
    LSTM.from_caffe(blobs).w_x.data.fill_(3)
    assert torch.equal(module.w_x, before) and blobs[0].max() == 0


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(28, 5), (28,)], "3 or 4 .* expected, 2 given"),
        ([(28, 5), (7,), (28, 7)], r"b: shape \(28,\) expected, \(7,\) given"),
        ([(20, 5), (28,), (28, 7)], r"w_x: shape \(28, 5\) expected, \(20, 5\) given"),
        ([(28, 5), (28,), (4,), (28, 7)], r"w_static: shape \(28, 4\) expected, \(4,\) given"),
    ],
)
def test_blobs_that_are_not_those_of_an_lstm(shapes, message):
    with pytest.raises(Error, match=message):
        LSTM.from_caffe([torch.ones(shape).numpy() for shape in shapes])


def test_static_input_cont_and_state_reach_the_op():
    module, x = LSTM(5, 7, static_size=4), sequences()
    cont, x_static = torch.ones(6, 3), torch.randn(3, 4)
    cont[2, 1] = 0
    state = torch.randn(3, 7), torch.randn(3, 7)
    h, (h_T, c_T) = module(x, cont, x_static, state)
    expected = lstm(x, cont, module.w_x, module.b, module.w_h, x_static, module.w_static, *state)
    assert all(torch.equal(a, b) for a, b in zip((h, h_T, c_T), expected, strict=True))  # 0 ULP
    with pytest.raises(Error, match="x_static: a tensor expected"):
        module(x, cont)


def test_it_learns_and_its_state_dict_goes_round():
    torch.manual_seed(0)
    module, x = LSTM(5, 7), sequences()
    optimizer = torch.optim.SGD(module.parameters(), 0.5)
    losses = []
    for _ in range(20):
        loss = (module(x)[0] - 0.3).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    other = LSTM(5, 7)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x)[0], module(x)[0])
    assert repr(module) == "LSTM(5, 7)"
