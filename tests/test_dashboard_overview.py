"""Overview in AppTest: the left-out figures first, and plain words where nothing was measured."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import runs
from dashboard.economics import words
from market.analysis import base_case, scenario_parameters
from market.scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.03}


METRICS = {
    "leave_one_source_out": {
        "mosmed": {
            "n_slices": 529,
            "n_groups": 526,
            "classes": {
                "normal": {"sensitivity": estimate(0.41), "support": 254},
                "pneumonia": {"sensitivity": estimate(0.77), "support": 275},
            },
            "diseased_auc": estimate(0.72),
        },
        "chest_ctscan": {
            "n_slices": 165,
            "n_groups": 164,
            "classes": {"tumour": {"sensitivity": estimate(0.64), "support": 165}},
            "diseased_auc": {"value": None, "low": None, "high": None},
        },
    },
    "grouped_validation": {"n_slices": 1354, "n_groups": 1119, "balanced_accuracy": estimate(0.93)},
}


@pytest.fixture
def overview(tmp_path, monkeypatch):
    """Opens Overview on a run with the given metrics and model card."""

    def open_with(metrics: dict, card: str = "# Model card\n\n## Data\n\nFive sets.\n") -> AppTest:
        run = tmp_path / "demo"
        run.mkdir()
        (run / "config.json").write_bytes((runs.RUNS / "demo" / "config.json").read_bytes())
        (run / "model.onnx").write_bytes(b"not opened here")
        (run / "metrics.json").write_text(json.dumps(metrics))
        (run / "MODEL_CARD.md").write_text(card)
        monkeypatch.setattr(runs, "RUNS", tmp_path)
        app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
        assert [item.value for item in app.exception] == []
        return app

    return open_with


def test_the_answer_names_the_weakest_left_out_class_first(overview):
    app = overview(METRICS)
    assert [item.value for item in app.title] == ["How good is this model, and what would it be worth?"]
    assert [item.value for item in app.header] == [
        "On a source it has not seen, it finds 0.41 to 0.77 of a class's slices"
    ]
    text = "\n".join(item.value for item in app.markdown)
    assert r"Weakest on normal slices of MosMedData: 0\.41 \(0\.36 to 0\.44\). Strongest on pneumonia" in text


WORTH = ("Cost a person", "Net benefit", "Reader hours")


def of_the_model(app: AppTest) -> list:
    """The tiles that tell of the run, those of the economic model left out."""
    return [item for item in app.metric if item.label not in WORTH]


def test_what_reading_with_ai_is_worth_is_the_base_case_with_its_interval(overview):
    app = overview(METRICS)
    tiles = {item.label: item for item in app.metric if item.label in WORTH}
    rows = base_case(scenario_parameters(Scenario("scenario", "us"))).table.set_index("strategy")
    change = rows.loc["concurrent", "cost"] - rows.loc["single", "cost"]
    assert tiles["Cost a person"].value == words.money(change, "USD", True)
    assert " to " in tiles["Cost a person"].delta and " to " in tiles["Net benefit"].delta
    told = [item.value for item in app.markdown]
    assert any("costs more or less cannot be told" in text for text in told)  # its interval holds 0


def test_each_figure_carries_its_interval_and_its_sample_size(overview):
    app = overview(METRICS)
    assert [(item.label, item.value, item.delta) for item in of_the_model(app)] == [
        ("AUC, MosMedData", "0.72", "0.67 to 0.75"),
        ("Known sources", "0.93", "0.88 to 0.96"),
    ]
    captions = [item.value for item in app.caption]
    assert "529 slices, 526 groups" in captions
    assert "1,354 slices, 1,119 groups" in captions


def test_a_run_without_measurements_says_so_and_claims_nothing(overview):
    app = overview({})
    assert "not measured" in app.header[0].value
    assert [(item.value, item.delta) for item in of_the_model(app)] == [("–", "not measured")]


def test_the_disclaimer_stands_on_every_page(overview):
    app = overview(METRICS)
    line = "For research and education. Not a medical device: do not use it to diagnose or treat anyone."
    assert line in [item.value for item in app.sidebar.caption]
    app.switch_page("views/classify.py").run()
    assert line in [item.value for item in app.sidebar.caption]


def test_a_missing_run_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    [error] = app.error
    assert "This model run cannot be used" in error.value
