"""Scenario files: what a person writes is understood, what is written is read back to the last digit."""

import re

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from market.database import ScenarioStore, sql
from market.errors import ParameterError
from market.scenarios import (
    OperatingPoint,
    Scenario,
    parse_scenario,
    read_scenario,
    scenario_text,
    write_scenario,
)

BY_HAND = """\
name: Cheaper AI, higher uptake
note: Asked by the board in May.
setting: us
seed: 7
overrides:
  c_ai_scan: 6.5
  uptake: 25e-2
  n_readers: 2
"""

printable = st.text(max_size=30).filter(str.isprintable)
floats = st.floats(allow_nan=False, allow_infinity=False)
ids = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True) | st.sampled_from(["on", "no", "null", "true", "e1"])


def test_a_file_written_by_hand_is_understood():
    found = parse_scenario(BY_HAND)
    assert (found.name, found.setting, found.seed) == ("Cheaper AI, higher uptake", "us", 7)
    assert dict(found.overrides) == {"c_ai_scan": 6.5, "uptake": 0.25, "n_readers": 2.0}


def test_note_seed_and_overrides_may_be_left_out_or_empty():
    assert parse_scenario("name: x\nsetting: uk\n") == Scenario("x", "uk", seed=0)
    assert parse_scenario("name: x\nsetting: uk\noverrides:\nnote:\n") == Scenario("x", "uk")


@given(
    name=printable.filter(str.strip),
    note=st.text(st.characters(exclude_categories=["C"]) | st.just("\n"), max_size=60),
    setting=st.sampled_from(["us", "uk", "eu", "cn"]),
    seed=st.integers(0, 2**63 - 1),
    overrides=st.dictionaries(ids, floats, max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_every_scenario_survives_being_written_and_read(name, note, setting, seed, overrides):
    note = "".join(character for character in note if character == "\n" or character.isprintable())
    scenario = Scenario(name, setting, seed, overrides, note)
    found = parse_scenario(scenario_text(scenario))
    assert found == scenario
    assert [value.hex() for _, value in found.overrides] == [value.hex() for _, value in scenario.overrides]


@pytest.mark.parametrize("value", [1e-5, 0.1 + 0.2, 1e22, 5e-324, -0.0, 1.7976931348623157e308, 3.0])
def test_floats_that_yaml_writes_oddly_come_back_exactly(value):
    ((_, found),) = parse_scenario(scenario_text(Scenario("x", "us", overrides={"a": value}))).overrides
    assert found.hex() == value.hex()


@pytest.mark.parametrize("text", ["1e-5", "no", "12:30", "null", "2024-01-01", "~", " lead", "a: b # c", "'\"\\"])
def test_names_that_look_like_something_else_stay_text(text):
    assert parse_scenario(scenario_text(Scenario(text, "us", note=text))).name == text


def test_equal_scenarios_are_equal_keys_whatever_the_order_of_their_overrides():
    one = Scenario("x", "us", 1, {"b": 2, "a": 1})
    other = Scenario("x", "us", 1, {"a": 1.0, "b": 2.0})
    assert one == other and hash(one) == hash(other)
    assert one != Scenario("x", "us", 1, {"a": 1.0, "b": 2.5})


def test_a_file_is_written_whole_and_leaves_nothing_else_behind(tmp_path):
    path = tmp_path / "board.yaml"
    write_scenario(parse_scenario(BY_HAND), path)
    write_scenario(Scenario("second", "uk"), path)
    assert read_scenario(path) == Scenario("second", "uk")
    assert [file.name for file in tmp_path.iterdir()] == ["board.yaml"]
    with pytest.raises(ParameterError, match=r"board.yaml: found a file that cannot be written"):
        write_scenario(Scenario("x", "us"), tmp_path / "nowhere" / "board.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found nothing; expected the fields name"),
        ("- a\n- b\n", "found list"),
        ("name: x\n", "f.yaml: setting: found nothing"),
        ("setting: us\n", "f.yaml: name: found nothing"),
        ("name: x\nsetting: us\nname: y\n", r"f.yaml \(line 3\): found the key name a second time"),
        ("name: x\nsetting: us\noverrides:\n  a: 1\n  a: 2\n", r"\(line 5\): found the key a a second time"),
        ("name: x\nsetting: us\ncolour: red\n", "f.yaml: colour: found an unknown field"),
        ("name: x\nsetting: France\n", "f.yaml: setting: found 'France'; expected one of us, uk, eu, cn"),
        ("name: 7\nsetting: us\n", "f.yaml: name: found 7; expected text"),
        ("name: ' '\nsetting: us\n", "f.yaml: name"),
        (f"name: {'x' * 121}\nsetting: us\n", "121 characters; expected 120 at most"),
        ('name: "a\\nb"\nsetting: us\n', r"the character '\\n'"),
        ("name: x\nsetting: us\nseed: 1.5\n", "f.yaml: seed: found 1.5"),
        ("name: x\nsetting: us\nseed: -1\n", "f.yaml: seed: found -1"),
        ("name: x\nsetting: us\nseed: true\n", "f.yaml: seed: found True"),
        ("name: x\nsetting: us\noverrides: [1]\n", "f.yaml: overrides: found"),
        (
            "name: x\nsetting: us\noverrides:\n  a: high\n",
            "f.yaml: overrides.a: found 'high'; expected a finite number",
        ),
        ("name: x\nsetting: us\noverrides:\n  a: .nan\n", "f.yaml: overrides.a: found nan"),
        (f"name: x\nsetting: us\noverrides:\n  a: 1{'0' * 400}\n", "f.yaml: overrides.a"),
        ("name: x\nsetting: us\noverrides:\n  no: 1\n", "found False; expected the id of a parameter"),
        ("name: x\nsetting: us\noverrides: {a: {b: 1}}\n", "f.yaml: overrides.a"),
        ("name: [\n", "f.yaml"),
    ],
)
def test_a_scenario_that_breaks_a_rule_is_refused_by_file_and_field(tmp_path, text, words):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError, match=words):
        read_scenario(path)


