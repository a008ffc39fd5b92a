import importlib.util
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from lrcn import Error
from lrcn.convert import load_weights, restrict_to_net, save_weights
from prototxt_import import FormatError, LayerWeights, Weights, parse_net, read_net, read_weights, write_net

SCRIPT = Path(__file__).parent.parent / "scripts" / "convert_caffemodel.py"
RECORDED = ["legacy_v0", "legacy_v1", "lstm_static_fork", "glue", "embed", "conv_stride_group_pad"]
SUFFIXES = ["caffemodel", "h5", "safetensors", "pt"]


@pytest.fixture(scope="module")
def convert():
    """The `main` of the script."""
    specification = importlib.util.spec_from_file_location("convert_caffemodel", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.main


def bits(weights: Weights) -> dict[str, tuple]:
    return {name: (blob.shape, blob.dtype, blob.tobytes()) for name, blob in weights.blobs()}


def random_weights(dtype: type) -> Weights:
    """Blobs of any bits, of every number of axes, in layers whose names are awkward and not in alphabetical order."""
    rng = np.random.default_rng(0)
    net = parse_net(
        'name: "n" layer { name: "z/1x1" type: "LSTM" } layer { name: "r" } layer { name: "a" type: "Scale" }'
    )
    pattern = {np.float32: np.uint32, np.float64: np.uint64}[dtype]

    def blob(*shape: int) -> np.ndarray:
        return rng.integers(0, np.iinfo(pattern).max, shape, pattern, endpoint=True).view(dtype)

    return Weights(
        "n",
        [LayerWeights("z/1x1", "LSTM", [blob(4, 3), blob(4), blob(4, 2)]), LayerWeights("a", "Scale", [blob()])],
        net,
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_bit_survives(tmp_path, suffix, dtype):
    weights = random_weights(dtype)
    assert save_weights(tmp_path / f"w.{suffix}", weights) == {}
    (tmp_path / f"w.{suffix}").rename(tmp_path / "renamed")  # the content says what it is
    loaded = load_weights(tmp_path / "renamed")
    assert bits(loaded) == bits(weights)
    assert [path.name for path in tmp_path.iterdir()] == ["renamed"]
    if suffix in ("caffemodel", "safetensors"):
        assert loaded.net == weights.net and loaded.name == "n"
        assert [(layer.name, layer.type) for layer in loaded.layers] == [("z/1x1", "LSTM"), ("a", "Scale")]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_caffe_in_every_form_and_dialect(data, tmp_path, name, suffix):
    weights = read_weights(data / "recorded" / name / "weights.caffemodel")
    save_weights(tmp_path / f"w.{suffix}", weights)
    assert bits(load_weights(tmp_path / f"w.{suffix}")) == bits(weights)


def test_other_libraries_read_the_files(tmp_path):
    weights = random_weights(np.float32)
    for suffix in SUFFIXES:
        save_weights(tmp_path / f"w.{suffix}", weights)
    with h5py.File(tmp_path / "w.h5") as file:
        assert list(file) == ["data"] and file["data/z/1x1/2"][()].tobytes() == weights["z/1x1"][2].tobytes()
    tensors = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    assert sorted(tensors) == ["a/0", "z/1x1/0", "z/1x1/1", "z/1x1/2"]
    tensors = torch.load(tmp_path / "w.pt", weights_only=True)
    assert type(tensors) is dict and tensors["z/1x1/0"].shape == (4, 3)
    assert tensors["z/1x1/0"].numpy().tobytes() == weights["z/1x1"][0].tobytes()


def test_more_than_ten_blobs_stay_in_order(tmp_path):
    blobs = [np.full(1, index, np.float32) for index in range(12)]
    for suffix in SUFFIXES:
        save_weights(tmp_path / f"w.{suffix}", Weights("n", [LayerWeights("a", "Scale", blobs)]))
        assert [blob[0] for blob in load_weights(tmp_path / f"w.{suffix}")["a"]] == list(range(12))


def test_only_the_layers_of_a_network_in_its_order(tmp_path):
    net = parse_net('name: "m" layer { name: "a" type: "Scale" bottom: "x" } layer { name: "new" type: "ReLU" }')
    kept, unused = restrict_to_net(random_weights(np.float32), net)
    assert [layer.name for layer in kept.layers] == ["a"] and unused == ["z/1x1"] and kept.net == net
    backwards = parse_net('layer { name: "a" type: "Scale" } layer { name: "z/1x1" type: "LSTM" }')
    kept, unused = restrict_to_net(random_weights(np.float32), backwards)
    assert [layer.name for layer in kept.layers] == ["a", "z/1x1"] and unused == []


def test_a_network_whose_layers_have_no_weights_is_an_error():
    net = parse_net(
        'name: "m" layer { name: "fc8" type: "InnerProduct" } layer { name: "a" type: "Scale" bottom: "x" }'
    )
    with pytest.raises(Error, match=r"no blobs for fc8 of the network 'm'.* z/1x1; is this the right prototxt"):
        restrict_to_net(random_weights(np.float32), net)
    two_bottoms = parse_net('layer { name: "s" type: "Scale" bottom: "x" bottom: "y" }')
    assert restrict_to_net(random_weights(np.float32), two_bottoms)[0].layers == []


@pytest.mark.parametrize("recorded", RECORDED)
def test_recorded_networks_fit_their_weights(data, recorded):
    folder = data / "recorded" / recorded
    weights = read_weights(folder / "weights.caffemodel")
    kept, unused = restrict_to_net(weights, read_net(folder / "net.prototxt"))
    assert bits(kept) == bits(weights) and unused == []


def test_damaged_files(tmp_path):
    weights = random_weights(np.float32)
    for suffix in SUFFIXES:
        path = tmp_path / f"w.{suffix}"
        save_weights(path, weights)
        whole = path.read_bytes()
        for size in [*range(0, 64), *range(64, len(whole) - 1, max(1, len(whole) // 40))]:
            path.write_bytes(whole[:size])
            try:
                load_weights(path)
            except FormatError as error:
                assert f"w.{suffix}" in str(error)


def test_files_that_hold_something_else(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["label"] = [1, 2]
    with pytest.raises(FormatError, match=r"expected the group `data`.*found \['label'\]"):
        load_weights(tmp_path / "other.h5")
    with h5py.File(tmp_path / "named.h5", "w") as file:
        file["data/fc6/weight"] = [1.0]
    with pytest.raises(FormatError, match="called LAYER/INDEX with indices from 0, found"):
        load_weights(tmp_path / "named.h5")
    for name, save in (
        ("half.pt", lambda path: torch.save({"a/0": torch.zeros(1, dtype=torch.bfloat16)}, path)),
        ("half.safetensors", lambda path: safetensors.torch.save_file({"a/0": torch.zeros(1).bfloat16()}, path)),
    ):
        save(tmp_path / name)
        with pytest.raises(FormatError, match=f"{name}: a/0 is of type .*; expected float32 or float64"):
            load_weights(tmp_path / name)
    with h5py.File(tmp_path / "integers.h5", "w") as file:
        file["data/a/0"] = [1]
    with pytest.raises(FormatError, match=r"integers.h5: a/0 is of type int64; expected float32"):
        load_weights(tmp_path / "integers.h5")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(FormatError, match="expected a dict of tensors"):
        load_weights(tmp_path / "list.pt")
    torch.save({"a/0": Path("x")}, tmp_path / "object.pt")
    with pytest.raises(FormatError, match="weights_only=True"):
        load_weights(tmp_path / "object.pt")
    with pytest.raises(Error, match=r"expected a name that ends in one of .caffemodel, .h5.*found '.onnx'"):
        save_weights(tmp_path / "w.onnx", random_weights(np.float32))
    with pytest.raises(Error, match="hold no definition"):
        save_weights(tmp_path / "w.prototxt", Weights("", [], format="HDF5"))


@pytest.mark.parametrize("suffix", [*SUFFIXES, "prototxt"])
def test_a_folder_that_is_absent(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match="absent"):
        save_weights(tmp_path / "absent" / f"w.{suffix}", random_weights(np.float32))


def test_command_line(convert, data, tmp_path, capsys):
    source, out = data / "recorded" / "lstm_static_fork" / "weights.caffemodel", tmp_path / "w.safetensors"
    assert convert([str(source), "--list", "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("network 'lstm_static_fork', current format, dialect fork, 20,736 bytes in blobs")
    assert [line.split() for line in lines[1:4]] == [
        ["layer", "type", "blob", "shape", "number"],
        ["lstm1", "LSTM", "0", "96", "x", "20", "float32"],
        ["lstm1", "LSTM", "1", "96", "float32"],
    ]
    assert lines[-1] == f"wrote {out}: 1 layers, 4 blobs"
    assert convert([str(out), "-o", str(tmp_path / "w.prototxt")]) == 0
    assert read_net(tmp_path / "w.prototxt") == read_weights(source).net


def test_command_line_between_dialects(convert, data, tmp_path, capsys):
    source, out = data / "recorded" / "embed" / "weights.caffemodel", tmp_path / "w.caffemodel"
    assert convert([str(source), "-o", str(out), "--output-dialect", "fork"]) == 0
    assert "left out, not in dialect fork: LayerParameter.input_param (1 times)" in capsys.readouterr().out
    assert read_weights(out).dialect == "fork" and bits(read_weights(out)) == bits(read_weights(source))
    fork = data / "recorded" / "lstm_static_fork" / "weights.caffemodel"
    with pytest.raises(FormatError, match="dialect is not 'bvlc'"):
        convert([str(fork), "--list", "--dialect", "bvlc"])


def test_command_line_with_a_network(convert, data, tmp_path, capsys):
    source, out = data / "recorded" / "embed" / "weights.caffemodel", tmp_path / "w.h5"
    net = parse_net('layer { name: "e" type: "Embed" bottom: "w" top: "e" }')
    write_net(tmp_path / "net.prototxt", net)
    assert convert([str(source), "--net", str(tmp_path / "net.prototxt"), "-o", str(out)]) == 0
    assert f"left out, not in {tmp_path / 'net.prototxt'}: eb" in capsys.readouterr().out
    assert list(bits(load_weights(out))) == ["e/0"]


def test_command_line_without_a_task(convert, capsys):
    with pytest.raises(SystemExit) as end:
        convert(["w.caffemodel"])
    assert end.value.code == 2 and "nothing to do" in capsys.readouterr().err
