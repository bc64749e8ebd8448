"""One screen, read by one reader, by two, or by a reader with AI: accuracy, reads and reader time.

A mode of reading turns the accuracy of the reader and of the AI into that of the reading as a whole. All
numbers may be arrays of simulations. With s, a the sensitivities and c, b the specificities of reader and AI:

    concurrent     the reader sees the marks of the AI while reading: s + ds and c + dc, held within [0, 1]
    second reader  recalled if either is positive:   s' = 1 - (1 - s)(1 - a) - cov,   c' = c b + cov0
    triage         the reader reads only what the AI calls positive, recalled if both are positive:
                   s' = s a + cov,   c' = 1 - (1 - c)(1 - b) - cov0
    double         recalled if either of two readers is positive: second reader with a second reader as AI

cov is the covariance of the two answers among persons with cancer, cov0 among those without. Both answers
correct and both wrong have the same covariance, so one number serves both rules; it is positive where the
two miss the same cancers, which lowers s' of either-positive and raises s' of both-positive. (Vacek 1985,
Biometrics 41:959.) Two probabilities p and q bound it (Frechet): max(0, p + q - 1) <= p q + cov <= min(p, q).

The accuracies that ship come from different populations: the reader's from NLST, the AI's from BioMILD, whose own
readers had another accuracy. How an AI does beside the reader of its own study may differ from what is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError

MODES = ("single", "double", "concurrent", "second_reader", "triage")
LABELS = {
    "single": "LDCT, one reader",
    "double": "LDCT, two readers",
    "concurrent": "LDCT, reader with concurrent AI",
    "second_reader": "LDCT, AI as second reader",
    "triage": "LDCT, AI rules out",
}
ROUNDS = ("first", "later")
SECONDS_PER_MINUTE, MINUTES_PER_HOUR = 60.0, 60.0


@dataclass(frozen=True)
class Reading:
    """A screen as it is read in one mode; numbers or arrays (n_sim,).

    sensitivity, specificity      of the reading as a whole
    reads_cancer, reads_no_cancer reads by a radiologist per screen of a person with and without cancer
    seconds_per_read              of a radiologist
    ai_reads                      runs of the AI per screen, 0 or 1
    """

    sensitivity: ArrayLike
    specificity: ArrayLike
    reads_cancer: ArrayLike
    reads_no_cancer: ArrayLike
    seconds_per_read: ArrayLike
    ai_reads: float


def read_screen(mode: str, parameters: Mapping[str, ArrayLike], screening_round: str = "later") -> Reading:
    """The reading of a screen in one of MODES, in a person's first round or a later one.

    Uses reader_sensitivity_ROUND and reader_specificity_ROUND, read_seconds, and as the mode needs them
    reader_dependence_cancer, reader_dependence_no_cancer, ai_sensitivity, ai_specificity,
    ai_dependence_cancer, ai_dependence_no_cancer, concurrent_sensitivity_gain, concurrent_specificity_gain,
    concurrent_seconds_saved, second_reader_seconds_added. Raises InputError for an unknown mode or round, and
    for a number outside its range; KeyError for a parameter that is missing.
    """
    if mode not in MODES:
        raise InputError("mode", repr(mode), "one of " + ", ".join(MODES))
    if screening_round not in ROUNDS:
        raise InputError("screening_round", repr(screening_round), "one of " + ", ".join(ROUNDS))
    s = _probability(parameters, f"reader_sensitivity_{screening_round}")
    c = _probability(parameters, f"reader_specificity_{screening_round}")
    seconds = _number(parameters, "read_seconds")
    if mode == "single":
        return Reading(s, c, 1.0, 1.0, seconds, 0.0)
    if mode == "concurrent":
        s = np.clip(s + _number(parameters, "concurrent_sensitivity_gain"), 0.0, 1.0)
        c = np.clip(c + _number(parameters, "concurrent_specificity_gain"), 0.0, 1.0)
        saved = _number(parameters, "concurrent_seconds_saved")
        return Reading(s, c, 1.0, 1.0, np.maximum(seconds - saved, 0.0), 1.0)
    if mode == "double":
        cov = covariance(s, s, _number(parameters, "reader_dependence_cancer"))
        cov0 = covariance(c, c, _number(parameters, "reader_dependence_no_cancer"))
        return Reading(*either_positive(s, c, s, c, cov, cov0), 2.0, 2.0, seconds, 0.0)
    a, b = _probability(parameters, "ai_sensitivity"), _probability(parameters, "ai_specificity")
    cov = covariance(s, a, _number(parameters, "ai_dependence_cancer"))
    cov0 = covariance(c, b, _number(parameters, "ai_dependence_no_cancer"))
    if mode == "second_reader":
        added = _number(parameters, "second_reader_seconds_added")
        return Reading(*either_positive(s, c, a, b, cov, cov0), 1.0, 1.0, seconds + added, 1.0)
    return Reading(*both_positive(s, c, a, b, cov, cov0), a, 1.0 - b, seconds, 1.0)


def covariance(p: ArrayLike, q: ArrayLike, dependence: ArrayLike) -> np.ndarray:
    """Covariance of two yes-or-no answers with probabilities p and q, by the share of its Frechet bound.

    dependence  0 independent, 1 as much alike as p and q allow, -1 as unlike as they allow. A share stays
    valid when p and q are drawn, which a covariance would not. Raises InputError outside [-1, 1].
    """
    p, q, dependence = (np.asarray(value, dtype=float) for value in (p, q, dependence))
    if not ((dependence >= -1) & (dependence <= 1)).all():
        raise InputError("dependence", f"{dependence}", "a share from -1 to 1 of the Frechet bound")
    most = np.minimum(p, q) - p * q
    least = np.maximum(0.0, p + q - 1.0) - p * q
    return np.where(dependence >= 0, dependence * most, -dependence * least)


def either_positive(
    s: ArrayLike, c: ArrayLike, a: ArrayLike, b: ArrayLike, cov: ArrayLike, cov0: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and specificity if a person is recalled when one of two is positive."""
    s, c, a, b = (np.asarray(value, dtype=float) for value in (s, c, a, b))
    return 1.0 - ((1.0 - s) * (1.0 - a) + cov), c * b + cov0


def both_positive(
    s: ArrayLike, c: ArrayLike, a: ArrayLike, b: ArrayLike, cov: ArrayLike, cov0: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and specificity if a person is recalled only when both are positive."""
    s, c, a, b = (np.asarray(value, dtype=float) for value in (s, c, a, b))
    return s * a + cov, 1.0 - ((1.0 - c) * (1.0 - b) + cov0)


def minutes_per_screen(reading: Reading, cancer: bool) -> ArrayLike:
    """Reader minutes of one screen of a person with or without cancer."""
    reads = reading.reads_cancer if cancer else reading.reads_no_cancer
    return reads * np.asarray(reading.seconds_per_read) / SECONDS_PER_MINUTE


def _number(parameters: Mapping[str, ArrayLike], name: str) -> np.ndarray:
    value = np.asarray(parameters[name])
    if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise InputError(name, f"{value}", "finite numbers")
    return value.astype(float, copy=False)


def _probability(parameters: Mapping[str, ArrayLike], name: str) -> np.ndarray:
    value = _number(parameters, name)
    if not ((value >= 0) & (value <= 1)).all():
        raise InputError(name, f"{value}", "probabilities from 0 to 1")
    return value
