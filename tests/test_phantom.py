"""Phantoms: fixed by label and seed, with the Hounsfield units and the anatomy that they claim."""

import numpy as np
import pytest

from core.errors import ConfigError
from core.labels import LABELS
from core.phantom import cut, make_patient, phantom, phantom_series
from core.phantom_drawing import Grid, ellipse, fill, spline, strokes

SIZE = 192


@pytest.mark.parametrize("label", LABELS)
def test_a_label_and_a_seed_fix_every_pixel(label):
    first, again, other = phantom(label, 0, SIZE), phantom(label, 0, SIZE), phantom(label, 1, SIZE)
    assert np.array_equal(first.slice.pixels, again.slice.pixels)
    assert np.array_equal(first.lesion_mask, again.lesion_mask)
    assert not np.array_equal(first.slice.pixels, other.slice.pixels)


def test_a_phantom_is_a_slice_in_hounsfield_units_with_masks_of_its_shape():
    made = phantom("tumour", 5)
    assert made.slice.unit == "hu" and made.slice.pixels.dtype == np.int16
    assert made.slice.pixels.shape == made.lung_mask.shape == made.lesion_mask.shape == (512, 512)
    assert made.lung_mask.dtype == made.lesion_mask.dtype == bool
    assert 0.6 <= made.slice.spacing[0] == made.slice.spacing[1] <= 0.9


def test_size_changes_the_sampling_and_not_the_patient():
    small, large = phantom("tumour", 7, 128), phantom("tumour", 7, 256)
    assert small.slice.spacing[0] == pytest.approx(2 * large.slice.spacing[0])
    areas = [p.lung_mask.sum() * p.slice.spacing[0] ** 2 for p in (small, large)]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seed", range(4))
def test_healthy_lung_is_aerated_and_the_corner_is_air(label, seed):
    made = phantom(label, seed, SIZE)
    healthy = made.slice.pixels[made.lung_mask & ~made.lesion_mask]
    assert -900 < np.median(healthy) < -780
    assert -1024 <= np.median(made.slice.pixels[:8, :8]) < -980
    assert 0.06 < made.lung_mask.mean() < 0.5


@pytest.mark.parametrize("seed", range(6))
def test_only_a_diseased_label_has_a_lesion_and_it_lies_in_the_lungs(seed):
    assert not phantom("normal", seed, SIZE).lesion_mask.any()
    for label in ("pneumonia", "tumour"):
        made = phantom(label, seed, SIZE)
        assert made.lesion_mask.sum() * made.slice.spacing[0] ** 2 > 60  # mm2: a nodule of 9 mm
        assert not (made.lesion_mask & ~made.lung_mask).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_tumour_is_soft_tissue(seed):
    made = phantom("tumour", seed, 256)
    inner = made.slice.pixels[made.lesion_mask]
    assert -40 < np.percentile(inner, 70) < 130


@pytest.mark.parametrize("seed", range(6))
def test_pneumonia_is_denser_than_lung_and_on_both_sides(seed):
    made = phantom("pneumonia", seed, 256)
    lungs = made.slice.pixels[made.lung_mask & ~made.lesion_mask]
    assert np.median(made.slice.pixels[made.lesion_mask]) > np.median(lungs) + 150
    middle = np.flatnonzero(made.lung_mask.any(axis=0)).mean()
    columns = np.nonzero(made.lesion_mask)[1]
    assert (columns < middle).any() and (columns > middle).any()


@pytest.mark.parametrize("seed", range(4))
def test_the_heart_lies_to_the_left_of_the_patient(seed):
    patient = make_patient("normal", seed)
    made = cut(patient, 0.69 * patient.body.height, SIZE)
    halves = np.split(made.lung_mask, 2, axis=1)
    assert halves[0].sum() > 1.1 * halves[1].sum()  # image left is the patient's right: the larger lung


def test_the_liver_fills_the_right_side_of_the_base_and_the_spine_lies_behind():
    patient = make_patient("normal", 3)
    made = cut(patient, 0.96 * patient.body.height, SIZE)
    pixels, lungs = made.slice.pixels, made.lung_mask
    rows, columns = np.nonzero(lungs)
    middle = (columns.min() + columns.max()) // 2
    centre = pixels[(rows.min() + rows.max()) // 2, columns.min() + 20 : middle - 20]
    assert 0 < np.median(centre) < 160
    bone = np.argwhere(pixels[:, middle - 6 : middle + 7] > 300)[:, 0]
    assert np.median(bone) > (rows.min() + rows.max()) / 2


def test_a_series_runs_from_head_to_feet_through_one_patient():
    series = phantom_series("tumour", 11, 5, 96)
    assert [image.frame for image in series] == [0, 1, 2, 3, 4]
    steps = np.diff([image.position for image in series])
    assert (steps < 0).all() and np.allclose(steps, steps[0])
    assert len({image.spacing for image in series}) == 1


def test_a_tumour_ends_above_and_below_its_level():
    patient = make_patient("tumour", 11)
    lesion = patient.lesions[0]
    assert cut(patient, lesion.center[2], SIZE).lesion_mask.any()
    for side in (-1, 1):
        assert not cut(patient, lesion.center[2] + side * 1.8 * lesion.radii[2], SIZE).lesion_mask.any()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: phantom("healthy", 0), "label"),
        (lambda: phantom("normal", -1), "seed"),
        (lambda: phantom("normal", 0, 16), "size"),
        (lambda: phantom_series("normal", 0, 1), "n_slices"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(call, name):
    with pytest.raises(ConfigError) as caught:
        call()
    assert caught.value.name == name


def test_a_filled_ellipse_has_its_area_and_place():
    image, grid = np.zeros((64, 64), np.float32), Grid(64, 0.5)
    fill(image, grid, ellipse(4, -3, 6, 3), 1.0)
    assert image.sum() * 0.25 == pytest.approx(np.pi * 18, rel=0.06)
    rows, columns = np.indices(image.shape)
    assert np.average(columns, weights=image) == pytest.approx(31.5 + 8, abs=0.2)
    assert np.average(rows, weights=image) == pytest.approx(31.5 - 6, abs=0.2)


def test_a_spline_passes_through_its_points():
    points = np.array([(0.0, 0.0), (2.0, 1.0), (3.0, 5.0)])
    assert np.allclose(spline(points, 5, closed=False)[[0, 2, 4]], points)
    assert np.allclose(spline(points, 6, closed=True)[[0, 2, 4]], points)


def test_a_thin_vessel_is_fainter_in_a_thick_slice_and_absent_beyond_it():
    grid, along = Grid(64, 1.0), np.array([(-20.0, 0, 0, 20, 0, 0, 0.8)])
    thin, thick = strokes(grid, along, 0.0, 1.0).max(), strokes(grid, along, 0.0, 6.0).max()
    assert 0.8 < thin <= 1 and thick < 0.5 * thin
    assert strokes(grid, along, 9.0, 6.0).max() == 0
