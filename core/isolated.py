"""Files of strangers decoded in processes of their own: one that hangs, crashes or swells costs its file alone.

A worker process has imported the decoders and lives on; each file is read by a fork of it, made beforehand, that
holds nothing of any other file and ends with it. Through two pipes go messages: the length of a JSON text, the
text, and the bytes whose number it states. Nothing is pickled or written, and answers are checked like files.
"""

import gc
import importlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from core.errors import ImageError
from core.images import LIMITS, Limits, iter_slices
from core.limits import Budget, clean_name
from core.slices import Slice

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 5 * 2**28
"""Bytes of address space of a decoding process (Linux): more than any file within the limits was seen to need."""
SECONDS = 30.0
"""The longest wait for the next slice of a file."""
CPU_SECONDS = 300
"""Processor time of one file in all (where the platform has such a limit); what is done with it does not count."""
PROCESSES = 4
"""Files decoded at the same time; those after them wait for their turn."""

_LENGTH = struct.Struct(">I")
_LONGEST_TEXT = 1 << 16
_DECODERS = (
    *(f"core.{module}" for module in ("archive", "dicom", "nifti", "raster")),
    *(f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Jpeg", "Png", "Tiff", "WebP")),
    "imagecodecs",
    "pydicom.encaps",
    "pydicom.pixels",
)
_KINDS = ("int16", "uint8", "float32")
_BROKEN = (OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""What talking with a process that has died, or that a file has taken over, can raise."""


class Decoder:
    """Decodes as core.images.iter_slices does, elsewhere; several threads may share one. Starts nothing itself."""

    def __init__(self, memory: int = MEMORY, seconds: float = SECONDS, processes: int = PROCESSES) -> None:
        self._memory = memory
        self.seconds = seconds
        self._turns = threading.BoundedSemaphore(processes)
        self._idle: list[_Worker] = []

    def start(self) -> None:
        """Have a worker ready for the next file, without waiting until it is."""
        if not self._idle:
            with suppress(OSError):  # no memory for it now: the file that needs it will tell
                self._idle.append(_Worker(self._memory))

    def iter_slices(self, data: bytes, name: str, limits: Limits = LIMITS) -> Iterator[Slice | ImageError]:
        """As core.images.iter_slices; a process that is late, dies or talks nonsense ends it with an ImageError."""
        name = clean_name(name)
        with self._turns:
            try:
                worker = self._ready()
            except OSError:
                yield ImageError(name, "no process to decode it in", "more free memory on this machine")
                return
            try:
                yield from self._answers(worker, data, name, limits)
            finally:
                if worker.at_rest and not self._idle:
                    self._idle.append(worker)
                else:
                    worker.kill()
                    self.start()

    def close(self) -> None:
        """End the worker that waits. The decoder can be used again."""
        while self._idle:
            self._idle.pop().kill()

    def _ready(self) -> "_Worker":
        while True:
            try:
                worker = self._idle.pop()
            except IndexError:
                return _Worker(self._memory)
            if worker.lives():
                return worker
            worker.kill()

    def _answers(self, worker: "_Worker", data: bytes, name: str, limits: Limits) -> Iterator[Slice | ImageError]:
        budget, read = Budget(limits), 0
        try:
            with worker.ends_after(self.seconds):
                worker.ask(data, name, limits)
                answer = worker.answer(budget)
            while answer is not None:
                read += 1
                yield answer
                with worker.ends_after(self.seconds):
                    answer = worker.answer(budget)
        except _BROKEN:
            rest = f"; what comes after its first {read} was not read" if read else ""
            if worker.late:
                found = f"a file that takes over {self.seconds:g} seconds to decode a slice{rest}"
                yield ImageError(name, found, "one that can be decoded in that time")
            else:
                yield ImageError(name, f"a file that ended its decoder{rest}", "one that can be decoded")


class _Worker:
    """A worker process as the server sees it."""

    def __init__(self, memory: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.isolated", str(memory)],
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders quote what they read
            pipesize=1 << 20,  # where it can be set: a slice goes through in one piece
            start_new_session=True,  # one group with its forks
        )
        self.at_rest = True
        self.late = False

    def lives(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def ask(self, data: bytes, name: str, limits: Limits) -> None:
        """Hand over a file."""
        self.at_rest = False
        _send(self._process.stdin, {"name": name, "bytes": len(data), "limits": asdict(limits)}, data)

    def answer(self, budget: Budget) -> Slice | ImageError | None:
        """The next slice or error; None after the last. Raises one of _BROKEN for anything else."""
        told = _receive(self._process.stdout)
        if "error" in told:
            name, found, expected = (str(part) for part in told["error"])
            return ImageError(clean_name(name), found, expected)
        if "shape" in told:
            return _slice(told, self._process.stdout, budget)
        self.at_rest = True
        return None

    @contextmanager
    def ends_after(self, seconds: float) -> Iterator[None]:
        """Within it the process has so many seconds; then it is ended, so that whoever waits for it goes on."""
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def kill(self) -> None:
        """End it with whatever it has forked, and let go of it."""
        self._end()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # of what was still to be sent
                pipe.close()

    def _expire(self) -> None:
        self.late = True
        self._end()

    def _end(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self._process.kill()


def _slice(told: dict[str, Any], pipe: BinaryIO, budget: Budget) -> Slice:
    """The slice that a message begins; ValueError and the like where it is none, or one beyond the limits."""
    height, width = (int(side) for side in told["shape"])
    if told["kind"] not in _KINDS or told["unit"] not in ("hu", "grey"):
        raise ValueError("no slice")
    try:
        budget.reserve("", height, width)
    except ImageError as error:
        raise ValueError("more than a file may hold") from error
    content = _exactly(pipe, height * width * np.dtype(told["kind"]).itemsize)
    frame, position, spacing, modality = (told[key] for key in ("frame", "position", "spacing", "modality"))
    return Slice(
        pixels=np.frombuffer(content, told["kind"]).reshape(height, width),
        unit=told["unit"],
        name=clean_name(told["name"]),
        frame=None if frame is None else int(frame),
        position=None if position is None else float(position),
        spacing=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        warnings=tuple(str(warning) for warning in told["warnings"]),
        modality=None if modality is None else str(modality),
        colour=float(told["colour"]),
    )


def _send(pipe: BinaryIO, told: dict[str, Any], content: bytes | memoryview = b"") -> None:
    text = json.dumps(told).encode()
    pipe.write(_LENGTH.pack(len(text)) + text)
    pipe.write(content)
    pipe.flush()


def _receive(pipe: BinaryIO) -> dict[str, Any]:
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    if length > _LONGEST_TEXT:
        raise ValueError("too long a message")
    told = json.loads(_exactly(pipe, length))
    if not isinstance(told, dict):
        raise ValueError("no message")
    return told


def _exactly(pipe: BinaryIO, size: int) -> bytearray:
    """So many bytes. Raises EOFError where the other side ends before."""
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        count = pipe.readinto(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return content


def main() -> None:
    """A worker, told its memory limit: one fork after the other, each of which reads one file."""
    asked, answers = _pipes()
    _load()
    _bind(int(sys.argv[1]))
    if not hasattr(os, "fork"):
        while _read_one(asked, answers):
            pass
        return
    gc.collect()
    gc.freeze()  # pages that no fork touches are shared
    while True:
        child = os.fork()
        if not child:
            try:
                os._exit(0 if _read_one(asked, answers) else 1)
            finally:  # a fault of ours
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            os._exit(1)  # a crash, or the server is gone: its end of the pipe learns of it


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, out of reach of what decoders print."""
    asked = os.fdopen(os.dup(0), "rb", buffering=0)  # a fork must not read ahead into the next one's file
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    return asked, answers


def _load() -> None:
    """Import what decodes, before the first file needs it."""
    for module in _DECODERS:
        importlib.import_module(module)
    imagecodecs = sys.modules["imagecodecs"]
    for codec in ("jpeg8", "jpegls", "jpeg2k"):
        getattr(imagecodecs, f"{codec}_decode")  # each is imported when it is first asked for
    for module in ("core.dicom", "core.nifti"):
        sys.modules[module].RAISES()
    sys.dont_write_bytecode = True


def _bind(memory: int) -> None:
    """Limits for this process and its forks: memory, time of a fork, no file written, not even after a crash."""
    if sys.platform == "linux":
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as opened:
            opened.write("1000")  # where memory runs out, this goes before the server
    try:
        import resource
    except ImportError:  # Windows
        return
    bounds = {"RLIMIT_CPU": CPU_SECONDS, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    if sys.platform == "linux":  # macOS counts address space that it shares between all processes
        bounds["RLIMIT_AS"] = memory
    for name, most in bounds.items():
        resource.setrlimit(getattr(resource, name), (most, most))


def _read_one(asked: BinaryIO, answers: BinaryIO) -> bool:
    """Read one file and answer with its slices; False where the server is gone."""
    try:
        told = _receive(asked)
        data = bytes(_exactly(asked, told["bytes"]))
        for item in iter_slices(data, told["name"], Limits(**told["limits"])):
            if isinstance(item, ImageError):
                _send(answers, {"error": [item.name, item.found, item.expected]})
                continue
            fields = {key: value for key, value in vars(item).items() if key != "pixels"}
            fields |= {"shape": item.pixels.shape, "kind": item.pixels.dtype.name}
            _send(answers, fields, item.pixels.data)
        _send(answers, {"end": True})
    except (EOFError, BrokenPipeError):
        return False
    return True


if __name__ == "__main__":
    main()
