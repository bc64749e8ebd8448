"""Confident learning finds planted label errors, follows its paper's worked logic, and asks for unseen slices."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import DataError
from core.label_errors import label_errors
from tests.made_scores import made_scores


def scored(p: list[list[float]], given: list[int], labels: tuple[str, ...] = ("dog", "fox", "cow")):
    made = made_scores(len(given))
    return replace(made, labels=labels, probabilities=np.array(p), targets=np.array(given))


def test_thresholds_joint_and_errors_of_a_worked_example():
    """Labels dog dog dog fox fox cow. Thresholds: dog (0.9 + 0.8 + 0.1) / 3, fox (0.6 + 0.15) / 2, cow 0.7."""
    p = [
        [0.9, 0.1, 0.0],  # dog
        [0.8, 0.1, 0.1],  # dog
        [0.1, 0.9, 0.0],  # labelled dog, surely a fox
        [0.2, 0.6, 0.2],  # fox
        [0.65, 0.15, 0.2],  # labelled fox; reaches the threshold of dog, and not its own
        [0.2, 0.1, 0.7],  # cow
    ]
    found = label_errors(scored(p, [0, 0, 0, 1, 1, 2]))
    assert found.thresholds == pytest.approx([0.6, 0.375, 0.7])
    assert found.joint.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.found[["row", "given", "suggested"]].to_numpy().tolist() == [[2, "dog", "fox"], [4, "fox", "dog"]]
    assert found.found["self_confidence"].tolist() == pytest.approx([0.1, 0.15])
    assert found.found["margin"].tolist() == pytest.approx([0.8, 0.5])
    estimated = found.estimated.set_index(["given", "suggested"])
    assert estimated.loc[("dog", "fox")].tolist() == pytest.approx([1.0, 1 / 3])
    assert estimated.loc[("fox", "dog")].tolist() == pytest.approx([1.0, 1 / 2])
    assert estimated["errors"].sum() == pytest.approx(2.0)


def test_a_slice_below_every_threshold_counts_nowhere_but_in_the_scaling():
    """Of four slices called dog three are confident, one of them as fox: 4 * 1/3 errors are estimated."""
    p = [[0.9, 0.1], [0.9, 0.1], [0.05, 0.95], [0.55, 0.45], [0.3, 0.7], [0.1, 0.9]]
    found = label_errors(scored(p, [0, 0, 0, 0, 1, 1], ("dog", "fox")))
    assert found.joint.sum(axis=1).tolist() == [3, 1]
    assert found.estimated["errors"].tolist() == pytest.approx([4 / 3, 0.0])


def test_several_reached_thresholds_are_settled_by_the_higher_probability():
    p = [[0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [0.35, 0.55, 0.1], [0.0, 0.5, 0.5], [0.1, 0.2, 0.7]]
    found = label_errors(scored(p, [0, 0, 0, 1, 2]))
    assert found.thresholds[:2] == pytest.approx([0.35, 0.5])
    assert found.found[["row", "suggested"]].to_numpy().tolist() == [[2, "fox"]]


def test_planted_errors_are_found_and_ranked_first():
    made = made_scores(2000, seed=3)
    rng = np.random.default_rng(1)
    truth = made.targets
    logits = rng.normal(size=(2000, 3)) * 0.7 + 3 * np.eye(3)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = truth.copy()
    planted = rng.choice(np.flatnonzero(truth == 2), 60, replace=False)
    given[planted] = 0
    found = label_errors(replace(made, probabilities=p, targets=given))
    worst = found.found.head(60)
    assert np.isin(worst["row"], planted).mean() > 0.9
    # A threshold is a mean, so that about half of a class is confident; those that are not are still estimated.
    assert np.isin(planted, found.found["row"]).mean() > 0.5
    assert found.found["margin"].is_monotonic_decreasing
    estimated = found.estimated.set_index(["given", "suggested"])["errors"]
    assert estimated["normal", "tumour"] == pytest.approx(60, rel=0.25)
    assert estimated["pneumonia", "normal"] < 15


def test_right_labels_give_few_errors_and_an_absent_class_none():
    made = made_scores(300, seed=3)
    sure = replace(made, probabilities=np.eye(3)[made.targets] * 0.94 + 0.02)
    found = label_errors(sure)
    assert found.found.empty
    assert found.joint.tolist() == np.diag(np.bincount(made.targets)).tolist()
    part = label_errors(made.where(made.targets != 2))
    assert np.isnan(part.thresholds[2]) and "tumour" not in set(part.found["suggested"])


@pytest.mark.parametrize("n", [3, 7, 10, 33])
def test_slices_of_equal_probability_reach_their_own_mean(n):
    """The mean of ten times 0.9 comes out above 0.9."""
    found = label_errors(scored([[0.9, 0.1]] * n + [[0.2, 0.8]], [0] * n + [1], ("dog", "fox")))
    assert found.joint.tolist() == [[n, 0], [0, 1]]


@pytest.mark.parametrize("scheme", ["validation", "test", "phantoms"])
def test_slices_that_were_not_left_out_are_refused(scheme):
    with pytest.raises(DataError, match="left out of training"):
        label_errors(made_scores(scheme=scheme))
    assert label_errors(made_scores(scheme="source")).joint.sum() > 0
