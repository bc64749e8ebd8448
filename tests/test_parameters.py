"""Cited parameters: what is read, what is refused and how it is named, prices, formulas, draws, overrides."""

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InputError, ParameterError
from market.parameters import (
    UNITS,
    ParameterSet,
    evaluate,
    fitted,
    formula_names,
    load_entries,
    load_parameters,
    load_price_index,
    read_yaml,
    yaml_text,
)

SOURCE = {"title": "A report", "link": "https://example.org/report", "locator": "Table 2"}
ENTRY = {
    "id": "sens_ct",
    "setting": "us",
    "label": "Sensitivity of CT",
    "unit": "probability",
    "population": "adults 50 to 80",
    "status": "published",
    "trust": "read",
    "value": 0.849,
    "distribution": "beta",
    "low": 0.808,
    "high": 0.89,
    "interval": "published",
    "sources": [SOURCE],
}
MONEY = {
    "id": "c_ct",
    "unit": "currency per scan",
    "currency": "USD",
    "price_year": 2009,
    "value": 285,
    "distribution": "fixed",
    "low": 100,
    "high": 500,
}
INDEX = [
    {
        "currency": currency,
        "label": "An index",
        "years": "calendar years",
        "trust": "read",
        "sources": [SOURCE],
        **levels,
    }
    for currency, levels in (
        ("USD", {"values": {2009: 80.0, 2015: 100.0, 2024: 130.0}}),
        ("EUR", {"changes_percent": {2010: 10.0, 2011: 20.0}}),
    )
]


def entry(*without: str, **changes) -> dict:
    """ENTRY with fields changed and others left out."""
    made = {**copy.deepcopy(ENTRY), **changes}
    return {field: value for field, value in made.items() if field not in without}


def money(*without: str, **changes) -> dict:
    return entry(*without, **{**MONEY, **changes})


def derived(formula: str, inputs: list[str], **changes) -> dict:
    """A derived entry: ENTRY's description without its quantity."""
    described = {field: ENTRY[field] for field in ("setting", "label", "unit", "population")}
    return {"id": "made", **described, "status": "derived", "formula": formula, "inputs": inputs, **changes}


def written(tmp_path: Path, *entries: dict, name: str = "made.yaml") -> Path:
    """A folder with one file of these entries; the time stamp is new at every call."""
    folder = tmp_path / "parameters"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml_text(list(entries)), encoding="utf-8")
    written.count = getattr(written, "count", 0) + 1
    os.utime(folder / name, ns=(written.count, written.count))
    return folder


def loaded(tmp_path: Path, *entries: dict, setting: str = "us", price_year: int | None = None) -> ParameterSet:
    index = tmp_path / "price_index.yaml"
    index.write_text(yaml_text(INDEX))
    return load_parameters(setting, written(tmp_path, *entries), price_year, index)


def test_an_entry_is_read_with_all_that_it_says(tmp_path):
    found = loaded(tmp_path, entry(note="Checked.", used_by=["lung"])).parameters["sens_ct"]
    assert (found.value, found.low, found.high, found.interval) == (0.849, 0.808, 0.89, "published")
    assert (found.status, found.trust, found.unit_text) == ("published", "read", "probability")
    assert found.sources[0].locator == "Table 2"
    assert (found.file, found.line, found.note, found.used_by) == ("made.yaml", 1, "Checked.", ("lung",))


def test_a_setting_has_its_own_entries_and_the_global_ones_and_its_own_go_first(tmp_path):
    folder = written(
        tmp_path,
        entry(setting="global", value=0.85),
        entry(id="other", setting="global"),
        entry(id="foreign", setting="uk"),
        entry(),
    )
    assert load_parameters("us", folder).values() == {"sens_ct": 0.849, "other": 0.849}
    assert load_parameters("uk", folder).values() == {"sens_ct": 0.85, "other": 0.849, "foreign": 0.849}


def test_a_changed_file_is_read_again(tmp_path):
    assert loaded(tmp_path, entry()).value("sens_ct") == 0.849
    assert loaded(tmp_path, entry(value=0.86)).value("sens_ct") == 0.86


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    folder = written(tmp_path, entry("low", "high", "interval", distribution="fixed"))
    path = folder / "made.yaml"
    path.write_text(path.read_text().replace("0.849", "1e-5"))
    assert load_parameters("us", folder).value("sens_ct") == 1e-5


