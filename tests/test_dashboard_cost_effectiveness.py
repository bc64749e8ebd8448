"""Cost-effectiveness: jobs, what draws say, dominance in words, charts, and the page in AppTest."""

import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.decision import charts, loaders, store, words
from dashboard.decision.jobs import DONE, FAILED, STOPPED, Jobs
from dashboard.figure import picture
from market import analysis, cea, psa, voi
from market.errors import InputError
from market.scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent
US = Scenario("base", "us")
WORTH = 100_000.0


def ended(job, seconds: float = 90):
    """The job, once it no longer goes on."""
    until = time.monotonic() + seconds
    while job.going and time.monotonic() < until:
        time.sleep(0.01)
    return job


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """1,000 draws of the US scenario, kept in a folder of this test alone."""
    folder = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setattr(loaders, "CACHE", folder)
    loaders.jobs.clear()
    job = ended(loaders.draws_job(US, 1000))
    assert job.error is None
    yield job.result
    patch.undo()
    loaders.jobs.clear()


# Jobs


def test_two_who_ask_the_same_share_one_job_and_a_repeat_finds_its_result():
    jobs, ran = Jobs(), []
    gate = threading.Event()

    def work(job):
        ran.append(1)
        gate.wait(10)
        return "found"

    first, second = jobs.start("key", 3, work), jobs.start("key", 3, work)
    gate.set()
    assert first is second
    assert ended(first).result == "found"
    assert jobs.start("key", 3, work).result == "found"
    assert ran == [1]


def test_a_stopped_job_ends_and_can_begin_again():
    jobs = Jobs()

    def work(job):
        if not job.cancel.wait(0.3):
            return "whole"
        raise InputError("work", "a stop", "no stop")

    job = jobs.start("key", 1, work)
    job.watched_by("me")
    assert job.leave("me")
    assert ended(job).state == STOPPED
    assert ended(jobs.start("key", 1, work)).result == "whole"


def test_a_job_that_others_watch_goes_on_when_one_leaves():
    jobs = Jobs()
    job = jobs.start("key", 1, lambda job: job.cancel.wait(0.2))
    job.watched_by("me")
    job.watched_by("another")
    assert not job.leave("me")
    assert ended(job).result is False
    assert job.state == DONE


def test_a_job_that_fails_keeps_its_error_and_the_next_one_runs():
    jobs = Jobs()

    def broken(job):
        raise InputError("draws", "none", "some")

    job = ended(jobs.start("broken", 1, broken))
    assert (job.state, job.error.name) == (FAILED, "draws")
    assert ended(jobs.start("fine", 1, lambda job: 7)).result == 7


def test_only_so_many_results_are_kept_those_asked_for_last():
    jobs = Jobs(kept=2)
    for key in "abc":
        ended(jobs.start(key, 1, lambda job: 1))
        jobs.get("a")
    assert [jobs.get(key) is not None for key in "abc"] == [True, False, True]


def test_kept_arrays_are_read_back_exactly_and_a_damaged_file_is_as_none(tmp_path):
    arrays = {"cost": np.array([[0.1, 1 / 3]]), "kept_x": np.array([np.pi])}
    store.write(tmp_path, "name", arrays)
    read = store.read(tmp_path, "name")
    assert {key: value.tolist() for key, value in read.items()} == {k: v.tolist() for k, v in arrays.items()}
    (tmp_path / "name.npz").write_bytes(b"PK damaged")
    assert store.read(tmp_path, "name") is None
    assert store.read(None, "name") is None


# What draws say


def test_the_page_draws_what_the_command_line_draws(drawn):
    found = analysis.run_psa(analysis.scenario_parameters(US), 1000)
    assert (drawn.psa.cost == found.cost).all() and (drawn.psa.qalys == found.qalys).all()
    table = found.table(WORTH, "single").set_index("strategy")
    answer = loaders.answer(drawn, WORTH, "concurrent", "single")
    assert answer.cost.mean == table.loc["concurrent", "inc_cost"]
    assert answer.qalys.low == table.loc["concurrent", "inc_qalys_low"]
    assert answer.table["p_best"].tolist() == table["p_best"].tolist()
    assert answer.evpi == pytest.approx(voi.evpi(found.cost, found.qalys, WORTH), rel=1e-9)


