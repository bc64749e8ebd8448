"""Performance in AppTest: numbers as in the predictions, one selection through all of it, links there and back."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import operating, runs
from core.errors import DataError
from core.labels import LABELS
from core.metrics import Estimate
from core.scored import Scored
from dashboard.performance import charts, curves, details, link, loaders, matrix
from dashboard.performance.gallery import gallery_note
from dashboard.performance.link import Choice, Notice, Offer
from tests.page_bench import write_run
from tests.pages import assert_every_value_is_told, control

ROOT = Path(__file__).resolve().parent.parent
SLICES = 240
OFFER = Offer("demo", LABELS, {"source": ("east", "west"), "group": ("east",)}, ("demo", "second"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A runs folder with one run of made-up predictions and no images."""
    made = tmp_path_factory.mktemp("runs")
    write_run(made / "made", SLICES)
    return made


@pytest.fixture
def frame(folder) -> pd.DataFrame:
    """Its predictions of the first scheme, with the called class and its probability."""
    table = pd.read_parquet(folder / "made" / "predictions.parquet")
    table = table[table["scheme"] == "source"].reset_index(drop=True)
    probabilities = table[[f"p_{label}" for label in LABELS]].to_numpy()
    return table.assign(called=np.array(LABELS)[probabilities.argmax(axis=1)], confidence=probabilities.max(axis=1))


@pytest.fixture
def opened(folder, monkeypatch):
    """Opens the page at an address."""
    monkeypatch.setattr(runs, "RUNS", folder)

    def at(address: str = "") -> AppTest:
        app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
        for name, value in parse_qsl(address):
            app.query_params[name] = value
        app.switch_page("views/performance.py").run()
        assert [item.value for item in app.exception] == []
        return app

    return at


def gallery(app: AppTest) -> list[str]:
    """First signs of the checksums of the gallery's slices, in its order."""
    found = [json.loads(item.proto.json) for item in app.get("bidi_component")]
    return [tile["sign"] for data in found for tile in data["tiles"] if data["name"] == "Slices"]


def signs(frame: pd.DataFrame) -> list[str]:
    """The same of predictions, most confident first."""
    ordered = frame.sort_values("confidence", ascending=False, kind="stable")
    return [value[: link.SHA] for value in ordered["sha256"]]


def metric(app: AppTest, label: str) -> tuple[str, str]:
    [found] = [item for item in app.metric if item.label == label]
    return found.value, found.delta


def text(app: AppTest) -> str:
    return "\n".join(item.value for item in app.markdown)


def whole(app: AppTest) -> AppTest:
    """The page drawn in full: after a control that moves parts of it, AppTest knows of these parts alone."""
    return app.run().run()


def widget(items, key: str):
    return control(items, link.key(key))


CHOICES = [
    Choice("source"),
    Choice("group", "east", (("normal", "tumour"), ("pneumonia", "normal")), "count", False, True, "least", 3),
    Choice("source", label="tumour", thresholds={"tumour": 0.4, "normal": 0.77}, prevalences={"tumour": 5}),
    Choice("source", label="normal", curve="pr", image="0123456789abcdef"),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_comes_back_whole_from_its_address(choice):
    params = link.to_params(choice, "demo")
    assert link.from_params(params, OFFER) == (choice, [])
    query = link.address("https://host/performance?old=1", choice, "demo").partition("?")[2]
    assert dict(parse_qsl(query)) == params


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [
        ("run", "gone", "demo"),
        ("scheme", "nonsense", "source"),
        ("source", "south", "all"),
        ("show", "pie", "row"),
        ("class", "lobster", "all"),
        ("curve", "spline", "roc"),
        ("page", "zero", "1"),
        ("threshold_tumour", "1.2", "0.5"),
        ("threshold_tumour", "nan", "0.5"),
        ("prevalence_tumour", "-3", "20"),
        ("cells", "normal.normal,normal.lobster", "the other cells, if any"),
    ],
)
def test_an_unusable_value_of_a_link_is_named_with_what_was_expected(name, value, used):
    choice, [notice] = link.from_params({name: value}, OFFER)
    assert (notice.name, notice.used) == (name, used)
    assert notice.found in value and notice.expected
    expected = Choice("source", cells=(("normal", "normal"),)) if name == "cells" else Choice("source")
    assert choice == expected


def test_a_source_of_another_scheme_is_told():
    choice, [notice] = link.from_params({"scheme": "group", "source": "west"}, OFFER)
    assert choice == Choice("group")
    assert notice == Notice("source", "west", "one of east", "all")


