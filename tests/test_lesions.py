"""Lesions drawn into healthy slices: where they lie, what they change, and how they come into an epoch."""

import numpy as np
import pytest

from core.augment import AugmentConfig
from core.errors import ConfigError
from core.fit import LabelledViews, _draw_lesions
from core.labels import LABELS
from core.lesions import can_draw, draw_lesion
from core.phantom import phantom
from core.preprocess import PreprocessConfig, prepare
from core.views import REACH, Views
from tests.made_runs import small_recipe

CONFIG = PreprocessConfig(size=160)
HEALTHY = prepare(phantom("normal", 4, size=256).slice, CONFIG, REACH)


def drawn(label: str, seed: int) -> np.ndarray:
    return draw_lesion(HEALTHY.image, HEALTHY.lungs, label, np.random.default_rng(seed))


def test_the_mask_of_the_lungs_lies_on_the_dark_part_of_the_picture():
    assert HEALTHY.lungs.shape == HEALTHY.image.shape
    inside, outside = HEALTHY.image[HEALTHY.lungs > 0], HEALTHY.image[HEALTHY.lungs == 0]
    assert np.median(inside) < 110 < np.median(outside)
    assert prepare(phantom("normal", 4, size=256).slice, CONFIG).lungs is None


@pytest.mark.parametrize("label", ["pneumonia", "tumour"])
def test_a_lesion_brightens_lung_and_leaves_the_rest_alone(label):
    before = HEALTHY.image.copy()
    for seed in range(30):
        picture = drawn(label, seed)
        change = picture.astype(int) - before
        assert (change[HEALTHY.lungs == 0] == 0).all()
        assert (change > 25).sum() >= 6
        assert change.mean() > 0
    assert np.array_equal(HEALTHY.image, before)


def test_a_seed_makes_a_lesion_and_another_seed_another():
    assert np.array_equal(drawn("tumour", 5), drawn("tumour", 5))
    assert not np.array_equal(drawn("tumour", 5), drawn("tumour", 6))


def test_a_tumour_is_one_thing_and_pneumonia_lies_in_both_lungs_more_often():
    def sides(label: str) -> float:
        left, right = np.array_split(np.arange(HEALTHY.image.shape[1]), 2)
        both = []
        for seed in range(60):
            changed = drawn(label, seed).astype(int) - HEALTHY.image > 25
            both.append(changed[:, left].any() and changed[:, right].any())
        return float(np.mean(both))

    assert sides("tumour") < 0.15 < sides("pneumonia")


def test_no_lesion_is_drawn_of_a_healthy_class_or_without_lungs():
    assert [can_draw(label) for label in LABELS] == [False, True, True]
    with pytest.raises(KeyError):
        drawn("normal", 0)
    empty = np.zeros_like(HEALTHY.lungs)
    assert np.array_equal(draw_lesion(HEALTHY.image, empty, "tumour", np.random.default_rng(0)), HEALTHY.image)


def labelled(classes: list[str], found: list[bool]) -> LabelledViews:
    """Slices of which every second belongs to source 1; `found`: whether a lung field is known."""
    blank = prepare(phantom("normal", 4, size=256).slice, CONFIG)
    views = Views(np.zeros((len(classes), 1, 1)), [HEALTHY if known else blank for known in found], 160)
    rows = np.arange(len(classes))
    targets = np.array([LABELS.index(label) for label in classes])
    return LabelledViews(views, targets, rows % 2, rows, rows, rows[:0], LABELS)


def test_healthy_slices_with_a_class_drawn_in_come_besides_the_wanted_share_of_diseased_ones():
    data = labelled(["normal"] * 20 + ["pneumonia"] * 20 + ["tumour"] * 20, [True] * 60)
    rng = np.random.default_rng(0)
    order = np.tile(np.arange(60), 50)
    rows, made = _draw_lesions(data, order, 0.3, rng)
    chosen = made != ""
    assert sorted(rows[~chosen]) == sorted(order)
    assert (data.targets[rows[chosen]] == 0).all()
    for label in ("pneumonia", "tumour"):
        assert (made == label).sum() == pytest.approx(0.3 * 1000, abs=60)
    assert np.bincount(rows[chosen], minlength=20)[:20].min() > 0
    assert not np.array_equal(np.flatnonzero(chosen), np.arange(len(order), len(rows)))


def test_nothing_is_added_where_no_healthy_slice_has_a_lung_field():
    data = labelled(["normal", "pneumonia"] * 5, [False, True] * 5)
    rows, made = _draw_lesions(data, np.arange(10), 0.9, np.random.default_rng(0))
    assert sorted(rows) == list(range(10)) and (made == "").all()


def test_a_batch_shows_the_lesions_that_it_is_told_to_show():
    views = Views(np.zeros((2, 160, 160), np.uint8), [HEALTHY, HEALTHY], 160)
    config = AugmentConfig(**dict.fromkeys(("flip", "rotate", "shift", "stretch", "blur", "sharpen"), 0.0))
    rows = np.array([0, 1])
    plain = views.random_batch(rows, config, (1, 2))
    one = views.random_batch(rows, config, (1, 2), drawn=["", "tumour"])
    assert np.array_equal(plain[0], one[0])
    assert not np.array_equal(plain[1], one[1])


@pytest.mark.parametrize(
    "changes",
    [{"lesions": 1.5}, {"augment": None}, {"preprocess": {"pipeline": "paper", "size": 64}}],
)
def test_a_recipe_that_could_draw_none_is_refused(changes):
    with pytest.raises(ConfigError, match="lesions"):
        small_recipe(**({"lesions": 0.3} | changes))
