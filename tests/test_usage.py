"""Who reads a number is found by running the models."""

import pytest

from market.analysis import PRICE_YEAR
from market.parameters import load_parameters
from market.usage import MODELS, used_by


@pytest.fixture(scope="module", params=["us", "uk"])
def readers(request):
    return used_by(load_parameters(request.param, price_year=PRICE_YEAR))


def test_the_price_of_a_scan_is_read_by_all_models(readers):
    assert readers["c_ai_scan"] == MODELS


@pytest.mark.parametrize(
    ("key", "models"),
    [
        ("wtp", ("Cost-effectiveness",)),
        ("discount_hospital", ("Budget and business case",)),
        ("bass_p_slow", ("Adoption",)),
        ("vendor_share", ("Adoption", "Market size")),
    ],
)
def test_a_number_names_only_the_models_that_read_it(readers, key, models):
    assert readers[key] == models


def test_what_a_formula_is_made_of_is_read_by_the_readers_of_the_formula():
    parameters = load_parameters("us", price_year=PRICE_YEAR)
    derived = parameters.parameters["c_ai_usual"]
    found = used_by(parameters)
    assert derived.inputs
    for name in derived.inputs:
        assert set(found["c_ai_usual"]) <= set(found[name])


def test_an_incomplete_setting_names_readers_too():
    found = used_by(load_parameters("eu", price_year=PRICE_YEAR))
    assert set().union(*found.values()) <= set(MODELS)
    assert "Market size" in found["eligible"]
