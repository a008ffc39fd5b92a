"""dump_caffe.py under a stand-in for pycaffe, in whatever of Python 2.7 and 3 is there, as a user would run it."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lrcn.compare import compare_case
from prototxt_import import LayerWeights, Weights, write_weights

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "dump_caffe.py"
PROTOTXT = """
name: "fc"
input: "data" input_shape { dim: 2 dim: 3 }
layer {
  name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 4 bias_term: false }
}
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
"""


def interpreters() -> list[str]:
    """This Python, and a Python 2.7 that has numpy and h5py where there is one."""
    found = [sys.executable]
    python2 = shutil.which("python2.7")
    if python2 and subprocess.run([python2, "-c", "import numpy, h5py"], capture_output=True).returncode == 0:
        found.append(python2)
    return found


@pytest.fixture(params=interpreters())
def dump(request, data, tmp_path):
    """Function: run dump_caffe.py with the arguments given, in a folder with net.prototxt and weights.caffemodel."""
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) - 6  # the stand-in's
    layer = LayerWeights("fc", "InnerProduct", [weight])
    write_weights(tmp_path / "weights.caffemodel", Weights("fc", [layer]))
    environment = dict(os.environ, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1")
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(data / "fake_caffe"), *filter(None, [environment.get("PYTHONPATH")])]
    )

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [request.param, str(SCRIPT), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


COMMON = ["--net", "net.prototxt", "--weights", "weights.caffemodel", "-o", "case"]


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float32)


def test_what_is_written_can_be_compared(dump, tmp_path):
    np.savez(tmp_path / "inputs.npz", data=integers(2, 3))
    result = dump(*COMMON, "--inputs", "inputs.npz", "--note", "a note")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "case: 1 step recorded\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "case", "inputs.npz", "net.prototxt", "weights.caffemodel"
    ]  # fmt: skip
    with h5py.File(tmp_path / "case" / "dump.h5") as file:
        assert dict(file.attrs) == {
            "format": 1,
            "engine": "caffe-fake",
            "phase": "TEST",
            "blas": "OPENBLAS_CORETYPE=Haswell, OPENBLAS_NUM_THREADS=1",
            "note": "a note",
        }
    comparison = compare_case(tmp_path / "case")
    assert comparison.within
    assert [blob.name for blob in comparison.blobs] == ["fc"]


def test_steps_of_different_sizes_from_hdf5(dump, tmp_path):
    with h5py.File(tmp_path / "inputs.h5", "w") as file:
        file["step_9/data"] = integers(2, 3)
        file["step_10/data"] = integers(5, 3, seed=1)
    assert dump(*COMMON, "--inputs", "inputs.h5").stdout == "case: 2 steps recorded\n"
    with h5py.File(tmp_path / "case" / "dump.h5") as file:
        assert list(file) == ["step_000", "step_001"]
        assert file["step_001/data/fc"].shape == (5, 4)
    assert compare_case(tmp_path / "case").within


def test_backward_records_gradients(dump, tmp_path):
    gradient = integers(2, 4, seed=1)
    np.savez(tmp_path / "inputs.npz", **{"step_0/data": integers(2, 3), "step_0/top_diff/fc": gradient})
    assert dump(*COMMON, "--inputs", "inputs.npz", "--backward").returncode == 0
    with h5py.File(tmp_path / "case" / "dump.h5") as file:
        step = file["step_000"]
        masked = gradient * (step["data/fc"][()] > 0)
        assert np.array_equal(step["top_diff/fc"], gradient)
        assert np.array_equal(step["param_diff/fc/0"], masked.T @ step["input/data"][()])
        assert list(step["diff"]) == ["data"]
    assert any(blob.name.startswith("param_diff/") for blob in compare_case(tmp_path / "case").blobs)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"image": integers(2, 3)}, "'image' is no input of the network; its inputs are: data"),
        ({}, "expected an array per input blob, found none"),
        ({"data": integers(2, 3), "step_0/data": integers(2, 3)}, "'data' is in no step, others are"),
        ({"data": integers(2, 3), "top_diff/fc": integers(2, 4)}, "they need --backward"),
    ],
)
def test_faults_of_the_inputs_end_with_a_message_and_leave_nothing(dump, tmp_path, entries, message):
    np.savez(tmp_path / "inputs.npz", **entries)
    result = dump(*COMMON, "--inputs", "inputs.npz")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert not list(tmp_path.glob("case*"))


def test_other_faults_end_with_a_message(dump, tmp_path):
    for name, content in {"inputs.npz": b"PK\x03\x04 cut short", "inputs.h5": b"no HDF5", "inputs.txt": b""}.items():
        (tmp_path / name).write_bytes(content)
        result = dump(*COMMON, "--inputs", name)
        assert (result.returncode, result.stderr[:7]) == (2, "error: "), result.stderr
    assert "no such file" in dump(*COMMON, "--inputs", "absent.npz").stderr
    (tmp_path / "case").mkdir()
    assert "exists already" in dump(*COMMON, "--inputs", "inputs.npz").stderr


def test_source_holds_to_what_python_2_7_knows():
    source = SCRIPT.read_text()
    assert source.isascii()  # Python 2 wants a declaration otherwise
    newer = (
        ast.JoinedStr,
        ast.AnnAssign,
        ast.NamedExpr,
        ast.YieldFrom,
        ast.AsyncFunctionDef,
        ast.Nonlocal,
        ast.MatMult,
    )
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, newer), ast.dump(node)
        if isinstance(node, ast.arg):
            assert node.annotation is None
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None and not node.args.kwonlyargs and not node.args.posonlyargs
        if isinstance(node, ast.Raise):
            assert node.cause is None
        if isinstance(node, ast.Call):  # one *sequence and one **mapping, at the end
            stars = [isinstance(argument, ast.Starred) for argument in node.args]
            assert sum(stars) <= 1 and stars == sorted(stars)
        if isinstance(node, (ast.List, ast.Tuple)):
            assert not any(isinstance(element, ast.Starred) for element in node.elts)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            assert [name.name for name in node.names] == ["print_function"]
    modules = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert modules <= {"argparse", "os", "re", "shutil", "sys", "zipfile", "h5py", "numpy", "caffe"}
