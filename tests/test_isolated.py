"""Decoding in processes of their own: what a file does there costs that file, and nothing else changes."""

import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from core import isolated
from core.errors import ImageError
from core.images import Limits, iter_slices
from core.isolated import Decoder
from core.limits import Budget
from core.slices import Slice
from tests.made_corpus import VALID
from tests.made_images import dicom, png, slow_dicom, stored_values, zipped

ROOT = Path(__file__).resolve().parent.parent
GOOD = dicom(stored_values())
SLOW = slow_dicom()
LARGE = png(np.zeros((5000, 5000), np.uint16))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(scope="module")
def shared_decoder():
    """One decoder for the tests that leave its worker alive."""
    decoder = Decoder()
    yield decoder
    decoder.close()


@pytest.fixture
def decoder(shared_decoder):
    """A decoder whose worker is the only one, and may be ended."""
    shared_decoder.close()
    fresh = Decoder()
    yield fresh
    fresh.close()


def workers() -> list[psutil.Process]:
    """The worker processes of this process."""
    return [child for child in psutil.Process().children() if "core.isolated" in child.cmdline()]


def busy_fork(seconds: float = 0.2) -> psutil.Process:
    """The fork that is decoding, once it has had so much processor time."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for fork in (fork for worker in workers() for fork in worker.children()):
            with contextlib.suppress(psutil.Error):
                if fork.cpu_times().user > seconds:
                    return fork
        time.sleep(0.02)
    raise AssertionError("no fork is at work")


def in_thread(decoder: Decoder, data: bytes, name: str) -> tuple[threading.Thread, list]:
    """A visitor who reads a file meanwhile, and what comes of it."""
    found = []
    thread = threading.Thread(target=lambda: found.extend(decoder.iter_slices(data, name)))
    thread.start()
    return thread, found


def told(item: Slice | ImageError) -> object:
    """A slice or an error as something that can be compared, pixels and their type included."""
    if isinstance(item, ImageError):
        return item.name, item.found, item.expected
    return {**vars(item), "pixels": (item.pixels.dtype, item.pixels.shape, item.pixels.tobytes())}


@pytest.mark.parametrize("kind", VALID)
def test_slices_are_the_same_as_those_decoded_here(shared_decoder, kind):
    found = [told(item) for item in shared_decoder.iter_slices(VALID[kind], "a")]
    assert found == [told(item) for item in iter_slices(VALID[kind], "a")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7",
        VALID["PNG"][:60],
        dicom(stored_values(), PixelData=None),
        dicom(stored_values(), RescaleSlope=0),
        zipped({"a.png": VALID["PNG"], "<b>\u202e*b*</b>": b"junk", "c.dcm": VALID["DICOM"]}),
    ],
)
def test_errors_are_the_same_as_those_met_here(shared_decoder, data):
    found = [told(item) for item in shared_decoder.iter_slices(data, "a\u202e\ud800.zip")]
    assert found == [told(item) for item in iter_slices(data, "a\u202e\ud800.zip")]
    assert any(isinstance(item, tuple) for item in found)


def test_the_limits_go_with_the_file(shared_decoder):
    (error,) = shared_decoder.iter_slices(VALID["16"], "a", Limits(slice_pixels=767))
    assert error.found == "a slice of 32 x 24 pixels"


def test_every_file_is_read_by_a_process_of_its_own(shared_decoder):
    (_,) = shared_decoder.iter_slices(GOOD, "a")
    (worker,) = workers()
    seen = set()
    for _ in range(3):
        (_,) = shared_decoder.iter_slices(GOOD, "a")
        deadline = time.monotonic() + 30
        while not (forks := {fork.pid for fork in worker.children()} - seen) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen |= forks
    assert len(seen) == 3 and workers() == [worker]


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_in_the_midst_of_decoding_is_an_error_that_names_the_file(decoder, how):
    thread, found = in_thread(decoder, SLOW, "crash.dcm")
    busy_fork().send_signal(how)
    thread.join(60)
    (error,) = found
    assert str(error) == "crash.dcm: found a file that ended its decoder; expected one that can be decoded."
    (after,) = decoder.iter_slices(GOOD, "good.dcm")
    assert isinstance(after, Slice)


def test_a_crash_after_some_slices_keeps_these_and_says_that_the_rest_is_missing(decoder):
    found = []
    for item in decoder.iter_slices(dicom(np.zeros((200, 300, 300), np.uint16)), "a.dcm"):
        found.append(item)
        if len(found) == 3:
            (worker,) = workers()
            for process in (*worker.children(), worker):
                process.kill()
    *slices, error = found
    assert len(slices) >= 3 and all(isinstance(item, Slice) for item in slices)
    words = f"a file that ended its decoder; what comes after its first {len(slices)} was not read"
    assert (error.name, error.found) == ("a.dcm", words)


def test_a_file_that_takes_too_long_is_an_error_and_its_process_is_ended(decoder):
    (_,) = decoder.iter_slices(GOOD, "good.dcm")
    (worker,) = workers()
    decoder.seconds = 0.5
    (error,) = decoder.iter_slices(SLOW, "slow.dcm")
    assert error.name == "slow.dcm" and error.found == "a file that takes over 0.5 seconds to decode a slice"
    assert not worker.is_running()
    decoder.seconds = 60
    (after,) = decoder.iter_slices(GOOD, "good.dcm")
    assert isinstance(after, Slice)


def test_time_that_the_reader_of_slices_takes_is_not_the_files(decoder):
    decoder.seconds = 20
    data = zipped({f"{step}.png": png(np.zeros((300, 300), np.uint8)) for step in range(60)})
    slices = decoder.iter_slices(data, "a.zip")
    next(slices)
    decoder.seconds = 0.5
    time.sleep(0.8)
    assert sum(isinstance(item, Slice) for item in slices) == 59


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_file_that_needs_too_much_memory_is_an_error():
    small = Decoder(memory=300 * 2**20)
    found = [*small.iter_slices(LARGE, "large.png"), *small.iter_slices(GOOD, "good.dcm")]
    small.close()
    assert found[0].name == "large.png" and found[0].found == "a PNG picture that needs more memory than there is"
    assert isinstance(found[1], Slice)


def test_two_visitors_read_at_once_and_the_crash_of_one_leaves_the_other(decoder):
    first, lost = in_thread(decoder, SLOW, "first.dcm")
    fork = busy_fork()
    second, kept = in_thread(decoder, VALID["ZIP"], "second.zip")
    second.join(60)
    assert first.is_alive() and len(kept) == 6  # while the first file is still at work
    fork.send_signal(signal.SIGSEGV)
    first.join(60)
    assert [type(item) for item in lost] == [ImageError] and all(isinstance(item, Slice) for item in kept)


def test_files_beyond_the_number_of_processes_wait_for_their_turn():
    narrow = Decoder(processes=1)
    threads = [in_thread(narrow, VALID["ZIP"], str(number)) for number in range(4)]
    for thread, _ in threads:
        thread.join(120)
    narrow.close()
    assert [[item.name[0] for item in found] for _, found in threads] == [[str(n)] * 6 for n in range(4)]


def test_a_reader_who_leaves_ends_the_decoding(decoder):
    slices = decoder.iter_slices(dicom(np.zeros((200, 300, 300), np.uint16)), "a.dcm")
    next(slices)
    (worker,) = workers()
    slices.close()
    assert not worker.is_running()
    assert len(list(decoder.iter_slices(GOOD, "good.dcm"))) == 1


def test_a_worker_that_died_while_it_waited_is_replaced(decoder):
    (_,) = decoder.iter_slices(GOOD, "good.dcm")
    (worker,) = workers()
    for process in (*worker.children(), worker):
        process.kill()
    deadline = time.monotonic() + 30
    while worker.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    (after,) = decoder.iter_slices(GOOD, "good.dcm")
    assert isinstance(after, Slice)


def test_workers_end_with_the_process_that_started_them():
    code = (
        "import time; from core.isolated import Decoder; from tests.test_isolated import GOOD, workers;"
        "decoder = Decoder(); list(decoder.iter_slices(GOOD, 'a'));"
        "print(workers()[0].pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as server:
        worker = psutil.Process(int(server.stdout.readline()))
        family = [worker, *worker.children()]
        server.kill()
    gone, alive = psutil.wait_procs(family, timeout=30)
    assert alive == [] and worker in gone


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_worker_can_write_no_file_not_even_a_core_dump_and_goes_first_where_memory_runs_out(shared_decoder):
    (_,) = shared_decoder.iter_slices(GOOD, "a")
    for process in (workers()[0], *workers()[0].children()):
        assert process.rlimit(psutil.RLIMIT_FSIZE) == process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_AS) == (isolated.MEMORY, isolated.MEMORY)
        assert process.rlimit(psutil.RLIMIT_CPU)[1] == isolated.CPU_SECONDS
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"


def test_a_worker_loads_the_decoders_and_nothing_of_pages_or_networks():
    code = "import sys; from core.isolated import _load; _load(); print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"pydicom", "nibabel", "imagecodecs", "PIL"} <= loaded
    assert loaded & {"streamlit", "torch", "onnxruntime", "pandas", "cv2", "sklearn", "pickletools"} == set()


ANSWER = {
    "shape": [2, 3], "kind": "uint8", "unit": "grey", "name": "a", "frame": None, "position": None,
    "spacing": None, "warnings": [], "modality": None, "colour": 0.0,
}  # fmt: skip


def framed(told: object, content: bytes = bytes(6)) -> io.BytesIO:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return io.BytesIO(struct.pack(">I", len(text)) + text + content)


def test_an_answer_as_it_should_be_is_a_slice():
    pipe = framed(ANSWER)
    assert isolated._slice(isolated._receive(pipe), pipe, Budget(Limits())).pixels.tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [5001, 5000]},
        {"shape": [-1, -6]},
        {"shape": [0, 6]},
        {"shape": [6]},
        {"shape": "ab"},
        {"kind": "object"},
        {"kind": "float64"},
        {"unit": "<b>"},
        {"name": 3},
        {"spacing": [1]},
        {"position": "x"},
        {"shape": [2, 4]},
    ],
)
def test_an_answer_that_is_no_slice_is_not_believed(change):
    pipe = framed(ANSWER | change)
    with pytest.raises(isolated._BROKEN):
        isolated._slice(isolated._receive(pipe), pipe, Budget(Limits()))


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff", b"1" * (1 << 16) + b"1", b"[" * 60_000])
def test_a_message_that_is_none_is_not_believed(text):
    with pytest.raises(isolated._BROKEN):
        isolated._receive(framed(text))
