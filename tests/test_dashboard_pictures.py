"""Pictures and packed slices: what is kept is what was read, heat is drawn where it is, boxes where they are."""

import numpy as np
import pytest

from core.preprocess import Box
from dashboard import loaders
from dashboard.pictures import enlarged, outlined


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_packed_hounsfield_units_come_back_as_they_were(dtype):
    pixels = np.array([[-1024, -600, 0], [40, 1000, 3071]], dtype)
    reading = packed(pixels, "hu")
    assert reading.pixels().dtype == np.int16
    assert np.array_equal(reading.pixels(), pixels)


def test_packed_display_grey_comes_back_as_it_was():
    pixels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert np.array_equal(packed(pixels, "grey").pixels(), pixels)


def test_a_large_slice_is_kept_small_enough_to_look_at():
    assert packed(np.zeros((3000, 1500), np.uint8), "grey").pixels().shape == (1024, 512)


def packed(pixels: np.ndarray, unit: str) -> loaders.Reading:
    return loaders.Reading(
        name="x", frame=None, unit=unit, shape=pixels.shape, spacing=None, position=None, warnings=(),
        prediction=None, milliseconds=1.0, packed=loaders.pack(pixels, unit),
    )  # fmt: skip


def test_a_box_is_drawn_where_it_lies_in_a_picture_of_another_size():
    drawn = outlined(np.full((40, 80), 99, np.uint8), Box(top=5, left=2, height=10, width=4), (20, 20))
    marked = np.argwhere(drawn[..., 0] != 99)
    assert marked.min(axis=0).tolist() == [10, 8]
    assert marked.max(axis=0).tolist() == [29, 23]


def test_small_pictures_are_enlarged_with_their_proportions():
    assert enlarged(np.zeros((32, 64), np.uint8)).shape == (256, 512)
    assert enlarged(np.zeros((700, 600), np.uint8)).shape == (700, 600)