REFUSED = {
    "a missing label": (entry("label"), r"made.yaml: sens_ct.label \(line 1\): found nothing"),
    "a misspelt field": (entry(souces=[]), "sens_ct.souces.*an unknown field; expected one of sources"),
    "a unit not in the list": (entry(unit="percent"), "sens_ct.unit .*'percent'"),
    "a setting not in the list": (entry(setting="fr"), "sens_ct.setting .*'fr'.*global, us"),
    "a status not in the list": (entry(status="known"), "sens_ct.status"),
    "an id with capitals": (entry(id="SensCT"), "made.yaml: id .*'SensCT'"),
    "an id that is a function": (entry(id="exp"), "made.yaml: id .*'exp'"),
    "text for a number": (entry(value="high"), "sens_ct.value .*'high'.*a finite number"),
    "true for a number": (entry(value=True), "sens_ct.value .*True"),
    "a number too large for a float": (entry(value=10**400), "sens_ct.value"),
    "infinity": (entry(value=float("inf")), "sens_ct.value"),
    "a number for text": (entry(label=7), "sens_ct.label .*found 7; expected text"),
    "a probability above one": (entry(value=1.2), "sens_ct.value .*found 1.2; expected 0 to 1"),
    "a value outside its interval": (entry(low=0.86), "sens_ct.low .*0.86; expected 0.849 or less"),
    "an interval outside the unit": (entry(high=1.4), "sens_ct.low, high"),
    "half an interval": (entry("low"), "sens_ct.low, high .*one of them"),
    "an interval from nobody": (entry("interval"), "sens_ct.interval .*nothing"),
    "no spread for a drawn entry": (entry("low", "high", "interval"), "no spread for a beta"),
    "a distribution not in the list": (entry(distribution="weibull"), "sens_ct.distribution .*weibull"),
    "counts that contradict the value": (entry(events=10, n=20), "10 of 20 .*value 0.849"),
    "counts of a gamma": (entry(distribution="gamma", events=849, n=1000), "for a gamma"),
    "a fixed entry with a standard error": (entry(distribution="fixed", se=0.1), "sens_ct.distribution .*fixed"),
    "a published entry without a source": (entry("sources"), "sens_ct.sources .*nothing"),
    "a source without a locator": (entry(sources=[{"title": "A", "link": "https://a"}]), "sens_ct.sources"),
    "a link that is none": (entry(sources=[SOURCE | {"link": "a book"}]), "the link a book"),
    "a remembered number as published": (entry(trust="memory"), "sens_ct.trust .*status assumption"),
    "an assumption without a reason": (entry(status="assumption"), "sens_ct.reason .*nothing"),
    "a reason where nothing is assumed": (entry(reason="so"), "sens_ct.reason .*expected none"),
    "a calibrated entry without targets": (entry(status="calibrated"), "sens_ct.targets .*nothing"),
    "money without a currency": (money("currency"), "c_ct.currency .*nothing"),
    "money without a price year": (money("price_year"), "c_ct.price_year .*nothing"),
    "a currency where there is no money": (entry(currency="USD"), "sens_ct.currency .*expected none"),
    "a price year that is no year": (money(price_year="2009/10"), "c_ct.price_year .*a year"),
    "a derived entry with a value": (derived("2 * a", ["a"], value=0.2), "made.value .*it follows"),
    "a formula that is no arithmetic": (derived("__import__('os')", ["os"]), "made.formula"),
    "a formula with other inputs": (derived("a + b", ["a"]), "made.inputs .*found a; expected just the names"),
    "a narrower range that the value breaks": (entry(maximum=0.8), "sens_ct.value .*0 to 0.8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_entry_that_breaks_a_rule_is_refused_by_file_id_and_field(tmp_path, case):
    made, words = REFUSED[case]
    with pytest.raises(ParameterError, match=words):
        load_entries(written(tmp_path, made))


def test_the_line_of_the_entry_is_named(tmp_path):
    folder = written(tmp_path, entry(), entry(id="second", value=2))
    line = 1 + next(i for i, text in enumerate((folder / "made.yaml").read_text().split("\n")) if "second" in text)
    with pytest.raises(ParameterError, match=rf"second.value \(line {line}\)"):
        load_entries(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- id: a\n  id: b\n", r"made.yaml \(line 2\): found the key id a second time"),
        ("- id: [1, 2\n- b", r"made.yaml \(line"),
        ("just words", "found str; expected a list of entries"),
        ("", "found NoneType; expected a list"),
        ("- 7\n", r"made.yaml \(line 1\): found 7"),
        ("- id: 2024-13-45\n", "a value that cannot be read"),
        ("a: 1\n---\nb: 2\n", "made.yaml"),
        ("- id: !!python/object/apply:os.system [ls]\n", "found a tag"),
        ("[" * 3000, "made.yaml"),
    ],
)
def test_a_file_that_is_no_list_of_entries_is_refused(tmp_path, text, words):
    folder = written(tmp_path, entry())
    (folder / "made.yaml").write_text(text)
    with pytest.raises(ParameterError, match=words):
        load_entries(folder)


def test_bytes_that_are_no_text_and_missing_folders_are_refused(tmp_path):
    folder = written(tmp_path, entry())
    (folder / "made.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match="not UTF-8"):
        load_entries(folder)
    with pytest.raises(ParameterError, match="no readable folder"):
        load_entries(tmp_path / "nowhere")
    (folder / "made.yaml").unlink()
    with pytest.raises(ParameterError, match="no YAML file"):
        load_entries(folder)


def test_a_second_entry_of_a_setting_and_another_unit_elsewhere_are_refused(tmp_path):
    folder = written(tmp_path, entry())
    written(tmp_path, entry(), name="more.yaml")
    with pytest.raises(ParameterError, match=r"more.yaml: id .*expected only that in made.yaml \(line 1\)"):
        load_entries(folder)
    written(tmp_path, entry(setting="uk", unit="proportion"), name="more.yaml")
    with pytest.raises(ParameterError, match=r"sens_ct.unit .*probability, as in setting us"):
        load_entries(folder)


def test_an_unknown_setting_and_an_unknown_id_are_answered_with_what_there_is(tmp_path):
    found = loaded(tmp_path, entry())
    with pytest.raises(ParameterError, match="'fr'; expected one of us, uk, eu, cn"):
        load_parameters("fr", tmp_path / "parameters")
    with pytest.raises(
        ParameterError, match="sens_cd: found no such parameter in setting us; expected one of sens_ct"
    ):
        found.value("sens_cd")


# Distributions


def test_an_interval_that_the_distribution_misses_needs_a_note(tmp_path):
    odd = {"value": 0.81, "low": 0.808, "high": 0.89}
    with pytest.raises(ParameterError, match=r"sens_ct.distribution .*a beta distribution with mean 0.81 from"):
        fitted(loaded(tmp_path, entry(**odd)).parameters["sens_ct"])
    noted = loaded(tmp_path, entry(**odd, interval_note="The range is one-sided.")).parameters["sens_ct"]
    assert fitted(noted).mean == 0.81


def test_a_distribution_that_leaves_the_allowed_range_is_refused(tmp_path):
    made = money(distribution="normal", value=10, low=-3, high=23, interval_note="x")
    with pytest.raises(ParameterError, match=r"c_ct.low, high"):
        loaded(tmp_path, made)
    with pytest.raises(ParameterError, match=r"c_ct.distribution .*reaches from -.*expected 0 or more"):
        fitted(loaded(tmp_path, money(distribution="normal", value=10, low=1, high=19)).parameters["c_ct"])


def test_counts_and_standard_errors_stand_for_an_interval(tmp_path):
    bare = ("low", "high", "interval")
    found = loaded(
        tmp_path, entry(*bare, value=0.897, events=61, n=68), entry(*bare, id="by_se", value=0.5, se=0.05)
    ).parameters
    assert fitted(found["sens_ct"]).numbers == (61, 7)
    low, high = found["by_se"].range
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.01)


def test_draws_have_the_mean_and_the_interval_and_fixed_values_stay(tmp_path):
    found = loaded(tmp_path, entry(), money())
    draws = found.draw(20_000, seed=0)
    assert draws["sens_ct"].mean() == pytest.approx(0.849, abs=0.001)
    assert np.quantile(draws["sens_ct"], [0.025, 0.975]) == pytest.approx([0.808, 0.89], abs=0.004)
    assert set(draws["c_ct"]) == {285.0}


def test_a_further_parameter_leaves_the_draws_of_the_others_as_they_were(tmp_path):
    alone = loaded(tmp_path, entry()).draw(50, seed=4)["sens_ct"]
    among = loaded(tmp_path, entry(id="a"), entry(), entry(id="z")).draw(50, seed=4)
    assert np.array_equal(alone, among["sens_ct"])
    assert not np.array_equal(among["a"], among["z"])


def test_draws_do_not_depend_on_chunks(tmp_path):
    found = loaded(tmp_path, entry(), derived("sens_ct ** 2", ["sens_ct"]))
    whole = found.draw(100, seed=2)
    parts = [found.draw(37, seed=2), found.draw(63, seed=2, start=37)]
    for key in ("sens_ct", "made"):
        assert np.array_equal(whole[key], np.concatenate([part[key] for part in parts]))


# Overrides


def test_an_override_holds_everywhere_and_is_not_drawn(tmp_path):
    base = loaded(tmp_path, entry(), derived("1 - sens_ct", ["sens_ct"]))
    changed = base.with_overrides({"sens_ct": 0.7})
    assert changed.value("made") == pytest.approx(0.3)
    draws = changed.draw(5, seed=0)
    assert set(draws["sens_ct"]) == {0.7} and draws["made"] == pytest.approx([0.3] * 5)
    assert base.value("sens_ct") == 0.849
    assert changed.with_overrides({"made": 0.5}).values() == {"sens_ct": 0.7, "made": 0.5}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("sens_ct", 1.5, r"sens_ct: found 1.5; expected 0 to 1 \(probability\)"),
        ("sens_ct", float("nan"), "a finite number"),
        ("sens_ct", "0.5", "a finite number"),
        ("sens_ct", True, "a finite number"),
        ("c_ct", -1, r"c_ct: found -1; expected 0 or more \(USD per scan\)"),
        ("sens_tc", 0.5, "no such parameter in setting us; expected one of"),
    ],
)
def test_an_override_out_of_range_or_unknown_is_refused(tmp_path, key, value, words):
    with pytest.raises(ParameterError, match=words):
        loaded(tmp_path, entry(), money()).with_overrides({key: value})


