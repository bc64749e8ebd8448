"""What the heaps of the C library (glibc) do with memory: settings of this process, a server or a training."""

import ctypes

MOST = 1
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""M_... of glibc's malloc.h."""
_NEVER = 2**31 - 1
_MORE = 64 * 2**20


def share() -> bool:
    """Have threads share MOST heaps from now on; False where the C library has no such setting.

    glibc gives each thread a heap of its own, up to eight times the number of cores, and each drawing of a page is
    a thread: memory that is free in one heap is not used from another. With two, a server under load held about
    100 MB less (`make soak`); one was not measured apart. The threads compute in NumPy and ONNX Runtime, and
    seldom wait for a heap.
    """
    return _set(_ARENA_MAX, MOST)


def keep() -> bool:
    """Have what is freed stay with the process, for it to use again; False where there is no such setting.

    Otherwise glibc gives large blocks back at once, and the kernel fills each anew with zeros. A training asks for
    the same blocks in every step; zeroing them anew took a seventh of its time.
    """
    return _set(_MMAP_MAX, 0) and _set(_TRIM_THRESHOLD, _NEVER) and _set(_TOP_PAD, _MORE)


def give_back() -> bool:
    """Return what is free to the system, from between what is not as well; False where the C library cannot.

    By itself glibc returns only what is free at a heap's end, so a server keeps the memory of its busiest moment.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):
        return False


def _set(setting: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None).mallopt(setting, value))
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
