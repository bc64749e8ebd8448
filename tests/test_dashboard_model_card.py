"""Model card in AppTest: what a run measured of itself, plain words where it did not, and the card to take away."""

import hashlib
import json
import re
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from core import card, checklist, gate, runs
from core.labels import LABELS
from dashboard.evidence import loaders as evidence
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

    def open_with(gated: bool = False, failures: dict | None = None, **found):
        run = made_run(tmp_path, "demo")
        content = json.loads((run / "metrics.json").read_text()) | found
        (run / "metrics.json").write_text(json.dumps(content))
        if gated:
            shutil.copy(DEMO / gate.FILE, run / gate.FILE)
        if failures:
            (run / runs.FAILURES).write_text(json.dumps(failures))
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


FAILED = {
    "model_sha256": hashlib.sha256((DEMO / "model.onnx").read_bytes()).hexdigest(),
    "phantoms": {
        "count": 4,
        "first_seed": 1000,
        "classes": {
            label: {
                "drawn": 4,
                "refused": ONE | {"value": 0.0},
                "wrong": ONE | {"value": wrong / 4},
                "called": {name: 4 - wrong if name == label else wrong // 2 for name in LABELS},
            }
            for label, wrong in zip(LABELS, (2, 0, 0), strict=True)
        },
        "worst": [
            {"drawn": "normal", "seed": 1024, "called": "tumour",
             "probabilities": {"normal": 0.002, "pneumonia": 0.001, "tumour": 0.997}}
        ],
    },
    "held_out": {
        "group": {
            "slices": 60, "groups": 30, "bins": [0.5, 0.7, 0.9],
            "rows": [
                {"source": "north", "label": "tumour", "groups": 30, "wrong": ONE | {"slices": 60},
                 "called": {"normal": 5, "pneumonia": 0, "tumour": 55}, "confidence": [1, 2, 0, 2],
                 "sure_and_healthy": 2}
            ],
        }
    },
}  # fmt: skip
"""As `failures` writes it, made up."""


def table_with(app, column: str):
    (found,) = [item.value for item in app.table if column in item.value.columns]
    return found


def test_wrong_answers_are_shown_with_their_pictures_and_real_ones_as_numbers(page):
    app = page(failures=FAILED)
    text = words(app)
    assert "It calls 2 of 4 drawn normal slices wrong" in text
    assert "called :violet[:material/square:] **lung tumour** 0.997; seed 1024" in text
    assert "Of 60 real slices 5 are called wrong, 2 of them with 0.9 or more" in text
    (shown,) = app.get("image")
    (alternative,) = [image.alt for image in shown.proto.imgs]
    assert alternative.startswith("Phantom drawn as normal (seed 1024), called lung tumour")
    row = table_with(app, "Source").iloc[0]
    assert (
        row["Called wrong (95 %)"].replace("\u00a0", " ") == "0.70 (0.60 to 0.80)"
        and row["Called instead"] == "Normal 5"
    )
    assert row.iloc[-4:].tolist() == [1, 2, 0, 2]
    assert table_with(app, "Phantoms")["Called instead"].tolist() == ["Pneumonia 1, Lung tumour 1", "none", "none"]


def test_pictures_are_not_drawn_with_another_network_than_was_measured(page):
    app = page(failures=FAILED | {"model_sha256": "0" * 64})
    assert "The network of this run is another" in words(app)
    assert not app.get("image")


def test_what_goes_wrong_says_how_to_measure_it_where_it_is_not(page):
    text = words(page())
    assert "Where it goes wrong is not measured" in text and "python -m core failures --run RUN --keep" in text


def test_a_checklist_counts_what_the_run_answers_and_narrows_to_what_is_open(page):
    app = page(failures=FAILED)
    run = runs.load_run("demo")
    for chosen in checklist.checklists():
        items = checklist.fill(run, chosen)
        number = sum(item.is_filled for item in items)
        app = app.segmented_control(key="checklist").set_value(chosen.name).run()
        assert f"{number} of {len(items)} items of {chosen.name} are answered by this run" in words(app)
        assert table_with(app, "Topic")["Item"].tolist() == [item.number for item in chosen.items]
        app = app.segmented_control(key="items").set_value("Open").run()
        shown = table_with(app, "Topic")
        assert shown["Item"].tolist() == [item.question.number for item in items if not item.is_filled]
        assert shown.iloc[:, 2].str.startswith("○ **Open.** ").all()
        app = app.segmented_control(key="items").set_value("All").run()


def test_the_card_to_take_away_holds_the_pictures_and_its_contents(page):
    page(failures=FAILED)
    run = runs.load_run("demo")
    whole = evidence.card_html(run)
    assert whole.count("<img ") == 1 and 'src="data:image/png;base64,' in whole
    section = whole[whole.index(f">{card.FAILED}</h2>") :]
    assert section.index("<img ") < section.index(">Limits</h2>")
    targets = re.findall(r'href="#([^"]+)"', whole)
    assert len(targets) > 5 and all(f'<h2 id="{target}"' in whole for target in targets)
    assert not re.findall(r'(?:src|href)="(?!#|data:image/png)', whole)


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
        shutil.copytree(runs.RUNS / name, copy, ignore=shutil.ignore_patterns("*.onnx", "folds"))
        before = (copy / "MODEL_CARD.md").read_text()
        card.write_card(copy)
        assert (copy / "MODEL_CARD.md").read_text() == before
