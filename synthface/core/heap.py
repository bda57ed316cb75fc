"""Let the C library keep the memory that a computation frees, for the next step of the same computation."""

import ctypes
import platform

# Parameters of glibc's mallopt(3), and the largest threshold that it takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_THRESHOLD = 32 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Stop glibc from handing freed blocks of megabytes back to the system; returns whether it could be told.

    A network on a CPU frees and asks for the same few blocks at every layer. By default each goes back to the system
    and comes again page by page, zeroed, which shows with small images. All come from one heap, so that a
    thread finds what another has freed. Does nothing where there is no glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST_THRESHOLD), (_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(name, value) == 1 for name, value in settings)
