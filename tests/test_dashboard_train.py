"""Train in AppTest: choices and their consequences, every state of a training in words, nothing when hosted."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import jobs, runs
from core.order import Request
from dashboard.training import charts, loaders, watch
from tests.made_runs import write_data

ROOT = Path(__file__).resolve().parent.parent
DEMO = runs.RUNS / "demo"
SMALL_FILES = ("config.json", "metrics.json", "history.csv", "model.onnx")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("train") / "drawn", per_class=6, seed=10)


@pytest.fixture
def root(tmp_path, monkeypatch, drawn) -> Path:
    """A folder of runs that holds the demo run alone, on a machine with the data folder `drawn`."""
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    for name in SMALL_FILES:
        shutil.copy(DEMO / name, tmp_path / "runs" / "demo" / name)
    shutil.copytree(drawn, tmp_path / "images" / "drawn")
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(loaders, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("LUNGLENS_DATA", str(tmp_path / "images"))
    for name in ("LUNGLENS_DEMO", "LUNGLENS_TRAIN", "LUNGLENS_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "runs"


def opened(**parameters: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "dashboard" / "views" / "train.py"), default_timeout=60)
    for name, value in parameters.items():
        app.query_params[name] = value
    return calm(app.run())


def calm(app: AppTest) -> AppTest:
    assert [item.value for item in app.exception] == []
    return app


def text(app: AppTest) -> str:
    return "\n".join(item.value for item in (*app.header, *app.markdown, *app.caption, *app.error, *app.warning))


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def job(root: Path, name: str, **progress) -> Path:
    """What a training left on disk whose process is gone."""
    folder = root / ".jobs" / name
    folder.mkdir(parents=True)
    (folder / "order.json").write_text(json.dumps({"arguments": ["--data", "x"], "ticket": 5}))
    (folder / "progress.json").write_text(json.dumps({"pid": 1, "epochs": 16, **progress}))
    return folder


def half_done(root: Path, name: str, epochs: int) -> None:
    """A run folder that was trained for some epochs."""
    (root / name).mkdir()
    shutil.copy(DEMO / "config.json", root / name / "config.json")
    (root / name / "checkpoint.pt").write_bytes(b"not opened here")
    lines = (DEMO / "history.csv").read_text().splitlines()
    (root / name / "history.csv").write_text("\n".join(lines[: epochs + 1]) + "\n")


def test_a_fresh_machine_can_train_on_phantoms_and_sees_the_demo_runs_curves(root):
    app = opened()
    assert [item.value for item in app.header] == [
        "It will learn from 57 phantoms and validate on 15 others",
        "How it went",
    ]
    assert "Start training" in labels(app) and "Stop training" not in labels(app)
    assert app.selectbox(key="watch").value == "demo"
    assert not (root.parent / "cache").exists(), (
        "phantoms are drawn when they are needed, not when a page is opened"
    )


def test_a_public_demo_trains_nothing_and_says_how_to_do_it_oneself(root, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    app = opened()
    assert "training is switched off" in text(app) and "Start training" not in labels(app)
    assert any("python -m core train --data DIR" in item.value for item in app.code)
    assert "How it went" in text(app)


def test_a_public_server_that_allows_it_trains_on_phantoms_alone(root, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    monkeypatch.setenv("LUNGLENS_TRAIN", "1")
    app = opened()
    assert app.multiselect(key="folders").options == ["Phantoms (synthetic)"]
    assert app.selectbox(key="weights").options == ["None (random)", "ImageNet"]


def test_a_data_folder_is_counted_by_class_source_and_group(root):
    app = opened(folders=["drawn"], held="34")
    assert "It will learn from 12 images and validate on 6 others" in text(app)
    [table] = [item.value for item in app.dataframe if "Learn from" in item.value]
    assert table["Source"].tolist() == ["drawn"] * 3
    assert (table["Learn from"].sum(), table["Validate on"].sum(), table["Groups"].sum()) == (12, 6, 9)
    app.number_input(key="held").set_value(0).run()
    assert "It will learn from 18 images" in text(calm(app)) and "validate" not in app.header[0].value


def test_choices_in_a_link_that_do_not_exist_are_told_and_the_defaults_used(root):
    app = opened(recipe="soup", epochs="0", folders=["nowhere"], held="400", seed="x")
    told = "\n".join(item.value for item in app.warning)
    for words in ("recipe was soup", "epochs was 0", "folders was nowhere", "held was 400", "seed was x"):
        assert words in told
    assert "It will learn from 57 phantoms and validate on 15 others" in text(app)


def test_an_emptied_data_box_is_no_fault_of_the_link(root):
    app = opened(folders="")
    assert [item.value for item in app.warning] == []
    assert "Found nothing chosen" in "\n".join(item.value for item in app.error)


def test_choices_in_a_link_are_taken(root):
    app = opened(recipe="paper", epochs="3", batch="8", rate="0.01", seed="7", training="mine")
    assert "3 epochs of 8 batches of 8" in text(app) and "learning rate 0.01, seed 7" in text(app)
    assert app.text_input(key="training").value == "mine" and not app.warning


def test_a_backbone_is_chosen_by_its_name_explained_and_ordered(root, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "start", asked.append)
    app = opened(folders=["drawn"], backbone="ResNet-18")
    assert "ResNet-18, optimiser" in text(app) and "From random ones it needs far more images" in text(app)
    app.button(key="start").click().run()
    [request] = asked
    assert request.backbone == "resnet18" and request.order().recipe.backbone == "resnet18"
    given = request.arguments()
    assert given[given.index("--backbone") + 1] == "resnet18"
    assert "far more images than" not in text(opened())
    assert "backbone was LeNet" in "\n".join(item.value for item in opened(backbone="LeNet").warning)


def test_start_orders_what_was_chosen_and_watches_it(root, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "start", asked.append)
    app = opened(folders=["drawn"], epochs="2", batch="4", training="mine")
    app.button(key="start").click().run()
    calm(app)
    assert asked == [
        Request("mine", (str(root.parent / "images" / "drawn"),), "lung", "none", 2, 4, None, 0.2, 0)
    ]  # fmt: skip
    assert app.text_input(key="training").value == ""


def test_start_draws_the_phantoms_that_were_chosen(root, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "start", asked.append)
    monkeypatch.setattr("dashboard.training.choices.PHANTOM_COUNTS", (2, 3))
    app = opened(held="34")
    app.button(key="start").click().run()
    calm(app)
    [request] = asked
    assert len(list(Path(request.folders[0]).glob("*.png"))) == 9
    assert loaders.parts_of(request)["images"].sum() == 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"folders": []}, "nothing chosen"),
        ({"weights": "A file by its path", "weights_file": "nowhere.pth"}, "no such file on this machine"),
        ({"weights": "A file by its path", "weights_file": "picture.png"}, "the path of a file ending in"),
        ({"training": "../out"}, "a plain name"),
        ({"training": "demo"}, "expected another name"),
    ],
)
def test_what_cannot_be_trained_is_told_before_it_is_started(root, change, words):
    app = opened(**{name: value for name, value in change.items() if value})
    if change == {"folders": []}:
        app.multiselect(key="folders").set_value([]).run()
    assert words in "\n".join(item.value for item in calm(app).error).replace("\\", "")
    assert "Start training" not in labels(app) or app.button(key="start").disabled


def test_a_folder_with_one_class_is_refused_by_name(root):
    write_data(root.parent / "images" / "alone", per_class=4, seed=10, labels=("normal",))
    app = opened(folders=["alone"])
    assert "one class" in text(app) and "Start training" not in labels(app)


def test_a_training_under_way_stands_first_with_progress_time_left_and_stop(root, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "stop", asked.append)
    half_done(root, "live", 3)
    with jobs.Turn("live", Request("live", ("x",))) as turn:
        facts = {"epochs": 16, "step": 4, "steps": 10, "loss": 0.5, "learning_rate": 1e-3}
        turn.tell(state="training", epoch=3, images_per_second=41.0, seconds_left=725.0, **facts)
        app = opened()
        assert app.header[0].value == "How it is going"
        assert "Epoch 4 of 16, batch 4 of 10. About 12 min left." in text(app)
        assert "Stop training" in labels(app) and "Add to the queue" in labels(app)
        assert ("Images per second", "41") in [(item.label, item.value) for item in app.metric]
        app.button(key="stop").click().run()
        assert asked == ["live"]


def test_a_training_that_died_names_its_last_good_epoch_and_can_be_resumed(root, monkeypatch):
    half_done(root, "gone", 5)
    job(root, "gone", state="training", epoch=5, step=3, steps=9)
    asked = []
    monkeypatch.setattr(jobs, "resume", asked.append)
    app = opened()
    assert app.selectbox(key="watch").value == "gone"
    assert "after epoch 5 of 16" in text(app) and "The weights of epoch 5 are safe" in text(app)
    app.button(key="resume").click().run()
    assert asked == ["gone"]


def test_a_failed_training_says_what_was_found_and_expected_without_acting_on_it(root):
    job(root, "broken", state="failed", error="![x](http://y): found junk; expected an image.")
    app = opened()
    [error] = [item.value for item in app.error]
    assert "before its first epoch ended" in error and r"\!\[x\]" in error
    assert "Resume" in labels(app)


def test_a_stopped_training_and_the_queue_are_told_in_words():
    stopped = jobs.Status("a", "stopped", epoch=2, epochs=9)
    assert watch.said(stopped).startswith("Stopped after epoch 2 of 9. Resume goes on from there")
    assert "2 trainings before it" in watch.said(jobs.Status("b", "queued", ahead=2))
    assert watch.said(jobs.Status("c", "preparing", images=5, of_images=1200)) == "Reading images: 5 of 1,200."
    assert "writing the model" in watch.said(jobs.Status("d", "finishing", epoch=9, epochs=9))


def test_an_accuracy_without_an_interval_says_why(root):
    [tile] = [item for item in opened(watch="demo").metric if item.label == "Balanced accuracy"]
    assert (tile.delta, tile.help[:13]) == ("no interval", "No interval: ")


def test_progress_counts_what_is_being_done_and_nothing_in_the_queue():
    queued, reading = jobs.Status("b", "queued", ahead=1), jobs.Status("b", "preparing", images=30, of_images=120)
    assert watch.progress(queued) is None
    assert watch.progress(reading) == (0.25, "25 % of the images")
    half = jobs.Status("b", "training", epoch=1, epochs=4, step=5, steps=10)
    assert watch.progress(half) == (0.375, "38 % of 4 epochs")
    assert watch.progress(jobs.Status("b", "finishing", epochs=4)) == (1.0, "100 % of 4 epochs")
    assert watch.progress(jobs.Status("b", "finished", epochs=4)) is None


def test_the_page_is_reached_by_the_navigation(root):
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    calm(app.switch_page("views/train.py").run())
    assert [item.value for item in app.title] == ["What will this run do, and how is it going?"]


def test_a_link_to_a_training_that_is_not_here_shows_another_and_says_so(root):
    app = opened(watch="elsewhere")
    assert app.selectbox(key="watch").value == "demo"
    assert "watch was elsewhere" in "\n".join(item.value for item in app.warning)


def test_calibration_is_shown_before_and_after_where_it_was_fitted(root):
    path = root / "demo" / "metrics.json"
    estimate = {"value": 0.1, "low": 0.05, "high": 0.2}
    side = {"ece": estimate, "cross_entropy": estimate | {"value": 0.7}}
    found = {
        "scheme": "validation",
        "temperature": 1.43,
        "n_slices": 60,
        "n_groups": 50,
        "before": side,
        "after": side,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"calibration": found}))
    app = opened()
    assert "Calibration: a temperature of 1.43" in text(app) and "60 validation images, 50 groups" in text(app)


def test_curves_carry_intervals_and_stay_small():
    epochs = pd.DataFrame(
        {"epoch": [1, 2], "minutes": [0.5, 1.0], "train_loss": [2.0, 1.0], "validation_loss": [2, 1.5]}
    )
    table = watch.curve_table(
        epochs.assign(validation_loss_low=[1.0, 1.0], validation_loss_high=[3.0, 2.0]), "loss"
    )
    assert table["part"].tolist() == ["train", "train", "validation", "validation"]
    assert table["low"].dropna().tolist() == [1.0, 1.0]
    assert watch.curve_sentence(table, "loss") == "Loss 1.50, lowest 1.50 in epoch 2"
    many = pd.DataFrame({"seconds": range(9000), "epoch": [n / 4500 for n in range(9000)], "loss": 1.0})
    raw = watch.between(many, epochs)
    assert len(raw) <= watch.MOST_POINTS and raw["minutes"].is_monotonic_increasing
    spec = charts.curve(table, "minutes", "Loss", raw.rename(columns={"loss": "value"})).to_dict()
    assert sum(len(rows) for rows in spec["datasets"].values()) < 900


def test_the_calibration_is_taken_away_to_the_last_digit(root, monkeypatch):
    taken = {}
    monkeypatch.setattr(watch, "downloads", lambda name, table: taken.update({name: table}))
    estimate = {"value": 0.1 + 0.2, "low": 0.05, "high": 0.4}
    side = {"ece": estimate, "cross_entropy": estimate}
    counts = {"scheme": "validation", "temperature": 1.4, "n_slices": 6, "n_groups": 5}
    watch.calibration({"calibration": counts | {"before": side, "after": side}})
    assert taken["train-calibration"]["value"].tolist() == [0.1 + 0.2] * 4
