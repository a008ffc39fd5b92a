"""What every command line shares: problems of the user's making end with a message, not a traceback."""

import sys
import warnings
from collections.abc import Callable

from prototxt_import import FormatError

from .errors import Error

EXIT_FAILURE = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def run(main: Callable[[], int]) -> None:
    """Call `main` and leave the process with its exit status.

    `lrcn.Error`, `prototxt_import.FormatError` and `OSError` are printed as one `error: ...` on stderr with status 2;
    Ctrl-C ends with status 130. Anything else is a defect of this program and keeps its traceback. Warnings are printed
    as one `warning: ...` each.
    """
    warnings.showwarning = _show_warning
    try:
        status = main()
    except (Error, FormatError, OSError) as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        status = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    sys.exit(status)


def _show_warning(message: Warning | str, *_) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