def test_the_worth_of_a_qaly_and_numbers_of_the_site_ask_for_no_new_draws():
    same = Scenario("other", "us", overrides=(("wtp", 5.0), ("hospital_entrants", 9.0)), years=3, strategy="triage")
    other = Scenario("other", "us", overrides=(("c_ai_scan", 5.0),))
    assert loaders.content(same) == loaders.content(US)
    assert loaders.content(other) != loaders.content(US)
    assert loaders.content(Scenario("seed", "us", seed=1)) != loaders.content(US)


def test_draws_on_disk_are_found_by_the_next_start_of_the_server(drawn):
    loaders.jobs.clear()
    again = loaders.draws_job(US, 1000, start=False)
    assert again.state == DONE
    assert (again.result.psa.cost == drawn.psa.cost).all()
    assert list(again.result.psa.kept) == list(drawn.psa.kept)


def test_curves_at_a_threshold_are_those_of_the_answer(drawn):
    curves = loaders.curves(drawn, WORTH)
    at = curves[curves["wtp"] == WORTH].iloc[0]
    answer = loaders.answer(drawn, WORTH, "concurrent", "single")
    assert at["best"] == answer.best
    assert at["ceaf"] == answer.p_best
    assert at["evpi"] == pytest.approx(answer.evpi, rel=1e-9)
    assert at["loss_none"] == answer.table.set_index("strategy").loc["none", "expected_loss"]
    assert loaders.curves(drawn, 900_000.0)["wtp"].max() >= 900_000


def test_every_number_that_varies_is_in_one_group(drawn):
    found = loaders.groups(list(drawn.psa.kept))
    ids = [key for keys in found.values() for key in keys]
    assert sorted(ids) == sorted(drawn.psa.kept)
    assert loaders.OTHER not in found


def test_knowing_a_group_is_worth_no_more_than_knowing_all(drawn):
    job = ended(loaders.known_job(drawn))
    values = loaders.known_values(job.result, WORTH)
    evpi = loaders.answer(drawn, WORTH, "concurrent", "single").evpi
    assert (values["value"] >= 0).all()
    assert values["value"].iloc[0] <= evpi
    assert (values["low"] <= values["value"]).all() and (values["value"] <= values["high"]).all()


def test_value_of_knowing_follows_a_threshold_as_the_regression_of_net_benefit_does():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    cost = np.column_stack([np.zeros(4000), 100 * x + rng.normal(0, 50, 4000)])
    effect = np.column_stack([np.zeros(4000), 0.002 * x**2 + rng.normal(0, 0.001, 4000)])
    frame = pd.DataFrame({"x": x})
    known = [voi.known_outcomes(outcome, frame) for outcome in (cost, effect)]
    for wtp in (0.0, 30_000.0, 90_000.0):
        value, error = voi.known_value(*known, wtp)
        assert value == pytest.approx(voi.evppi(wtp * effect - cost, frame), abs=max(3 * error, 0.5))


def test_what_is_known_already_is_worth_nothing():
    cost, effect = np.array([[0.0, 10.0]] * 50), np.array([[0.0, 1.0]] * 50)
    assert voi.known_value(cost, effect, 100.0) == (0.0, 0.0)


def test_the_ellipse_holds_its_share_of_normal_draws():
    rng = np.random.default_rng(1)
    x, y = rng.multivariate_normal([3, -200], [[4, 30], [30, 900]], 20_000).T
    ring = psa.ellipse(x, y)
    assert ring[0] == pytest.approx(ring[-1])
    centre, shape = np.array([x.mean(), y.mean()]), np.linalg.inv(np.cov(x, y))
    radius = np.einsum("ni,ij,nj->n", ring - centre, shape, ring - centre)
    assert radius == pytest.approx(-2 * np.log(0.05))
    away = np.column_stack([x, y]) - centre
    assert (np.einsum("ni,ij,nj->n", away, shape, away) < radius[0]).mean() == pytest.approx(0.95, abs=0.005)


