"""What can be asked of CUDA sources without a GPU: that they compile for every architecture, and what they do when they
run as plain C++ on the host, where tests/cuda_emulation stands in for what the kernels ask of a GPU.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import COMMON_NVCC_FLAGS, include_paths

REPOSITORY = Path(__file__).resolve().parent.parent
CSRC = REPOSITORY / "csrc"
EMULATION = REPOSITORY / "tests/cuda_emulation"


def run(command: list, **options) -> subprocess.CompletedProcess:
    result = subprocess.run(list(map(str, command)), capture_output=True, **options)
    assert result.returncode == 0, f"{command[0]}: exit status {result.returncode}\n{result.stderr[-4000:]!r}"
    return result


def nvcc() -> str:
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc") or pytest.skip("no nvcc")


def gxx() -> str:
    return shutil.which("g++") or pytest.skip("no g++")


def compile_for_gpus(source: Path, folder: Path) -> str:
    """What ptxas says about every kernel for the oldest and the newest GPU of the build and for sm_90.

    The flags are those of setup.py, and warnings are errors. Leaves the PTX of every architecture in `folder`.
    """
    compiler = nvcc()
    known = run([compiler, "--list-gpu-arch"], text=True).stdout
    newest = max(map(int, re.findall(r"compute_(\d+)", known)))
    targets = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in sorted({80, 90, newest})]
    targets.append(f"-gencode=arch=compute_{newest},code=compute_{newest}")
    options = ["-std=c++17", "-O3", "-fmad=false", "-Xptxas", "-v", "-Werror", "all-warnings", "--threads", "0"]
    options += ["--keep", "--keep-dir", folder, f"-I{CSRC}", *COMMON_NVCC_FLAGS, *targets]
    return run([compiler, *options, "-c", source, "-o", folder / "kernels.o"], text=True).stderr


def assert_compiled_without_spilling(said: str, kernels: int) -> None:
    """By what ptxas `said`: so many kernels for each of three architectures, and none of them spills registers."""
    assert len(set(re.findall(r"for '(sm_\d+)'", said))) == 3
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said)
    assert len(spills) >= 3 * kernels
    assert {int(number) for kernel in spills for number in kernel} == {0}


def check_ops(source: Path, folder: Path) -> None:
    """Compiles ops without warnings against the headers of this torch, even if it is built without CUDA."""
    toolkit = Path(os.environ.get("CUDA_HOME") or "/usr/local/cuda") / "include"
    if not (toolkit / "cuda_runtime_api.h").exists():
        pytest.skip("no CUDA toolkit: its headers are looked for under CUDA_HOME, else /usr/local/cuda")
    torch_include = [Path(path) for path in include_paths()]
    # A header that CMake writes, and that torch for CPUs lacks.
    configured = folder / "c10/cuda/impl/cuda_cmake_macros.h"
    configured.parent.mkdir(parents=True)
    configured.write_text("#pragma once\n#define C10_CUDA_BUILD_SHARED_LIBS\n")
    system = [word for path in (*torch_include, folder, toolkit) for word in ("-isystem", path)]
    # torch 2.11 builds extensions in C++17; the headers of later ones need C++20.
    standard = "c++17" if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14) else "c++20"
    options = [f"-std={standard}", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", f"-I{CSRC}"]
    run([gxx(), *options, *system, source])


def compile_for_host(sources: list[Path], folder: Path, *options: str) -> Path:
    """A program of CUDA sources as plain C++, and of what starts them."""
    program = folder / "emulation"
    flags = ["-std=c++20", "-O1", "-g", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror"]
    run([gxx(), *flags, *options, f"-I{EMULATION}", f"-I{CSRC}", "-x", "c++", *sources, "-o", program])
    return program
