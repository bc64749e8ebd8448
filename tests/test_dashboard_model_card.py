"""Model card in AppTest: what a run measured of itself, plain words where it did not, and the card to take away."""

import json
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from core import card, gate, runs
from dashboard.measured import card_body
from tests.made_runs import DEMO, ONE, ROBUSTNESS, SHORTCUTS, made_run
from tests.pages import ROOT

GATE = {
    "limit": 1.4,
    "passed": {"leave_one_source_out": {"north": ONE | {"value": 0.98, "low": 0.9, "high": 0.99, "slices": 50}}},
    "outside": {"photo": {"refused": ONE | {"value": 0.9, "slices": 10}, "answered": ["cat.png"]}},
}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Opens the page on a run with these metrics."""

    def open_with(gated: bool = False, **found):
        run = made_run(tmp_path, "demo")
        content = json.loads((run / "metrics.json").read_text()) | found
        (run / "metrics.json").write_text(json.dumps(content))
        if gated:
            shutil.copy(DEMO / gate.FILE, run / gate.FILE)
        card.write_card(run)
        monkeypatch.setattr(runs, "RUNS", tmp_path)
        app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
        app = app.switch_page("views/model_card.py").run()
        assert [item.value for item in app.exception] == []
        return app

    return open_with


def words(app) -> str:
    return "\n".join(item.value for item in [*app.title, *app.header, *app.caption, *app.markdown])


def test_the_shortcut_meter_says_its_sentence_and_shows_each_view(page):
    app = page(shortcuts=SHORTCUTS)
    text = words(app)
    assert SHORTCUTS["sentence"] in text
    heat = app.table[0].value
    assert heat.iloc[0].tolist() == ["Normal", "Lung tumour", 7, "0.70 (0.60 to 0.80)", "0.70 (0.60 to 0.80)"]


def test_robustness_names_the_change_that_costs_most(page):
    app = page(robustness=ROBUSTNESS)
    assert "It falls most, from 0.70 to 0.50, by noise" in words(app)


def test_refusals_are_told_both_ways(page):
    app = page(gated=True, gate=GATE)
    text = words(app)
    assert "It refuses 9 of 10 pictures that are no lung CT slice" in text
    table = app.table[0].value
    assert table["Refused"].tolist() == ["0.90 (0.60 to 0.80)", "0.02 (0.01 to 0.10)"]
    assert "Wrongly refused: 1 of 50 lung slices" in text


def test_what_was_not_measured_is_said_with_the_way_to_measure_it(page):
    text = words(page())
    assert "is not measured" in text and "python -m core shortcuts" in text
    assert "This run answers every picture" in text and "refuses pictures unlike" not in text


def test_a_run_that_refuses_unmeasured_says_so(page):
    text = words(page(gated=True))
    assert "How often it refuses, rightly or wrongly, is not measured" in text
    assert "refuses pictures unlike those it learned from" in text


def test_the_card_becomes_a_page_of_its_own_in_which_nothing_is_run():
    text = (
        "# Run <script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 & 2 | `x <DIR> & y` |\n\n<b onclick=x>b</b>\n"
    )
    text += "\n[go](javascript:alert(1)) ![](http://outside/x.png) <http://outside>\n"
    page = card.html(text, "demo <b>")
    assert "<script>" not in page and "&lt;script&gt;" in page and "<b " not in page
    assert "<td>1 &amp; 2</td>" in page and "<title>demo &lt;b&gt;</title>" in page
    assert "<code>x &lt;DIR&gt; &amp; y</code>" in page
    assert "href" not in page and "<img" not in page


def test_the_headings_of_the_card_lie_below_those_of_the_page():
    assert card_body("# Title\n\n## Data\n\ntext # no heading\n") == "\n### Data\n\ntext # no heading\n"


def test_the_shipped_cards_are_what_their_files_give(tmp_path):
    for name in runs.SHIPPED:
        copy = tmp_path / name
        shutil.copytree(runs.RUNS / name, copy, ignore=shutil.ignore_patterns("*.onnx", "*.parquet"))
        before = (copy / "MODEL_CARD.md").read_text()
        card.write_card(copy)
        assert (copy / "MODEL_CARD.md").read_text() == before
