"""Where the BLAS of the exact kernels comes from.

By default it is the library inside the wheel `scipy-openblas32`, run as core type Haswell: that has the bits of Caffe
built with OpenBLAS on a machine of that kind. Two environment variables match another build of Caffe:

- `LRCN_BLAS`: the path of another OpenBLAS shared library;
- `LRCN_BLAS_CORETYPE`: another core type, as `OPENBLAS_CORETYPE` names them.
"""

import importlib.util
import os
from pathlib import Path

from .. import _C
from ..errors import Error

DEFAULT_CORE_TYPE = "Haswell"


def library_path() -> Path:
    """The OpenBLAS shared library to load; an `Error` when there is none."""
    if chosen := os.environ.get("LRCN_BLAS"):
        return Path(chosen)
    # The package is found but not imported: importing it loads the library before its core type can be chosen.
    package = importlib.util.find_spec("scipy_openblas32")
    libraries = sorted(Path(package.origin).parent.glob("lib/libscipy_openblas*.so")) if package else []
    if not libraries:
        raise Error("no BLAS for exact numerics: install scipy-openblas32, or name an OpenBLAS in LRCN_BLAS")
    return libraries[0]


def load() -> None:
    """Load the BLAS, once per process. Raises `Error` when it cannot be had with the core type asked for."""
    core_type = os.environ.get("LRCN_BLAS_CORETYPE", DEFAULT_CORE_TYPE)
    try:
        _C.load_blas(str(library_path()), core_type)
    except RuntimeError as error:
        raise Error(str(error)) from error