def test_an_ellipse_needs_two_draws():
    with pytest.raises(InputError, match="two or more"):
        psa.ellipse([1.0], [2.0])


# Words


def test_no_ratio_is_called_a_price_where_one_choice_is_better_in_both():
    for signs, inc_cost, inc_qalys in (((-1, 1), -50, 0.1), ((1, -1), 50, -0.1), ((1, 0), 50, 0.0)):
        assert cea.direction(inc_cost, inc_qalys) == signs
        assert words.per_qaly(signs, inc_cost, inc_qalys, "USD")[0] == "No price"
    assert words.comparison((-1, 1)) == "saves money and gains health"
    assert words.per_qaly((1, 1), 1470, 0.1, "USD") == ("$14,700", "no interval, see draws")
    assert words.per_qaly((-1, -1), -1470, -0.1, "USD") == ("$14,700", "saved per QALY lost")


def test_the_table_tells_dominance_in_words():
    icers = cea.icer_table(
        ["none", "triage", "single", "concurrent", "second_reader", "double"],
        [0, 1990, 2180, 2205, 2310, 2470],
        [0, 0.0352, 0.0362, 0.0379, 0.0384, 0.0371],
    )
    said = words.incremental(icers, WORTH, "USD").set_index("strategy")["words"]
    assert said["none"] == "cheapest; the others are compared from here up"
    assert said["single"] == "a mix of AI rules out and AI read alongside gains more for less"
    assert said["concurrent"] == "best buy at $100,000 per QALY"
    assert said["second_reader"] == "gains more, but a QALY costs more than $100,000"
    assert said["double"] == "costs more and gains less than AI as second reader"


def test_what_saves_money_and_gains_health_leaves_usual_care_dominated():
    icers = cea.icer_table(["none", "concurrent"], [100.0, 60.0], [1.0, 1.2])
    rows = words.incremental(icers, WORTH, "USD").set_index("strategy")
    assert rows.loc["none", "words"] == "costs more and gains less than AI read alongside"
    assert rows["icer"].isna().all()


def test_a_chance_that_is_not_nought_is_not_written_so():
    assert [words.chance(share) for share in (0, 0.001, 0.36, 0.999, 1)] == [
        "0.00",
        "less than 0.01",
        "0.36",
        "more than 0.99",
        "1.00",
    ]
    assert words.of_100(0.0001) == "fewer than 1 of 100 draws"


# Charts


@pytest.mark.parametrize("wtp", [0.0, 40_000.0, 240_000.0])
def test_a_moved_threshold_changes_data_and_no_look(drawn, wtp):
    names = {key: key for key in drawn.strategies}
    curves = loaders.curves(drawn, WORTH)
    cost, qalys = drawn.increments("concurrent", "single")
    points = pd.DataFrame({"qalys": 1000 * qalys, "cost": cost})
    ring = pd.DataFrame(loaders.ellipse(cost, 1000 * qalys), columns=["qalys", "cost"])

    def drawings(at: float) -> list[dict]:
        made = [
            charts.plane(points, ring, (0.0, 5.0), at, "$", "words"),
            charts.acceptability(curves, "concurrent", names, at, 0.3, "$"),
            charts.expected_loss(curves, "concurrent", names, at, "$"),
            charts.certainty(curves, at, 300.0, "$300", "$"),
        ]
        return [chart.to_dict() for chart in made]

    for here, there in zip(drawings(wtp), drawings(WORTH), strict=True):
        assert here["datasets"] != there["datasets"]
        assert {**here, "datasets": 0} == {**there, "datasets": 0}
        assert max(len(rows) for rows in here["datasets"].values()) <= 1000


def test_names_at_the_ends_of_lines_keep_apart_and_inside():
    values = [0.02, 1.0, 0.0, 0.5, 0.01]
    places = np.array(charts.end_places(values, 1.0, apart=0.06))
    assert np.argsort(places).tolist() == np.argsort(values).tolist()
    assert (np.diff(np.sort(places)) >= 0.06 - 1e-12).all()
    assert 0 <= places.min() <= places.max() <= 1


