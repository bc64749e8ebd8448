"""How far the looks of images differ between splits, sources and classes: standardised differences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from core.metrics import Estimate

if TYPE_CHECKING:
    import pandas as pd

PROPERTIES = ("brightness", "contrast", "sharpness", "size", "aspect")
"""Columns of `audit_images.FACTS` that are compared."""

FACTORS = ("part", "source", "label")

COLUMNS = (
    "factor", "level", "reference", "property", "value", "low", "high", "note",
    "mean", "reference_mean", "n", "reference_n", "groups", "reference_groups",
)  # fmt: skip

N_BOOT = 1000
CHUNK_VALUES = 500_000
"""Weights of a bootstrap that are held at one time."""

FEWEST_GROUPS = 5
"""Below this on either side there is no interval: a bootstrap of so few groups is far too narrow."""

LARGE, MEDIUM, SMALL = 0.8, 0.5, 0.2
"""Cohen 1988, Statistical Power Analysis, section 2.2: differences in standard deviations and their names."""


def drift(table: "pd.DataFrame", groups: np.ndarray, n_boot: int = N_BOOT, seed: int = 0) -> "pd.DataFrame":
    """Standardised differences of each property between the levels of each factor; COLUMNS, largest first.

    table   one row per readable image, with the columns PROPERTIES and FACTORS; a missing level is left out
    groups  (n,) whole numbers: the groups that are drawn

    One row per factor, level and property: the level against all other images ("the rest"), or, where a factor
    has two levels, the second against the first. `value` is (mean - reference_mean) / s with
    s = sqrt((variance + reference variance) / 2) (Austin 2009, Stat Med 28:3083), `low` and `high` its 95 %
    interval, percentiles of a bootstrap over groups. A `note` says why one is missing.
    """
    import pandas as pd

    rows = []
    for factor in FACTORS:
        known = table[factor].notna().to_numpy()
        levels = _levels(factor, table[factor].to_numpy(dtype=object)[known])
        if len(levels) < 2:
            continue
        values = table.loc[known, list(PROPERTIES)].to_numpy(dtype=np.float64)
        codes = np.array([levels.index(name) for name in table[factor][known]])
        rows += _compare(factor, levels, codes, values, groups[known], n_boot, seed)
    found = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(("value", "low", "high"), float))
    size = found["value"].abs().fillna(np.inf)
    return found.iloc[np.argsort(-size.to_numpy(), kind="stable")].reset_index(drop=True)


def size_in_words(value: float) -> str:
    """Cohen's name of a standardised difference: "large", "medium", "small", "very small"."""
    size = abs(value)
    return next((word for limit, word in _NAMES if size >= limit), "very small")


_NAMES = ((LARGE, "large"), (MEDIUM, "medium"), (SMALL, "small"))


def _levels(factor: str, values: np.ndarray) -> list[str]:
    order = ["train", "validation", "test"] if factor == "part" else []
    return sorted(set(values), key=lambda name: (order.index(name) if name in order else len(order), name))


def _compare(
    factor: str, levels: list, codes: np.ndarray, values: np.ndarray, groups: np.ndarray, n_boot: int, seed: int
) -> Iterator[tuple]:
    """Rows of COLUMNS for one factor; `codes` (n,) are places in `levels`, `values` (n, properties)."""
    units = np.unique(groups, return_inverse=True)[1]
    centre = values.mean(axis=0)
    sums = _sums(codes, values - centre, units, len(levels))
    whole = _differences(sums, np.ones((1, len(sums))))[0]
    replicates = np.concatenate([_differences(sums, weights) for weights in _weights(len(sums), n_boot, seed)])
    per_group = sums[:, :, 0] > 0
    images = np.bincount(codes, minlength=len(levels))
    totals = sums.sum(axis=0)
    for level, name in enumerate(levels):
        if len(levels) == 2 and level == 0:
            continue
        others = [other for other in range(len(levels)) if other != level]
        inside, outside = int(per_group[:, level].sum()), int(per_group[:, others].any(axis=1).sum())
        reference = str(levels[0]) if len(levels) == 2 else "the rest"
        for place, measured in enumerate(PROPERTIES):
            mean = centre[place] + totals[level, 1 + 2 * place] / images[level]
            rest = centre[place] + totals[others, 1 + 2 * place].sum() / images[others].sum()
            estimate = _estimate(whole[level, place], replicates[:, level, place], mean, rest, inside, outside)
            yield (
                *(factor, name, reference, measured),
                *(estimate.value, estimate.low, estimate.high, estimate.note or ""),
                *(mean, rest, int(images[level]), int(images[others].sum()), inside, outside),
            )


def _sums(codes: np.ndarray, values: np.ndarray, units: np.ndarray, n_levels: int) -> np.ndarray:
    """Per group and level: count, then sum and sum of squares of each property; (groups, levels, 1 + 2 * p)."""
    n_units, p = int(units.max()) + 1, values.shape[1]
    sums = np.zeros((n_units, n_levels, 1 + 2 * p))
    np.add.at(sums[:, :, 0], (units, codes), 1)
    for place in range(p):
        np.add.at(sums[:, :, 1 + 2 * place], (units, codes), values[:, place])
        np.add.at(sums[:, :, 2 + 2 * place], (units, codes), values[:, place] ** 2)
    return sums


def _differences(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standardised difference of each level from the rest, (b, levels, properties), for weights (b, groups)."""
    drawn = (weights @ sums.reshape(len(sums), -1)).reshape(-1, *sums.shape[1:])
    rest = drawn.sum(axis=1, keepdims=True) - drawn
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, variance = _moments(drawn)
        rest_mean, rest_variance = _moments(rest)
        spread = np.sqrt((variance + rest_variance) / 2)
        # What rounding leaves of a spread of exactly nothing is no spread.
        spread[spread < 1e-9 * (1 + np.abs(mean) + np.abs(rest_mean))] = np.nan
        return (mean - rest_mean) / spread


def _moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample variance from counts, sums and sums of squares in the last axis."""
    n = sums[..., :1]
    mean = sums[..., 1::2] / n
    return mean, np.maximum(sums[..., 2::2] - n * mean**2, 0) / (n - 1)


def _weights(n_groups: int, n_boot: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, (b, groups), a few replicates at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_VALUES // n_groups)
    for start in range(0, n_boot, step):
        count = min(step, n_boot - start)
        yield rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=count).astype(np.float64)


def _estimate(
    value: float, replicates: np.ndarray, mean: float, rest: float, inside: int, outside: int
) -> Estimate:
    if not np.isfinite(value):
        same = abs(mean - rest) < 1e-6 * (1 + abs(mean))
        if same:
            return Estimate(0.0, None, None, "the same in every image")
        return Estimate(None, None, None, f"no spread on either side: {mean:.4g} and {rest:.4g}")
    fewest = min(inside, outside)
    defined = replicates[np.isfinite(replicates)]
    if fewest < FEWEST_GROUPS or not len(defined):
        return Estimate(float(value), None, None, f"{fewest} groups on one side, no interval")
    low, high = np.quantile(defined, (0.025, 0.975)).tolist()
    return Estimate(float(value), low, high)
