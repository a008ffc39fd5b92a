"""The one exception of this package."""


class FormatError(ValueError):
    """A problem in a file.

    The message names the file, the place (line:column in text, byte offset in binary), what was expected, what was
    found and, where there is something to do, what to do.
    """
