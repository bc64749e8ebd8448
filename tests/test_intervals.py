"""95 % intervals hold the truth in 93 to 97 of 100 samples, near 1 and with few groups too; percentiles do not."""

import numpy as np
import pytest
from scipy.stats import norm

from core import intervals, metrics, operating
from core.operating import Prepared, Side, at, net_benefit

SHARES = (0.5, 0.7, 0.85, 0.93, 0.97)
CORRELATIONS = (0.0, 0.1, 0.3)
SAMPLES = {40: 3000, 100: 2000, 400: 1600}
"""Number of groups -> samples drawn."""


def sizes(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Slices a group: 1 to 6 alike often, or geometric with mean 3, a few groups being very large."""
    return rng.integers(1, 7, shape) if kind == "even" else rng.geometric(1 / 3, shape)


def right(rng: np.random.Generator, whole: np.ndarray, share: float, correlation: float) -> np.ndarray:
    """Beta-binomial counts: each group has its own chance, of this mean and intra-cluster correlation."""
    if not correlation:
        return rng.binomial(whole, share)
    size = (1 - correlation) / correlation
    return rng.binomial(whole, rng.beta(share * size, (1 - share) * size, whole.shape))


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    """Of 100 intervals, how many hold the truth."""
    return 100 * float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("kind", ["even", "geometric"])
@pytest.mark.parametrize("groups", SAMPLES)
def test_the_interval_of_a_share_covers(groups, kind):
    rng = np.random.default_rng(7)
    found = {}
    for share in SHARES:
        for correlation in CORRELATIONS:
            whole = sizes(rng, kind, (SAMPLES[groups], groups))
            _, low, high = intervals.share(right(rng, whole, share, correlation), whole)
            found[share, correlation] = covered(low, high, share)
    # Where even a sample without any error holds the truth, an interval can miss on one side only, so the most
    # that its 2.5 % there leave is 97.5.
    most = {share: 98 if share >= 0.025 ** (1 / groups) else 97 for share in SHARES}
    assert {key: value for key, value in found.items() if not 93 <= value <= most[key[0]]} == {}


def test_intervals_that_take_slices_for_independent_fail_the_same_bar():
    rng = np.random.default_rng(7)
    whole = sizes(rng, "geometric", (2000, 100))
    value = (part := right(rng, whole, 0.85, 0.3)).sum(axis=1) / whole.sum(axis=1)
    low, high = intervals.bounds(value, value * (1 - value) / whole.sum(axis=1), np.full(2000, 100))
    assert covered(low, high, 0.85) < 88
    _, low, high = intervals.share(part, whole)
    assert 93 <= covered(low, high, 0.85) <= 97


def classified(rng: np.random.Generator, groups: tuple[int, ...], shares: tuple[float, ...]) -> tuple:
    """Probabilities, targets and groups where each class is called with its own sensitivity, correlation 0.2."""
    targets, called, codes = [], [], []
    for k, (n, share) in enumerate(zip(groups, shares, strict=True)):
        whole = sizes(rng, "even", (n,))
        correct = np.concatenate(
            [np.arange(m) < r for m, r in zip(whole, right(rng, whole, share, 0.2), strict=True)]
        )
        targets.append(np.full(len(correct), k))
        called.append(np.where(correct, k, (k + 1) % len(groups)))
        codes.append(sum(groups[:k]) + np.arange(n).repeat(whole))
    called = np.concatenate(called)
    return np.eye(len(groups))[called] * 0.7 + 0.1, np.concatenate(targets), np.concatenate(codes)


def ranked(rng: np.random.Generator, groups: tuple[int, int], distance: float) -> tuple:
    """Scores, positives and groups; normal scores of unit variance, a third of it between groups."""
    whole = sizes(rng, "even", (sum(groups),))
    codes = np.arange(sum(groups)).repeat(whole)
    positive = codes < groups[0]
    noise = rng.normal(size=sum(groups))[codes] * np.sqrt(1 / 3) + rng.normal(size=len(codes)) * np.sqrt(2 / 3)
    return noise + distance * positive, positive, codes


def both_intervals(value: float, replicates: np.ndarray, n: int) -> tuple:
    found = metrics._estimate(value, replicates, n)
    return (found.low, found.high), np.nanquantile(replicates, (0.025, 0.975))


@pytest.mark.parametrize(("groups", "shares"), [((40, 40, 40), (0.9, 0.8, 0.7)), ((60, 40, 30), (0.97, 0.95, 0.9))])
def test_the_interval_of_balanced_accuracy_covers(groups, shares):
    rng = np.random.default_rng(3)
    truth = float(np.mean(shares))
    held = []
    for seed in range(500):
        probabilities, targets, codes = classified(rng, groups, shares)
        tallies = metrics._tally(probabilities, targets, codes)
        weights = np.concatenate(list(metrics.group_weights(tallies.n_groups, len(codes), 150, seed)))
        replicates, value = (
            balanced(tallies.confusion, w, len(groups)) for w in (weights, np.ones((1, len(weights[0]))))
        )
        held.append(both_intervals(float(value[0]), replicates, min(groups))[0])
    assert 93 <= covered(*np.array(held).T, truth) <= 97


@pytest.mark.parametrize(("groups", "shares"), [((40, 40, 40), (0.9, 0.8, 0.7)), ((60, 40, 30), (0.97, 0.95, 0.9))])
def test_the_interval_of_balanced_accuracy_at_a_threshold_covers(groups, shares):
    rng, held = np.random.default_rng(3), []
    for _ in range(1000):
        probabilities, targets, codes = classified(rng, groups, shares)
        cells = operating.cells_by_group(targets, probabilities.argmax(axis=1), codes, len(groups))
        found = operating.balanced_accuracy(cells)
        held.append((found.low, found.high))
    assert 93 <= covered(*np.array(held).T, float(np.mean(shares))) <= 97


def balanced(confusion: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    cells = (weights @ confusion).reshape(-1, classes, classes)
    return (np.diagonal(cells, axis1=1, axis2=2) / cells.sum(axis=2)).mean(axis=1)


@pytest.mark.parametrize(("groups", "distance"), [((40, 40), 2.5), ((20, 60), 2.5)])
def test_the_interval_of_the_auc_covers_where_percentiles_do_not(groups, distance):
    rng = np.random.default_rng(5)
    truth = float(norm.cdf(distance / np.sqrt(2)))
    ours, percentiles = [], []
    for seed in range(500):
        scores, positive, codes = ranked(rng, groups, distance)
        ranking = metrics._rank(scores, positive, codes)
        value = metrics._ranking_metrics(ranking, np.ones((1, sum(groups))))[0][0]
        draws = metrics.group_weights(sum(groups), len(codes), 150, seed)
        replicates = np.concatenate([metrics._ranking_metrics(ranking, weights)[0] for weights in draws])
        own, percentile = both_intervals(value, replicates, min(groups))
        ours.append(own)
        percentiles.append(percentile)
    assert 93 <= covered(*np.array(ours).T, truth) <= 97
    assert covered(*np.array(percentiles).T, truth) < 93


def one_class(rng: np.random.Generator, sensitivity: float, specificity: float, mixed: bool) -> Prepared:
    """120 groups of one side each (50 of the class), or with slices of both sides that are reached together."""
    sides, luck = [], rng.random(120)
    for share, own in ((sensitivity, np.arange(120) < 50), (1 - specificity, np.arange(120) >= 50)):
        whole = np.where(own | mixed, sizes(rng, "even", (120,)), 0)
        reached = rng.binomial(whole, share + min(share, 1 - share) * (luck - 0.5))
        codes = np.arange(120).repeat(whole)
        first = np.concatenate([[0], np.cumsum(whole)[:-1]]).repeat(whole)
        scores = (np.arange(len(codes)) - first < reached.repeat(whole)).astype(float)
        sides.append(Side(scores, codes, whole.astype(float)))
    return Prepared("tumour", *sides)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "threshold", "mixed"),
    [(0.85, 0.93, 0.3, 0.2, True), (0.1, 0.97, 0.1, 0.9, False)],
)
def test_the_band_of_net_benefit_covers(sensitivity, specificity, prevalence, threshold, mixed):
    rng = np.random.default_rng(9)
    truth = prevalence * sensitivity - (1 - prevalence) * (1 - specificity) * threshold / (1 - threshold)
    held = []
    for _ in range(600):
        prepared = one_class(rng, sensitivity, specificity, mixed)
        held.append(net_benefit(prepared, np.array([threshold]), prevalence).loc[0, ["low", "high"]])
    assert 93 <= covered(*np.array(held, float).T, truth) <= 97


@pytest.mark.parametrize("mixed", [False, True])
def test_the_intervals_of_predictive_values_at_a_chosen_prevalence_cover(mixed):
    """Groups of one side each, or with slices of both sides that are right and wrong together."""
    rng = np.random.default_rng(9)
    sensitivity, specificity, prevalence = 0.85, 0.93, 0.05
    ppv = sensitivity * prevalence / (sensitivity * prevalence + (1 - specificity) * (1 - prevalence))
    npv = specificity * (1 - prevalence) / (specificity * (1 - prevalence) + (1 - sensitivity) * prevalence)
    held = []
    for _ in range(800):
        point = at(one_class(rng, sensitivity, specificity, mixed), 0.5, prevalence)
        held.append([(part.low, part.high) for part in (point.ppv, point.npv)])
    bounds = np.array(held)
    assert 93 <= covered(*bounds[:, 0].T, ppv) <= 97
    assert 93 <= covered(*bounds[:, 1].T, npv) <= 97


def test_a_share_without_groups_to_compare_has_no_interval():
    value, low, high = intervals.share(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 0.0], [3.0, 0.0]]))
    assert np.isnan(value[0]) and value[1] == pytest.approx(2 / 3)
    assert np.isnan([low, high]).all()


def test_groups_that_are_alike_but_for_rounding_have_no_interval():
    """1 / 49 * 49 is not 1."""
    value, low, high = intervals.share(np.ones(3), np.full(3, 49.0))
    assert value * 49 != 1 and np.isnan([low, high]).all()


def test_bounds_hold_their_value_and_stay_within_0_and_1_however_near_the_ends():
    value, variance, n = np.meshgrid(10.0 ** -np.arange(1, 13), 10.0 ** -np.arange(1, 14), [2, 3, 50, 100_000])
    for share in (value, 1 - value):
        low, high = intervals.bounds(share, variance, n)
        assert ((low > 0) & (low <= share) & (share <= high) & (high <= 1)).all()
    assert (intervals.bounds(value, variance, n)[1] < 1).all()


def test_a_difference_takes_its_ends_from_those_of_both():
    low, high = intervals.difference((0.5, 0.4, 0.7), (0.2, 0.1, 0.6), 0.0)
    assert (low, high) == pytest.approx((0.3 - np.hypot(0.1, 0.4), 0.3 + np.hypot(0.2, 0.1)))
    together = intervals.difference((0.5, 0.4, 0.6), (0.2, 0.1, 0.3), 1.0)
    assert together == pytest.approx((0.3, 0.3))


def test_single_slices_give_the_interval_of_wilson():
    """10 of 40: Wilson's 95 % interval with Student's quantile of 39 degrees of freedom, worked by hand."""
    part = np.arange(40) < 10
    _, low, high = intervals.share(part.astype(float), np.ones(40))
    quantile, n = 2.022690920036762, 39.0  # the variance of 40 single slices has 39 in its denominator
    middle = (0.25 + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile * np.sqrt(0.25 * 0.75 / n + quantile**2 / (4 * n**2)) / (1 + quantile**2 / n)
    assert (float(low), float(high)) == pytest.approx((middle - half, middle + half))


def test_doubling_every_group_changes_nothing_but_one_group_more_does():
    part, whole = np.array([3.0, 1, 0, 2, 5, 2]), np.array([4.0, 2, 3, 2, 5, 6])
    once, twice = intervals.share(part, whole), intervals.share(2 * part, 2 * whole)
    assert np.array(once) == pytest.approx(np.array(twice))
    more = intervals.share(np.append(part, 1), np.append(whole, 2))
    assert not np.allclose(once, more)


def test_a_ratio_of_risks_takes_its_ends_from_those_of_both():
    assert intervals.risk_ratio((0.1, 0.8), (0.1, 0.8), (0.1, 0.8), 0.0) == pytest.approx((0.125, 0.125))
    low, high = intervals.risk_ratio((0.1, 0.8), (0.05, 0.8), (0.3, 0.8), 0.0)
    assert (low, high) == pytest.approx((0.05 / 0.8, 0.3 / 0.8))
    assert intervals.risk_ratio((0.0, 0.8), (0.0, 0.7), (0.04, 0.9), 0.0) == pytest.approx((0.0, 0.05))
    assert intervals.risk_ratio((0.2, 0.0), (0.1, 0.0), (0.3, 0.05), 0.0) == (pytest.approx(4.0), np.inf)