def test_cells_have_one_order_whatever_the_order_of_the_clicks():
    cells = [("tumour", "normal"), ("normal", "tumour"), ("normal", "pneumonia")]
    assert link.ordered(cells, LABELS) == link.ordered(cells[::-1], LABELS)
    assert link.ordered(cells, LABELS)[0] == ("normal", "pneumonia")


@pytest.mark.parametrize(
    ("cells", "boxes"),
    [
        ((), ([], [])),
        ((("normal", "tumour"),), (["normal"], ["tumour"])),
        (tuple(("normal", label) for label in LABELS), (["normal"], [])),
        (tuple((label, "tumour") for label in LABELS), ([], ["tumour"])),
        ((("tumour", "normal"), ("pneumonia", "normal")), (["pneumonia", "tumour"], ["normal"])),
        ((("normal", "tumour"), ("tumour", "normal")), ([], [])),
    ],
)
def test_the_two_boxes_show_cells_that_are_rows_and_columns_crossed(cells, boxes):
    assert matrix.box_values(cells, LABELS) == boxes


def test_without_a_choice_the_gallery_shows_what_is_called_wrongly(opened, frame):
    app = opened()
    wrong = frame[frame["called"] != frame["label"]]
    assert f"All {len(wrong):,} slices that are called wrongly" in text(app)
    assert gallery(app) == signs(wrong)[:12]
    assert {item.label for item in app.metric} >= {"Balanced accuracy", "AUC, normal", "Calibration error"}
    assert all(" to " in item.delta for item in app.metric)


