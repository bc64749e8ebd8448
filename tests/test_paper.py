"""The paper's digits as numbers of images, and its recipe on a set of that size."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import backbones, paper
from core.errors import ConfigError, DataError, RunError
from tests.pages import ROOT


def test_printed_accuracies_are_whole_numbers_of_251_and_66_images():
    assert [paper.count(one, 251) for one in paper.TABLE_2["train_accuracy"]] == [236, 238, 240, 244, 234, 239]
    assert [paper.count(one, 66) for one in paper.TABLE_2["validation_accuracy"]] == [59, 61, 61, 61, 61, 62]
    assert paper.count(".952", 251) == 239
    assert paper.count(".9402", 250) is None


def test_the_smallest_sets_that_fit_all_digits_are_251_and_66():
    assert paper.fractions(paper.TABLE_2["train_accuracy"])[0] == 251
    assert paper.fractions(paper.TABLE_2["validation_accuracy"])[0] == 66
    assert paper.fractions([".5", ".25"], 9) == [4, 8]  # .25 is no share of 2, and .5 none of 3


def write_set(folder, train: int, test: int) -> None:
    """Grey squares of three classes, dark, middle and bright; the first test image is a copy of a training one."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for place in range(count):
            label = ("Covid", "Normal", "Viral Pneumonia")[place % 3]
            pixels = rng.integers(60 * (place % 3), 60 * (place % 3) + 60, (48, 48), dtype=np.uint8)
            path = folder / part / label / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    shutil.copy(folder / "train" / "Covid" / "0.png", folder / "test" / "Covid" / "0.png")


def test_the_recipe_is_measured_on_all_parts_of_the_set(tmp_path, monkeypatch):
    write_set(tmp_path, 12, 6)
    monkeypatch.setattr(paper, "TRAIN", 12)
    monkeypatch.setattr(paper, "TEST", 6)
    small = {"pipeline": "paper", "size": 32, "resize": 36}
    recipe = paper.load_recipe("paper", epochs=2, batch_size=4, preprocess=small)
    monkeypatch.setattr(paper, "load_recipe", lambda name: recipe)
    told = []
    found = paper.reproduce(tmp_path, "none", 2, lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
    assert found["images"] == {"test": 6, "fresh": 5, "train": 12}
    assert [len(run) for run in found["history"]] == [2, 2]
    for part, one in found["accuracy"].items():
        whole = found["images"][part]
        assert all((value * whole) == pytest.approx(round(value * whole)) for value in one["by_seed"])
        assert one["low"] <= one["value"] <= one["high"]
        assert one["value"] == pytest.approx(np.mean(one["by_seed"]))
    # The weights kept are those of the best epoch on the test images.
    best = max(row["validation_accuracy"] for row in found["history"][0])
    assert found["accuracy"]["test"]["by_seed"][0] == pytest.approx(best)
    assert sum(one["support"] for one in found["report"].values()) == 12
    paper.keep(found, tmp_path / "kept" / "paper.json")
    assert paper.kept(tmp_path / "kept" / "paper.json") == json.loads(json.dumps(found))


def test_another_set_or_too_few_seeds_are_refused(tmp_path):
    write_set(tmp_path, 12, 6)
    with pytest.raises(DataError, match="12 and 6 images; expected 251 and 66"):
        paper.reproduce(tmp_path, "none")
    with pytest.raises(ConfigError, match="seeds"):
        paper.reproduce(tmp_path, "none", 1)


def opened() -> AppTest:
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    app = app.switch_page("views/paper.py").run()
    assert [item.value for item in app.exception] == []
    return app


def words(app: AppTest) -> str:
    return "\n".join(item.value for item in [*app.title, *app.header, *app.caption, *app.markdown])


def test_the_page_sets_the_kept_results_beside_the_published_ones():
    found, text = paper.kept(), words(opened())
    fresh = found["accuracy"]["fresh"]
    assert f"The recipe calls {100 * fresh['value']:.1f} % of X-rays that are no copies right" in text
    assert "has **251** images" in text and "**66**" in text
    assert "239 of 251" in text


def test_the_page_without_results_works_out_the_digits_and_says_how_results_are_made(monkeypatch):
    monkeypatch.setattr(paper, "kept", lambda *path: {})
    text = words(opened())
    assert "has **251** images" in text and "reproduce-paper" in text


def test_damaged_results_are_told_by_name(tmp_path):
    (tmp_path / "paper.json").write_text("[]")
    with pytest.raises(RunError, match=r"paper\.json"):
        paper.kept(tmp_path / "paper.json")
    assert paper.kept(tmp_path / "absent.json") == {}


def test_the_shipped_results_are_of_the_set_and_the_seeds_that_they_name():
    found = paper.kept()
    assert found["images"] == {"test": 66, "fresh": 60, "train": 251}
    assert found["seeds"] == list(range(paper.SEEDS)) and len(found["history"]) == paper.SEEDS
    for part, one in found["accuracy"].items():
        assert {round(value * one["images"], 6) % 1 for value in one["by_seed"]} == {0}
        assert one["images"] == found["images"][part]


def test_a_training_of_the_shipped_results_can_be_made_again(shared):
    """One epoch of seed 0, from the weights that the results name: the very first row of its history."""
    weights = shared.parent / "weights" / paper.kept()["weights"]["name"]
    if not weights.is_file():
        pytest.skip("needs the start weights in ../shared/weights")
    table = paper.data.load_table([shared / "covid19_xray"])
    recipe = paper.load_recipe("paper", epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "load_recipe", lambda name: recipe)
        run = paper._train(table, paper._rows(table), str(weights), 0)
    first, shipped = run["history"][0], paper.kept()["history"][0][0]
    assert first["train_accuracy"] == pytest.approx(shipped["train_accuracy"], abs=0.02)
    assert first["train_loss"] == pytest.approx(shipped["train_loss"], rel=0.05)


def test_the_page_shows_what_each_backbone_costs_and_that_accuracy_is_open():
    app = opened()
    table = next(item.value for item in app.dataframe if "Multiply-adds" in item.value)
    found = paper.kept(backbones.EVIDENCE)["backbones"]
    assert table["Backbone"].tolist() == [one["title"] for one in found.values()]
    assert set(table["Balanced accuracy"]) == {"not measured"} and "compare-backbones" in words(app)
    times = {one["title"]: one["cpu_ms"]["median"] for one in found.values()}
    assert f"takes {max(times.values()) / times['MobileNetV2']:.0f} times as long" in words(app)