def test_a_file_that_is_missing_huge_or_no_text_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"f.yaml: found no readable file"):
        read_scenario(tmp_path / "f.yaml")
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ParameterError, match="not UTF-8"):
        read_scenario(tmp_path / "f.yaml")
    (tmp_path / "f.yaml").write_text("# " + "x" * 200_000)
    with pytest.raises(ParameterError, match="200,002 bytes; expected 200,000 at most"):
        read_scenario(tmp_path / "f.yaml")


@pytest.mark.parametrize("number", ["012", "1:30", "1_5", "0x10", "0b11"])
def test_numbers_that_are_not_decimal_are_refused_and_not_converted(number):
    with pytest.raises(ParameterError, match=f"overrides.a: found '{number}'; expected a finite number"):
        parse_scenario(f"name: x\nsetting: us\noverrides:\n  a: {number}\n")
    with pytest.raises(ParameterError, match=f"seed: found '{number}'"):
        parse_scenario(f"name: x\nsetting: us\nseed: {number}\n")


@pytest.mark.parametrize("setting", ["[us]", "{a: 1}"])
def test_a_setting_that_is_no_text_is_refused_by_name(setting):
    with pytest.raises(ParameterError, match="setting: found"):
        parse_scenario(f"name: x\nsetting: {setting}\n")


@pytest.mark.parametrize("overrides", [(1, 2), (("c_ai_scan", 1, 2),)])
def test_overrides_that_are_no_pairs_are_refused_by_name(overrides):
    with pytest.raises(ParameterError, match=r"overrides: found .* pairs of an id and a value"):
        Scenario("a", "us", 0, overrides)


POINT = OperatingPoint(296, 38, 784, 71)
WHOLE = Scenario(
    "Whole",
    "uk",
    3,
    {"c_ai_scan": 0.1 + 0.2},
    "why",
    strategy="triage",
    comparator="double",
    years=7,
    entrants=0.1 * 3,
    pricing="per_year",
    operating_point=POINT,
    operating_point_note="run demo, threshold 0.42",
)


def test_what_is_compared_for_whom_and_how_long_survives_being_written_and_read():
    assert parse_scenario(scenario_text(WHOLE)) == WHOLE
    assert "entrants: 0.30000000000000004" in scenario_text(WHOLE)
    assert hash(parse_scenario(scenario_text(WHOLE))) == hash(WHOLE)


