"""Whatever the bytes are, the reader yields slices and error values and never raises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ImageError
from core.images import HEAD_BYTES, iter_slices, looks_like_image, read_slices
from core.slices import Slice
from tests.made_corpus import GREY, VALID
from tests.made_images import png, zipped

EXPECTED = "PNG, JPEG, TIFF, BMP, WebP, DICOM, NIfTI or ZIP"


def check(data: bytes) -> list:
    """Read to the end; every value is an error or a finite slice."""
    found = list(iter_slices(data, "a"))
    assert found
    for item in found:
        assert isinstance(item, (Slice, ImageError))
        if isinstance(item, Slice):
            assert item.pixels.ndim == 2 and item.pixels.size and np.isfinite(item.pixels).all()
            assert item.unit == "hu" or (item.pixels.min() >= 0 and item.pixels.max() <= 255)
    return found


@pytest.mark.parametrize("kind", VALID)
def test_a_valid_file_of_each_format_is_read_and_recognised_by_its_head(kind):
    assert all(isinstance(item, Slice) for item in check(VALID[kind]))
    assert looks_like_image(VALID[kind][:HEAD_BYTES])


@given(st.binary(max_size=2000))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_bytes_are_an_error_value(data):
    check(data)


@pytest.mark.parametrize("kind", VALID)
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damage_of_any_kind_yields_slices_or_errors(kind, data):
    content = bytearray(VALID[kind])
    header = min(len(content) - 1, data.draw(st.sampled_from([200, 1500, len(content) - 1])))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, header))] = data.draw(st.integers(0, 255))
    check(bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"GIF89a" + bytes(50), "a GIF picture"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"file,label\na.png,normal\n", "a text file"),
        (bytes(range(12)), "12 bytes that start with 00 01 02 03 04 05 06 07"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip file without a NIfTI volume in it"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "a DICOM data set without its preamble"),
    ],
)
def test_junk_is_named_for_what_it_is(data, found):
    (error,) = iter_slices(data, "scan.png")
    assert (error.name, error.found, error.expected) == ("scan.png", found, EXPECTED)
    assert not looks_like_image(data)


def test_names_are_shown_without_control_and_direction_characters():
    (error,) = iter_slices(b"", "a\x1b[31m\u202egnp.exe\n\ud800.png")
    assert error.name == "a[31mgnp.exe.png"


def test_read_slices_raises_the_first_error():
    with pytest.raises(ImageError, match=r"z\.zip!b"):
        read_slices(zipped({"a.png": png(GREY), "b": b"junk", "c": b""}), "z.zip")


def test_pictures_that_are_no_ct_are_still_read(shared):
    for path in sorted((shared / "ood").glob("*/*")):
        assert len(check(path.read_bytes())) == 1
