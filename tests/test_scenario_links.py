"""A link carries the whole scenario: read back to the last digit, what cannot be used told, the same numbers."""

import json
import time
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.decision import loaders as decision
from dashboard.decision import range_cards
from dashboard.economics import link, loaders
from dashboard.outlook import loaders as outlook
from dashboard.versus import loaders as versus
from market import analysis
from market.__main__ import main
from market.scenarios import OperatingPoint, Scenario, parse_scenario, scenario_text, write_scenario

SENT = Scenario(
    "Board & co, 50 %",
    "uk",
    7,
    {"c_ai_scan": 0.1 + 0.2, "adherence": 2 / 3, "wtp": 25_000.0},
    strategy="triage",
    comparator="double",
    years=3,
    entrants=1234.5,
    pricing="one_time",
    operating_point=OperatingPoint(296, 38, 784, 71),
    operating_point_note="run demo, threshold 0.42",
)


def over_the_wire(scenario: Scenario) -> dict[str, str]:
    return dict(parse_qsl(urlencode(link.query(scenario)), keep_blank_values=True))


def test_the_defaults_need_no_parameters():
    assert link.query(link.DEFAULT) == {}
    assert link.read({}) == (link.DEFAULT, [])


def test_a_link_is_short_enough_for_a_mail_and_says_what_differs():
    query = link.query(replace(link.DEFAULT, overrides={"c_ai_scan": 6.5}, years=10))
    assert query == {"years": "10", "c_ai_scan": "6.5"}
    assert len(urlencode(link.query(SENT))) < 300


@pytest.mark.parametrize("scenario", [SENT, replace(SENT, operating_point=None, operating_point_note="")])
def test_what_is_sent_arrives(scenario):
    assert link.read(over_the_wire(scenario)) == (scenario, [])


@given(
    share=st.floats(0, 1),
    price=st.floats(0, 1e300),
    entrants=st.none() | st.floats(1e-9, 1e9),
    counts=st.none() | st.tuples(*[st.floats(1, 1e9)] * 4),
)
@settings(max_examples=60, deadline=None)
def test_no_digit_is_lost_on_the_way(share, price, entrants, counts):
    point = None if counts is None else OperatingPoint(*counts)
    sent = replace(
        link.DEFAULT,
        entrants=entrants,
        operating_point=point,
        overrides={"uptake": share, "c_ai_scan": price, "seed_of_nothing": 1.0},
    )
    sent = replace(sent, overrides=tuple(pair for pair in sent.overrides if pair[0] != "seed_of_nothing"))
    found, notices = link.read(over_the_wire(sent))
    assert (found, notices) == (sent, [])
    assert [value.hex() for _, value in found.overrides] == [value.hex() for _, value in sent.overrides]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"strategy": "best"}, ("strategy was best", "one of single", "concurrent")),
        ({"setting": "france"}, ("setting was france", "one of us", "us")),
        ({"years": "11"}, ("years was 11", "from 1 to 10", "5")),
        ({"years": "2.5"}, ("years was 2\\.5", "whole number")),
        ({"seed": "-1"}, ("seed was \\-1",)),
        ({"entrants": "0"}, ("entrants was 0", "above 0", "by the sources")),
        ({"entrants": "many"}, ("entrants was many",)),
        ({"pricing": ""}, ("pricing was empty",)),
        ({"uptake": "1.5"}, ("uptake was 1\\.5", "0 to 1", "proportion", "0\\.187")),
        ({"c_ai_scan": "-1"}, ("c\\_ai\\_scan was \\-1", "0 or more", "USD per scan", "15")),
        ({"c_ai_scan": "1e999"}, ("c\\_ai\\_scan was 1e999",)),
        ({"c_ai_scan": "nan"}, ("c\\_ai\\_scan was nan",)),
        ({"c_ai_scan": "1_5"}, ("c\\_ai\\_scan was 1\\_5",)),
        ({"c_ai_usual_eur": "5"}, ("an amount in USD",)),
        ({"c_ai_scam": "5"}, ("c\\_ai\\_scam is no number",)),
        ({"tp": "5"}, ("operating point was tp 5", "all of tp")),
        ({"tp": "5", "fn": "-1", "tn": "1", "fp": "1"}, ("operating point", "count of 0 or more")),
        ({"tp": "0", "fn": "0", "tn": "1", "fp": "1"}, ("operating point", "counts of one case")),
        ({"comparator": "concurrent"}, ("comparator was concurrent", "another way", "single")),
        ({"strategy": "single"}, ("comparator was single", "none")),
        ({"name": "x" * 200}, ("name was", "120 at most")),
        ({"start_age": "75", "screen_stop_age": "60"}, ("do not go together", "screen\\_stop\\_age")),
    ],
    ids=lambda value: urlencode(value)[:40] if isinstance(value, dict) else None,
)
def test_what_cannot_be_used_gives_a_notice_and_the_default(query, words):
    scenario, notices = link.read(query)
    assert len(notices) == 1
    assert [word for word in words if word not in notices[0]] == []
    [wrong, *_] = query
    if wrong not in ("comparator", "strategy"):
        assert scenario == link.DEFAULT
    assert loaders.fault(scenario) is None


