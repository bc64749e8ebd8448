"""The C library's heaps: few, so that what one thread frees the others can use.

glibc gives each thread a heap of its own, up to eight times the number of cores, and each drawing of a page is a
thread: memory that is free in one heap is not used from another. With two, a server under load holds about 100 MB
less (`make soak`); the threads compute in NumPy and ONNX Runtime, and seldom wait for a heap.
"""

import ctypes

MOST = 2
_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def share() -> bool:
    """Have threads share MOST heaps from now on; False where the C library has no such setting."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, MOST))
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