def test_a_file_from_before_there_were_choices_has_the_defaults():
    found = parse_scenario(BY_HAND)
    assert (found.strategy, found.comparator, found.years) == ("concurrent", "single", 5)
    assert (found.entrants, found.pricing, found.operating_point) == (None, "per_scan", None)


@given(
    pair=st.sampled_from(
        [("concurrent", "none"), ("triage", "single"), ("double", "single"), ("single", "triage")]
    ),
    years=st.integers(1, 10),
    entrants=st.none() | st.floats(1e-6, 1e9),
    pricing=st.sampled_from(["per_scan", "per_year", "one_time"]),
    counts=st.none() | st.tuples(*[st.floats(0, 1e9)] * 4),
)
@settings(max_examples=100, deadline=None)
def test_every_choice_survives_being_written_and_read(pair, years, entrants, pricing, counts):
    assume(counts is None or (counts[0] + counts[1] >= 1 and counts[2] + counts[3] >= 1))
    point = None if counts is None else OperatingPoint(*counts)
    chosen = {"years": years, "entrants": entrants, "pricing": pricing, "operating_point": point}
    scenario = Scenario("x", "us", strategy=pair[0], comparator=pair[1], **chosen)
    assert parse_scenario(scenario_text(scenario)) == scenario


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("strategy: none", "strategy: found 'none'; expected one of single, double, concurrent"),
        ("strategy: [a]", "strategy: found"),
        ("comparator: nobody", "comparator: found 'nobody'; expected one of none, single"),
        ("comparator: concurrent", "comparator: found 'concurrent'; expected another one than the strategy"),
        ("pricing: free", "pricing: found 'free'; expected one of per_scan, per_year, one_time"),
        ("years: 0", "years: found 0; expected a whole number from 1 to 10"),
        ("years: 11", "years: found 11"),
        ("years: 2.5", "years: found 2.5"),
        ("years: true", "years: found True"),
        ("entrants: 0", "entrants: found 0; expected a number above 0"),
        ("entrants: many", "entrants: found 'many'"),
        ("entrants: .inf", "entrants: found inf"),
        ("operating_point: 5", "operating_point: found 5; expected the counts true_positives"),
        ("operating_point: {true_positives: 5}", "operating_point: found true_positives; expected the counts"),
        (
            "operating_point: {true_positives: 5, false_negatives: -1, true_negatives: 1, false_positives: 1}",
            "operating_point.false_negatives: found -1; expected a count of 0 or more",
        ),
        (
            "operating_point: {true_positives: 0, false_negatives: 0, true_negatives: 1, false_positives: 1}",
            "operating_point.ai_sensitivity: found no cases",
        ),
        (
            "operating_point: {true_positives: 5, false_negatives: 1, true_negatives: 1, false_positives: 1}\n"
            "overrides: {ai_sensitivity: 0.9}",
            "ai_sensitivity: found a value and counts; expected one of them",
        ),
    ],
)
def test_a_choice_that_breaks_a_rule_is_refused_by_name(lines, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        parse_scenario(f"name: x\nsetting: us\n{lines}\n")


def test_a_store_keeps_all_choices(tmp_path):
    store = ScenarioStore(tmp_path / "s.duckdb")
    saved = store.save_scenario(WHOLE)
    assert ScenarioStore(tmp_path / "s.duckdb").load_scenario(saved.id).scenario == WHOLE


def test_a_store_from_before_there_were_choices_is_read_and_goes_on(tmp_path):
    path = tmp_path / "s.duckdb"
    text = sql("scenarios").replace("    choices VARCHAR,", "    --")
    assert text != sql("scenarios")
    with duckdb.connect(str(path)) as connection:
        connection.execute(text)
        connection.execute(
            "INSERT INTO scenario_versions VALUES ('old', 1, 'Old', '', 'uk', 4, '{\"uptake\": 0.2}', '1', "
            "TIMESTAMP '2025-01-01 00:00:00', 'null')"
        )
    old = Scenario("Old", "uk", 4, {"uptake": 0.2})
    store = ScenarioStore(path)
    assert store.load_scenario("old").scenario == old
    store.save_scenario(WHOLE, scenario_id="old")
    again = ScenarioStore(path)
    assert [found.scenario for found in again.list_versions("old")] == [old, WHOLE]
