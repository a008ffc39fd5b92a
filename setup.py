"""Build of the C++ extension `lrcn._C`, and the dependencies, one of which depends on it.

The CUDA kernels are in it where torch is built with CUDA and the compiler nvcc of the same major version is found
(CUDA_HOME, else the PATH); no GPU is needed. FORCE_CUDA=1 stops the build where they would be left out.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import setuptools
import torch
from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension, CUDAExtension

CSRC = Path("csrc")
OLDEST = [(torch, (2, 11)), (setuptools, (77, 0))]  # setuptools that understands pyproject.toml's license

# The exact path must round as baseline x86-64 Caffe did: no fused multiply-add, no fast-math, no -march=native.
# Square roots vectorise only where they need not set errno; their bits are the same.
COMPILE_FLAGS = ["-O3", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno"]
# torch's threads are OpenMP's: without -fopenmp its parallel_for, a template in a header, runs in one thread.
COMPILE_FLAGS += ["-fopenmp"]
COMPILE_FLAGS += ["-Wall", "-Wextra", "-Wno-unused-parameter"]


def version(module) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(part) for part in module.__version__.split(".")[:2])


for module, oldest in OLDEST:
    if version(module) < oldest:
        name, needed = module.__name__, ".".join(map(str, oldest))
        raise SystemExit(
            f"{name} {needed} or later is needed to build, {module.__version__} is here; pip install --upgrade {name}"
        )


def cuda_compiler() -> Path | None:
    """The nvcc to build with, or None, with the reason on standard error if torch could use one."""
    nvcc = Path(CUDA_HOME or "") / "bin" / "nvcc"
    if torch.version.cuda is None:
        missing = f"torch {torch.__version__} is built without CUDA"
    elif not nvcc.is_file():
        missing = "no nvcc found: set CUDA_HOME to the folder of the CUDA toolkit"
    else:
        text = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
        release = re.search(r"release (\d+\.\d+)", text)[1]
        if release.split(".")[0] == torch.version.cuda.split(".")[0]:
            return nvcc
        missing = f"{nvcc} is of CUDA {release}, torch of CUDA {torch.version.cuda}: the same major version is needed"
    if os.environ.get("FORCE_CUDA") == "1":
        raise SystemExit(f"FORCE_CUDA=1, but {missing}")
    if torch.version.cuda:
        print(f"lrcn is built without its CUDA kernels: {missing}", file=sys.stderr)
    return None


def cuda_flags(nvcc: Path) -> list[str]:
    """Machine code for sm_80 (all of 8.x), sm_90 and the newest GPU that nvcc knows; PTX for all others."""
    known = subprocess.run([nvcc, "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout
    newest = max(int(number) for number in re.findall(r"compute_(\d+)", known))
    machine_code = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in sorted({80, 90, newest})]
    ptx = [f"-gencode=arch=compute_{number},code=compute_{number}" for number in sorted({90, newest})]
    # As on the CPU, nothing is fused that the source does not fuse: the flow has the same bits on both.
    return ["-O3", "-fmad=false", *machine_code, *ptx]


def extension() -> CppExtension:
    """CUDA sources are those with `cuda` in their names."""
    nvcc = cuda_compiler()
    sources = [path for path in sorted(CSRC.rglob("*.c*")) if path.suffix in (".cpp", ".cu")]
    options = {"include_dirs": [str(CSRC.resolve())], "libraries": ["dl"], "extra_link_args": ["-fopenmp"]}
    if nvcc is None:
        sources = [str(path) for path in sources if "cuda" not in path.stem]
        return CppExtension("lrcn._C", sources, extra_compile_args={"cxx": COMPILE_FLAGS}, **options)
    flags = {"cxx": COMPILE_FLAGS, "nvcc": cuda_flags(nvcc)}
    return CUDAExtension("lrcn._C", [str(path) for path in sources], extra_compile_args=flags, **options)


setuptools.setup(
    ext_modules=[extension()],
    install_requires=[
        # The extension is bound to the C++ interface of the torch that it was compiled against.
        "torch=={}.{}.*".format(*version(torch)),
        "numpy>=1.26",
        "h5py>=3.10",
        "opencv-python-headless>=4.9",
        "safetensors>=0.4",
        "scipy-openblas32>=0.3.30",
        "matplotlib>=3.8",
        "jinja2>=3.1",
        "lmdb>=1.4",
        "tensorboard>=2.16",
        "tqdm>=4.66",
    ],
    cmdclass={"build_ext": BuildExtension},
)