def test_a_drawing_can_be_taken_away_as_a_picture(drawn):
    curves = loaders.curves(drawn, WORTH)
    drawing = picture(charts.certainty(curves, WORTH, 300.0, "$300", "$"), "svg").decode()
    assert drawing.startswith("<svg") and "$300" in drawing


# The page


@pytest.fixture
def page(drawn):
    """Opens the page under an address's parameters, drawn until its figures are there."""

    def open_with(**query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=90)
        app.query_params.update({"x_draws": "1000", **query})
        app.run()
        app.switch_page("views/cost_effectiveness.py").run()
        for _ in range(60):
            goes_on = [item for item in app.button if item.label == "Stop"]
            if not goes_on:
                break
            time.sleep(0.5)
            app.run()
        assert [item.value for item in app.exception] == []
        return app

    return open_with


def test_the_answer_stands_first_and_each_figure_has_its_sentence(page):
    app = page()
    assert [item.value for item in app.title] == ["Is AI-assisted reading worth its cost?"]
    assert app.header[0].value.startswith(
        "At $100,000 per QALY, the best buy is one reader, no AI, with probability 0."
    )
    assert [item.label for item in app.metric] == [
        "QALYs per 1,000",
        "Extra cost, each",
        "Cost per QALY",
        "Net benefit, each",
        "Worth of certainty",
    ]
    text = "\n".join(item.value for item in app.markdown)
    for part in ("worthwhile side of the line", "gains more on average", "Certainty would be worth at most"):
        assert part in text
    assert "Study first: " in text and "of 1,000 people die of lung cancer" in text
    captions = "\n".join(item.value for item in app.caption)
    assert "900 of 1,000 draws shown" in captions


def test_the_threshold_moves_through_the_page_without_new_draws(page):
    app = page()
    before = loaders.draws_job(US, 1000, start=False).result
    slider = app.slider(key="slider-wtp")
    slider.set_value(slider.min).run()
    assert app.header[0].value == "At $0 per QALY, the best buy is no screening, with probability 1.00"
    assert loaders.draws_job(US, 1000, start=False).result is before


def test_a_number_of_draws_that_is_not_offered_becomes_a_notice_and_the_default(page, monkeypatch):
    monkeypatch.setattr("dashboard.decision.panel.DEFAULT_N", 1000)
    app = page(x_draws="77")
    [notice] = [item.value.replace("\\", "") for item in app.warning]
    assert "Draws was 77; expected one of 1,000, 10,000, 100,000. Used instead: 1,000." in notice
    assert app.header[0].value.startswith("At $100,000")


def test_a_setting_without_all_numbers_says_so_and_what_to_do(page):
    app = page(setting="cn")
    assert not app.header
    assert any("Not for China: not all numbers are published" in item.value for item in app.markdown)
    [button] = [item for item in app.button if item.label == "Show US"]
    button.click().run()
    assert app.header[0].value.startswith("At $100,000 per QALY")


def test_stop_ends_the_draws_and_they_can_begin_again(drawn, monkeypatch):
    gate = threading.Event()

    def slow(*arguments, cancel, **options):
        gate.set()
        cancel.wait(20)
        raise analysis.Cancelled("analysis", "a stop", "to run to its end")

    monkeypatch.setattr(analysis, "run_psa", slow)
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=90)
    app.query_params.update({"x_draws": "1000", "c_ai_scan": "7"})
    app.run()
    app.switch_page("views/cost_effectiveness.py").run()
    assert gate.wait(20)
    [stop] = [item for item in app.button if item.label == "Stop"]
    stop.click().run()
    ended(loaders.draws_job(Scenario("base", "us", overrides=(("c_ai_scan", 7.0),)), 1000, start=False))
    app.run()
    assert any("Stopped" in item.value for item in app.markdown)
    monkeypatch.undo()
    monkeypatch.setattr(loaders, "CACHE", None)
    [again] = [item for item in app.button if item.label == "Draw again"]
    again.click().run()
    assert [item.label for item in app.button if item.label == "Stop"] or app.header
