"""Files appear whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """An empty temporary file beside `path` to write to; it takes the place of `path` unless the block raises.

    Of a link, what it leads to is replaced.

    Raises:
        OSError: the folder is absent or cannot be written to, `path` is a folder or a device, or the disk is full.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(errno.EISDIR, "a file to write to was expected, this is a folder or a device", str(path))
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()  # a folder that cannot be written to is found before any work, and always as an OSError
        try:
            yield temporary
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        # A write to an open file does not say which, and of the temporary file nobody knows.
        if error.errno is not None and error.filename in (None, os.fspath(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def check_destinations(*paths: str | os.PathLike | None) -> None:
    """Find out, before long work, whether its results can be written to these files; None stands for no file.

    Raises:
        OSError: as `replacing`.
    """
    for path in paths:
        with contextlib.suppress(_Untouched):
            if path is not None:
                with replacing(path):
                    raise _Untouched


class _Untouched(Exception):
    """Leaves `replacing` without replacing."""
