"""How the process keeps its memory."""

import ctypes

# Parameters of glibc's mallopt.
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1
_NEVER = -1


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, for whoever asks next, instead of handing it back to the system.

    A step of training frees gigabytes and asks for the same again; fetched anew page by page, they cost a fifth of its
    time. Under another C library than glibc this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
