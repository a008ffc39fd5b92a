"""What command lines share: common options, and that problems of the user's making end with a message."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable

from prototxt_import import FormatError

from .devices import PRECISIONS, check_device
from .errors import Error
from .memory import keep_freed_memory

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def run(main: Callable[[], int]) -> None:
    """Call `main` and leave the process with its exit status.

    `lrcn.Error`, `prototxt_import.FormatError` and `OSError` are printed as one `error: ...` on stderr with status 2;
    Ctrl-C ends with status 130. Anything else is a defect of this program and keeps its traceback. Warnings are printed
    as one `warning: ...` each. The process keeps the memory that it frees, see `lrcn.memory`.
    """
    keep_freed_memory()
    warnings.showwarning = _show_warning
    try:
        status = main()
    except BrokenPipeError:  # whoever read what is printed has enough
        status = EXIT_FAILURE
    except (Error, FormatError, OSError) as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        status = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    sys.exit(_flushed(status))


def positive_integer(text: str) -> int:
    """The value of an option that counts something; the type that argparse is given."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


positive_integer.__name__ = "positive integer"  # what argparse's message calls it: "invalid positive integer value"


def add_numerics_options(parser: argparse._ArgumentGroup, tolerance: str) -> None:
    """Add the options for how networks are computed; `tolerance` is how far fast results may be from Caffe's."""
    parser.add_argument(
        "--numerics",
        choices=("exact", "fast"),
        default="exact",
        help=f"exact: Caffe's bits (default); fast: within {tolerance}",
    )
    parser.add_argument(
        "--precision", choices=tuple(PRECISIONS), default="float32", help="of fast numerics; tf32 is for GPUs"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda needs fast numerics")


def check_numerics_options(options: argparse.Namespace) -> None:
    """Raises `Error` for options of `add_numerics_options` that do not go together, and a device that is not here."""
    if options.numerics == "exact" and (options.device != "cpu" or options.precision != "float32"):
        raise Error("exact numerics run on the CPU in float32; add --numerics fast for another device or precision")
    check_device(options.device)


def _show_warning(message: Warning | str, *_) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _flushed(status: int) -> int:
    """The exit status, once all that was printed is out; what does not get out is told here and not at Python's end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"error: standard output: {error.strerror}", file=sys.stderr)
        return status or EXIT_FAILURE
    return status


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
