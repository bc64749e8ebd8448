"""SQL marts over a database file that DuckDB really built: one question each, the model's own totals."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market import budget, diffusion, market_size
from market.database import SQL, MarketDatabase, open_database, sql
from market.natural_history import life_table
from market.parameters import load_parameters

MARTS = ("eligible_population", "screens_by_year", "budget_by_payer", "adoption_revenue", "market_size")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MarketDatabase]:
    with open_database(path=tmp_path_factory.mktemp("marts") / "lunglens.duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def values() -> dict[str, float]:
    return load_parameters("uk", price_year=2024).values()


def asked(database: MarketDatabase, mart: str, relations: dict[str, pd.DataFrame], **named) -> pd.DataFrame:
    """The rows of a mart over these relations, from a cursor of its own."""
    cursor = database.cursor()
    for name, frame in relations.items():
        cursor.register(name, frame)
    found = cursor.execute(sql(mart), named or None).df()
    cursor.close()
    return found


@pytest.mark.parametrize("mart", MARTS)
def test_a_mart_says_its_grain_in_the_first_line_and_its_parameters_by_name(mart):
    text = sql(mart)
    assert text.startswith("-- One row per ")
    assert "?" not in text
    assert Path(SQL / f"{mart}.sql").is_file()


def test_the_eligible_population_by_year_comes_with_the_trust_of_its_source(database, values):
    years = market_size.market_years(values, 6)
    found = asked(database, "eligible_population", {"market_years": years.table()}, setting="uk")
    assert found.year.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found.eligible, years.eligible[:, 0], rtol=1e-12)
    assert found.status.unique().tolist() == ["derived"]
    assert found.trust.unique().tolist() == ["memory"]  # as weak as the number of residents behind it
    us = load_parameters("us", price_year=2024).values()
    table = market_size.market_years(us, 3).table()
    found = asked(database, "eligible_population", {"market_years": table}, setting="us")
    assert found.trust.unique().tolist() == ["secondary"]
    assert found.source.str.startswith("https://").all()
    np.testing.assert_allclose(found.change[1:], np.diff(table.eligible), rtol=1e-12)


def test_screens_by_year_split_into_reachable_and_not(database, values):
    years = market_size.market_years(values, 8)
    found = asked(database, "screens_by_year", {"market_years": years.table()})
    np.testing.assert_allclose(found.reachable_scans + found.unreachable_scans, years.scans[:, 0], rtol=1e-12)
    assert found.scans_so_far.iloc[-1] == pytest.approx(years.scans.sum(), rel=1e-12)
    assert found.scans_per_person.to_numpy() == pytest.approx(values["scans_per_screen"] / 2)  # every two years


def test_the_budget_by_payer_and_year_has_the_sums_of_the_model(database, values):
    made = budget.budget_impact(values, life_table("uk"), "triage", n_years=3, entrants=[500.0, 700.0, 100.0])
    members = values["payer_members"]
    named = {"setting": "uk", "members": members}
    found = asked(database, "budget_by_payer", {"budget_lines": made.table()}, **named)
    assert found.groupby("payer").size().to_dict() == {"hospital": 3, "payer": 3, "total": 3}
    for payer in budget.PERSPECTIVES:
        rows = found[found.payer == payer]
        np.testing.assert_allclose(rows.difference, made.difference(payer)[:, 0], rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(
            rows.capacity, made.difference(payer, "capacity")[:, 0] if payer != "payer" else 0
        )
        np.testing.assert_allclose(rows.cash + rows.capacity, rows.difference, rtol=1e-9, atol=1e-6)
    payer = found[found.payer == "payer"]
    pmpm = budget.per_member_per_month(made, members)[:, 0]
    np.testing.assert_allclose(payer.per_member_per_month, pmpm, rtol=1e-9)
    assert payer.difference_so_far.iloc[-1] == pytest.approx(made.difference("payer").sum(), rel=1e-9)
    assert found[found.payer != "payer"].per_member_per_month.isna().all()
    assert found.currency.unique().tolist() == ["GBP"]


def test_adoption_and_revenue_of_all_scenarios_stand_in_one_table(database, values):
    made = {name: diffusion.adoption(values, name, 12) for name in diffusion.SCENARIOS}
    table = pd.concat([one.table() for one in made.values()])
    found = asked(database, "adoption_revenue", {"adoption_years": table})
    assert len(found) == 36
    for name, one in made.items():
        rows = found[found.scenario == name]
        assert rows.revenue_so_far.iloc[-1] == pytest.approx(one.revenue.sum(), rel=1e-12)
        assert rows.year[rows.is_peak].tolist() == [1 + int(np.argmax(one.new_sites[:, 0]))]


def test_market_size_multiplies_its_factors_and_shows_the_band_beside_them(database, values):
    size = market_size.market_size(values, adopted=0.3)
    in_use = pd.DataFrame({"id": list(values), "value": list(values.values())})
    relations = {"market_factors": size.table(), "parameter_values": in_use}
    found = asked(database, "market_size", relations, setting="uk")
    assert found.level.tolist() == ["TAM", "SAM", "SOM"]
    np.testing.assert_allclose(found["size"], [level[0] for level in size.levels.values()], rtol=1e-12)
    low, high = market_size.top_down_band(values)
    assert found.top_down_low.unique().tolist() == [low[0]]
    assert found.top_down_high.unique().tolist() == [high[0]]
    assert found.currency.unique().tolist() == ["GBP"]
    assert found.factors[1].count(" x ") == 1
