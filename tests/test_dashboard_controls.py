"""Every drawing of every page tells the browser what each control holds, whatever became of the one before."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import ROOT, assert_every_value_is_told

HOME = str(Path(ROOT) / "dashboard" / "Home.py")
LINKS = {
    "overview": {},
    "classify": {"sample": "synthetic_05_pneumonia"},
    "performance": {"run": "reference", "class": "tumour", "threshold_tumour": "0.30", "prevalence_tumour": "5"},
    "runs": {"runs": "reference", "smoothing": "0.50", "measure": "accuracy"},
    "train": {},
    "data": {},
    "model_card": {},
    "paper": {},
    "screening_value": {"setting": "uk", "strategy": "triage", "years": "7", "c_ai_scan": "40", "whose": "payer"},
    "cost_effectiveness": {"wtp": "50000"},
    "sensitivity": {"strategy": "triage"},
    "adoption": {"bass_q_base": "0.5"},
    "compare": {"c_ai_scan": "7"},
    "sources": {"x_words": "reader"},
}
"""A link of each page that moves some of its controls away from where they begin."""


@pytest.mark.parametrize("view", LINKS)
def test_every_drawing_tells_the_browser_the_value_of_every_control(view):
    app = AppTest.from_file(HOME, default_timeout=120).run()
    app.switch_page(f"views/{view}.py")
    for key, value in LINKS[view].items():
        app.query_params[key] = value
    for _ in range(3):
        app.run()
        assert [item.value for item in app.exception] == []
        assert_every_value_is_told(app)


def test_every_page_is_looked_at():
    assert set(LINKS) == {path.stem for path in (ROOT / "dashboard" / "views").glob("*.py")} - {"__init__"}
