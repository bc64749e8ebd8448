"""Runs in AppTest: the table, two runs compared, links, renaming, notes, deletion and undo, the public demo."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import catalogue, runs
from dashboard.comparison import charts, link, loaders, words
from tests.made_runs import DEMO, made_history, made_predictions, made_run

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder of runs of its own, with nothing in it."""
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    monkeypatch.delenv("LUNGLENS_DEMO", raising=False)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def mine(root) -> Path:
    """Three runs on the same images, the middle one by far the best, and an unfinished and a damaged folder."""
    for day, (name, skill, seed) in enumerate((("old", 1.0, 1), ("good", 3.0, 2), ("new", 1.0, 8)), start=1):
        path = made_run(root, name, made_predictions(150, seed, skill).iloc[day * 5 :], epochs=6, seed=seed)
        dated(path, f"2026-01-0{day}T10:00:00+00:00")
    unfinished = made_run(root, "half", epochs=20)
    dated(unfinished, "2026-01-04T10:00:00+00:00")
    (unfinished / "history.csv").write_text(made_history(4, 1))
    for name in ("model.onnx", "metrics.json", "predictions.parquet"):
        (unfinished / name).unlink()
    (root / "broken *x*").mkdir()
    return root


def dated(path: Path, created: str) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"created": created}))


def opened(**query: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "dashboard" / "views" / "runs.py"), default_timeout=90)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    calm(app)
    return app


def calm(app: AppTest) -> None:
    assert [item.value for item in app.exception] == []


def text(app: AppTest) -> str:
    parts = (app.header, app.markdown, app.caption, app.warning, app.error)
    return "\n".join(item.value for part in parts for item in part)


def asked(app: AppTest, name: str) -> str:
    """A parameter of the address, once."""
    [value] = [app.query_params[name]] if isinstance(app.query_params[name], str) else app.query_params[name]
    return value


def box(app: AppTest, label: str):
    return next(item for item in app.selectbox if item.label == label)


def press(app: AppTest, label: str) -> AppTest:
    next(item for item in app.button if item.label == label).click().run()
    calm(app)
    return app


def test_without_a_run_the_page_says_how_to_get_one(root):
    app = opened()
    assert [item.value for item in app.title] == ["Which run is better, and is the difference real?"]
    assert "No run yet" in text(app) and not app.dataframe


def test_one_run_alone_is_shown_and_asks_for_another(root):
    shutil.copytree(DEMO, root / "demo")
    app = opened()
    assert "demo is the only finished run" in text(app) and not app.metric
    table = app.dataframe[0].value.set_index("Run")
    assert table.loc["demo", "Tested on"] == "Left-out sources, 1,354 slices"
    assert table.loc["demo", "Balanced accuracy"] == pytest.approx(0.6516, abs=1e-3)
    assert table.loc["demo", "Its 95 % interval"] == "0.52 to 0.75, IQ-OTH/NCCD"


def test_every_folder_is_a_row_and_damage_is_told(mine):
    app = opened()
    table = app.dataframe[0].value.set_index("Run")
    assert table["State"].to_dict() == {
        "half": "◐ Unfinished",
        "new": "● Finished",
        "good": "● Finished",
        "old": "● Finished",
        "broken *x*": "✕ Damaged",
    }
    stored = json.loads((mine / "good" / "metrics.json").read_text())["validation"]
    estimate = stored["balanced_accuracy"]
    assert table.loc["good", "Balanced accuracy"] == estimate["value"]
    assert table.loc["good", "95 % interval"] == f"{estimate['low']:.2f} to {estimate['high']:.2f}"
    assert table.loc["good", "Tested on"] == f"Validation images, {stored['n_slices']} slices"
    assert table.loc["half", "Epochs"] == "4 of 20" and table.loc["half", "Tested on"] == "not measured"
    assert r"**broken \*x\***: there is no config.json" in text(app)


def test_the_newest_two_are_compared_and_a_clear_difference_is_a_sentence(mine):
    app = opened()
    assert (box(app, "First run").value, box(app, "Second run").value) == ("good", "new")
    found = loaders.compare("good", "new", "validation")
    assert [item.value for item in app.header] == [
        f"good is better than new: balanced accuracy {-found.differences[0].difference.value:.2f} higher"
    ]
    shown = {item.label: (item.value, item.delta) for item in app.metric}
    assert shown["Balanced accuracy"] == (
        words.signed(found.differences[0].difference.value),
        words.span(found.differences[0].difference),
    )
    assert "135 images in 68 groups" in text(app) and "left out: 5 images of good only" in text(app)
    table = app.dataframe[1].value.set_index("Metric")
    assert table.loc["Balanced accuracy", "Difference"] == words.difference(found.differences[0])
    assert table.loc["Balanced accuracy", "Clearly better"] == "good"


