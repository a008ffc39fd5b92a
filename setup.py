"""Build of the C++ extension `lrcn._C`; everything else about the package stands in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

CSRC = Path("csrc")

# The exact path must round as baseline x86-64 Caffe did: no fused multiply-add, no fast-math, no -march=native.
COMPILE_FLAGS = ["-O2", "-ffp-contract=off", "-fno-fast-math", "-Wall", "-Wextra", "-Wno-unused-parameter"]

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
    cmdclass={"build_ext": BuildExtension},
)
