"""Ensembles: the mean of their members' answers, honest results without training, no copy of a network."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core import catalogue, data, metrics, runs, thumbnails
from core.__main__ import main
from core.conformal import of_run
from core.ensemble import make
from core.errors import RunError
from core.evaluate import evaluate, predict_table
from core.images import read_slices
from core.labels import LABELS
from core.predictor import Predictor
from core.runs import list_runs, load_run
from core.samples import sample_bytes
from core.scored import load_scored, schemes
from core.slices import Slice
from tests.browser import ROOT
from tests.made_runs import made_predictions, made_run

SHIPPED = ("demo", "reference")
SAMPLES = [ROOT / "data" / "samples" / name for name in ("synthetic_04_normal.png", "synthetic_06_pneumonia.dcm")]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """A folder of runs with the two that ship, of different networks and sizes, and the ensemble of both."""
    root = tmp_path_factory.mktemp("runs")
    for name in SHIPPED:
        shutil.copytree(runs.RUNS / name, root / name, ignore=shutil.ignore_patterns("folds"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "RUNS", root)
        make(SHIPPED, "both")
    return root


@pytest.fixture
def both(shipped, monkeypatch) -> Path:
    monkeypatch.setattr(runs, "RUNS", shipped)
    return shipped / "both"


@pytest.fixture
def copied(shipped, tmp_path, monkeypatch) -> Path:
    """The ensemble in a folder of runs that may be changed."""
    monkeypatch.setattr(runs, "RUNS", Path(shutil.copytree(shipped, tmp_path / "runs")))
    return tmp_path / "runs" / "both"


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """An empty folder of runs."""
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    return tmp_path


def slices() -> list[Slice]:
    return [slice_ for path in SAMPLES for slice_ in read_slices(path.read_bytes(), path.name)]


def folded(seed: int, n: int = 60, scheme: str = "group") -> pd.DataFrame:
    """Made predictions of grouped folds, with logits, as a run keeps them."""
    frame = made_predictions(n, seed, scheme=scheme)
    return frame.assign(**{f"logit_{label}": np.log(frame[f"p_{label}"]) for label in LABELS})


def member(root: Path, name: str, frame: pd.DataFrame, folds: int = 5) -> Path:
    path = made_run(root, name, frame)
    found = {"grouped_validation": {"folds": folds}} | json.loads((path / "metrics.json").read_text())
    (path / "metrics.json").write_text(json.dumps(found))
    return path


def test_its_probabilities_are_the_mean_of_its_members_each_by_its_own_preprocessing(both):
    members = [Predictor.load(name) for name in SHIPPED]
    assert members[0].preprocess != members[1].preprocess
    together = Predictor.load("both").predict(slices())
    for one, *alone in zip(together, *(run.predict(slices()) for run in members), strict=True):
        for label in LABELS:
            assert one.probabilities[label] == pytest.approx(np.mean([p.probabilities[label] for p in alone]))
        assert one.run == "both" and one.label == max(one.probabilities, key=one.probabilities.get)
        expected = np.mean([p.heatmap(one.label) for p in alone], axis=0)
        assert expected.max() > 0 and np.allclose(one.heatmap(), expected)
        assert one.distance == pytest.approx(alone[0].distance) and not one.refused
        for own in alone:
            assert one.box.top <= own.box.top and one.box.left <= own.box.left
            assert one.box.left + one.box.width >= own.box.left + own.box.width


def test_what_the_gate_of_its_first_member_refuses_has_no_answer(both):
    noise = Slice(np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8), "grey", "noise")
    assert Predictor.load("reference").predict([noise])[0].label
    [found] = Predictor.load("both").predict([noise])
    assert found.refused and found.label is None and found.probabilities == {}
    assert not found.heatmap().any()


def test_no_network_is_copied_and_the_folder_explains_itself(both):
    assert not [path for path in both.iterdir() if path.suffix in (".onnx", ".safetensors", ".pt")]
    for words in ("mean of its members", "- demo: lung, network sha256", "the others refuse nothing"):
        assert words in load_run("both").card
    assert list_runs() == ["demo", "both", "reference"]
    own, *others = (
        pd.read_csv(run / "split.csv").query("part == 'train'")
        for run in (both, both.parent / "demo", both.parent / "reference")
    )
    assert set(own["sha256"]) == {sha256 for other in others for sha256 in other["sha256"]}


def test_its_results_are_those_of_the_mean_of_what_its_members_predicted(both):
    assert schemes(load_run("both")) == ["phantoms"]  # the one of which both have the very same slices
    found, alone = (load_scored(load_run(name), "phantoms") for name in ("both", "demo"))
    other = load_scored(load_run("reference"), "phantoms").frame.assign(
        **dict(zip(LABELS, load_scored(load_run("reference"), "phantoms").probabilities.T, strict=True))
    )
    theirs = other.set_index("sha256").loc[alone.frame["sha256"], list(LABELS)].to_numpy()
    expected = pd.DataFrame((alone.probabilities + theirs) / 2, index=alone.frame["sha256"])
    assert np.allclose(found.probabilities, expected.loc[found.frame["sha256"]], atol=1e-6)
    kept = load_run("both").metrics["tests"]["phantoms"]
    again = metrics.evaluate(found.probabilities, found.targets, found.frame["group"], LABELS)
    assert kept["balanced_accuracy"] == pytest.approx(again.balanced_accuracy.to_json())
    assert kept["seen_in_training"] == 0


def test_a_table_is_predicted_as_its_slices_are(both, tmp_path):
    rows = load_scored(load_run("both"), "phantoms").frame.iloc[[0, 299]]
    lines = ["file,label,group"]
    for row in rows.itertuples():
        label, seed = thumbnails.GROUP.fullmatch(row.group).groups()
        name = Path(row.file).name
        (tmp_path / name).write_bytes(sample_bytes(name, label, int(seed)))
        lines.append(f"{name},{label},{name}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    predictor = Predictor.load("both")
    frame = predict_table(predictor, data.load_table([tmp_path]))
    for row in frame.to_dict("records"):
        [slice_] = read_slices((tmp_path / row["file"]).read_bytes(), row["file"])
        [one] = predictor.predict([slice_])
        assert [row[f"p_{label}"] for label in LABELS] == pytest.approx(list(one.probabilities.values()), abs=1e-4)
    assert evaluate("both", [tmp_path]).evaluation.n_slices == 2


def test_out_of_fold_predictions_are_averaged_slice_by_slice_at_temperature_1(mine):
    one, two = folded(1), folded(2).iloc[::-1]
    member(mine, "one", one)
    member(mine, "two", two)
    path, measured = make(["one", "two"], "mean")
    assert measured == ["group"]
    found = load_scored(load_run(path), "group")
    columns = [f"p_{label}" for label in LABELS]
    expected = (one.set_index("sha256")[columns] + two.set_index("sha256")[columns]) / 2
    assert np.allclose(found.probabilities, expected.loc[found.frame["sha256"]], atol=1e-6)
    assert found.temperature == 1.0
    kept = load_run(path).metrics["grouped_validation"]
    assert kept["folds"] == 5 and kept["n_slices"] == 60 and "calibration" not in load_run(path).metrics
    again = metrics.evaluate(found.probabilities, found.targets, found.frame["group"], LABELS)
    assert kept["balanced_accuracy"] == pytest.approx(again.balanced_accuracy.to_json())
    assert of_run(load_run(path), 0.9).could_be({"normal": 0.98, "pneumonia": 0.01, "tumour": 0.01})


@pytest.mark.parametrize("change", ["fewer slices", "other groups", "other folds"])
def test_predictions_of_other_slices_groups_or_folds_are_not_averaged(mine, change):
    other = folded(2)
    if change == "fewer slices":
        other = other.iloc[2:]
    elif change == "other groups":
        other["group"] = other["group"].where(other.index > 0, "another")
    member(mine, "one", folded(1))
    member(mine, "two", other, folds=3 if change == "other folds" else 5)
    path, measured = make(["one", "two"], "mean")
    assert measured == [] and schemes(load_run(path)) == [] and "grouped_validation" not in load_run(path).metrics


def test_it_stays_as_it_was_made_whatever_is_measured_of_its_members_later(copied):
    before = Predictor.load("both").predict(slices())
    for name in SHIPPED:
        file = copied.parent / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"temperature": 3.0}))
    (copied.parent / "demo" / "gate.json").unlink()
    for one, other in zip(before, Predictor.load("both").predict(slices()), strict=True):
        assert (one.probabilities, one.distance) == (other.probabilities, other.distance)


def test_a_renamed_member_is_found_and_a_changed_or_missing_one_is_named(copied):
    named = copied.parent / "reference"
    named.rename(copied.parent / "renamed")
    assert Predictor.load("both").predict(slices()[:1])[0].label
    assert state("both") == ("finished", None)
    shutil.rmtree(copied.parent / "renamed")
    with pytest.raises(RunError, match=r"both: member reference: found no such run.*sha256 [0-9a-f]{12}"):
        Predictor.load("both")
    assert state("both") == ("damaged", "the network of a member is missing or another one now")
    shutil.copytree(copied.parent / "demo", named)
    with pytest.raises(RunError, match=r"both: member reference: found another model\.onnx"):
        Predictor.load("both")


def state(name: str) -> tuple[str, str | None]:
    table = catalogue.read_catalogue().runs.set_index("name")
    problem = table.loc[name, "problem"]
    return table.loc[name, "state"], None if pd.isna(problem) else problem


@pytest.mark.parametrize("content", ["[]", "{}", '{"members": [{"name": "demo"}]}', '{"members": "demo"}'])
def test_a_damaged_list_of_members_is_refused_by_its_file(copied, content):
    (copied / "ensemble.json").write_text(content)
    with pytest.raises(RunError, match=r"both: ensemble\.json"):
        Predictor.load("both")


def test_what_cannot_be_averaged_is_refused_by_name_and_leaves_nothing(copied):
    root = copied.parent
    other = root / "other"
    shutil.copytree(root / "demo", other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"labels": ["a", "b", "c"]}))
    half = root / "half"
    half.mkdir()
    (half / "config.json").write_text(json.dumps(config))
    for names, name, words in (
        (["demo"], "new", "members: found demo; expected two different runs"),
        (["demo", "demo"], "new", "two different runs"),
        (["demo", "both"], "new", "both: found an ensemble"),
        (["demo", "other"], "new", "other: found the classes a, b, c; expected those of demo"),
        (["demo", "half"], "new", r"half: found no model\.onnx"),
        (["demo", "nowhere"], "new", "nowhere: found no such run"),
        (SHIPPED, "both", "both: found a run of that name"),
        (SHIPPED, "../out", "expected a plain name"),
    ):
        with pytest.raises(RunError, match=words):
            make(names, name)
    assert sorted(path.name for path in root.iterdir()) == ["both", "demo", "half", "other", "reference"]


def test_it_cannot_be_trained_anew_but_its_members_can(both, tmp_path, capsys):
    assert main(["cross-validate", "--run", "both", "--scheme", "group", "--data", str(tmp_path)]) == 2
    assert (
        "both: found an ensemble, which is not trained; expected one of demo, reference" in capsys.readouterr().err
    )


def test_the_command_makes_one_and_predict_takes_it(copied, capsys):
    assert main(["ensemble", "reference", "demo", "--name", "turned"]) == 0
    assert "ensemble turned is made, its networks stay with its members; measured anew: phantoms" in (
        capsys.readouterr().out
    )
    assert main(["predict", str(SAMPLES[0]), "--run", "turned", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == "turned" and sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_classify_and_runs_take_it_like_any_run(copied):
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=120).run()
    app.switch_page("views/classify.py")
    app.query_params["run"], app.query_params["sample"] = "both", "synthetic_05_pneumonia"
    app.run()
    assert not app.exception and not app.error
    assert any("Most like: Pneumonia" in item.value for item in app.header), [item.value for item in app.header]
    app = AppTest.from_file(str(ROOT / "dashboard" / "views" / "runs.py"), default_timeout=90).run()
    assert not app.exception and not app.error
    table = app.dataframe[0].value.set_index("Run")
    assert table.loc["both", "State"] == table.loc["demo", "State"] and table.loc["both", "Recipe"] == "ensemble"
    assert table.loc["both", "Size"] == pytest.approx(table.loc[list(SHIPPED), "Size"].sum())
    assert catalogue.refusal("both") is None
