"""What a file may ask for is checked from its header, before anything is decoded."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.errors import ImageError
from core.images import LIMITS, Limits, iter_slices, read_file, read_slices
from tests.made_images import dicom, encoded, nifti, png, stored_values, zipped

GREY = (stored_values() // 8).astype(np.uint8)  # 24 x 32 = 768 pixels


def error_of(data: bytes, limits: Limits = LIMITS) -> ImageError:
    (error,) = iter_slices(data, "a", limits)
    assert isinstance(error, ImageError)
    return error


def png_header(width: int, height: int) -> bytes:
    """A PNG that states a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_the_limits_are_those_that_the_pages_state():
    assert Limits(25_000_000, 300_000_000, 1_000, 2_147_483_648, 209_715_200, 2_000) == LIMITS


@pytest.mark.parametrize(("width", "height"), [(5001, 5000), (12_000, 12_000)])
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(width, height):
    assert error_of(png_header(width, height)).found == f"a slice of {width} x {height} pixels"


def test_a_size_beyond_pillows_own_limit_is_an_error_value():
    assert error_of(png_header(60_000, 60_000)).found == "a PNG picture of far too many pixels"


def test_a_picture_at_the_limit_is_read():
    assert len(read_slices(png(GREY), "a", Limits(slice_pixels=768))) == 1
    assert "32 x 24" in error_of(png(GREY), Limits(slice_pixels=767)).found


@pytest.mark.parametrize("make", ["tiff", "dicom", "nifti"])
def test_too_many_frames_or_pixels_are_refused(make):
    stack = np.stack([GREY, GREY, GREY])
    data = {
        "tiff": lambda: encoded(
            Image.fromarray(GREY), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)] * 2
        ),
        "dicom": lambda: dicom(stack),
        "nifti": lambda: nifti(stack.transpose(2, 1, 0).astype(np.int16), np.eye(4)),
    }[make]()
    assert "slices in one file" in error_of(data, Limits(frames=2)).found
    pixels = list(iter_slices(data, "a", Limits(total_pixels=2 * 768)))[-1]
    assert pixels.found == "2,304 pixels in one file"
    assert len(read_slices(data, "a", Limits(frames=3, total_pixels=3 * 768))) == 3


def test_a_dicom_header_of_too_many_pixels_is_refused_before_its_data_are_looked_at():
    from pydicom.encaps import encapsulate

    data = dicom(
        stored_values(), "1.2.840.10008.1.2.4.70", PixelData=encapsulate([b"junk"]), Rows=60000, Columns=60000
    )
    assert error_of(data).found == "a slice of 60000 x 60000 pixels"


def test_a_deflated_dicom_file_is_counted(monkeypatch):
    import core.dicom

    monkeypatch.setattr(core.dicom, "LIMITS", Limits(archive_bytes=1000))
    assert "1,000 bytes when inflated" in error_of(dicom(stored_values(), "1.2.840.10008.1.2.1.99")).found


def test_an_archive_counts_as_one_file():
    data = zipped({f"{step}.png": png(GREY) for step in range(3)})
    found = list(iter_slices(data, "a.zip", Limits(frames=2)))
    assert [type(item).__name__ for item in found] == ["Slice", "Slice", "ImageError"]
    assert found[2].found == "3 slices in one file"


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    file = tmp_path / "long.png"
    with file.open("wb") as opened:
        opened.truncate(LIMITS.file_bytes + 1)  # a sparse file: nothing is written
    with pytest.raises(ImageError, match=r"long\.png: found 2,147,483,649 bytes; expected at most"):
        read_file(str(file))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="expected a regular file"):
        read_file(str(tmp_path / "pipe"))