def test_an_entry_may_allow_less_than_its_unit(tmp_path):
    found = loaded(tmp_path, entry(minimum=0.5, maximum=0.95))
    assert found.with_overrides({"sens_ct": 0.95}).value("sens_ct") == 0.95
    with pytest.raises(ParameterError, match=r"found 0.96; expected 0.5 to 0.95"):
        found.with_overrides({"sens_ct": 0.96})


# Formulas


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("835 * 26642 / (17444.6 + 649)", 1229.49938),  # work-up cost per positive screen, from NLST totals
        ("1 - exp(-r * 0.25)", 1 - np.exp(-0.3 * 0.25)),
        ("-r ** 2", -0.09),
        ("max(min(r, 0.1), 0.05) + sqrt(4) - log(1)", 2.1),
        ("2 ** 3 ** 2", 512),
        ("1e-5 + +r", 0.30001),
    ],
)
def test_formulas_are_plain_arithmetic(formula, expected):
    assert evaluate(formula, {"r": 0.3}) == pytest.approx(expected, rel=1e-6)


def test_a_formula_over_arrays_gives_arrays():
    found = evaluate("a / (a + b)", {"a": np.array([1.0, 3.0]), "b": np.array([1.0, 1.0])})
    assert found == pytest.approx([0.5, 0.75])
    assert formula_names("max(a, exp(b)) - 1") == {"a", "b"}


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('ls')",
        "a.b",
        "a[0]",
        "lambda: 1",
        "open(a)",
        "'text'",
        "a if a else 1",
        "exp(x=a)",
        "exp(a, a)",
        "a // 2",
        "a and 1",
        "True",
        "1j",
        "9.0 ** 9 ** 9 ** 9",
        "1 / (a - a)",
        "log(-a)",
        "unknown + 1",
        "a +",
        "",
        "(" * 300 + "a" + ")" * 300,
        "a + " * 200 + "a",
    ],
)
def test_a_formula_that_is_more_than_arithmetic_or_not_finite_is_refused(formula):
    with pytest.raises(InputError, match="formula"):
        evaluate(formula, {"a": 1.0})


