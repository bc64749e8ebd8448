"""Prediction sets: the classes that a slice could be, so many that the true one is among them as often as wished.

Class-conditional split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman 2019, JASA
114:223, section 3.2; the quantile with n + 1 as in Angelopoulos and Bates 2023, Foundations and Trends in Machine
Learning 16:494, section 1): a class is in the set where its probability is at least its threshold, and the
threshold is set on slices of that class that the network had not seen. For slices like those, each class is held
about as often as the coverage says. It is no guarantee here: thresholds come from the scores of the folds' networks
(or of slices that also chose an epoch) and serve the final one, the temperature was fitted to the same scores, and
slices of a group are alike. Slices of another source are not like them at all: `left_out` says what holds there.
"""

from dataclasses import dataclass

import numpy as np

from core import gate
from core.errors import ConfigError, RunError
from core.runs import Run
from core.scored import Scored, load_scored, schemes

SCHEMES = ("group", "validation")
"""Predictions that thresholds are set on, the first that a run has: of slices that its networks had not seen."""

DEFAULT = 0.9
"""Coverage where nobody asks for another."""

LEAST, MOST = 0.5, 0.99


@dataclass(frozen=True, eq=False)
class Thresholds:
    """For each class the least probability with which it is in a set, and how many slices that rests on.

    A class with too few slices for the coverage has threshold 0: it is in every set.
    """

    labels: tuple[str, ...]
    coverage: float
    least: np.ndarray
    slices: np.ndarray

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """(n, classes) probabilities -> (n, classes) bool; the most probable class is in each set."""
        held = probabilities >= self.least
        held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
        return held

    def could_be(self, probabilities: dict[str, float]) -> list[str]:
        """The set of one slice, from its probabilities by class; most probable first."""
        values = np.array([[probabilities[label] for label in self.labels]])
        order = np.argsort(-values[0], kind="stable")
        return [self.labels[place] for place in order if self.sets(values)[0, place]]


def of_run(run: Run, coverage: float = DEFAULT) -> Thresholds:
    """Thresholds of a run, set on the first of SCHEMES that it has. RunError for a run with none of them."""
    kept = [scheme for scheme in SCHEMES if scheme in schemes(run)]
    if not kept:
        raise RunError(run.name, "no out-of-fold or validation predictions", "a run that was cross-validated")
    return thresholds(load_scored(run, kept[0]), coverage)


def thresholds(scored: Scored, coverage: float = DEFAULT) -> Thresholds:
    """Thresholds that hold each class of slices like `scored` at least so often. ConfigError out of range."""
    if not LEAST <= coverage <= MOST:
        raise ConfigError("coverage", f"{coverage:g}", f"a share from {LEAST:g} to {MOST:g}")
    classes = range(len(scored.labels))
    own = [np.sort(scored.probabilities[scored.targets == k, k]) for k in classes]
    least = [_threshold(values, coverage) for values in own]
    return Thresholds(scored.labels, coverage, np.array(least), np.array([len(values) for values in own]))


def _threshold(ascending: np.ndarray, coverage: float) -> float:
    """The probability that all but floor((n + 1)(1 - coverage)) - 1 of the true class's lie at or above."""
    left_out = int(np.floor((len(ascending) + 1) * (1 - coverage) + 1e-9))
    return float(ascending[left_out - 1]) if left_out >= 1 else 0.0


def coverage_by(scored: Scored, found: Thresholds, column: str = "source") -> dict[str, dict]:
    """{value: {"held", "single", "right", "size"}} of slices by a column of their table.

    held    share of the slices whose set holds the true class, with interval by groups (core.gate.share_of_groups)
    single  share of the sets with one class, the same: the others are where the run abstains
    right   share of those with one class that hold the true one; None where there are none
    size    mean number of classes in a set
    """
    sets = found.sets(scored.probabilities)
    held = sets[np.arange(len(sets)), scored.targets]
    values = scored.frame[column].astype(str).to_numpy()
    return {value: _counted(sets, held, scored.groups, values == value) for value in sorted(set(values))}


def left_out(known: Scored, new: Scored, coverage: float = DEFAULT) -> dict[str, dict]:
    """As `coverage_by`, of the sources of `new`; thresholds for each are set on slices of `known` from the others.

    `known` are grouped folds and `new` left-out sources. A class that no other source has is in every set.
    """
    found = {}
    for source in sorted(set(new.frame["source"].astype(str))):
        others = known.where((known.frame["source"].astype(str) != source).to_numpy())
        own = new.where((new.frame["source"].astype(str) == source).to_numpy())
        found |= coverage_by(own, thresholds(others, coverage))
    return found


def _counted(sets: np.ndarray, held: np.ndarray, groups: np.ndarray, chosen: np.ndarray) -> dict:
    size = sets[chosen].sum(axis=1)
    alone = chosen & (sets.sum(axis=1) == 1)
    return {
        "held": gate.share_of_groups(held[chosen], groups[chosen]),
        "single": gate.share_of_groups(size == 1, groups[chosen]),
        "right": gate.share_of_groups(held[alone], groups[alone]) if alone.any() else None,
        "size": float(size.mean()),
    }
