"""Prediction sets hold the true class as often as they promise, class by class, on slices of the same kind."""

import numpy as np
import pytest

from core import conformal
from core.errors import ConfigError
from core.labels import LABELS
from tests.made_scores import made_scores


def test_a_threshold_leaves_out_as_many_slices_as_the_rank_with_one_more_allows():
    # 19 slices at 90 %: ceil(20 * 0.9) = 18 must lie at or above, so the second lowest is the threshold.
    values = np.arange(1, 20) / 20
    assert conformal._threshold(values, 0.9) == 2 / 20
    assert conformal._threshold(values, 0.95) == 1 / 20
    assert conformal._threshold(values[:18], 0.95) == 0.0  # ceil(19 * 0.95) = 19 of 18: every set holds the class


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_each_class_is_held_as_often_as_promised_and_hardly_more_often(coverage):
    held = []
    for seed in range(300):
        known, new = made_scores(200, seed), made_scores(200, 10_000 + seed)
        sets = conformal.thresholds(known, coverage).sets(new.probabilities)
        own = sets[np.arange(200), new.targets]
        held.append([own[new.targets == k].mean() for k in range(3)])
    share = np.mean(held, axis=0)
    assert (share >= coverage - 0.01).all()
    # One more slice than asked for at most; the most probable class is always in, which adds where coverage is low.
    fewest, called = 200 * 0.2 - 12, [_recall(k) for k in range(3)]
    assert (share <= np.maximum(coverage + 1 / fewest, called) + 0.02).all()


def _recall(k: int) -> float:
    """How often class k is the most probable one of its own slices."""
    scored = made_scores(20_000, 7)
    own = scored.targets == k
    return float((scored.probabilities[own].argmax(axis=1) == k).mean())


def test_higher_coverage_never_takes_a_class_out_of_a_set():
    scored = made_scores()
    narrow, wide = (conformal.thresholds(scored, coverage).sets(scored.probabilities) for coverage in (0.8, 0.95))
    assert (wide >= narrow).all() and wide.sum() > narrow.sum()


def test_a_set_is_never_empty_and_lists_the_most_probable_class_first():
    scored = made_scores()
    found = conformal.thresholds(scored, 0.5)
    sets = found.sets(scored.probabilities)
    assert sets.any(axis=1).all()
    for place in range(20):
        row = dict(zip(LABELS, scored.probabilities[place], strict=True))
        listed = found.could_be(row)
        assert {LABELS.index(label) for label in listed} == set(np.flatnonzero(sets[place]))
        assert [row[label] for label in listed] == sorted((row[label] for label in listed), reverse=True)


def test_a_class_without_slices_is_in_every_set():
    scored = made_scores()
    found = conformal.thresholds(scored.where(scored.targets != 2), 0.9)
    assert found.least[2] == 0 and found.slices[2] == 0
    assert found.sets(scored.probabilities)[:, 2].all()


def test_coverage_is_counted_by_a_column():
    scored = made_scores()
    found = conformal.thresholds(scored, 0.8)
    counted = conformal.coverage_by(scored, found)
    assert set(counted) == {"north", "south"}
    for source, numbers in counted.items():
        rows = np.flatnonzero(scored.frame["source"] == source)
        sets = [{k for k in range(3) if scored.probabilities[row, k] >= found.least[k]} for row in rows]
        sets = [one | {int(scored.probabilities[row].argmax())} for one, row in zip(sets, rows, strict=True)]
        right = [scored.targets[row] in one for one, row in zip(sets, rows, strict=True)]
        assert numbers["held"]["value"] == pytest.approx(np.mean(right))
        assert numbers["held"]["slices"] == len(rows)
        assert numbers["single"]["value"] == pytest.approx(np.mean([len(one) == 1 for one in sets]))
        assert numbers["size"] == pytest.approx(np.mean([len(one) for one in sets]))
        answered = [hit for one, hit in zip(sets, right, strict=True) if len(one) == 1]
        assert numbers["right"]["value"] == pytest.approx(np.mean(answered))
        assert numbers["right"]["slices"] == len(answered)


def test_a_source_without_a_set_of_one_class_answers_nothing():
    scored = made_scores()
    everything = conformal.Thresholds(scored.labels, 0.9, np.zeros(3), np.full(3, 9))
    counted = conformal.coverage_by(scored, everything)
    assert all(numbers["right"] is None and numbers["single"]["value"] == 0 for numbers in counted.values())


def test_thresholds_for_a_left_out_source_have_not_seen_it():
    known, new = made_scores(seed=1), made_scores(seed=2, scheme="source")
    found = conformal.left_out(known, new, 0.8)
    for source in ("north", "south"):
        others = known.where((known.frame["source"] != source).to_numpy())
        own = new.where((new.frame["source"] == source).to_numpy())
        assert found[source] == conformal.coverage_by(own, conformal.thresholds(others, 0.8))[source]


@pytest.mark.parametrize("coverage", [0.49, 1.0, float("nan")])
def test_a_coverage_out_of_range_is_refused(coverage):
    with pytest.raises(ConfigError, match="coverage"):
        conformal.thresholds(made_scores(), coverage)
