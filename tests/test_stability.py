"""Small changes of a slice change no disease; what the run says then, and where its heat lies."""

import numpy as np
import pytest

from core.overlay import display_grey
from core.phantom import phantom
from core.predictor import Predictor
from core.preprocess import Box, find_lung_field, widen
from core.slices import Slice, window
from core.stability import CHANGES, _grey, heat_in_lungs, try_changes

HU = phantom("tumour", 8, size=192).slice
GREY = Slice(display_grey(HU.pixels, "hu"), "grey", "slice.png")


@pytest.fixture(scope="module")
def demo() -> Predictor:
    return Predictor.load(threads=1)


@pytest.mark.parametrize("slice_", [HU, GREY], ids=["hu", "grey"])
def test_the_slice_as_it_is_comes_first_and_is_called_as_by_itself(demo, slice_):
    before = slice_.pixels.copy()
    tried = try_changes(demo, slice_)
    assert len(tried) == 1 + len(CHANGES)
    (alone,) = demo.predict([slice_])
    assert tried[0].kind == "as it is"
    assert tried[0].prediction.label == alone.label
    assert tried[0].prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-5)
    assert np.array_equal(slice_.pixels, before)
    assert all(one.prediction.probabilities or one.prediction.refused for one in tried)


@pytest.mark.parametrize("change", CHANGES, ids=[words for _, words, _ in CHANGES])
@pytest.mark.parametrize("slice_", [HU, GREY], ids=["hu", "grey"])
def test_each_change_changes_the_picture_and_leaves_its_lungs_where_they_are(change, slice_):
    _, _, make = change
    after = make(slice_)
    assert np.isfinite(after.pixels).all()
    shown = display_grey(after.pixels, after.unit)
    plain = display_grey(slice_.pixels, slice_.unit)
    assert shown.shape != plain.shape or not np.array_equal(shown, plain)
    field, moved = find_lung_field(slice_), find_lung_field(after)
    scale = after.pixels.shape[0] / slice_.pixels.shape[0]
    assert moved.box.height / scale == pytest.approx(field.box.height, rel=0.15)


def test_grey_moves_as_if_the_window_of_its_hounsfield_units_had():
    whole = Slice(window(HU.pixels, -600, 1500), "grey", "slice.png")
    moved = _grey(whole, -500, 1200).pixels.astype(int)
    expected = window(HU.pixels, -500, 1200).astype(int)
    inside = (whole.pixels > 0) & (whole.pixels < 255)
    assert np.abs(moved - expected)[inside].max() <= 1
    assert np.array_equal(_grey(whole).pixels, whole.pixels)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3)])
def test_tiny_slices_survive_every_change(shape):
    tiny = Slice(np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape), "grey", "tiny")
    for _, _, make in CHANGES:
        assert make(tiny).pixels.size >= 1


def test_heat_in_the_lungs_is_the_share_of_heat_on_the_lung_field():
    field = find_lung_field(HU)
    mask, box = field.mask, field.box
    assert mask.shape == HU.pixels.shape
    inside, area = heat_in_lungs(HU, mask.astype(np.float32), box)
    assert inside == 1 and area == pytest.approx(mask.sum() / (box.height * box.width))
    assert heat_in_lungs(HU, (~mask).astype(np.float32), box)[0] == 0
    assert heat_in_lungs(HU, np.zeros(HU.pixels.shape, np.float32), box) is None
    dark = Slice(np.zeros((64, 64), np.uint8), "grey", "x")
    assert heat_in_lungs(dark, np.ones((64, 64), np.float32), Box(0, 0, 64, 64)) is None


def test_heat_that_lies_everywhere_alike_lies_in_the_lungs_as_much_as_area_does():
    box = widen(find_lung_field(HU).box, 0.05, HU.pixels.shape)
    heat = np.zeros(HU.pixels.shape, np.float32)
    heat[box.top : box.top + box.height, box.left : box.left + box.width] = 0.3
    inside, area = heat_in_lungs(HU, heat, box)
    assert inside == pytest.approx(area)
