import numpy as np
import pytest

from prototxt_import import FormatError, Message, parse_net, read_mean, read_net, read_solver, write_mean, write_net
from prototxt_import.wire import write_message


def test_a_definition_survives_writing(data, tmp_path):
    net = read_net(data / "recorded" / "legacy_v0" / "net.prototxt")
    write_net(tmp_path / "net.prototxt", net)
    assert read_net(tmp_path / "net.prototxt") == net
    assert [path.name for path in tmp_path.iterdir()] == ["net.prototxt"]


def test_the_definition_in_a_caffemodel(data):
    v0, v1 = (data / "recorded" / name for name in ("legacy_v0", "legacy_v1"))
    assert read_net(v0 / "weights.caffemodel") == read_net(v0 / "net.prototxt")
    assert read_net(v1 / "weights.caffemodel").layer == read_net(v1 / "net.prototxt").layer[1:]  # without inputs


def test_byte_order_mark_and_line_ends(tmp_path):
    (tmp_path / "net.prototxt").write_bytes(b'\xef\xbb\xbfname: "n"\r\nlayer { }\r\n')
    assert read_net(tmp_path / "net.prototxt") == parse_net('name: "n" layer { }')


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b'name: "\xe9"', "byte 7: expected text in UTF-8, found 0xe9"),
        (b'name: "n"\nlayers: 3', ":2:9: expected '{'"),
    ],
)
def test_bad_definitions(tmp_path, content, problem):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"net.prototxt.*{problem}"):
        read_net(path)


def test_missing_files_are_named(tmp_path):
    for read in (read_net, read_solver, read_mean):
        with pytest.raises(FileNotFoundError, match="absent"):
            read(tmp_path / "absent")


def test_solver(tmp_path):
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "multistep" stepvalue: [5, 7] solver_type: NESTEROV'
    )
    solver = read_solver(tmp_path / "solver.prototxt")
    assert (solver.type, solver.stepvalue, solver.net) == ("Nesterov", [5, 7], "net.prototxt")
    assert solver.base_lr == np.float32(0.01) and solver.clip_gradients == -1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean(tmp_path, dtype):
    mean = np.random.default_rng(0).random((3, 5, 7)).astype(dtype)
    write_mean(tmp_path / "mean.binaryproto", mean)
    read = read_mean(tmp_path / "mean.binaryproto")
    assert read.dtype == dtype and read.shape == mean.shape and read.tobytes() == mean.tobytes()
    with pytest.raises(ValueError, match="channels, height, width"):
        write_mean(tmp_path / "mean.binaryproto", mean[0])


def test_mean_in_the_current_shape(tmp_path):
    blob = Message("BlobProto", shape=Message("BlobShape", dim=[3, 1, 2]), data=range(6))
    write_message(tmp_path / "mean.binaryproto", blob)
    assert read_mean(tmp_path / "mean.binaryproto").tolist() == [[[0, 1]], [[2, 3]], [[4, 5]]]


def test_two_images_are_no_mean(tmp_path):
    blob = Message("BlobProto", num=2, channels=1, height=1, width=1, data=range(2))
    write_message(tmp_path / "mean.binaryproto", blob)
    with pytest.raises(FormatError, match=r"expected one image.*found shape \(2, 1, 1, 1\)"):
        read_mean(tmp_path / "mean.binaryproto")


def test_recorded_definitions(shared):
    paths = sorted((shared / "goldens").glob("**/*net*.prototxt"))
    assert len(paths) > 20
    for path in paths:
        net = read_net(path)
        assert net.layer[0].type == "Input" and net == parse_net(path.read_text())
    for path in sorted((shared / "goldens" / "training").glob("*/solver.prototxt")):
        assert read_solver(path).net == "net.prototxt"