def test_a_cell_of_the_link_shows_exactly_its_slices_on_all_pages(opened, frame):
    app = opened("cells=pneumonia.normal")
    cell = frame[(frame["label"] == "pneumonia") & (frame["called"] == "normal")]
    assert len(cell) > 12
    assert f"The {len(cell):,} pneumonia slices called normal" in text(app)
    found = gallery(app)
    for page in range(2, -(-len(cell) // 12) + 1):
        found += gallery(opened(f"cells=pneumonia.normal&page={page}"))
    assert found == signs(cell)
    assert "only: pneumonia called normal" in text(app)


def test_the_two_boxes_choose_a_cell_and_the_address_follows(opened, frame):
    app = opened()
    widget(app.multiselect, "true").set_value(["tumour"])
    widget(app.multiselect, "called").set_value(["normal"])
    whole(app)
    cell = frame[(frame["label"] == "tumour") & (frame["called"] == "normal")]
    assert f"The {len(cell):,} lung tumour slices called normal" in text(app)
    assert app.query_params["cells"] == "tumour.normal"
    [clear] = [item for item in app.button if item.key == "clear"]
    clear.click()
    whole(app)
    assert "cells" not in app.query_params
    assert "called wrongly" in text(app)


def test_the_boxes_choose_several_cells_without_a_mouse(opened, frame):
    app = opened()
    widget(app.multiselect, "true").set_value(["pneumonia", "tumour"])
    widget(app.multiselect, "called").set_value(["normal"])
    whole(app)
    missed = frame[(frame["label"] != "normal") & (frame["called"] == "normal")]
    assert f"The {len(missed):,} slices in 2 cells of the matrix" in text(app)
    assert app.query_params["cells"] == "pneumonia.normal,tumour.normal"


def test_every_drawing_tells_the_browser_the_value_of_every_control(opened):
    app = opened("class=tumour&threshold_tumour=0.30&prevalence_tumour=5&scheme=source")
    for _ in range(2):
        assert_every_value_is_told(whole(app))
    widget(app.button_group, "label").set_value("normal").run()
    assert_every_value_is_told(whole(app))


def test_a_moved_threshold_moves_the_balanced_accuracy_with_its_interval(opened, frame):
    app = opened("class=tumour")
    before = metric(app, "Balanced accuracy")
    widget(app.slider, "threshold").set_value(0.1)
    whole(app)
    others = np.array(["normal", "pneumonia"])[frame[["p_normal", "p_pneumonia"]].to_numpy().argmax(axis=1)]
    now = np.where(frame["p_tumour"] >= 0.1, "tumour", others)
    shares = [(now[frame["label"] == label] == label).mean() for label in LABELS]
    value, pill = metric(app, "Balanced accuracy")
    assert value == f"{np.mean(shares):.2f}" != before[0]
    low, high = map(float, pill.split(" to "))
    assert low < np.mean(shares) < high


def test_the_point_on_the_precision_recall_curve_has_both_of_its_intervals():
    half = Estimate(0.5, 0.0, 0.75)
    point = operating.OperatingPoint("tumour", 0.4, 0.02, 5, 5, 5, 5, half, half, half, half)
    choice = Choice("source", label="tumour", thresholds={"tumour": 0.4}, curve="pr")
    [row] = curves.chosen_point(point, Estimate(0.4, 0.2, 0.6), choice).to_dict("records")
    assert [row[name] for name in ("x", "x_low", "x_high", "y", "low", "high")] == [0.5, 0.0, 0.75, 0.4, 0.2, 0.6]
    [row] = curves.chosen_point(point, None, replace(choice, curve="roc")).to_dict("records")
    assert [row[name] for name in ("x", "x_low", "x_high", "y", "low", "high")] == [0.5, 0.25, 1, 0.5, 0, 0.75]


def test_the_operating_sentence_counts_with_intervals(opened):
    header = opened("class=tumour&prevalence_tumour=100").header[0].value
    assert re.fullmatch(
        r"At threshold 0\.50 the model calls \d+ \(\d+ to \d+\) of 100 lung tumour slices so, "
        r"and \d+ \(\d+ to \d+\) of 900 others",
        header,
    )


def test_acting_on_the_model_is_called_better_only_where_its_interval_says_so():
    model = pd.Series({"net_benefit": 0.05, "low": 0.01, "high": 0.09})
    assert "is better than" in curves.net_benefit_sentence(0.3, model, 0.0)
    assert "cannot be told from" in curves.net_benefit_sentence(0.3, model, 0.02)
    assert "is worse than" in curves.net_benefit_sentence(0.3, model, 0.1)
    unknown = pd.Series({"net_benefit": 0.05, "low": np.nan, "high": np.nan})
    assert "cannot be told from" in curves.net_benefit_sentence(0.3, unknown, 0.0)


def test_a_gallery_says_what_hatched_pictures_are():
    assert "hatched" in gallery_note([b"png", None], 2)
    assert "hatched" not in gallery_note([b"png", b"png"], 2)
    assert "Images of this run are not here" in gallery_note([None, None], 2)


def test_a_moved_threshold_moves_metrics_matrix_and_gallery_together(opened, frame):
    app = opened("class=tumour")
    widget(app.slider, "threshold").set_value(0.2)
    whole(app)
    called = frame["p_tumour"] >= 0.2
    tumour = frame["label"] == "tumour"
    assert metric(app, "Sensitivity")[0] == f"{(called & tumour).sum() / tumour.sum():.2f}"
    assert metric(app, "Specificity")[0] == f"{(~called & ~tumour).sum() / (~tumour).sum():.2f}"
    assert app.header[0].value.startswith("At threshold 0.20")
    others = frame[["p_normal", "p_pneumonia"]].to_numpy().argmax(axis=1)
    now = np.where(called, "tumour", np.array(["normal", "pneumonia"])[others])
    assert f"All {(now != frame['label']).sum():,} slices that are called wrongly" in text(app)
    assert app.query_params["threshold_tumour"] == "0.20"


def test_each_class_keeps_its_own_threshold_and_prevalence(opened):
    app = opened("class=tumour&threshold_tumour=0.30&prevalence_tumour=5")
    widget(app.button_group, "label").set_value("normal").run()
    assert widget(app.slider, "threshold").value == 0.5
    widget(app.slider, "threshold").set_value(0.8)
    whole(app)
    widget(app.button_group, "label").set_value("tumour").run()
    assert widget(app.slider, "threshold").value == 0.3
    assert widget(app.select_slider, "prevalence").value == 5
    assert app.query_params["threshold_normal"] == "0.80"


def test_ppv_follows_the_prevalence_and_sensitivity_does_not(opened):
    app = opened("class=tumour&prevalence_tumour=300")
    before = {name: metric(app, name) for name in ("Sensitivity", "PPV", "NPV")}
    widget(app.select_slider, "prevalence").set_value(10)
    whole(app)
    after = {name: metric(app, name) for name in before}
    assert after["Sensitivity"] == before["Sensitivity"]
    assert float(after["PPV"][0]) < float(before["PPV"][0])
    assert float(after["NPV"][0]) > float(before["NPV"][0])


def test_the_counts_of_the_threshold_go_to_screening_value(opened, frame):
    app = opened("class=tumour&threshold_tumour=0.40&scheme=source")
    [worth] = [item for item in app.get("page_link") if "worth" in item.proto.label]
    query = dict(parse_qsl(worth.proto.query_string))
    called, tumour = frame["p_tumour"] >= 0.4, frame["label"] == "tumour"
    assert query == {
        "run": "made",
        "scheme": "source",
        "class": "tumour",
        "threshold": "0.40",
        "tp": str((called & tumour).sum()),
        "fn": str((~called & tumour).sum()),
        "tn": str((~called & ~tumour).sum()),
        "fp": str((called & ~tumour).sum()),
    }


def test_a_source_filters_every_number(opened, frame):
    app = opened("source=west")
    west = frame[frame["source"] == "west"]
    assert f"{len(west):,} slices" in [item.value for item in app.caption]
    wrong = west[west["called"] != west["label"]]
    assert f"All {len(wrong):,} slices that are called wrongly" in text(app)


def test_a_wrong_link_gives_notices_and_the_page(opened):
    app = opened("scheme=nonsense&class=lobster&image=ffffffffffffffff")
    told = "\n".join(item.value for item in app.warning)
    assert "scheme was nonsense" in told and "class was lobster" in told
    assert "a slice that is not among these" in told
    assert metric(app, "Balanced accuracy")[0] != "–"


def test_an_open_slice_shows_its_probabilities_without_its_picture(opened, frame):
    row = frame.iloc[7]
    app = opened(f"image={row['sha256'][: link.SHA]}")
    assert "images of this run are not here" in "\n".join(item.value for item in app.caption).lower()
    assert f"{row['confidence']:.2f}" in text(app)


def test_a_phantom_is_opened_in_full_on_a_machine_that_holds_no_images(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNGLENS_DATA", str(tmp_path))
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    sha256 = pd.read_parquet(ROOT / "data" / "runs" / "reference" / "predictions.parquet")["sha256"].iloc[0]
    for name, value in {"run": "reference", "scheme": "test", "image": sha256[: link.SHA]}.items():
        app.query_params[name] = value
    app.switch_page("views/performance.py").run()
    assert [item.value for item in app.exception] == []
    assert "Heat map and outline are by the run's final model" in "\n".join(item.value for item in app.caption)
    assert "Most like it among the training slices" in text(app)


def test_what_only_claims_to_be_a_phantom_is_not_drawn():
    assert loaders.phantom_slice("a.png", "phantom-normal-9", "0" * 64) is None
    assert loaders.phantom_slice("a.png", "patient-7", "0" * 64) is None


def test_going_back_to_the_bare_address_shows_what_it_showed_first(opened):
    app = opened()
    first = widget(app.button_group, "scheme").value
    app.query_params["scheme"] = "group"
    app.run()
    assert widget(app.button_group, "scheme").value == "group" != first
    app.query_params.clear()
    app.run()
    assert widget(app.button_group, "scheme").value == first


def test_a_cell_of_one_true_class_has_no_roc_and_says_why(opened):
    app = opened("cells=pneumonia.normal&class=tumour")
    assert "No ROC curve" in text(app)
    assert "these slices are all of one kind" in text(app)


@pytest.mark.parametrize("curve", ["roc", "pr", "net"])
@pytest.mark.parametrize("cells", ["", "&cells=normal.pneumonia"])
def test_a_source_without_the_chosen_class_is_told_in_words(opened, folder, monkeypatch, tmp_path, curve, cells):
    table = pd.read_parquet(folder / "made" / "predictions.parquet")
    lone = tmp_path / "made"
    shutil.copytree(folder / "made", lone)
    table[(table["source"] != "west") | (table["label"] == "normal")].to_parquet(lone / "predictions.parquet")
    opened()
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    for name, value in parse_qsl(f"source=west&class=tumour&curve={curve}{cells}"):
        app.query_params[name] = value
    app.switch_page("views/performance.py").run()
    assert [item.value for item in app.exception] == []
    assert "nothing is known" in app.header[0].value
    assert "need slices of lung tumour and others" in "\n".join(item.value for item in app.caption)


def test_a_link_moves_the_sidebar_to_its_run_until_another_is_chosen_there(folder, monkeypatch, tmp_path):
    for name, slices in (("first", 120), ("second", 150)):
        write_run(tmp_path / name, slices)
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    app.query_params["run"] = "second"
    app.switch_page("views/performance.py").run()
    assert "150 slices" in [item.value for item in app.caption]
    [sidebar] = [item for item in app.selectbox if item.label == "Model run"]
    assert sidebar.value == "second"
    sidebar.set_value("first").run()
    assert "120 slices" in [item.value for item in app.caption]
    assert app.query_params["run"] == "first"


def test_the_closed_parts_are_computed_when_opened(opened):
    app = opened()
    assert "confident learning" not in text(app).lower()
    app.session_state[link.key("open-report")] = True
    app.session_state[link.key("open-suspects")] = True
    app.session_state[link.key("open-calibration")] = True
    app.session_state[link.key("open-by")] = True
    app.run()
    assert [item.value for item in app.exception] == []
    assert "confident learning" in text(app).lower()
    assert any("weighted avg" in item.value for item in app.code)


def test_a_run_without_predictions_says_what_to_do(opened, folder, monkeypatch, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.onnx"):
        (bare / name).write_bytes((folder / "made" / name).read_bytes())
    app = opened()
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    app.run()
    assert "This run has no kept predictions" in text(app)


def test_a_hidden_diagonal_leaves_the_depth_of_colour_to_the_errors():
    table = pd.DataFrame(
        {
            "true": ["normal", "normal", "tumour", "tumour"],
            "predicted": ["normal", "tumour", "normal", "tumour"],
            "slices": [900, 100, 25, 75],
            "groups": [90, 10, 5, 15],
            **{f"row_{name}": [0.9, 0.1, 0.25, 0.75] for name in ("share", "low", "high")},
            **{f"column_{name}": [0.97, 0.57, 0.03, 0.43] for name in ("share", "low", "high")},
        }
    )
    shown = charts.matrix_cells(table, "count", True, False, (), 0)
    assert shown["depth"].tolist() == pytest.approx([1, 1 / 9, 25 / 900, 75 / 900])
    hidden = charts.matrix_cells(table, "count", False, False, (("normal", "tumour"),), 0)
    assert hidden["depth"].tolist() == pytest.approx([0, 1, 0.25, 0])
    assert hidden["count"].tolist() == ["", "100", "25", ""]
    assert hidden["chosen"].tolist() == [False, True, False, False]
    log = charts.matrix_cells(table, "count", True, True, (), 0)
    assert log["depth"].is_monotonic_decreasing is False and log["depth"].iloc[2] > shown["depth"].iloc[2]


def test_the_report_is_that_of_scikit_learn(opened, frame):
    from sklearn.metrics import classification_report

    app = opened()
    app.session_state[link.key("open-report")] = True
    app.run()
    [code] = [item.value for item in app.code if "f1-score" in item.value]
    theirs = classification_report(frame["label"], frame["called"], output_dict=True)
    for label in LABELS:
        [line] = [line for line in code.splitlines() if line.strip().startswith(label)]
        numbers = line.split()[-4:]
        expected = theirs[label]
        assert numbers == [
            f"{expected['precision']:.2f}",
            f"{expected['recall']:.2f}",
            f"{expected['f1-score']:.2f}",
            f"{expected['support']:.0f}",
        ]


def test_what_cannot_be_told_apart_is_not_called_better():
    apart = pd.DataFrame(
        {"name": ["a", "b"], "words": ["x", "y"], "value": [0.2, 0.8], "low": [0.1, 0.7], "high": [0.3, 0.9]}
    )
    assert details.spread_sentence(apart, "source").startswith("Lowest in a")
    near = apart.assign(high=[0.75, 0.9])
    assert "No value of source can be told" in details.spread_sentence(near, "source")


def test_reliability_claims_a_lean_only_where_intervals_say_so():
    bins = pd.DataFrame({"predicted": [0.2, 0.8], "low": [0.1, 0.7], "high": [0.3, 0.9]})
    assert "no bin" in curves.reliability_sentence(bins, "tumour")
    assert "run high in 1 of 2 bins" in curves.reliability_sentence(bins.assign(high=[0.3, 0.75]), "tumour")


def test_loaders_do_not_recompute_for_a_threshold_what_it_does_not_move(folder, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", folder)
    of = loaders.subject("made", "source", "")
    low, high = (loaders.Picked(of, link.Point("tumour", value)) for value in (0.2, 0.7))
    assert loaders.curve(low, "tumour", "roc") is loaders.curve(high, "tumour", "roc")
    assert isinstance(loaders.predictions(of), Scored)
    with pytest.raises(DataError):
        loaders.mask(loaders.Picked(of, link.Point(), (("lobster", "normal"),)))
