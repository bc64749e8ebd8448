"""The paper's recipe on CT slices: measured on what it has seen and on what not, taken up where it stopped."""

from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core import crossval, paper, paper_ct, robustness, runs
from core.__main__ import main
from core.errors import ConfigError
from core.runs import load_run
from core.scored import load_scored
from tests.made_runs import write_data
from tests.pages import ROOT


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """Two seeds of a small form of the recipe on two sources; folders, results, and what was cross-validated."""
    place = tmp_path_factory.mktemp("paper_ct")
    folders = [write_data(place / name, per_class=6, seed=seed) for name, seed in (("a", 0), ("b", 20))]
    small = {"pipeline": "paper", "size": 32, "resize": 36}
    recipe = paper_ct.load_recipe("paper", epochs=1, batch_size=6, preprocess=small)
    done = []

    def counted(path, folders, weights, scheme):
        done.append((path.name, scheme))
        return crossval.cross_validate(path, folders, weights, scheme, 2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "RUNS", place / "runs")
        patch.setattr(paper_ct, "load_recipe", lambda name: recipe)
        patch.setattr(paper_ct, "cross_validate", counted)
        patch.setattr(robustness, "SAMPLE", 6)
        found = paper_ct.reproduce(folders, "none", 2, against="paper-ct-1")
        again = paper_ct.reproduce(folders, "none", 2, against="paper-ct-1")
        one = paper_ct.reproduce(folders, "none", 1, against="paper-ct-1")
        (place / "runs" / "paper-ct-0").rename(place / "runs" / "elsewhere")
        later = paper_ct.reproduce(folders, "none", 2, against="paper-ct-1", known=one)
        with pytest.raises(ConfigError, match="what was kept: checksum"):
            paper_ct.reproduce(folders[:1], "none", 2, known=one)
        (place / "runs" / "elsewhere").rename(place / "runs" / "paper-ct-0")
        runs_of_seeds = [load_run(f"paper-ct-{seed}") for seed in range(2)]
    return found, (again, later, one), done, runs_of_seeds


def test_each_seed_is_a_run_that_is_trained_and_cross_validated_once(reproduced):
    found, again, done, _ = reproduced
    assert sorted(done) == [(f"paper-ct-{seed}", scheme) for seed in range(2) for scheme in ("group", "source")]
    assert again[:2] == (found, found)  # from the runs, and where the first seed was kept and its run is gone
    assert found["seeds"] == [0, 1]


def test_the_figures_are_those_of_the_kept_predictions(reproduced):
    found, _, _, seeds = reproduced
    for scheme in ("group", "source"):
        for seed, run in enumerate(seeds):
            scored = load_scored(run, scheme)
            right = scored.probabilities.argmax(axis=1) == scored.targets
            assert found["accuracy"][scheme]["by_seed"][seed] == pytest.approx(right.mean())
            # Classes alike in number, so accuracy and balanced accuracy are the same here.
            assert found["balanced_accuracy"][scheme]["by_seed"][seed] == pytest.approx(right.mean())
    assert found["images"]["group"] == found["images"]["source"] == 36
    assert found["images"]["train"] < 36
    whole = np.array(found["accuracy"]["train"]["by_seed"]) * found["images"]["train"]
    assert whole == pytest.approx(np.rint(whole))
    assert set(found["by_source"]) == {"a", "b"}
    assert found["by_source"]["a"]["sensitivity"]["tumour"]["images"] == 6
    assert 0 <= found["by_source"]["b"]["auc"]["value"] <= 1


def test_seed_0_is_compared_with_another_run_on_the_same_images(reproduced):
    found, _, _, _ = reproduced
    for scheme, compared in found["compared"].items():
        first, second = found["balanced_accuracy"][scheme]["by_seed"]
        assert compared["first"]["value"] == pytest.approx(first)
        assert compared["difference"]["value"] == pytest.approx(second - first)
        assert (compared["run"], compared["images"], compared["groups"]) == ("paper-ct-1", 36, 18)


def test_its_robustness_is_that_of_seed_0(reproduced):
    found, _, _, seeds = reproduced
    assert found["robustness"] == seeds[0].metrics["robustness"]
    assert "robustness" not in seeds[1].metrics


