"""Build of the C++ extension `lrcn._C`, and the dependencies, one of which depends on it."""

from pathlib import Path

import torch
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

CSRC = Path("csrc")
OLDEST_TORCH = (2, 11)

# The exact path must round as baseline x86-64 Caffe did: no fused multiply-add, no fast-math, no -march=native.
COMPILE_FLAGS = ["-O3", "-ffp-contract=off", "-fno-fast-math", "-Wall", "-Wextra", "-Wno-unused-parameter"]

torch_version = tuple(int(part) for part in torch.__version__.split(".")[:2])
if torch_version < OLDEST_TORCH:
    raise SystemExit(
        f"torch {'.'.join(map(str, OLDEST_TORCH))} or later is needed to build, {torch.__version__} is here"
    )

setup(
    ext_modules=[
        CppExtension(
            "lrcn._C",
            sources=sorted(str(path) for path in CSRC.rglob("*.cpp")),
            include_dirs=[str(CSRC.resolve())],
            extra_compile_args=COMPILE_FLAGS,
            libraries=["dl"],
        )
    ],
    install_requires=[
        # The extension is bound to the C++ interface of the torch that it was compiled against.
        "torch=={}.{}.*".format(*torch_version),
        "numpy>=1.26",
        "h5py>=3.10",
        "opencv-python-headless>=4.9",
        "safetensors>=0.4",
        "scipy-openblas32>=0.3.30",
        "matplotlib>=3.8",
        "jinja2>=3.1",
        "lmdb>=1.4",
        "tqdm>=4.66",
    ],
    cmdclass={"build_ext": BuildExtension},
)
