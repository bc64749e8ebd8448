"""NIfTI volumes are cut into axial slices, feet to head, in the radiological view."""

import gzip

import numpy as np
import pytest

from core.errors import ImageError
from core.images import Limits, iter_slices, read_slices
from tests.made_images import nifti

X, Y, Z = 5, 4, 3


def volume(low: int = -1000) -> np.ndarray:
    """(x, y, z) in RAS order: the value tells the place, ten thousandths apart."""
    x, y, z = np.mgrid[:X, :Y, :Z]
    return (low + 100 * x + 10 * y + z + 700 * (z == 2)).astype(np.int16)


RAS = np.array([[2.0, 0, 0, -10], [0, 3, 0, -20], [0, 0, 5, -300], [0, 0, 0, 1]])


def stored_as(order: tuple[int, int, int], flips: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The same anatomy stored along other axes: (array, affine)."""
    array, affine = volume(), RAS.copy()
    for axis in flips:
        array = np.flip(array, axis)
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
    return array.transpose(order), affine[:, [*order, 3]]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("order", "flips"),
    [((0, 1, 2), ()), ((0, 1, 2), (0, 1)), ((0, 1, 2), (2,)), ((2, 0, 1), (1,)), ((1, 2, 0), (0, 2))],
)
def test_whatever_the_axes_row_0_is_anterior_and_column_0_the_right(order, flips, packed):
    found = read_slices(nifti(*stored_as(order, flips), packed), "a.nii")
    assert [item.position for item in found] == [-300, -295, -290]
    assert [item.frame for item in found] == [0, 1, 2]
    for level, item in enumerate(found):
        expected = [[volume()[X - 1 - column, Y - 1 - row, level] for column in range(X)] for row in range(Y)]
        assert item.pixels.tolist() == expected
        assert (item.unit, item.pixels.dtype, item.spacing, item.warnings) == ("hu", np.int16, (3.0, 2.0), ())


def test_values_without_air_are_grey_over_the_volumes_range():
    found = read_slices(nifti(volume(0), RAS), "a.nii")
    assert {item.unit for item in found} == {"grey"}
    assert (found[0].pixels.min(), found[2].pixels.max()) == (0, 255)
    assert found[0].pixels.max() < 255 / 2
    assert "do not look like Hounsfield units" in found[0].warnings[0]


def test_slope_and_intercept_of_the_header_are_applied():
    import nibabel

    image = nibabel.Nifti1Image(volume(0), RAS)
    image.header.set_slope_inter(2, -1024)
    found = read_slices(image.to_bytes(), "a.nii")
    assert found[0].unit == "hu" and found[0].pixels[-1, -1] == -1024 and found[0].pixels[-1, -2] == -824


def test_values_below_air_are_air():
    values = volume()
    values[0, 0, 0] = -3024
    assert read_slices(nifti(values, RAS), "a.nii")[0].pixels[-1, -1] == -1024


def test_of_four_dimensions_the_first_volume_is_read_with_a_warning():
    found = read_slices(nifti(np.stack([volume(), volume() + 1], -1), RAS), "a.nii")
    assert len(found) == Z and found[0].pixels[-1, -1] == -1000
    assert "several volumes" in found[0].warnings[0]


def test_a_slice_with_values_that_are_no_numbers_is_an_error_and_the_others_come():
    values = volume().astype(np.float32)
    values[1, 1, 1] = np.nan
    found = list(iter_slices(nifti(values, RAS), "a.nii"))
    assert [type(item).__name__ for item in found] == ["Slice", "ImageError", "Slice"]
    assert "slice 2" in found[1].found


@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_volume_is_an_error(packed):
    data = nifti(volume(), RAS, packed)
    (error,) = iter_slices(data[:-20], "a.nii")
    assert isinstance(error, ImageError)


def test_a_gzip_bomb_stops_at_the_limit():
    data = gzip.compress(nifti(volume(), RAS) + bytes(3_000_000))
    (error,) = iter_slices(data, "a.nii.gz", Limits(archive_bytes=1_000_000))
    assert error.found == "more than 1,000,000 bytes when inflated"


def test_complex_values_are_an_error():
    with pytest.raises(ImageError, match="complex64"):
        read_slices(nifti(volume().astype(np.complex64), RAS), "a.nii")


def test_a_real_chest_volume_is_read_from_feet_to_head(shared):
    found = read_slices((shared / "nifti" / "chest_crop_ct.nii.gz").read_bytes(), "chest.nii.gz")
    assert len(found) == 164 and {item.unit for item in found} == {"hu"}
    assert found[0].pixels.shape == (126, 120) and found[1].position - found[0].position == pytest.approx(1.5)
