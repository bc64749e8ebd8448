"""`python -m market`: every command in every form, wrong usage in one plain line."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from market import analysis
from market.__main__ import main
from market.errors import InputError
from market.lung import LEFT_OUT
from market.scenarios import Scenario, read_scenario

ROOT = Path(__file__).resolve().parent.parent
FEW = ("--draws", "20")
COMMANDS = (
    ("run",),
    ("psa", *FEW, "--evppi", "c_ai_scan"),
    ("dsa", "--strategy", "triage"),
    ("dsa", "--two-way", "c_ai_scan", "start_age"),
    ("budget", "--years", "2", *FEW),
    ("adoption", "--years", "3", *FEW),
    ("size", *FEW),
    ("sources",),
    ("calibrate",),
)


def market(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(list(arguments))
    except SystemExit as left:  # argparse leaves by itself
        status = left.code
    out = capsys.readouterr()
    return status, out.out, out.err


def as_json(capsys, *arguments: str) -> dict:
    status, out, err = market(capsys, *arguments, "--json")
    assert (status, err) == (0, "")

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(out, parse_constant=refuse)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_answers_in_text_csv_and_json_with_the_same_numbers(capsys, command):
    content = as_json(capsys, *command)
    status, out, err = market(capsys, *command, "--csv")
    assert (status, err) == (0, "")
    table = next(value for value in content.values() if isinstance(value, list) and isinstance(value[0], dict))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == len(table)
    for row, expected in zip(rows, table, strict=True):
        for name, value in expected.items():
            if isinstance(value, float):
                assert float(row[name]) == value
            elif value is None:
                assert row[name] == ""
    status, out, err = market(capsys, *command)
    assert (status, err) == (0, "")
    assert "Results of a model, not measurements" in out
    assert "nan" not in out.lower().split()


def test_the_base_case_says_what_dominates_what_and_what_it_costs(capsys):
    content = as_json(capsys, "run", "--setting", "uk")
    found = analysis.base_case(analysis.scenario_parameters(Scenario("uk", "uk")))
    assert [row["cost"] for row in content["icers"]] == found.icers["cost"].tolist()
    assert content["currency"] == "GBP"
    text = " ".join(content["sentences"])
    dominated = [row for row in content["icers"] if row["status"] != "ND"]
    assert text.count("is dominated by") == len(dominated) > 0
    assert "At 30,000 GBP per QALY" in text


def test_verdicts_name_who_dominates_and_the_mix_that_does(capsys):
    from market.cea import icer_table

    table = icer_table(["none", "single", "double", "triage"], [0, 1000, 1500, 1600], [0, 1, 2, 1.5])
    sentences = analysis.verdicts(table, 1000.0, "USD")
    assert "LDCT, one reader is dominated by a mix of No screening and LDCT, two readers" in sentences[2]
    assert "LDCT, AI rules out is dominated by LDCT, two readers: it costs 100.00 more" in sentences[3]
    assert sentences[-1].endswith("LDCT, two readers.")


def test_changed_numbers_change_results_and_stand_in_them(capsys):
    base, free = as_json(capsys, "run"), as_json(capsys, "run", "--set", "c_ai_scan=0", "--set", "start_age=55")
    assert free["overrides"] == {"c_ai_scan": 0.0, "start_age": 55.0}
    assert {row["strategy"]: row["cost"] for row in base["icers"]}["concurrent"] != next(
        row["cost"] for row in free["icers"] if row["strategy"] == "concurrent"
    )


def test_counts_of_an_ai_are_its_operating_point_and_vary_in_the_draws():
    point = analysis.OperatingPoint(90, 10, 60, 40)
    parameters = analysis.scenario_parameters(Scenario("counts", "us"), point)
    assert parameters.value("ai_sensitivity") == 0.9
    assert parameters.value("ai_specificity") == 0.6
    drawn = parameters.draw(4000, 0)["ai_sensitivity"]
    assert abs(drawn.mean() - 0.9) < 0.003
    assert abs(drawn.std() - np.sqrt(0.9 * 0.1 / 101)) < 0.002  # beta(90, 10)
    never = analysis.scenario_parameters(Scenario("counts", "us"), analysis.OperatingPoint(50, 0, 60, 40))
    assert never.value("ai_sensitivity") == 50.5 / 51


def test_an_ai_with_worse_counts_comes_out_worse_where_it_is_used():
    def outcome(*counts: float) -> dict[str, float]:
        found = analysis.base_case(
            analysis.scenario_parameters(Scenario("counts", "us"), analysis.OperatingPoint(*counts))
        )
        return dict(zip(found.table["strategy"], found.table["nmb"], strict=True))

    good, bad = outcome(95, 5, 90, 10), outcome(50, 50, 40, 60)
    assert bad["triage"] < good["triage"] and bad["second_reader"] < good["second_reader"]
    assert {name: bad[name] for name in ("none", "single", "double")} == {
        name: good[name] for name in ("none", "single", "double")
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--set", "c_ai_scam=5"), ("c_ai_scam", "c_ai_scan")),
        (("run", "--set", "c_ai_scan=-1"), ("c_ai_scan", "-1", "0 or more")),
        (("run", "--set", "uptake=nan"), ("uptake", "finite")),
        (("run", "--set", "c_ai_scan"), ("--set", "ID=VALUE")),
        (("run", "--set", "c_initial_ia=one"), ("--set", "ID=VALUE")),
        (("run", "--setting", "eu"), ("setting eu", "c_ldct", "us or uk")),
        (("psa", "--setting", "cn", *FEW), ("setting cn", "c_ldct")),
        (("budget", "--setting", "eu"), ("setting eu", "c_ldct")),
        (("adoption", "--setting", "cn"), ("setting cn", "c_ai_scan")),
        (("run", "--ai", "1", "-1", "5", "5"), ("false_negatives", "-1")),
        (("run", "--ai", "0", "0", "5", "5"), ("ai_sensitivity", "no cases")),
        (("run", "--ai", "9", "1", "5", "5", "--set", "ai_sensitivity=1"), ("ai_sensitivity", "counts")),
        (("run", "--scenario", "absent.yaml"), ("absent.yaml",)),
        (("psa", *FEW, "--evppi", "no_such_id"), ("no_such_id",)),
        (("psa", *FEW, "--comparator", "nobody"), ("comparator", "nobody")),
        (("dsa", "--strategy", "nobody"), ("strategy", "nobody")),
        (("dsa", "--two-way", "c_ai_scan", "c_ai_scan"), ("two",)),
        (("budget", "--strategy", "nobody"), ("strategy", "nobody")),
        (("budget", "--entrants", "-5"), ("entrants",)),
        (("sources", "zebra"), ("zebra",)),
        (("calibrate", "--setting", "uk"), ("--setting", "us")),
        (("validate", "--set", "uptake=0.2"), ("validate",)),
        (("psa", "--draws", "0"), ("--draws", "1 or more")),
        (("psa", "--draws", "many"), ("--draws", "many")),
        (("run", "--json", "--csv"), ("--csv", "--json")),
        (("fly",), ("fly",)),
        ((), ("required",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_wrong_is_said_in_one_plain_line(capsys, arguments, words):
    status, out, err = market(capsys, *arguments)
    assert (status, out) == (2, "")
    line = err.strip().splitlines()[-1]
    assert "error:" in line and "Traceback" not in err
    assert [word for word in words if word not in line] == []


def test_incomplete_settings_show_how_far_they_go(capsys):
    for setting in ("eu", "cn"):
        assert "is left out: no source" in " ".join(
            as_json(capsys, "size", "--setting", setting, *FEW)["sentences"]
        )
        assert len(as_json(capsys, "sources", "--setting", setting)["numbers"]) > 20


def test_sources_show_trust_and_where_a_number_stands(capsys):
    rows = as_json(capsys, "sources", "--setting", "uk")["numbers"]
    assert {row["trust"] for row in rows} == {"read", "secondary", "memory"}
    assert all(row["sources"] or row["formula"] or row["reason"] for row in rows if row["status"] != "calibrated")
    (row,) = as_json(capsys, "sources", "adherence", "--set", "adherence=0.7")["numbers"]
    assert (row["value"], row["status"]) == (0.7, "override")


# Draws


def test_chunks_and_parquet_hold_the_same_draws_and_duckdb_reads_them(tmp_path, monkeypatch):
    parameters = analysis.scenario_parameters(Scenario("draws", "us"))
    whole = analysis.run_psa(parameters, 50, seed=3, keep=("c_ai_scan",))
    monkeypatch.setattr(analysis, "CHUNK_DRAWS", 7)
    told: list[int] = []
    parts = analysis.run_psa(parameters, 50, seed=3, keep=("c_ai_scan",), folder=tmp_path, progress=told.append)
    assert sum(told) == 50 and max(told) == 7
    np.testing.assert_allclose(parts.cost, whole.cost, rtol=1e-12)
    np.testing.assert_allclose(parts.qalys, whole.qalys, rtol=1e-12)
    np.testing.assert_array_equal(parts.kept["c_ai_scan"], whole.kept["c_ai_scan"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draws.parquet", "results.parquet"]
    found = duckdb.sql(f"SELECT draw, c_ai_scan FROM '{tmp_path}/draws.parquet' ORDER BY draw").fetchnumpy()
    np.testing.assert_array_equal(found["c_ai_scan"], whole.kept["c_ai_scan"])
    mean = duckdb.sql(
        f"SELECT avg(cost), count(*) FROM '{tmp_path}/results.parquet' WHERE strategy = 'triage'"
    ).fetchall()[0]
    assert mean == (pytest.approx(whole.cost[:, whole.strategies.index("triage")].mean()), 50)


def test_a_cancelled_analysis_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "CHUNK_DRAWS", 5)
    stop = threading.Event()
    with pytest.raises(analysis.Cancelled, match="after 5 of 200"):
        analysis.run_psa(
            analysis.scenario_parameters(Scenario("draws", "us")),
            200,
            folder=tmp_path,
            progress=lambda done: stop.set(),
            cancel=stop,
        )
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_gives_the_same_result_and_another_seed_another(capsys):
    first, again, other = (as_json(capsys, "psa", *FEW, "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again
    assert first["strategies"] != other["strategies"]


def test_an_overridden_number_is_neither_drawn_nor_varied():
    parameters = analysis.scenario_parameters(Scenario("set", "us", overrides={"c_ai_scan": 20.0}))
    found = analysis.run_psa(parameters, 10, keep=("c_ai_scan",))
    assert set(found.kept["c_ai_scan"]) == {20.0}
    assert "c_ai_scan" not in set(analysis.tornado(parameters, "triage", "single")["parameter"])
    with pytest.raises(InputError, match="c_ai_scan"):
        analysis.two_way(parameters, ("c_ai_scan", "start_age"))


def test_the_tornado_gives_what_the_model_gives_with_that_one_number_changed():
    parameters = analysis.scenario_parameters(Scenario("base", "us"))
    table = analysis.tornado(parameters, "concurrent", "single")
    nmb = table[table["outcome"] == "nmb"].set_index("parameter")
    for key in ("c_ai_scan", "start_age", "ai_specificity"):
        if key not in nmb.index:
            assert key == "ai_specificity"  # a concurrent reader does not use it
            continue
        changed = parameters.with_overrides({key: nmb.low_value[key]})
        values = analysis.base_case(changed, ("single", "concurrent")).table["nmb"]
        assert nmb.at_low[key] == pytest.approx(values[1] - values[0], rel=1e-6)


# Scenarios


def test_a_scenario_is_saved_shown_exported_imported_deleted_and_brought_back(capsys, tmp_path):
    store, file = ("--store", str(tmp_path / "s.duckdb")), tmp_path / "cheap.yaml"
    saving = ("Cheap AI", "--setting", "uk", "--set", "c_ai_scan=0.1", "--note", "Asked in May.", "--seed", "4")
    status, out, err = market(capsys, "scenarios", "save", *saving, *store)
    assert (status, err) == (0, "")
    key = out.split()[0]
    shown = json.loads(market(capsys, "scenarios", "show", key[:8], "--json", *store)[1])
    assert shown["scenario"]["overrides"] == {"c_ai_scan": 0.1}
    assert shown["results"][0]["strategy"] == "none"
    assert market(capsys, "scenarios", "export", key, str(file), *store)[0] == 0
    assert read_scenario(file) == Scenario("Cheap AI", "uk", 4, {"c_ai_scan": 0.1}, "Asked in May.")
    direct = as_json(capsys, "run", "--setting", "uk", "--set", "c_ai_scan=0.1")["icers"]
    assert as_json(capsys, "run", "--scenario", str(file))["icers"] == direct
    assert market(capsys, "scenarios", "import", str(file), "--id", key, *store)[1].startswith(f"{key} version 2")
    assert market(capsys, "scenarios", "delete", key, *store)[0] == 0
    assert json.loads(market(capsys, "scenarios", "list", "--json", *store)[1])["scenarios"] == []
    assert market(capsys, "scenarios", "undelete", key, *store)[0] == 0
    (row,) = json.loads(market(capsys, "scenarios", "list", "--json", *store)[1])["scenarios"]
    assert (row["id"], row["version"], row["name"]) == (key, 2, "Cheap AI")
    status, _, err = market(capsys, "scenarios", "show", "zzz", *store)
    assert status == 2 and "zzz" in err


CHOSEN = """\
name: Chosen
setting: uk
strategy: triage
comparator: double
years: 3
entrants: 400
pricing: per_year
operating_point: {true_positives: 90, false_negatives: 10, true_negatives: 60, false_positives: 40}
operating_point_note: a trial
overrides: {adherence: 0.7}
"""


def test_every_command_takes_its_choices_from_the_scenario_and_options_go_on_top(capsys, tmp_path):
    file = tmp_path / "chosen.yaml"
    file.write_text(CHOSEN)
    given = ("--scenario", str(file))
    budget = as_json(capsys, "budget", *given)
    assert (budget["strategy"], budget["comparator"], budget["pricing"]) == ("triage", "double", "per_year")
    assert max(row["year"] for row in budget["by_payer"]) == 3
    assert budget["AI counts"]["true_positives"] == 90
    long = ("--strategy", "triage", "--comparator", "double", "--years", "3", "--entrants", "400")
    options = ("--setting", "uk", *long, "--pricing", "per_year", "--ai", "90", "10", "60", "40")
    typed = as_json(capsys, "budget", *options, "--set", "adherence=0.7")
    assert typed["business_case"] == budget["business_case"] and typed["outcomes"] == budget["outcomes"]
    shorter = as_json(capsys, "budget", *given, "--years", "2", "--strategy", "second_reader")
    assert max(row["year"] for row in shorter["by_payer"]) == 2
    assert (shorter["strategy"], shorter["pricing"]) == ("second_reader", "per_year")
    tornado = as_json(capsys, "dsa", *given)
    assert (tornado["strategy"], tornado["comparator"]) == ("triage", "double")
    psa = {row["strategy"]: row for row in as_json(capsys, "psa", *given, *FEW)["strategies"]}
    assert psa["double"]["inc_cost"] == 0 != psa["single"]["inc_cost"]
    assert {row["year"] for row in as_json(capsys, "size", *given, *FEW)["screens"]} == {1, 2, 3}


def test_a_saved_scenario_keeps_its_choices_and_counts(capsys, tmp_path):
    store, file = ("--store", str(tmp_path / "s.duckdb")), tmp_path / "out.yaml"
    chosen = ("--strategy", "second_reader", "--years", "8", "--ai", "9", "1", "8", "2")
    key = market(capsys, "scenarios", "save", "Kept", *chosen, *store)[1].split()[0]
    assert market(capsys, "scenarios", "export", key, str(file), *store)[0] == 0
    found = read_scenario(file)
    assert (found.strategy, found.years, found.comparator) == ("second_reader", 8, "single")
    assert found.operating_point == analysis.OperatingPoint(9, 1, 8, 2)
    shown = json.loads(market(capsys, "scenarios", "show", key, "--json", *store)[1])["scenario"]
    assert shown["operating_point"]["true_positives"] == 9


def test_items_of_both_books_add_up_to_the_budget(capsys):
    found = as_json(capsys, "budget", "--strategy", "triage", "--years", "3")
    cash = {(row["payer"], row["year"]): row["cash"] for row in found["by_payer"]}
    assert len(cash) == 9
    for payer in ("hospital", "payer", "total"):
        nets = [row for row in found[f"years_{payer}"] if row["group"] == "net"]
        assert [row["change"] for row in nets] == pytest.approx([cash[payer, year] for year in (1, 2, 3)])
        rows = found[f"costs_{payer}"]
        net = next(row for row in rows if (row["group"], row["kind"]) == ("net", "cash"))
        parts = [row["change"] for row in rows if row["kind"] == "cash" and row["group"] != "net"]
        assert sum(parts) == pytest.approx(net["change"])
        assert net["change_per_year"] * 3 == pytest.approx(sum(cash[payer, year] for year in (1, 2, 3)))


def test_a_scenario_that_breaks_a_rule_is_not_saved(capsys, tmp_path):
    store = ("--store", str(tmp_path / "s.duckdb"))
    status, _, err = market(capsys, "scenarios", "save", "Wrong", "--set", "uptake=7", *store)
    assert status == 2 and "uptake" in err
    assert not (tmp_path / "s.duckdb").exists()
    file = tmp_path / "bad.yaml"
    file.write_text("name: x\nsetting: us\noverrides: {uptake: 0.2, uptake: 0.3}\n")
    status, _, err = market(capsys, "run", "--scenario", str(file))
    assert status == 2 and "line 3" in err and len(err.splitlines()) == 1


# The process


def start(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "market", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **options)


def test_a_reader_that_goes_away_ends_the_command_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)
    process = start("sources", "--csv", stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=120)[1] == b""
    assert process.returncode == 141


def test_an_interrupt_ends_a_long_analysis_with_one_word(tmp_path):
    # Where the tests run in the background of a shell, interrupts are ignored, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start("psa", "--draws", "500000", "--out", str(tmp_path / "out"), stdout=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("out/.*.part")):  # the first chunk is written
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.decode().strip()) == (130, b"", "stopped")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("command", [("run",), ("psa", *FEW)])
def test_results_say_what_the_model_leaves_out(capsys, command):
    status, out, _ = market(capsys, *command)
    assert status == 0
    assert LEFT_OUT in " ".join(out.split())
