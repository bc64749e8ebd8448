"""Preprocessing: golden values on small arrays, the lung field on made slices, the same pictures everywhere."""

import numpy as np
import pytest

from core.errors import ConfigError
from core.phantom import phantom
from core.preprocess import NO_LUNG_FIELD, Box, PreprocessConfig, find_lung_field, prepare, widen
from core.slices import Slice, window

SMALL_LUNG = PreprocessConfig(pipeline="lung", size=32, margin=0.0)


def chest(lung: float, soft: float, dtype=np.uint8, air: float | None = None) -> np.ndarray:
    """(120, 160): a body with two lungs at rows 30..89, columns 25..64 and 95..134; air around it if given."""
    pixels = np.full((120, 160), soft, dtype)
    pixels[30:90, 25:65] = lung
    pixels[30:90, 95:135] = lung
    if air is not None:
        pixels[:8], pixels[-12:], pixels[:, :6], pixels[:, -6:] = air, air, air, air
    return pixels


def grey(pixels: np.ndarray) -> Slice:
    return Slice(pixels, "grey", "made.png")


def test_the_lung_window_gives_the_published_grey_values():
    pixels = np.array([[-2000, -1350, -870], [-600, 40, 150], [151, 3000, -1344]], np.int16)
    expected = [[0, 0, 82], [128, 236, 255], [255, 255, 1]]  # (hu + 1350) * 255 / 1500
    assert window(pixels, -600, 1500).tolist() == expected


def test_the_paper_pipeline_takes_the_middle_of_the_shorter_side():
    pixels = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12)
    prepared = prepare(grey(pixels), PreprocessConfig(pipeline="paper", size=4, resize=8))
    assert prepared.box == Box(2, 4, 4, 4)
    assert prepared.image.tolist() == pixels[2:6, 4:8].tolist()
    assert prepared.lung_found is None


def test_the_paper_pipeline_averages_areas_when_it_shrinks():
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, 1::2] = 100
    prepared = prepare(grey(pixels), PreprocessConfig(pipeline="paper", size=4, resize=4))
    assert prepared.image.tolist() == np.full((4, 4), 50).tolist()


def test_the_lung_pipeline_maps_a_slices_own_levels_to_those_of_the_window():
    prepared = prepare(grey(chest(lung=20, soft=90)), SMALL_LUNG)
    assert prepared.lung_found
    assert (prepared.image[10, 5], prepared.image[10, 16]) == (82, 236)


@pytest.mark.parametrize(("lung", "soft"), [(5, 60), (110, 170), (30, 255), (0, 128)])
def test_slices_of_any_display_window_look_alike_afterwards(lung, soft):
    reference = prepare(grey(chest(20, 90)), SMALL_LUNG).image.astype(int)
    other = prepare(grey(chest(lung, soft)), SMALL_LUNG).image.astype(int)
    assert np.abs(reference - other).max() <= 1


def test_hounsfield_units_and_their_display_give_the_same_picture():
    hu = chest(-870, 40, np.int16, air=-1000)
    shown = window(hu, 0, 2400)
    a = prepare(Slice(hu, "hu", "a.dcm"), SMALL_LUNG).image.astype(int)
    b = prepare(grey(shown), SMALL_LUNG).image.astype(int)
    assert np.abs(a - b).max() <= 2


def test_the_lung_field_is_the_box_of_both_lungs():
    field = find_lung_field(grey(chest(40, 200, air=0)))
    assert abs(field.box.top - 30) <= 1 and abs(field.box.height - 60) <= 2
    assert abs(field.box.left - 25) <= 1 and abs(field.box.width - 110) <= 2
    assert (field.lung_level, field.soft_level) == (40, 200)


def test_air_above_a_table_is_not_lung():
    pixels = np.full((200, 200), 10, np.uint8)
    pixels[30:110, 30:170] = 200
    pixels[45:95, 45:90] = pixels[45:95, 110:155] = 20
    pixels[150:153, 10:190] = 220  # the table, joined to the body by thin straps
    pixels[110:150, 30:32] = pixels[110:150, 168:170] = 220
    field = find_lung_field(grey(pixels))
    assert field.box.top + field.box.height <= 100


def test_a_tight_crop_without_air_around_it_is_found_too():
    pixels = chest(40, 200)[20:100, 24:136]  # the lungs touch both sides
    field = find_lung_field(grey(pixels))
    assert field.box.width >= 108


def test_where_one_lung_is_not_aerated_its_side_is_still_shown():
    pixels = chest(40, 200, air=0)
    pixels[30:90, 25:65] = 200
    field = find_lung_field(grey(pixels))
    assert field.box.left <= 27 and field.box.left + field.box.width >= 133


def test_without_a_lung_field_the_whole_slice_is_used_and_it_is_said():
    pixels = np.full((64, 64), 120, np.uint8)
    prepared = prepare(grey(pixels), SMALL_LUNG)
    assert prepared.lung_found is False
    assert prepared.warnings == (NO_LUNG_FIELD,)
    assert prepared.box == Box(0, 0, 64, 64)
    assert prepared.image.tolist() == np.full((32, 32), 120).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 2), (2000, 9)])
def test_odd_sizes_end_in_a_picture_never_in_a_fault(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for pipeline in ("lung", "paper"):
        assert prepare(grey(pixels), PreprocessConfig(pipeline=pipeline)).image.shape == (224, 224)


def test_lungs_are_found_in_drawn_slices_of_every_class():
    for label in ("normal", "pneumonia", "tumour"):
        made = phantom(label, seed=3, size=192)
        field = find_lung_field(made.slice)
        rows, columns = np.flatnonzero(made.lung_mask.any(1)), np.flatnonzero(made.lung_mask.any(0))
        assert abs(field.box.left - columns[0]) < 12
        assert abs(field.box.top + field.box.height - rows[-1]) < 16


def test_a_wider_reach_holds_the_plain_picture_inside():
    pixels = chest(40, 200, air=0)
    plain = prepare(grey(pixels), SMALL_LUNG)
    wide = prepare(grey(pixels), SMALL_LUNG, reach=0.2)
    top, left, height, width = (round(value) for value in wide.inner)
    assert wide.image.shape[0] > 32 and wide.image.shape[1] > 32
    inside = wide.image[top : top + height, left : left + width]
    assert inside.shape == (32, 32)
    assert np.abs(inside.astype(int) - plain.image).mean() < 12


def test_a_box_is_widened_as_far_as_the_slice_goes():
    assert widen(Box(10, 20, 100, 50), 0.2, (125, 200)) == Box(0, 10, 125, 70)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"pipeline": "other"}, "pipeline"), ({"margin": 2}, "margin"), ({"window_width": 0}, "window"),
     ({"pipeline": "paper", "size": 300}, "resize")],
)  # fmt: skip
def test_a_contradictory_configuration_is_refused_by_name(values, field):
    with pytest.raises(ConfigError, match=field):
        PreprocessConfig(**values)
