"""A ZIP is one or more series: sorted, inflated under a count, one bad member beside the good ones."""

import zipfile

import numpy as np
import pytest

from core.errors import ImageError
from core.images import Limits, iter_slices, read_slices
from tests.made_images import dicom, png, stored_values, zipped

STORED = stored_values()
GREY = (STORED // 8).astype(np.uint8)


def test_pictures_come_in_the_order_of_their_numbers():
    names = ["s10.png", "s2.png", "s1.png", "s010b.png", f"s{'9' * 5000}.png"[:200]]
    found = read_slices(zipped({name: png(GREY) for name in names}), "a.zip")
    assert [item.name for item in found][:4] == [
        "a.zip!s1.png",
        "a.zip!s2.png",
        "a.zip!s10.png",
        "a.zip!s010b.png",
    ]


def test_dicom_members_come_by_position_whatever_their_names():
    members = {f"i{step}": dicom(STORED, ImagePositionPatient=[0, 0, z]) for step, z in enumerate([30, -10, 5])}
    found = read_slices(zipped(members), "a.zip")
    assert [(item.name, item.position) for item in found] == [
        ("a.zip!i1", -10),
        ("a.zip!i2", 5),
        ("a.zip!i0", 30),
    ]


def test_series_stay_together_and_are_not_named():
    members = {}
    for step, (series, z) in enumerate([("1.9.8", 3), ("1.9.7", 1), ("1.9.8", 2), ("1.9.7", 4)]):
        members[f"i{step}"] = dicom(STORED, SeriesInstanceUID=series, ImagePositionPatient=[0, 0, z])
    found = read_slices(zipped(members), "a.zip")
    assert [item.name[-2:] for item in found] == ["i2", "i0", "i1", "i3"]
    assert not any("1.9" in f"{item.name} {item.warnings}" for item in found)


def test_a_bad_member_is_an_error_in_its_place():
    found = list(iter_slices(zipped({"a.png": png(GREY), "b.png": b"%PDF-1.7", "c.png": png(GREY)}), "a.zip"))
    assert [type(item).__name__ for item in found] == ["Slice", "ImageError", "Slice"]
    assert (found[1].name, found[1].found) == ("a.zip!b.png", "a PDF document")


def test_folders_hidden_files_and_dicomdir_are_passed_over():
    skipped = ["d/", "__MACOSX/._a.png", ".DS_Store", "d/.hidden/b.png", "DICOMDIR", "d/dicomdir"]
    found = read_slices(zipped({**dict.fromkeys(skipped, b""), "d/a.png": png(GREY)}), "a.zip")
    assert [item.name for item in found] == ["a.zip!d/a.png"]


def test_an_archive_of_nothing_is_an_error():
    for data in (zipped({}), zipped({"d/": b""})):
        (error,) = iter_slices(data, "a.zip")
        assert error.found == "an archive without pictures"


def test_a_nested_archive_is_an_error_and_not_opened():
    found = list(iter_slices(zipped({"a.zip": zipped({"b.png": png(GREY)}), "c.png": png(GREY)}), "z.zip"))
    assert found[0].found == "a ZIP archive within an archive" and found[1].name == "z.zip!c.png"


def test_an_encrypted_member_is_an_error():
    data = bytearray(zipped({"a.png": png(GREY), "b.png": png(GREY)}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    found = list(iter_slices(bytes(data), "a.zip"))
    assert found[0].found == "an encrypted member" and found[1].name == "a.zip!b.png"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_cannot_be_counted_are_refused(method):
    (error,) = iter_slices(zipped({"a.png": png(GREY)}, method), "a.zip")
    assert error.found == f"ZIP compression method {method}"


def test_a_members_path_is_only_a_name():
    found = read_slices(zipped({"../../etc/a\u202egnp.png": png(GREY), "/b\x07.png": png(GREY)}), "a.zip")
    assert sorted(item.name for item in found) == ["a.zip!../../etc/agnp.png", "a.zip!/b.png"]


def test_a_damaged_member_leaves_the_others():
    data = bytearray(zipped({"a.png": png(GREY), "b.png": png(GREY)}, zipfile.ZIP_STORED))
    data[data.index(b"IDAT") + 6] ^= 0xFF
    found = list(iter_slices(bytes(data), "a.zip"))
    assert found[0].found == "a damaged or truncated member" and found[1].name == "a.zip!b.png"


@pytest.mark.parametrize("lie", [False, True])
def test_inflating_stops_at_the_limit_whatever_the_header_says(lie):
    data = zipped({"a.png": png(GREY), "b.bin": bytes(2_000_000)})
    if lie:
        data = data.replace((2_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    found = list(iter_slices(data, "a.zip", Limits(archive_bytes=1_000_000)))
    assert isinstance(found[-1], ImageError)
    assert found[-1].found == (
        "a damaged or truncated member" if lie else "more than 1,000,000 bytes when inflated"
    )


def test_the_same_entry_listed_again_and_again_is_counted_each_time():
    data = zipped({"a.png": png(GREY), "b.png": png(GREY), "c.png": png(GREY)})
    size = len(png(GREY))
    patched = data
    for member in (b"b.png", b"c.png"):  # their entries are left, and state no bytes
        at = patched.rindex(member) - 46
        patched = patched[: at + 24] + (0).to_bytes(4, "little") + patched[at + 28 :]
    found = list(iter_slices(patched, "a.zip", Limits(archive_bytes=size)))
    assert found[0].name == "a.zip!a.png" and all(isinstance(item, ImageError) for item in found[1:])


def test_too_many_members_are_refused():
    (error,) = iter_slices(zipped({f"{step}.png": b"" for step in range(11)}), "a.zip", Limits(archive_members=10))
    assert error.found == "an archive of more than 10 members"
