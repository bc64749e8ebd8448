"""The lung screening model: two ways to the same totals, a full transition matrix, and what must hold."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.cohort import cohort_trace, generator_to_transitions, within_cycle_weights
from market.errors import InputError, ParameterError
from market.lung import results_table, run
from market.lung_trace import COST_ITEMS, LAST, STATES, trace_strategies
from market.lung_values import timing
from market.natural_history import (
    BAND_STARTS,
    CYCLE_YEARS,
    GROUPS,
    STAGES,
    LifeTable,
    NaturalHistory,
    Parameters,
    life_table,
    natural_history,
)
from market.outcomes import discounted_total
from market.parameters import load_parameters
from market.screening import COUNTS, STRATEGIES, schedule, screen_costs, screens

N = len(STAGES)
TABLE = life_table("us")


@pytest.fixture(scope="module")
def base() -> dict[str, float]:
    """US numbers, with discount rates that differ, so that no test passes with the two exchanged."""
    numbers = dict(load_parameters("us", price_year=2024).values())
    return numbers | {"discount_cost": 0.05, "discount_effect": 0.02}


def drawn(base: dict[str, float], n: int) -> dict[str, np.ndarray | float]:
    """Made-up draws around the base case; what sets the schedule stays."""
    rng = np.random.default_rng(5)
    fixed = {"start_age", "screen_stop_age", "screen_interval_years"}
    return {name: value if name in fixed else value * rng.uniform(0.9, 1.0, n) for name, value in base.items()}


def full_matrices(history: NaturalHistory) -> tuple[np.ndarray, dict[str, int]]:
    """(cycle, state, state) with every tunnel written out, and the index of each state."""
    names = ["well", *(f"pre_{s}" for s in range(N))]
    names += [f"lead_{j}_{s}" for s in range(N) for j in range(s, N)]
    names += [f"{mode}_{s}_{k}" for mode in ("screen", "clinical") for s in range(N) for k in range(LAST + 1)]
    names += ["lung_death", "other_death"]
    at = {name: i for i, name in enumerate(names)}
    matrices = np.zeros((history.n_cycles, len(names), len(names)))
    for t, matrix in enumerate(matrices):
        kept = float(history.other_survival[t + 1, 0] / history.other_survival[t, 0])
        living = {
            "well": {"well": history.stay_well[t, 0]}
            | {f"pre_{s}": history.onset[t, s, 0] for s in range(N)}
            | {f"clinical_{s}_0": history.onset_found[t, s, 0] for s in range(N)}
        }
        for i in range(N):
            living[f"pre_{i}"] = {f"pre_{j}": history.moves[i, j, 0] for j in range(i, N)}
            living[f"pre_{i}"] |= {f"clinical_{s}_0": history.found[i, s, 0] for s in range(i, N)}
            for s in range(i + 1):
                living[f"lead_{i}_{s}"] = {f"lead_{j}_{s}": history.moves[i, j, 0] for j in range(i, N)}
                living[f"lead_{i}_{s}"][f"screen_{s}_0"] = history.found[i, :, 0].sum()
        for name, row in living.items():
            for to, probability in row.items():
                matrix[at[name], at[to]] = probability * kept
            matrix[at[name], at["other_death"]] = 1 - kept
        for mode in ("screen", "clinical"):
            for s in range(N):
                for k in range(LAST + 1):
                    band = max(b for b, start in enumerate(BAND_STARTS) if start <= k)
                    alive, row = history.survival[band, s, 0], at[f"{mode}_{s}_{k}"]
                    matrix[row, at[f"{mode}_{s}_{min(k + 1, LAST)}"]] = alive * kept
                    matrix[row, at["lung_death"]] = (1 - alive) * (1 + kept) / 2
                    matrix[row, at["other_death"]] = (1 + alive) / 2 * (1 - kept)
        for name in ("lung_death", "other_death"):
            matrix[at[name], at[name]] = 1.0
    return matrices, at


def test_both_ways_agree_with_a_full_transition_matrix(base: dict):
    short = base | {"start_age": 94.0, "screen_stop_age": 96.0, "share_death": 0.1, "share_invasive": 0.3}
    history = natural_history(short, TABLE)
    matrices, at = full_matrices(history)
    get, (first, later) = Parameters(short), screens(short, ["single"])

    def screening(screen) -> np.ndarray:
        move = np.eye(len(at))
        fatal = float(screen.false_positive[0, 0] * short["share_invasive"] * short["share_death"])
        attends = float(screen.attendance[0])
        move[at["well"], at["well"]] -= attends * fatal
        move[at["well"], at["other_death"]] += attends * fatal
        for s in range(N):
            seen = float(screen.detection[s, 0, 0])
            row = at[f"pre_{s}"]
            move[row, row] -= attends * (seen + (1 - seen) * fatal)
            move[row, at[f"lead_{s}_{s}"]] += attends * seen
            move[row, at["other_death"]] += attends * (1 - seen) * fatal
        return move

    initial = np.zeros(len(at))
    for s in range(N):
        initial[at[f"pre_{s}"]] = history.preclinical[s, 0]
    initial[at["well"]] = 1 - history.preclinical.sum()
    for t in schedule(short):
        if t == 0:
            initial = initial @ screening(first)
        else:
            matrices[t - 1] = matrices[t - 1] @ screening(later)
    trace = cohort_trace(initial, matrices, history.n_cycles)
    weights = within_cycle_weights(history.n_cycles, "half-cycle")

    result = run(short, TABLE, ["single"])
    traced = trace_strategies(short, TABLE, ["single"])
    assert result.lung_cancer_deaths[0, 0] == pytest.approx(trace[-1, at["lung_death"]], rel=1e-9)
    values = np.ones(len(at))
    values[[at["lung_death"], at["other_death"]]] = 0
    years = discounted_total(trace, values, short["discount_effect"], CYCLE_YEARS, weights)
    assert result.life_years[0, 0] == pytest.approx(years, rel=1e-9)
    for s, group in enumerate(("i", "i", "ii", "iii", "iii", "iv")):
        for name, index in at.items():
            if (
                name.split("_")[0] in ("screen", "clinical", "lead")
                and int(name.split("_")[-1 if "lead" in name else 1]) == s
            ):
                values[index] = short[f"u_ratio_{group}"]
    qalys = discounted_total(trace, values * short["u_75_plus"], short["discount_effect"], CYCLE_YEARS, weights)
    assert traced.qalys.shape == (history.n_cycles + 1, 1, 1)
    lost = sum(
        (1 + short["discount_effect"]) ** (-t * CYCLE_YEARS)
        * (
            traced.events["screens"][t, 0, 0] * short["loss_screen"] * short["loss_screen_years"]
            + traced.events["false_positives"][t, 0, 0]
            * short["loss_false_positive"]
            * short["loss_false_positive_years"]
            + traced.events["complications"][t, 0, 0]
            * short["loss_complication"]
            * short["loss_complication_years"]
        )
        for t in schedule(short)
    )
    assert result.qalys[0, 0] == pytest.approx(qalys - lost, rel=1e-9)
    for s in range(N):
        clinical = trace[:, [at[f"clinical_{s}_{k}"] for k in range(LAST + 1)]].sum(axis=1)
        found = traced.trace[:, STATES.index(f"clinical_{STAGES[s]}"), 0, 0]
        np.testing.assert_allclose(found, clinical, rtol=1e-9, atol=1e-15)
    assert get.n_sim() == 1


def test_backward_and_forward_totals_agree_for_all_strategies_and_draws(base: dict):
    numbers = drawn(base, 3)
    result, totals = run(numbers, TABLE), trace_strategies(numbers, TABLE, STRATEGIES).totals()
    for name in ("cost", "qalys", "life_years", "lung_cancer_deaths"):
        np.testing.assert_allclose(getattr(result, name), totals[name], rtol=1e-9)
    for name in COUNTS:
        np.testing.assert_allclose(result.counts[name], totals[name], rtol=1e-9, atol=1e-15)
    diagnoses = sum(totals[f"{mode}_diagnosis_{stage}"] for mode in ("screen", "clinical") for stage in STAGES)
    np.testing.assert_allclose(result.diagnoses, diagnoses, rtol=1e-9)
    # Those in lead time at the end of the model are neither dead nor due.
    np.testing.assert_allclose(result.overdiagnosed, totals["overdiagnosis_deaths"], rtol=1e-4)


def test_draws_in_chunks_are_those_of_one_at_a_time(base: dict, monkeypatch: pytest.MonkeyPatch):
    numbers = drawn(base, 5)
    whole = run(numbers, TABLE, ("none", "triage"))
    monkeypatch.setattr("market.lung.CHUNK_DRAWS", 2)
    chunked = run(numbers, TABLE, ("none", "triage"))
    np.testing.assert_allclose(chunked.cost, whole.cost, rtol=1e-12)
    for i in range(5):
        alone = {name: value if np.ndim(value) == 0 else value[i] for name, value in numbers.items()}
        one = run(alone, TABLE, ("none", "triage"))
        np.testing.assert_allclose(one.cost[0], whole.cost[i], rtol=1e-12)
        np.testing.assert_allclose(one.qalys[0], whole.qalys[i], rtol=1e-12)


def test_draws_may_differ_in_the_shares_of_clinical_diagnosis_alone(base: dict):
    shares = np.array([0.1, 0.12049, 0.2])
    together = run({**base, "clinical_share_ia": shares}, TABLE)
    alone = [run({**base, "clinical_share_ia": share}, TABLE) for share in shares]
    np.testing.assert_allclose(together.cost, np.concatenate([one.cost for one in alone]), rtol=1e-12)


def test_a_cycle_well_is_the_matrix_exponential_with_onset(base: dict):
    history = natural_history(base, TABLE)
    get = Parameters(base)
    leaving = 1 / (get.stages("sojourn_{}")[:, 0] * base["sojourn_scale"])
    share = np.array([*(base[f"clinical_share_{stage}"] for stage in STAGES[:-1]), 1.0])
    for t in (0, 60, history.n_cycles - 1):
        onset = -np.log(history.stay_well[t, 0]) / CYCLE_YEARS
        generator = np.zeros((1 + 2 * N, 1 + 2 * N))
        generator[0, :2] = -onset, onset
        for i in range(N):
            generator[1 + i, 1 + i], generator[1 + i, 1 + N + i] = -leaving[i], leaving[i] * share[i]
            if i < N - 1:
                generator[1 + i, 2 + i] = leaving[i] * (1 - share[i])
        row = generator_to_transitions(generator, CYCLE_YEARS)[0]
        found = [history.stay_well[t, 0], *history.onset[t, :, 0], *history.onset_found[t, :, 0]]
        np.testing.assert_allclose(found, row, rtol=1e-8, atol=1e-15)


def test_without_other_deaths_clinical_stages_follow_from_the_shares(base: dict):
    numbers = base | {"hr_other_cause": 0.0, "start_age": 40.0, "onset_age_exponent": 0.0, "r_onset_60": 1e-5}
    totals = trace_strategies(numbers, TABLE, ["none"]).totals()
    found = np.array([totals[f"clinical_diagnosis_{stage}"][0, 0] for stage in STAGES])
    share = np.array([*(base[f"clinical_share_{stage}"] for stage in STAGES[:-1]), 1.0])
    expected = share * np.concatenate([[1.0], np.cumprod(1 - share[:-1])])
    np.testing.assert_allclose(found / found.sum(), expected, rtol=1e-3)


def test_states_are_shares_that_sum_to_one(base: dict):
    traced = trace_strategies(base, TABLE, STRATEGIES)
    assert traced.trace.min() >= -1e-12
    np.testing.assert_allclose(traced.trace.sum(axis=1), 1.0, atol=1e-12)
    diagnosed = traced.trace[:, 1 + N : 1 + 3 * N].sum(axis=1)
    np.testing.assert_allclose(traced.years_since.sum(axis=1), diagnosed, atol=1e-12)
    assert np.diff(traced.trace[:, -2:], axis=0).min() >= -1e-12


def test_years_add_up_to_the_undiscounted_total(base: dict):
    numbers = base | {"discount_cost": 0.0, "discount_effect": 0.0}
    traced = trace_strategies(numbers, TABLE, ("none", "double"))
    table, totals = traced.by_year(), traced.totals()
    for column in ("cost", "qalys", "life_years", "screens", "lung_cancer_deaths", "cost_terminal"):
        by_strategy = table.groupby("strategy", sort=False)[column].sum()
        np.testing.assert_allclose(by_strategy.to_numpy(), totals[column][0], rtol=1e-12, atol=1e-15)
    assert totals["cost"][0, 1] == pytest.approx(sum(totals[f"cost_{item}"][0, 1] for item in COST_ITEMS))
    first = table[(table.strategy == "double") & (table.year == 1)].iloc[0]
    assert first["screens"] == pytest.approx(1.0)


def test_an_ai_like_the_reader_differs_by_its_price_alone(base: dict):
    equal = {
        "concurrent_sensitivity_gain": 0.0,
        "concurrent_specificity_gain": 0.0,
        "concurrent_seconds_saved": 0.0,
    }
    numbers = base | equal | {"c_ai_scan": 7.0, "discount_cost": 0.0}
    result = run(numbers, TABLE, ("single", "concurrent"))
    assert result.qalys[0, 1] == result.qalys[0, 0]
    assert result.lung_cancer_deaths[0, 1] == result.lung_cancer_deaths[0, 0]
    paid = 7.0 * result.counts["screens"][0, 1]
    assert result.cost[0, 1] - result.cost[0, 0] == pytest.approx(paid, rel=1e-9)


@pytest.mark.parametrize(
    ("mode", "worse"),
    [
        ("concurrent", {"concurrent_sensitivity_gain": -0.05}),
        ("concurrent", {"concurrent_specificity_gain": -0.05}),
        ("second_reader", {"ai_specificity": 0.6, "ai_sensitivity": 0.0}),
        ("triage", {"ai_sensitivity": 0.6}),
    ],
)
def test_an_ai_that_is_worse_comes_out_worse_even_as_a_gift(base: dict, mode: str, worse: dict):
    gift = {"c_ai_scan": 0.0, "concurrent_seconds_saved": 0.0, "second_reader_seconds_added": 0.0}
    same = {"concurrent_sensitivity_gain": 0.0, "concurrent_specificity_gain": 0.0}
    result = run(base | gift | same | worse, TABLE, ("single", mode))
    assert result.qalys[0, 1] < result.qalys[0, 0]


def test_a_better_reader_finds_more_and_saves_more(base: dict):
    better = run(base | {"reader_sensitivity_first": 0.95, "reader_sensitivity_later": 0.9}, TABLE, ["single"])
    usual = run(base, TABLE, ["single"])
    assert better.counts["screen_detected"][0, 0] > usual.counts["screen_detected"][0, 0]
    assert better.lung_cancer_deaths[0, 0] < usual.lung_cancer_deaths[0, 0]


def test_a_screen_that_finds_nothing_changes_nothing_but_costs(base: dict):
    blind = {f"detect_{stage}": 0.0 for stage in STAGES} | {"share_death": 0.0}
    result = run(base | blind | {"loss_screen": 0.0, "loss_false_positive": 0.0, "loss_complication": 0.0}, TABLE)
    np.testing.assert_allclose(result.qalys, result.qalys[:, :1] * np.ones(len(STRATEGIES)), rtol=1e-12)
    assert (result.cost[0, 1:] > result.cost[0, 0]).all()


def test_a_stage_that_has_not_changed_changes_no_death(base: dict):
    """Stage IV found before symptoms is stage IV still: no death earlier, none later, and no gain."""
    only_iv = {f"detect_{stage}": 0.0 for stage in STAGES[:-1]} | {"share_death": 0.0}
    result = run(base | only_iv, TABLE, ("none", "single"))
    assert result.counts["screen_detected"][0, 1] > 0.01
    assert result.lung_cancer_deaths[0, 1] == pytest.approx(result.lung_cancer_deaths[0, 0], rel=1e-12)
    assert result.life_years[0, 1] == pytest.approx(result.life_years[0, 0], rel=1e-12)


def test_more_diagnoses_than_without_screening_are_the_overdiagnosed(base: dict):
    result = run(base | {"share_death": 0.0}, TABLE, ("none", "double", "triage"))
    np.testing.assert_allclose(result.diagnoses - result.diagnoses[:, :1], result.overdiagnosed, rtol=1e-9)
    immortal = run(base | {"share_death": 0.0, "hr_other_cause": 0.0}, TABLE, ["double"])
    assert immortal.overdiagnosed[0, 0] < 1e-4 < result.overdiagnosed[0, 1]


def test_screens_find_earlier_stages_than_symptoms_do(base: dict):
    totals = trace_strategies(base, TABLE, ("none", "single")).totals()
    early = [
        sum(totals[f"{mode}_diagnosis_{stage}"][0, s] for stage in ("ia", "ib"))
        / sum(totals[f"{mode}_diagnosis_{stage}"][0, s] for stage in STAGES)
        for mode, s in (("clinical", 0), ("screen", 1))
    ]
    assert early[1] > 2 * early[0]


def test_discount_rates_act_on_what_they_are_for(base: dict):
    usual = run(base, TABLE, ["single"])
    dearer = run(base | {"discount_cost": 0.08}, TABLE, ["single"])
    assert dearer.cost[0, 0] < usual.cost[0, 0]
    assert dearer.qalys[0, 0] == usual.qalys[0, 0]
    later = run(base | {"discount_effect": 0.06}, TABLE, ["single"])
    assert later.qalys[0, 0] < usual.qalys[0, 0]
    assert later.cost[0, 0] == usual.cost[0, 0]


def test_screens_come_at_the_interval_from_the_first_age_to_the_last(base: dict):
    assert schedule(base | {"start_age": 60.0, "screen_stop_age": 66.0, "screen_interval_years": 2.0}) == [
        0,
        8,
        16,
        24,
    ]
    assert schedule(base | {"start_age": 60.0, "screen_stop_age": 60.0}) == [0]
    with pytest.raises(ParameterError, match="screen_interval_years"):
        schedule(base | {"screen_interval_years": 0.3})
    with pytest.raises(ParameterError, match="screen_stop_age"):
        schedule(base | {"screen_stop_age": 59.0})
    with pytest.raises(ParameterError, match="start_age"):
        run(base | {"start_age": np.array([60.0, 61.0])}, TABLE)


def test_other_causes_follow_the_life_table(base: dict):
    flat = LifeTable(female=np.full(111, 0.02), male=np.full(111, 0.03))
    history = natural_history(base | {"hr_other_cause": 1.5, "share_male": 0.25}, flat)
    expected = 0.25 * np.exp(-0.045 * 10) + 0.75 * np.exp(-0.03 * 10)
    assert history.other_survival[40, 0] == pytest.approx(expected, rel=1e-12)


def test_what_is_wrong_is_named(base: dict):
    with pytest.raises(InputError, match="strategies"):
        run(base, TABLE, ("none", "guessing"))
    with pytest.raises(ParameterError, match="sojourn_ii"):
        run({name: value for name, value in base.items() if name != "sojourn_ii"}, TABLE)
    with pytest.raises(ParameterError, match="adherence"):
        run(base | {"adherence": 1.5}, TABLE)
    with pytest.raises(ParameterError, match="draws"):
        run(base | {"adherence": np.full(3, 0.5), "c_ldct": np.full(2, 100.0)}, TABLE)
    with pytest.raises(InputError, match="setting"):
        life_table("atlantis")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {
            "adherence": st.floats(0, 1),
            "sojourn_scale": st.floats(0.3, 3),
            "ai_sensitivity": st.floats(0, 1),
            "ai_specificity": st.floats(0, 1),
            "ai_dependence_cancer": st.floats(-1, 1),
            "hr_lung_death": st.floats(0.3, 3),
            "share_death": st.floats(0, 0.5),
        }
    )
)
def test_any_numbers_keep_shares_and_totals_in_bounds(base: dict, changes: dict):
    numbers = base | changes | {"start_age": 75.0}
    traced = trace_strategies(numbers, TABLE, STRATEGIES)
    assert traced.trace.min() >= -1e-12
    np.testing.assert_allclose(traced.trace.sum(axis=1), 1.0, atol=1e-12)
    result, totals = run(numbers, TABLE), traced.totals()
    np.testing.assert_allclose(result.cost, totals["cost"], rtol=1e-9)
    np.testing.assert_allclose(result.qalys, totals["qalys"], rtol=1e-9)
    assert (result.overdiagnosed >= -1e-15).all()
    assert (result.overdiagnosed <= result.counts["screen_detected"] + 1e-15).all()


def test_the_table_counts_per_thousand_persons(base: dict):
    result = run(base, TABLE)
    table = results_table(result).set_index("strategy")
    assert list(table.index) == list(STRATEGIES)
    assert table.deaths_averted["none"] == 0 < table.deaths_averted["single"]
    assert table.reader_hours["double"] == pytest.approx(1000 * result.counts["reader_minutes"][0, 2] / 60)
    assert table.label["triage"] == "LDCT, AI rules out"


def test_every_setting_with_a_life_table_runs():
    for setting in ("us", "uk"):
        numbers = load_parameters(setting, price_year=2024).values()
        result = run(numbers, life_table(setting))
        assert np.isfinite(result.cost).all()
        assert (result.lung_cancer_deaths[0, 1:] < result.lung_cancer_deaths[0, 0]).all()


@pytest.mark.parametrize(("stage", "group"), [("ia", "i"), ("ii", "ii"), ("iiib", "iii"), ("iv", "iv")])
def test_survival_follows_the_hazard_ratio_of_its_own_stage(base: dict, stage: str, group: str):
    changed = base | {f"hr_lung_death_era_{group}": 2 * base[f"hr_lung_death_era_{group}"]}
    before, after = (natural_history(values, TABLE).survival[..., 0] for values in (base, changed))
    at = STAGES.index(stage)
    assert after[:, at] == pytest.approx(before[:, at] ** 2, rel=1e-12)
    others = [s for s, name in enumerate(STAGES) if GROUPS[s] != group]
    assert np.array_equal(after[:, others], before[:, others])


def test_utility_without_cancer_changes_at_65_and_75(base: dict):
    values = base | {"start_age": 60, "u_under_65": 0.9, "u_65_74": 0.8, "u_75_plus": 0.7}
    history = natural_history(values, TABLE)
    utility = np.broadcast_to(timing(history, Parameters(values)).utility, history.ages.shape)[:, 0]
    by_age = dict(zip(history.ages[:, 0], utility, strict=True))
    assert [by_age[age] for age in (60, 64.75, 65, 74.75, 75, 100)] == [0.9, 0.9, 0.8, 0.8, 0.7, 0.7]


def test_incidental_findings_are_paid_for_at_the_first_screen_alone(base: dict):
    counts = dict.fromkeys(COUNTS, np.ones(1))
    first, later = (screen_costs(Parameters(base), counts, part)["incidental"] for part in (1.0, 0.0))
    assert first == pytest.approx(base["share_incidental"] * base["c_incidental"])
    assert later == 0


def test_detection_is_relative_to_the_reference_reader(base: dict):
    values = base | {"detect_odds": 0.05}  # mostly far from certain detection
    half = values | {"sensitivity_reference_later": base["sensitivity_reference_later"] / 2}
    usual, doubled = (screens(numbers, ["single"])[1].detection for numbers in (values, half))
    assert doubled == pytest.approx(np.minimum(1, 2 * usual))


def test_onset_stays_level_from_its_plateau_on(base: dict):
    values = base | {"onset_plateau_age": 75.0}
    history = natural_history(values, TABLE)
    stay, ages = history.stay_well[:, 0], history.ages[:-1, 0]
    assert np.allclose(stay[ages >= 75], stay[-1], rtol=0, atol=1e-15)
    assert (np.diff(stay[ages < 75]) < 0).all()


def test_another_ai_leaves_its_likeness_to_the_reader_alone():
    parameters = load_parameters("us", price_year=2024)
    better = parameters.with_overrides({"ai_specificity": 0.95})
    assert better.values()["ai_specificity"] == 0.95
    assert better.values()["ai_dependence_no_cancer"] == parameters.values()["ai_dependence_no_cancer"] > 0


@pytest.mark.parametrize("value", [np.inf, "200", "abc", None])
def test_a_price_that_is_no_finite_number_is_refused_by_name(base: dict, value: object):
    with pytest.raises(ParameterError, match="c_ldct"):
        run(base | {"c_ldct": value}, TABLE)
    with pytest.raises(ParameterError, match="c_ldct"):
        run(base | {"adherence": np.array([0.5, 0.6]), "c_ldct": value}, TABLE)


def surviving(first: float, second: float, later: float) -> dict[str, float]:
    """Survival of lung cancer through the first and second year after diagnosis and later, alike in all stages."""
    bands = {"y1": first, "y2": second, "y3_5": later, "y6_10": later, "y11_20": later}
    return {f"survival_{stage}_{band}": value for stage in STAGES for band, value in bands.items()}


def test_the_last_year_of_life_is_charged_after_diagnosis_alone_and_instead_of_continuing_care(base: dict):
    care = {f"c_continuing_{group}": 100.0 for group in GROUPS} | {"c_terminal": 8000.0, "discount_cost": 0.0}
    at_once = trace_strategies(base | care | surviving(0.0, 0.0, 0.0), TABLE, ["none"])
    totals, deaths = at_once.totals(), at_once.events["lung_cancer_deaths"].sum()
    # All die in mid-cycle, half of three months after diagnosis: an eighth of a year.
    assert totals["cost_terminal"][0, 0] == pytest.approx((8000 - 100) / 8 * deaths, rel=1e-9)
    lived = 0.25 * at_once.trace[:, 1 + N : 1 + 3 * N, 0, 0].sum(axis=1)
    lived[-1] /= 2
    assert totals["cost_continuing"][0, 0] == pytest.approx(100 * lived.sum(), rel=1e-9)
    later = trace_strategies(base | care | surviving(1.0, 1.0, 0.0), TABLE, ["none"])
    deaths = later.events["lung_cancer_deaths"].sum()
    assert later.totals()["cost_terminal"][0, 0] == pytest.approx((8000 - 100) * deaths, rel=1e-9)


def test_lead_time_after_a_screen_counts_to_the_last_year_of_life(base: dict):
    only_iv = {f"detect_{stage}": 0.0 for stage in STAGES[:-1]} | {"share_death": 0.0, "hr_other_cause": 0.0}
    once = {"screen_stop_age": base["start_age"], "c_terminal": 8000.0, "discount_cost": 0.0}
    once |= {f"c_continuing_{group}": 0.0 for group in GROUPS}
    totals = trace_strategies(base | only_iv | once | surviving(0.0, 0.0, 0.0), TABLE, ["single"]).totals()
    found = totals["screen_diagnosis_iv"][0, 0]
    stays = np.exp(-CYCLE_YEARS / (base["sojourn_iv"] * base["sojourn_scale"]))
    # Clinically due in the first, second or third cycle after the screen, and dead in the next.
    unlived = (1 - stays) * (5 / 8 + stays * 3 / 8 + stays**2 / 8)
    expected = found * (1 - unlived) + (totals["lung_cancer_deaths"][0, 0] - found) / 8
    assert totals["cost_terminal"][0, 0] == pytest.approx(8000 * expected, rel=1e-9)


@pytest.mark.parametrize("survives", [(0.0, 0.0, 0.0), (0.4, 0.6, 0.0), (1.0, 0.0, 0.0)])
def test_phases_of_care_cost_the_same_backward_and_forward(base: dict, survives: tuple[float, float, float]):
    care = {f"c_continuing_{group}": 900.0 * (i + 1) for i, group in enumerate(GROUPS)}
    numbers = drawn(base | surviving(*survives) | care, 2)
    result, totals = run(numbers, TABLE), trace_strategies(numbers, TABLE, STRATEGIES).totals()
    np.testing.assert_allclose(result.cost, totals["cost"], rtol=1e-9)


def test_the_last_screen_is_not_lost_to_rounding(base: dict):
    ages = {"start_age": 60.1, "screen_stop_age": 80.1, "screen_interval_years": 1.0}
    assert len(schedule(base | ages)) == 21
    with pytest.raises(ParameterError, match=r"screen_stop_age.*at most 100"):
        schedule(base | ages | {"screen_stop_age": 101.0})


def test_totals_without_the_years_since_diagnosis_are_the_same_to_the_last_digit(base: dict):
    whole = trace_strategies(base, TABLE, STRATEGIES)
    short = trace_strategies(base, TABLE, STRATEGIES, keep_years_since=False)
    assert short.years_since.size == 0 and whole.years_since.sum() > 0
    for name, total in whole.totals().items():
        np.testing.assert_array_equal(short.totals()[name], total)
