"""What setup.py builds: with torch for CPUs only, with a CUDA torch and its compiler, and where a piece is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

# setup.py under each of these settings, and setuptools that tell instead of building; torch is imported only once.
PROGRAM = """
import contextlib, io, json, os, runpy, sys
import setuptools, torch
from torch.utils import cpp_extension

cpp_extension.CUDAExtension = lambda name, sources, libraries, **options: setuptools.Extension(name, sources, **options)
for torch.version.cuda, cpp_extension.CUDA_HOME, os.environ["FORCE_CUDA"] in json.loads(sys.argv[1]):
    result = {}
    def setup(ext_modules, **_):
        result.update(sources=ext_modules[0].sources, flags=ext_modules[0].extra_compile_args)
    setuptools.setup = setup
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            runpy.run_path("setup.py")
        except SystemExit as stopped:
            result["stopped"] = str(stopped)
    print(json.dumps({**result, "said": said.getvalue()}))
"""

NVCC = """#!/bin/sh
case $1 in
  --version) echo "Cuda compilation tools, release {release}, V{release}.88" ;;
  --list-gpu-arch) printf 'compute_75\\ncompute_80\\ncompute_121\\ncompute_100\\n' ;;
esac
"""

# Torch's CUDA, nvcc's CUDA, and what is said; nothing where the kernels are built.
SETTINGS = [
    ("13.0", "13.1", ""),
    (None, "13.0", "is built without CUDA"),
    ("13.0", None, "no nvcc found: set CUDA_HOME"),
    ("12.8", "13.0", "is of CUDA 13.0, torch of CUDA 12.8: the same major version is needed"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> list[dict]:
    """Per setting, without and with FORCE_CUDA."""
    settings = []
    for torch_cuda, release, _ in SETTINGS:
        home = tmp_path_factory.mktemp("toolkit")
        if release:
            (home / "bin").mkdir()
            (home / "bin/nvcc").write_text(NVCC.format(release=release))
            (home / "bin/nvcc").chmod(0o755)
        settings += [(torch_cuda, release and str(home), "0"), (torch_cuda, release and str(home), "1")]
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout
    return [json.loads(line) for line in output.splitlines()]


def test_the_cuda_kernels_are_built_without_a_gpu(results):
    for built in results[:2]:
        kernels = {
            "csrc/lstm/lstm_cuda.cu",
            "csrc/lstm_cuda_ops.cpp",
            "csrc/flow/brox_cuda.cu",
            "csrc/flow_cuda_ops.cpp",
        }
        assert kernels | {"csrc/ops.cpp"} < set(built["sources"])
        targets = [flag.split("code=")[-1] for flag in built["flags"]["nvcc"] if "code=" in flag]
        assert "-fmad=false" in built["flags"]["nvcc"], "the flow of a GPU would not have the CPU's bits"
        assert targets == ["sm_80", "sm_90", "sm_121", "compute_90", "compute_121"]
        assert built["said"] == ""


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_missing_piece_leaves_them_out_and_is_named(results, index):
    torch_cuda, _, message = SETTINGS[index]
    built, forced = results[2 * index : 2 * index + 2]
    assert not any("cuda" in source for source in built["sources"]) and "nvcc" not in built["flags"]
    assert (message in built["said"]) == (torch_cuda is not None), "torch for CPUs only is nothing to warn of"
    assert forced["stopped"].startswith("FORCE_CUDA=1, but") and message in forced["stopped"]


@pytest.mark.parametrize(
    "package, given, oldest", [("torch", "2.10.0+cu128", "2.11"), ("setuptools", "65.5.0", "77.0")]
)
def test_a_package_too_old_to_build_with_is_named(package, given, oldest):
    program = f"import runpy, {package}; {package}.__version__ = {given!r}; runpy.run_path('setup.py')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"{package} {oldest} or later is needed to build, {given} is here; pip install --upgrade {package}"
    )
