"""The fit to NLST, what it leaves uncertain, and the model against results it was not fitted to."""

import json

import numpy as np
import pytest

from market.calibration import (
    FREE,
    RESULT_FILE,
    TRIAL_ONLY,
    calibrate,
    draw_parameters,
    expected,
    fit_table,
    load_fit,
    residuals,
    run_trial,
    targets,
)
from market.natural_history import life_table
from market.parameters import fitted, load_parameters
from market.validation import comparisons, validation_table

TABLE = life_table("us")


@pytest.fixture(scope="module")
def us() -> dict[str, float]:
    return dict(load_parameters("us", price_year=2024).values())


def test_the_search_finds_the_stored_fit_again_from_elsewhere(us: dict, tmp_path):
    start = us | {"sojourn_scale": 0.8, "detect_odds": 1.4, "hr_lung_death": 1.0, "hr_other_cause": 1.1}
    found = calibrate(start, TABLE, tmp_path / "fit.json")
    stored = load_fit()
    for name in FREE:
        assert found.values[name] == pytest.approx(stored[name], rel=1e-2)
    assert load_fit(tmp_path / "fit.json") == found.values
    assert found.low["hr_lung_death"] < found.values["hr_lung_death"] < found.high["hr_lung_death"]


def test_calibrated_parameters_in_the_store_are_those_of_the_fit():
    stored = json.loads(RESULT_FILE.read_text())["parameters"]
    chosen = load_parameters("us", price_year=2024)
    assert "cxr_odds" not in chosen.parameters
    assert chosen.parameters["hr_other_cause"].status == "assumption"  # of who is eligible, not of participants
    for name in set(FREE) - set(TRIAL_ONLY):
        entry = chosen.parameters[name]
        assert entry.status == "calibrated"
        assert [entry.value, entry.low, entry.high] == pytest.approx(
            [stored[name][key] for key in ("value", "low", "high")], rel=1e-4
        )


def test_the_four_rates_of_the_trial_lie_in_their_intervals(us: dict):
    table = fit_table(us | load_fit(), TABLE).set_index("target")
    for label in ("Lung cancers", "Lung cancer deaths"):
        for arm in ("low-dose CT arm", "radiography arm"):
            row = table.loc[f"{label}, {arm}"]
            assert row.low < row.got < row.high
    ratio = table.got["Lung cancer deaths, low-dose CT arm"] / table.got["Lung cancer deaths, radiography arm"]
    assert 0.733 < ratio < 0.932  # 1 less the published reduction of 6.8 to 26.7 %


def test_every_target_is_in_the_table_with_its_source(us: dict):
    table = fit_table(us | load_fit(), TABLE)
    assert len(table) == sum(len(target.get("counts", [1])) for target in targets()["targets"])
    assert table.source.str.len().min() > 5
    assert set(table.trust) <= {"read", "secondary", "memory"}
    trial = run_trial(us | load_fit(), TABLE)
    assert table.got.tolist() == pytest.approx(np.concatenate(expected(trial)).tolist())
    assert table.z.tolist() == pytest.approx(residuals(trial).tolist())


def test_no_screening_has_fewer_cancers_and_more_deaths_than_either_arm(us: dict):
    trial = run_trial(us | load_fit(), TABLE)
    ldct, cxr, none = trial.cancers[26]
    assert ldct > cxr > none
    ldct, cxr, none = trial.deaths[26]
    assert ldct < cxr < none


def test_calibrated_draws_keep_their_distributions_and_hang_together():
    chosen = load_parameters("us", price_year=2024)
    draws = draw_parameters(chosen, 4000, seed=3)
    sojourn, odds = np.log(draws["sojourn_scale"]), np.log(draws["detect_odds"])
    names, covariance = list(FREE), np.array(json.loads(RESULT_FILE.read_text())["covariance"])
    i, j = names.index("sojourn_scale"), names.index("detect_odds")
    expected_correlation = covariance[i, j] / np.sqrt(covariance[i, i] * covariance[j, j])
    assert expected_correlation < -0.3
    assert np.corrcoef(sojourn, odds)[0, 1] == pytest.approx(expected_correlation, abs=0.05)
    low, high = fitted(chosen.parameters["sojourn_scale"]).interval()
    assert np.quantile(draws["sojourn_scale"], [0.025, 0.975]) == pytest.approx([low, high], rel=0.05)
    independent = chosen.draw(4000, seed=3)
    assert (draws["c_ldct"] == independent["c_ldct"]).all()
    part = draw_parameters(chosen, 10, seed=3, start=100)
    assert part["sojourn_scale"] == pytest.approx(draws["sojourn_scale"][100:110])


def test_what_is_fitted_to_remembered_targets_does_not_count_as_read():
    assert "memory" in {target["trust"] for target in targets()["targets"]}
    fits = [entry for entry in load_parameters("us").parameters.values() if entry.status == "calibrated"]
    assert fits
    assert {entry.trust for entry in fits} == {"secondary"}
    assert all("remembered, not read" in entry.note for entry in fits)


def test_an_override_of_a_calibrated_parameter_is_not_drawn():
    chosen = load_parameters("us", price_year=2024).with_overrides({"sojourn_scale": 1.3})
    assert (draw_parameters(chosen, 20, seed=1)["sojourn_scale"] == 1.3).all()


def test_every_published_result_is_compared_and_explained():
    table = validation_table()
    assert len(table) == len(comparisons()["results"])
    assert np.isfinite(table.got).all()
    assert (table.why.str.len() > 15).all()
    got = table.set_index("result").got
    inside = table.dropna(subset=["low"]).query("low <= got <= high")
    assert len(inside) >= 3
    # Not fitted, and still met: long-run incidence and mortality of the trial, and life expectancy.
    assert got["Cancers, CT arm against radiography, 11.3 years"] == pytest.approx(1.01, abs=0.05)
    assert got["Lung cancer deaths, CT arm against radiography, 12.3 years"] == pytest.approx(0.92, abs=0.05)
    assert got["Life expectancy of NLST participants"] == pytest.approx(21.2, abs=0.3)