def test_derived_entries_follow_from_others_and_take_the_weakest_trust(tmp_path):
    found = loaded(
        tmp_path,
        derived("first + 0.1", ["first"], id="second"),
        derived("sens_ct * weak", ["sens_ct", "weak"], id="first"),
        entry(),
        entry(id="weak", value=0.85, trust="secondary"),
    )
    assert found.value("second") == pytest.approx(0.849 * 0.85 + 0.1)
    assert [found.trust(key) for key in ("sens_ct", "weak", "second")] == ["read", "secondary", "secondary"]
    draws = found.draw(10, seed=1)
    assert draws["second"] == pytest.approx(draws["sens_ct"] * draws["weak"] + 0.1)


def test_a_circle_of_formulas_and_a_missing_input_are_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"inputs .*a -> b -> a; expected no circle"):
        loaded(tmp_path, derived("b", ["b"], id="a"), derived("a", ["a"], id="b"))
    with pytest.raises(ParameterError, match=r"made.inputs .*found nothing_there"):
        loaded(tmp_path, entry(), derived("nothing_there", ["nothing_there"]))


def test_a_formula_that_leaves_the_range_of_its_unit_is_refused_with_its_value(tmp_path):
    found = loaded(tmp_path, entry(), derived("2 * sens_ct", ["sens_ct"]))
    with pytest.raises(ParameterError, match=r"made.formula .*found 1.698; expected 0 to 1 \(probability\)"):
        found.values()


