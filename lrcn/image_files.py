"""Reading image files."""

import os
from pathlib import Path

import cv2
import numpy as np

from .errors import Error


def decode_file(path: str | os.PathLike, flags: int) -> np.ndarray:
    """An image file as OpenCV decodes it: (rows, columns), or with a last axis of blue, green, red and perhaps alpha.

    Args:
        path: the file.
        flags: `cv2.IMREAD_*`.

    Raises:
        Error: the file cannot be read or decoded, or is a JPEG that breaks off.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise Error(f"{path}: {error.strerror}; an image was expected") from None
    # Older decoders fill up a JPEG that breaks off with grey and only warn: look for the mark that ends the last scan.
    is_cut = content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content and not is_cut else None
    if image is None:
        raise Error(f"{path}: not a readable image{' (it breaks off)' if is_cut else ''}")
    return image
