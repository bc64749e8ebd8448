"""Random views: determined by their seed, bounded, and plain when every strength is zero."""

from dataclasses import replace

import numpy as np
import pytest

from core.augment import AugmentConfig, augment
from core.errors import ConfigError

OFF = AugmentConfig(
    flip=0, rotate=0, shift=0, stretch=0, resolution=1, blur=0, sharpen=0, noise=0, level=0, gamma=1,
    saturate=0, compress=0, erase=0,
)  # fmt: skip
FULL = AugmentConfig()
IMAGE = np.random.default_rng(1).integers(0, 256, (40, 48), dtype=np.uint8)
INNER = (4.0, 8.0, 32.0, 32.0)


def view(seed: int, config: AugmentConfig = FULL) -> np.ndarray:
    return augment(IMAGE, INNER, 32, config, np.random.default_rng(seed))


def test_a_seed_makes_a_view_and_another_seed_another():
    assert np.array_equal(view(5), view(5))
    assert not np.array_equal(view(5), view(6))


def test_with_every_strength_at_zero_the_view_is_the_plain_picture():
    for seed in range(8):
        assert np.array_equal(view(seed, OFF), IMAGE[4:36, 8:40])


def test_views_keep_size_and_type():
    for seed in range(50):
        made = view(seed)
        assert made.shape == (32, 32) and made.dtype == np.uint8


def test_a_mirrored_view_is_mirrored_left_to_right():
    mirrored = view(0, replace(OFF, flip=1.0))
    assert np.array_equal(mirrored, IMAGE[4:36, 8:40][:, ::-1])


def test_a_flattened_view_has_one_grey_beyond_the_hull_of_both_lungs():
    lungs = np.zeros_like(IMAGE)
    lungs[12:28, 14:18] = lungs[12:28, 30:34] = 1
    made = augment(IMAGE, INNER, 32, replace(OFF, flatten=1.0), np.random.default_rng(2), lungs)
    plain = IMAGE[4:36, 8:40]
    assert np.array_equal(made[8:24, 6:26], plain[8:24, 6:26])  # lungs and what lies between them
    beyond = np.ones_like(made, bool)
    beyond[6:26, 4:28] = False
    assert len(np.unique(made[beyond])) == 1
    unknown = augment(IMAGE, INNER, 32, replace(OFF, flatten=1.0), np.random.default_rng(2))
    assert np.array_equal(unknown, plain)


def test_no_sharpness_change_follows_an_augmentation_without_it():
    darker = view(3, replace(OFF, level=30))
    plain = IMAGE[4:36, 8:40].astype(int)
    order = np.argsort(plain.ravel(), kind="stable")
    assert (np.diff(darker.ravel()[order].astype(int)) >= 0).all()  # levels move, their order stays


@pytest.mark.parametrize("values", [{"flip": 1.5}, {"resolution": 0.5}, {"erase": -0.1}, {"flatten": 2.0}])
def test_a_strength_out_of_range_is_refused_by_name(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        AugmentConfig(**values)