def test_runs_that_are_alike_cannot_be_told_apart_and_the_link_keeps_the_choice(mine):
    app = opened()
    box(app, "First run").select("old").run()
    calm(app)
    assert [item.value for item in app.header] == ["The two runs cannot be told apart"]
    assert "No more than chance explains" in text(app)
    assert asked(app, "first") == "old"
    press(app, "Swap")
    assert (box(app, "First run").value, box(app, "Second run").value) == ("new", "old")
    assert (asked(app, "first"), asked(app, "second")) == ("new", "old")


def test_a_link_opens_the_same_state(mine):
    app = opened(first="new", second="good", measure="accuracy", part="train", x="minutes", runs=["old", "good"])
    assert (box(app, "First run").value, box(app, "Second run").value) == ("new", "good")
    assert box(app, "Measure").value == "accuracy"
    assert next(item for item in app.multiselect if item.label == "Runs").value == ["old", "good"]
    assert not app.warning
    assert "Highest training accuracy" in text(app)


def test_what_a_link_asks_for_in_vain_is_told_with_what_is_used_instead(mine):
    app = opened(first="nobody", smoothing="2", runs=["old", "*gone*"], scheme="source", x="years")
    said = [item.value for item in app.warning]
    assert len(said) == 5
    assert any("first was nobody" in item and "Used instead: good" in item for item in said)
    assert any(r"smoothing was 2; expected a number from 0 to 0\.95" in item for item in said)
    assert any(r"runs was \*gone\*" in item for item in said)
    assert any("scheme was source" in item and "Used instead: validation" in item for item in said)
    assert next(item for item in app.slider if item.label == "Smoothing").value == link.FIRST_SMOOTHING


def test_a_link_names_every_run_so_that_a_newer_one_changes_nothing(mine):
    app = opened()
    assert not app.query_params
    next(item for item in app.multiselect if item.label == "Runs").select("old").unselect("half").run()
    query = {name: app.query_params[name] for name in ("first", "second", "runs")}
    assert (query["first"], query["second"]) == ("good", "new")
    dated(made_run(mine, "newest", made_predictions(150, 9)), "2026-02-01T10:00:00+00:00")
    assert box(opened(), "Second run").value == "newest"
    again = opened(**query)
    assert (box(again, "First run").value, box(again, "Second run").value) == ("good", "new")
    assert next(item for item in again.multiselect if item.label == "Runs").value == query["runs"]
    app.run()  # the page that was open keeps what was chosen, too
    assert box(app, "Second run").value == "new"


def test_the_filters_of_the_table_are_in_the_address(mine):
    app = opened()
    next(item for item in app.text_input if item.label == "Find").input("o").run()
    next(item for item in app.multiselect if item.label == "State").select("finished").run()
    calm(app)
    assert (asked(app, "find"), asked(app, "states")) == ("o", "finished")
    assert app.dataframe[0].value["Run"].tolist() == ["good", "old"]
    again = opened(find="o", states=["finished", "lost"], recipes="small")
    assert again.dataframe[0].value["Run"].tolist() == ["good", "old"]
    [told] = again.warning
    assert "states was lost; expected one of finished" in told.value


def test_a_run_of_kept_tests_only_shows_the_lowest_of_them_by_its_name(mine):
    scores = json.loads((mine / "old" / "metrics.json").read_text())["validation"]
    low = scores | {"n_slices": 7, "balanced_accuracy": {"value": 0.25, "low": 0.2, "high": 0.3}}
    (mine / "old" / "metrics.json").write_text(json.dumps({"tests": {"a": scores, "b": low}}))
    table = opened().dataframe[0].value.set_index("Run")
    assert table.loc["old", "Balanced accuracy"] == 0.25
    assert table.loc["old", "Tested on"] == "Kept test: b, 7 slices"


def test_names_from_files_are_shown_as_they_are(mine):
    for name in ("good", "new"):
        config = json.loads((mine / name / "config.json").read_text())
        config["labels"] = ["normal", "pneumonia", "*t* :red[x]"]
        (mine / name / "config.json").write_text(json.dumps(config))
        frame = made_predictions(30, 1, scheme="[kept](x)").rename(columns={"p_tumour": "p_*t* :red[x]"})
        frame["label"] = frame["label"].replace("tumour", "*t* :red[x]")
        frame.to_parquet(mine / name / "predictions.parquet")
    app = opened()
    assert r"Kept test\: \[kept\]\(x\)" in text(app)
    assert r"\*t\* \:red\[x\]" in app.table[0].value.index


def test_the_first_two_runs_that_are_compared_saw_the_same_images(mine):
    frame = made_predictions(30, 1).assign(sha256=[f"other{place}" for place in range(30)])
    frame.to_parquet(mine / "new" / "predictions.parquet")
    assert loaders.first_pair(("new", "good", "old")) == ("old", "good")
    assert "good is better than old" in text(opened())


def test_on_a_new_machine_the_runs_that_ship_are_compared_on_phantoms_and_it_says_what_these_are(monkeypatch):
    monkeypatch.setattr(runs, "RUNS", ROOT / "data" / "runs")
    app = opened(first="demo", second="reference")
    assert "300 images in 300 groups that both runs were tested on" in text(app)
    assert "Phantoms are drawings" in text(app)