# Prices


def test_prices_are_brought_to_one_year_and_nothing_else_is(tmp_path):
    found = loaded(
        tmp_path,
        entry(),
        money(),
        money("low", "high", "interval", "price_year", id="wtp", unit="currency per QALY", value=100_000),
        price_year=2024,
    )
    assert found.value("c_ct") == pytest.approx(285 * 130 / 80)
    assert found.parameters["c_ct"].range == pytest.approx((100 * 130 / 80, 500 * 130 / 80))
    assert found.parameters["c_ct"].price_year == 2024
    assert (found.value("wtp"), found.value("sens_ct")) == (100_000, 0.849)


def test_an_interval_survives_the_change_of_year(tmp_path):
    made = money(distribution="gamma", low=150, high=430)
    then, now = (fitted(loaded(tmp_path, made, price_year=year).parameters["c_ct"]) for year in (2009, 2024))
    assert now.numbers == pytest.approx((then.numbers[0], then.numbers[1] * 130 / 80))


def test_a_year_or_currency_without_an_index_is_refused_by_the_entry(tmp_path):
    with pytest.raises(ParameterError, match=r"c_ct.price_year .*no index for 2023 in price_index.yaml"):
        loaded(tmp_path, money(), price_year=2023)
    with pytest.raises(ParameterError, match=r"c_ct.currency .*GBP, for which price_index.yaml has no index"):
        loaded(tmp_path, money(setting="uk", currency="GBP"), setting="uk", price_year=2024)


def test_changes_in_percent_are_chained(tmp_path):
    path = tmp_path / "price_index.yaml"
    path.write_text(yaml_text(INDEX))
    found = load_price_index(path)["EUR"]
    assert found.factor(2009, 2011) == pytest.approx(1.32)
    assert found.factor(2011, 2009) == pytest.approx(1 / 1.32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"values": {}}, "both or neither"),
        ({"changes_percent": {2010: 1.0}}, "both or neither"),
        ({"values": {2010: 0.0}}, "2010: 0.0"),
        ({"values": {2010: "x"}}, "2010: 'x'"),
        ({"values": {2010: True}}, "2010: True"),
        ({"trust": "hearsay"}, "USD.trust"),
        ({"unit": "x"}, "USD.unit .*an unknown field"),
    ],
)
def test_an_index_that_breaks_a_rule_is_refused(tmp_path, changes, words):
    path = tmp_path / "price_index.yaml"
    path.write_text(yaml_text([INDEX[0] | changes]))
    with pytest.raises(ParameterError, match=words):
        load_price_index(path)
    path.write_text(yaml_text([INDEX[1] | {"changes_percent": {2010: 1.0, 2012: 1.0}}]))
    with pytest.raises(ParameterError, match="a gap between years"):
        load_price_index(path)


def test_money_of_another_currency_has_no_value_until_it_is_converted_in_the_open(tmp_path):
    euros = money(id="c_ai_eur", currency="EUR", value=6, low=1, high=10)
    rate = entry("low", "high", "interval", id="usd_per_eur", unit="exchange rate", value=1.1, distribution="fixed")
    converted = derived(
        "c_ai_eur * usd_per_eur", ["c_ai_eur", "usd_per_eur"], id="c_ai", unit="currency", currency="USD"
    )
    found = loaded(tmp_path, euros, rate, converted)
    assert found.value("c_ai") == pytest.approx(6.6)
    assert set(found.values()) == set(found.draw(1, seed=0)) == {"c_ai", "usd_per_eur"}
    with pytest.raises(ParameterError, match=r"c_ai_eur.currency .*found EUR; expected an amount in USD"):
        found.value("c_ai_eur")
    with pytest.raises(ParameterError, match="an entry in EUR"):
        found.with_overrides({"c_ai_eur": 7})
    silent = derived("2 * c_ai_eur", ["c_ai_eur"], id="c_ai", unit="currency", currency="USD")
    with pytest.raises(ParameterError, match="amounts in EUR and USD; expected an exchange rate too"):
        loaded(tmp_path, euros, silent)


