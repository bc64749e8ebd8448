"""The server's threads share few heaps, where the C library can do that."""

import platform
import subprocess
import sys

import pytest

from core import heaps

COUNT = """
import ctypes, sys, threading
from core import heaps
if sys.argv[1] == "share":
    assert heaps.share()
ready = threading.Barrier(13)
def hold():
    kept = [bytes(1000) for _ in range(100)]
    ready.wait()
    ready.wait()
threads = [threading.Thread(target=hold) for _ in range(12)]
for thread in threads:
    thread.start()
ready.wait()
libc = ctypes.CDLL(None)
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
stream = ctypes.c_void_p.in_dll(libc, "stdout")
libc.malloc_info(0, stream)
libc.fflush(None)
ready.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose setting it is")
def test_threads_share_few_heaps():
    def count(how: str) -> int:
        told = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout
        return told.count("<heap nr=")

    assert count("share") <= heaps.MOST < count("leave")


BLOCKS = """
import resource, sys
from core import heaps
if sys.argv[1] == "keep":
    assert heaps.keep()
def fill():
    blocks = [bytearray(b"x") * 2**24 for _ in range(4)]
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose setting it is")
def test_memory_that_is_kept_is_not_asked_for_again():
    def faults(how: str) -> int:
        command = [sys.executable, "-c", BLOCKS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") * 10 < faults("leave")


HOLES = """
import sys
from core import heaps
held = [bytes(20000) for _ in range(10000)]
held = held[::2] + [held[-1]]  # every other block is free, and the last is not
def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
before = resident()
if sys.argv[1] == "give":
    assert heaps.give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose setting it is")
def test_what_is_free_between_what_is_not_goes_back():
    def fallen(how: str) -> int:
        command = [sys.executable, "-c", HOLES, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert fallen("give") > 40_000 > fallen("leave")  # KiB; half of the blocks are 98,000