def test_a_scheme_without_a_shared_image_is_not_the_first_that_is_compared(mine):
    for name in ("good", "old"):
        own = made_predictions(30, 1).assign(scheme="source", sha256=[f"{name}{place}" for place in range(30)])
        both = pd.concat([own, pd.read_parquet(mine / name / "predictions.parquet")])
        both.to_parquet(mine / name / "predictions.parquet")
    assert loaders.common_schemes("old", "good") == ("validation", "source")


def test_runs_that_share_nothing_are_refused_calmly(mine):
    frame = made_predictions(30, 1).assign(sha256=[f"other{place}" for place in range(30)])
    frame.to_parquet(mine / "new" / "predictions.parquet")
    app = opened(first="good", second="new")
    assert "cannot be compared on the same images" in text(app)
    assert r"no image in common under scheme" in text(app)
    assert not app.error and not app.metric
    box(app, "First run").select("new").run()
    assert "This is one run twice" in text(app)


def test_damaged_predictions_do_not_take_the_page_down(mine):
    (mine / "good" / "predictions.parquet").write_bytes(b"junk")
    (mine / "good" / "history.csv").write_bytes(b"\x00junk")
    app = opened(first="new", second="old", runs=["old"])
    assert app.header and "history.csv holds no epoch" in text(app)


def test_a_run_is_renamed_noted_deleted_and_brought_back(mine):
    app = opened(first="old", second="new")
    box(app, "Run to change").select("old").run()
    next(item for item in app.text_input if item.label == "New name").input("first try").run()
    press(app, "Rename run")
    assert "first try" in runs.list_runs() and "old" not in runs.list_runs()
    assert box(app, "First run").value == "first try" and asked(app, "first") == "first try"
    next(item for item in app.text_area if item.label == "Note").input("<b>big</b> batch").run()
    press(app, "Save note")
    assert catalogue.note("first try") == "<b>big</b> batch\n"
    assert app.dataframe[0].value.set_index("Run").loc["first try", "Note"].strip() == "<b>big</b> batch"
    press(app, "Delete run")
    assert "first try" not in runs.list_runs()
    assert "**first try** was deleted" in text(app)
    press(app, "Undo")
    assert "first try" in runs.list_runs() and catalogue.trashed() == []


def test_a_name_that_is_taken_changes_nothing_and_says_so(mine):
    app = opened()
    box(app, "Run to change").select("old").run()
    next(item for item in app.text_input if item.label == "New name").input("new").run()
    press(app, "Rename run")
    assert "Nothing was changed" in app.error[0].value
    assert set(runs.list_runs()) == {"old", "good", "new"}


def test_what_may_not_be_changed_is_locked_with_its_reason(mine):
    app = opened()
    box(app, "Run to change").select("half").run()
    assert "a training that is not finished" in text(app)
    states = {item.label: item.disabled for item in app.button}
    assert states["Rename run"] and states["Delete run"]


def test_a_public_demo_shows_and_changes_nothing(mine, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    app = opened()
    assert "runs are only looked at" in text(app)
    assert not {"Rename run", "Delete run", "Save note", "Undo"} & {item.label for item in app.button}


def test_latency_is_measured_on_demand_and_stays_in_memory(mine):
    app = opened()
    assert app.dataframe[0].value["Latency"].isna().all()
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    press(app, "Measure latency")
    table = app.dataframe[0].value.set_index("Run")
    assert (table.loc[["new", "good", "old"], "Latency"] > 0).all() and pd.isna(table.loc["half", "Latency"])
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == before


def test_curves_draw_at_most_nine_hundred_marks_and_keep_the_peaks():
    epochs = 4000
    table = pd.DataFrame(
        {
            "name": ["a"] * epochs + ["b"] * epochs,
            "epoch": [*range(1, epochs + 1)] * 2,
            "step": 1.0,
            "minutes": float("nan"),
            "train_loss": [1 / epoch for epoch in range(1, epochs + 1)] * 2,
            "validation_loss": 0.5,
        }
    )
    table.loc[1234, "train_loss"] = 9.0
    lines = loaders.lines(table, "loss", "both", "epoch", 0.9)
    drawn = loaders.thinned(lines)
    assert len(lines) == 4 * epochs
    assert 2 * len(drawn) <= loaders.MOST_MARKS
    assert 9.0 in set(drawn["value"])
    assert loaders.lines(table, "loss", "both", "minutes", 0.9).empty
    spec = charts.curves(drawn, "Loss", "Epoch", True).to_dict()
    assert sum(len(rows) for rows in spec["datasets"].values()) <= loaders.MOST_MARKS


def test_numbers_are_said_as_people_say_them():
    assert [words.signed(value) for value in (0.054, -0.018, 0.001, -0.001)] == ["+0.05", "−0.02", "0.00", "0.00"]
    assert words.images(1) == "1 image" and words.images(1234) == "1,234 images"