def test_a_value_beside_counts_gives_way_to_the_counts():
    scenario, notices = link.read({"tp": "9", "fn": "1", "tn": "8", "fp": "2", "ai_sensitivity": "0.5"})
    assert scenario.operating_point == OperatingPoint(9, 1, 8, 2) and scenario.overrides == ()
    assert "a value or counts" in notices[0]


def test_a_link_from_a_model_run_brings_its_counts_and_where_they_are_from():
    query = {"run": "demo", "threshold": "0.42", "tp": "296", "fn": "38", "tn": "784", "fp": "71"}
    scenario, notices = link.read(query)
    assert notices == []
    assert scenario.operating_point == OperatingPoint(296, 38, 784, 71)
    assert scenario.operating_point_note == "run demo, threshold 0.42"


def test_keys_of_a_page_are_no_part_of_the_scenario():
    assert link.read({"tab": "2", "whose": "payer", "x_anything": "1"}) == (link.DEFAULT, [])


def test_a_notice_can_hold_nothing_that_markdown_would_act_on():
    _, notices = link.read({"strategy": "[a](http://b) **c** <b>", "<b>[x](y)": "1"})
    assert all("](" not in notice and "<b" not in notice.replace("\\<b", "") for notice in notices)


def numbers(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def plain(table) -> list[dict]:
    from market.report import plain

    return plain(table.to_dict("records"))


@pytest.mark.parametrize("strategy", ["triage", "concurrent"])
def test_link_file_command_line_and_page_give_the_same_numbers_to_the_last_digit(strategy, tmp_path, capsys):
    sent = replace(SENT, strategy=strategy, pricing="per_scan" if strategy == "concurrent" else "one_time")
    arrived, notices = link.read(over_the_wire(sent))
    assert notices == []
    path = tmp_path / "sent.yaml"
    write_scenario(arrived, path)
    assert parse_scenario(loaders.yaml(arrived)) == parse_scenario(scenario_text(sent)) == sent

    page = loaders.base_case(arrived)
    run = numbers(capsys, "run", "--scenario", str(path))
    assert plain(page.table) == run["strategies"]
    assert (
        page.table["cost"].tolist() == analysis.base_case(analysis.scenario_parameters(sent)).table["cost"].tolist()
    )

    shown = loaders.with_intervals(arrived, 20)
    budget = numbers(capsys, "budget", "--scenario", str(path), "--draws", "20")
    assert plain(shown.outcomes) == budget["outcomes"]
    for whose in ("hospital", "payer", "total"):
        assert plain(shown.items[whose]) == budget[f"costs_{whose}"]
        assert plain(shown.years[whose]) == budget[f"years_{whose}"]
    case = {row["id"]: row for row in budget["business_case"]}
    assert {row["id"]: row for row in plain(shown.measures)}.items() <= case.items()

    first = loaders.tables(arrived)  # without intervals, and with the lifetime from the cache
    assert first.outcomes["change"].tolist() == shown.outcomes["change"].tolist()
    assert first.measures["value"].tolist() == pytest.approx(shown.measures["value"].tolist(), rel=0, nan_ok=True)


@pytest.fixture(scope="module")
def travelled(tmp_path_factory) -> tuple[Scenario, str]:
    """SENT as it comes out of a link, and the path of the YAML file that the page of the link exports."""
    arrived, notices = link.read(over_the_wire(SENT))
    assert notices == []
    path = tmp_path_factory.mktemp("sent") / "sent.yaml"
    path.write_bytes(versus.as_yaml(arrived))
    assert versus.from_yaml(path.read_bytes(), path.name) == SENT
    return arrived, str(path)


def test_cost_effectiveness_by_link_is_that_of_the_exported_file_on_the_command_line(
    travelled, capsys, monkeypatch, tmp_path
):
    arrived, path = travelled
    monkeypatch.setattr(decision, "CACHE", tmp_path)
    job = decision.draws_job(arrived, 200)
    deadline = time.monotonic() + 120
    while job.going:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    wtp = loaders.parameters(arrived).value("wtp")
    page = decision.answer(job.result, wtp, arrived.strategy, arrived.comparator)
    said = numbers(capsys, "psa", "--draws", "200", "--scenario", path)
    row = next(row for row in said["strategies"] if row["strategy"] == arrived.strategy)
    for ours, theirs in ((page.cost, "inc_cost"), (page.qalys, "inc_qalys")):
        assert (ours.mean, ours.low, ours.high) == (row[theirs], row[f"{theirs}_low"], row[f"{theirs}_high"])
    assert plain(page.table)[0]["cost"] == said["strategies"][0]["cost"]
    assert page.p_best == max(row["p_best"] for row in said["strategies"] if row["strategy"] == page.best)
    assert decision.curves(job.result, wtp)["evpi"].iloc[0] == said["curves"][0]["evpi"]


def test_sensitivity_by_link_is_that_of_the_exported_file_on_the_command_line(travelled, capsys):
    arrived, path = travelled
    table = decision.tornado(arrived, arrived.strategy, arrived.comparator)
    rows = range_cards.outcomes(table, "nmb", loaders.parameters(arrived).value("wtp"))
    said = numbers(capsys, "dsa", "--scenario", path)["tornado"]
    theirs = {row["parameter"]: row for row in said if row["outcome"] == "nmb"}
    ours = {row["parameter"]: row for row in plain(rows)}
    assert ours.keys() == theirs.keys()
    ends = ("low_value", "high_value", "at_low", "at_base", "at_high")
    assert all(ours[key][end] == theirs[key][end] for key in ours for end in ends)


def test_adoption_and_market_by_link_are_those_of_the_exported_file_on_the_command_line(travelled, capsys):
    arrived, path = travelled
    found = outlook.outlook(arrived).curves
    said = numbers(capsys, "adoption", "--scenario", path, "--draws", str(outlook.DRAWS))
    years = {(row["scenario"], row["year"]): row for row in said["by_year"]}
    for row in plain(found):
        name = "base" if row["curve"] == "yours" else row["curve"]
        assert {kind: row[kind] for kind in outlook.KINDS} == {
            kind: years[name, row["year"]][kind] for kind in outlook.KINDS
        }
    fan = outlook.fan(arrived, "revenue")
    assert plain(fan[["low", "median", "high"]]) == [
        {"low": row["q2.5"], "median": row["q50"], "high": row["q97.5"]} for row in said["fan"]
    ]
    levels = numbers(capsys, "size", "--scenario", path, "--draws", str(outlook.DRAWS))["levels"]
    assert outlook.size(arrived).levels == {
        row["level"]: (row["size"], row["size_low"], row["size_high"]) for row in levels
    }


def test_compare_by_link_has_the_numbers_of_the_exported_file_on_the_command_line(travelled, capsys):
    arrived, path = travelled
    found = versus.outputs(arrived)
    run = {row["strategy"]: row for row in numbers(capsys, "run", "--scenario", path)["strategies"]}
    for name, kind in (("inc_cost", "cost"), ("inc_qalys", "qalys"), ("reader_hours", "reader_hours")):
        assert found.base[name] == run[arrived.strategy][kind] - run[arrived.comparator][kind]
    psa = numbers(capsys, "psa", "--draws", str(versus.DRAWS), "--scenario", path)["strategies"]
    row = next(row for row in psa if row["strategy"] == arrived.strategy)
    assert versus.spread(found.drawn["inc_cost"]) == (row["inc_cost_low"], row["inc_cost_high"])
