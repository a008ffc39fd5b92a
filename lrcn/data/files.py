"""Reading the small files that name the data."""

from pathlib import Path

from ..errors import Error


def read_lines(path: str, what: str) -> list[str]:
    """The lines of a text file.

    Args:
        path: the file, relative to the working directory, as Caffe takes it.
        what: stands for its purpose in errors, for example "list of images".

    Raises:
        Error: there is no such file, it is not text, or nothing is in it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise Error(f"{path}: a {what} is a text file, this is not one") from None
    except OSError as error:
        raise Error(
            f"{path}: {error.strerror}; this {what} was expected, relative paths start at the working directory"
        ) from None
    if not any(line.strip() for line in lines):
        raise Error(f"{path}: the {what} is empty")
    return lines