def test_amounts_of_two_years_do_not_mix_without_a_price_year(tmp_path):
    both = derived("c_ct + c_later", ["c_ct", "c_later"], unit="currency", currency="USD")
    entries = (money(), money(id="c_later", price_year=2015), both)
    with pytest.raises(ParameterError, match="c_ct in prices of 2009, c_later in prices of 2015"):
        loaded(tmp_path, *entries).value("made")
    found = loaded(tmp_path, *entries, price_year=2024)
    assert found.value("made") == pytest.approx(285 * 130 / 80 + 285 * 130 / 100)
    twice = derived("2 * c_ct", ["c_ct"], id="twice", unit="currency", currency="USD")
    by_another = derived("twice + c_later", ["twice", "c_later"], unit="currency", currency="USD")
    with pytest.raises(ParameterError, match=r"made.inputs .*c_ct in prices of 2009, c_later in prices of 2015"):
        loaded(tmp_path, *entries[:2], twice, by_another).values()


def test_a_set_of_parameters_can_be_sent_to_another_process(tmp_path):
    found = loaded(tmp_path, entry(), money()).with_overrides({"c_ct": 100})
    again = pickle.loads(pickle.dumps(found))
    assert again.values() == found.values()
    assert np.array_equal(again.draw(9, seed=1)["sens_ct"], found.draw(9, seed=1)["sens_ct"])


def test_the_price_indices_that_ship_cover_every_setting_and_name_their_sources():
    found = load_price_index()
    assert set(found) == {"USD", "GBP", "EUR", "CNY"}
    assert all(index.sources and {2010, 2024} <= set(index.levels) for index in found.values())
    # BLS CUUR0000SAM annual averages: 375.613 in 2009, 563.841 in 2024
    assert found["USD"].factor(2009, 2024) == pytest.approx(563.841 / 375.613)
    # NHSCII pay and prices 2023/24 and 2024/25: 2.47 % and 4.02 %
    assert found["GBP"].factor(2022, 2024) == pytest.approx(1.0247 * 1.0402)


# YAML


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    st.text(max_size=20).filter(str.isprintable),
)
@settings(max_examples=80, deadline=None)
def test_yaml_gives_back_floats_to_the_last_digit_and_printable_text(numbers, text):
    data, _ = read_yaml(yaml_text({"numbers": numbers, "text": text}), "x")
    assert data["text"] == text
    assert [number.hex() for number in data["numbers"]] == [number.hex() for number in numbers]


def test_units_say_which_of_them_follow_prices():
    assert UNITS["currency per scan"].inflates and UNITS["currency per QALY"].money
    assert not UNITS["currency per QALY"].inflates
    assert not any(unit.money for name, unit in UNITS.items() if "currency" not in name)


@pytest.mark.parametrize("depth", [21, 20_000, 60_000])
def test_deep_nesting_is_refused_before_it_is_composed(depth):
    with pytest.raises(ParameterError, match=r"x \(line 1\): found more than 20 levels"):
        read_yaml("[" * depth + "]" * depth, "x")
    assert read_yaml("[" * 20 + "]" * 20, "x")[1] == [1]


def test_more_values_than_a_file_needs_are_refused():
    with pytest.raises(ParameterError, match="found more than 20,000 values"):
        read_yaml("- 1\n" * 20_000, "x")


@pytest.mark.parametrize("text", ["- &a 1\n- *a\n", "- &a [1]\n", "- !!int 012\n"])
def test_anchors_aliases_and_tags_are_refused(text):
    with pytest.raises(ParameterError, match=r"line 1\): found (an anchor or alias|a tag)"):
        read_yaml(text, "x")


def test_a_long_value_is_cut_in_the_message(tmp_path):
    with pytest.raises(ParameterError) as caught:
        load_entries(written(tmp_path, entry(value=["long"] * 5000)))
    assert len(str(caught.value)) < 300