def test_a_source_of_one_side_has_no_auc():
    """So do most sources: their report has the measure, but no value."""
    sensitivity = {"value": 0.5, "low": 0.4, "high": 0.6}
    classes = {"normal": {"support": 0}, "tumour": {"support": 4, "sensitivity": sensitivity}}
    none = {"value": None, "low": None, "high": None, "note": "no normal slices"}
    report = {"n_slices": 4, "classes": classes, "diseased_auc": none}
    run = SimpleNamespace(metrics={"leave_one_source_out": {"a": report}})
    assert paper_ct._by_source(run) == {"a": {"images": 4, "sensitivity": {"tumour": {"images": 4} | sensitivity}}}


def test_one_seed_has_no_interval_over_seeds():
    one, two = paper.mean_of_seeds([0.5]), paper.mean_of_seeds([0.5, 0.6])
    assert (one["value"], one["low"], one["note"]) == (0.5, None, "one seed, no interval")
    # Student with one degree of freedom, 12.706 standard errors of 0.05: beyond both ends of the range.
    assert (two["value"], two["low"], two["high"]) == (pytest.approx(0.55), 0.0, 1.0)


def test_one_seed_has_its_own_intervals_by_groups(reproduced):
    _, (_, _, one), _, seeds = reproduced

    def own(found):
        return {name: value for name, value in found.items() if name not in ("words", "by_seed", "images")}

    for scheme in ("group", "source"):
        assert own(one["balanced_accuracy"][scheme]) == one["compared"][scheme]["first"]
    found = one["by_source"]["a"]["sensitivity"]["tumour"]
    assert own(found) == seeds[0].metrics["leave_one_source_out"]["a"]["classes"]["tumour"]["sensitivity"]
    assert found["by_seed"] == [found["value"]]


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_page_sets_it_beside_the_demo_run(reproduced, tmp_path, monkeypatch, seeds):
    found = reproduced[0] if seeds == 2 else reproduced[1][2]
    paper.keep(found, tmp_path / "paper_ct.json")
    monkeypatch.setattr(paper, "CT_RESULTS", tmp_path / "paper_ct.json")
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=60).run()
    app = app.switch_page("views/paper.py").run()
    assert [item.value for item in app.exception] == []
    text = "\n".join(item.value for item in [*app.header, *app.caption, *app.markdown])
    source = found["balanced_accuracy"]["source"]["value"]
    assert f"and {100 * source:.0f} % of those from a source it has not seen" in text
    assert ("mean of 2 seeds" if seeds == 2 else "one seed, 95 % by groups") in text
    difference = found["compared"]["source"]["difference"]
    assert f"ours less seed 0 of the paper's recipe {difference['value']:.2f}" in text
    table = next(item.value for item in app.dataframe if "Left-out source" in item.value)
    assert table["Left-out source"].tolist() == ["a"] * 4 + ["b"] * 4
    assert table["Slices"].tolist() == [6, 6, 6, 18] * 2


def test_no_seed_or_no_folder_is_refused(tmp_path, capsys):
    with pytest.raises(ConfigError, match="seeds"):
        paper_ct.reproduce([tmp_path], "none", 0)
    assert main(["reproduce-paper"]) == 2
    assert "neither --data nor --ct" in capsys.readouterr().err


def test_the_shipped_results_agree_with_the_shipped_demo_run():
    found, demo = paper.kept(paper.CT_RESULTS), load_run("demo")
    if not found:
        pytest.skip("the recipe was not yet measured on CT slices")
    for scheme, compared in found["compared"].items():
        scored = load_scored(demo, scheme)
        called = scored.probabilities.argmax(axis=1)
        balanced = np.mean([(called == label)[scored.targets == label].mean() for label in range(3)])
        assert compared["run"] == "demo"
        assert compared["second"]["value"] == pytest.approx(balanced)
        assert compared["images"] == scored.n_slices
        assert compared["first"]["value"] == pytest.approx(found["balanced_accuracy"][scheme]["by_seed"][0])
