"""How the process keeps its memory."""

import ctypes

# Parameters of glibc's mallopt.
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
_NEVER = -1


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for whoever asks next, instead of handing it back to the system.

    A step of training, or a batch of images, frees as much as the next one asks for: gigabytes that cost a fifth of the
    time when they are fetched anew page by page. Under another C library than glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
