"""What one visit may upload: size, number, sum and pace, and that the server itself holds to it."""

import io
from itertools import count

import pytest
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from streamlit import config

from core.allowance import MEGABYTE, OWN, PUBLIC, Allowance, Upload, allowance
from dashboard import uploads
from dashboard.uploads import SIZE, keep_in_memory

FEW = Allowance(file_mb=2, files=3, total_mb=4, per_minute=2)


def upload(key: str, megabytes: float = 0.5) -> Upload:
    return Upload(key, f"{key}.png", int(megabytes * MEGABYTE))


def test_a_file_of_the_limit_is_let_in_and_one_byte_more_is_not():
    full = Upload("full", "full.png", 2 * MEGABYTE)
    over = Upload("over", "over.png", 2 * MEGABYTE + 1)
    found = FEW.admit([full, over], {}, 0.0)
    assert found.keys == ("full",)
    (error,) = found.refused
    assert (error.name, error.found, error.expected) == ("over.png", "2,097,153 bytes", "at most 2 MB a file here")


def test_one_file_too_many_is_named_and_those_before_it_are_read():
    begun = dict.fromkeys("abcd", -100.0)
    found = FEW.admit([upload(key) for key in "abcd"], begun, 0.0)
    assert found.keys == ("a", "b", "c")
    assert [(error.name, error.expected[:9]) for error in found.refused] == [("d.png", "at most 3")]


def test_files_together_are_bounded_and_a_smaller_one_after_may_still_fit():
    begun = {"a": -100.0, "b": -100.0, "c": -100.0}
    found = FEW.admit([upload("a", 2), upload("b", 2), upload("c", 0.5)], begun, 0.0)
    assert found.keys == ("a", "b")
    found = FEW.admit([upload("a", 2), upload("b", 1.9), upload("c", 1.8)], begun, 0.0)
    assert found.keys == ("a", "b") and found.refused[0].found == "more than fits beside the files before it"
    found = FEW.admit([upload("a", 1.9), upload("b", 1.9), upload("c", 0.1)], begun, 0.0)
    assert found.keys == ("a", "b", "c")


def test_files_wait_for_their_minute_and_those_let_in_stay():
    first = FEW.admit([upload(key) for key in "abc"], {}, 100.0)
    assert (first.keys, first.waiting, first.seconds) == (("a", "b"), 1, 60.0)
    begun = dict.fromkeys(first.keys, 100.0)
    soon = FEW.admit([upload(key) for key in "abc"], begun, 130.0)
    assert (soon.keys, soon.waiting, soon.seconds) == (("a", "b"), 1, 30.0)
    later = FEW.admit([upload(key) for key in "abc"], begun, 161.0)
    assert (later.keys, later.waiting) == (("a", "b", "c"), 0)


def test_ones_own_machine_knows_no_bound_but_the_size_of_a_file():
    many = [upload(str(number), 150) for number in range(500)]
    assert len(OWN.admit(many, {}, 0.0).keys) == 500
    assert OWN.admit([upload("large", 201)], {}, 0.0).keys == ()


def test_a_public_server_says_its_limits_and_they_fit_the_memory_of_a_small_host():
    assert PUBLIC.words() == "Up to 25 MB a file, 20 files of 75 MB together, 30 files a minute"
    assert OWN.words() == "Up to 200 MB a file"


@pytest.mark.parametrize(("switch", "expected"), [("1", PUBLIC), ("true", PUBLIC), ("0", OWN), ("", OWN)])
def test_the_switch_of_the_demo_decides(monkeypatch, switch, expected):
    monkeypatch.setenv("LUNGLENS_DEMO", switch)
    assert allowance() is expected


async def sent(megabytes: int):
    """An upload of so many megabytes as the server parses it."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="ct.dcm"\r\n\r\n'
    numbers = count()

    async def body():
        yield head
        for _ in range(megabytes):
            yield bytes([next(numbers) % 256]) * MEGABYTE
        yield b"\r\n--x--\r\n"

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    return await MultiPartParser(headers, body()).parse()


@pytest.fixture
def restored(monkeypatch):
    """What `keep_in_memory` changes for the whole process is put back."""
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MEGABYTE)
    before = config.get_option(SIZE)
    yield
    config.set_option(SIZE, before)


def test_an_upload_of_several_megabytes_never_becomes_a_temporary_file(restored):
    import asyncio

    spooled = asyncio.run(sent(3))["file"].file
    assert spooled._rolled, "without the mend the file lies on disk"
    keep_in_memory()
    held = asyncio.run(sent(3))["file"].file
    assert not held._rolled and isinstance(held._file, io.BytesIO)
    assert len(held.read()) == 3 * MEGABYTE


def test_the_server_of_a_demo_takes_no_larger_file_than_a_visit_may_bring(restored, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    config.set_option(SIZE, 200)
    keep_in_memory()
    assert config.get_option(SIZE) == PUBLIC.file_mb
    config.set_option(SIZE, 5)
    keep_in_memory()
    assert config.get_option(SIZE) == 5, "a host that allows less keeps its limit"


def test_the_home_page_puts_it_in_force():
    text = (uploads.loaders.ROOT / "dashboard" / "Home.py").read_text()
    assert text.index("uploads.keep_in_memory()") < text.index("st.set_page_config")
