"""The training slices nearest to a slice, in the space of the network's features."""

import csv
import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from core import neighbours
from core.__main__ import main
from core.errors import DataError, RunError
from core.images import read_slices
from core.predictor import Predictor
from core.runs import load_run
from core.train import Order, train
from tests.made_runs import small_recipe, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("neighbours") / "drawn", per_class=6, seed=20)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data) -> Path:
    order = Order("small", (str(data),), small_recipe(epochs=1), "none", 0)
    path = train(order, tmp_path_factory.mktemp("runs"))
    assert main(["neighbours", "--run", str(path), "--data", str(data)]) == 0
    return path


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def training_rows(run: Path) -> list[dict]:
    with (run / "split.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["part"] == "train"]


def features_of(run: Path, file: Path) -> np.ndarray:
    return Predictor.load(run).features(read_slices(file.read_bytes(), file.name))


def write_index(folder: Path, features: np.ndarray, groups: str) -> Path:
    """A run folder with an index alone: one slice a row of `features`, one letter a group."""
    (folder / "config.json").write_text('{"labels": ["a", "b"], "recipe": {}}')
    facts = {name: [f"{name} {i}" for i in range(len(groups))] for name in neighbours.FACTS}
    neighbours.build_from_features(folder, pd.DataFrame(facts | {"group": list(groups)}), features)
    return folder


def test_a_training_slice_finds_itself_first_and_not_when_left_out(run, data):
    row = training_rows(run)[2]
    features = features_of(run, data / row["file"])
    near = neighbours.nearest(run, features, k=3)
    assert near.loc[0, ["source", "file", "label", "sha256"]].tolist() == [
        row[name] for name in ("source", "file", "label", "sha256")
    ]
    assert near["distance"][0] < 1e-3 and near["distance"].is_monotonic_increasing and len(near) == 3
    others = neighbours.nearest(run, features, k=2, leave_out_sha256=row["sha256"])
    assert others["sha256"].tolist() == near["sha256"][1:].tolist()


def test_the_index_holds_the_slices_trained_on_and_no_others(run):
    rows = training_rows(run)
    assert 0 < len(rows) < 18
    assert sorted(neighbours.load(run).slices["sha256"]) == sorted(row["sha256"] for row in rows)


def test_distances_are_those_of_features_scaled_to_length_one(tmp_path):
    features = np.random.default_rng(3).gamma(1.0, size=(30, 12)).astype(np.float32)
    features[7] *= 5
    query = features[:4] * 3 + 0.1
    near = neighbours.nearest(write_index(tmp_path, features, "abcdefghijklmnopqrstuvwxyzABCD"), query, k=30)
    unit, asked = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (features, query))
    expected = np.sort(np.linalg.norm(asked[:, None] - unit, axis=2), axis=1)
    assert near["distance"].to_numpy().reshape(4, 30) == pytest.approx(expected, abs=2e-3)
    assert near["query"].tolist() == [number for number in range(4) for _ in range(30)]


def test_percentiles_count_how_near_training_slices_of_other_groups_are(tmp_path):
    angles = np.radians([0, 1, 10, 30])  # the first two of one group: their own nearest are 9 and 10 degrees off
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    folder = write_index(tmp_path, circle, "aabc")
    chords = 2 * np.sin(np.radians([9, 9, 10, 20]) / 2)
    assert neighbours.load(folder).own_distance == pytest.approx(chords, abs=2e-3)
    query = np.radians(30 + np.array([5, 15, 25]))
    near = neighbours.nearest(folder, np.stack([np.cos(query), np.sin(query)], axis=1), k=1)
    assert near["file"].tolist() == ["file 3"] * 3
    assert near["percentile"].tolist() == [0, 75, 100]


def test_the_same_features_make_the_same_file(tmp_path):
    features = np.random.default_rng(0).random((9, 80), np.float32)
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        write_index(folder, features, "abcdefghi")
    assert (first / neighbours.FILE).read_bytes() == (second / neighbours.FILE).read_bytes()


def test_an_image_that_changed_since_training_is_named(run, data, tmp_path):
    changed = Path(shutil.copytree(data, tmp_path / "drawn"))
    file = training_rows(run)[0]["file"]
    other = next(row["file"] for row in training_rows(run) if row["file"] != file)
    (changed / file).write_bytes((changed / other).read_bytes())
    with pytest.raises(DataError, match=f"drawn: {file}: found no file of the checksum"):
        neighbours.build(run, [changed])


def test_a_run_without_an_index_says_how_to_make_one(copy):
    (copy / neighbours.FILE).unlink()
    with pytest.raises(RunError, match="python -m core neighbours --run copy --data"):
        neighbours.nearest(copy, np.zeros(1280))


@pytest.mark.parametrize("keep", [0, 100, -1], ids=["empty", "cut short", "last byte gone"])
def test_a_damaged_index_is_named(copy, keep):
    file = copy / neighbours.FILE
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"copy: neighbours\.parquet: found a damaged file"):
        neighbours.load(copy)


def test_a_table_of_another_kind_is_no_index(copy):
    pd.DataFrame({"a": [1]}).to_parquet(copy / neighbours.FILE)
    with pytest.raises(RunError, match=r"copy: neighbours\.parquet"):
        neighbours.load(copy)


def test_features_of_another_network_are_refused(run):
    with pytest.raises(RunError, match=r"features of shape \(1, 5\); expected \(n, 1280\)"):
        neighbours.nearest(run, np.zeros(5))


def test_one_slice_is_too_few_for_an_index(tmp_path):
    with pytest.raises(DataError, match="two slices or more"):
        write_index(tmp_path, np.ones((1, 4)), "a")


def test_features_that_are_not_finite_make_no_index(tmp_path):
    with pytest.raises(DataError, match="not finite"):
        write_index(tmp_path, np.array([[1.0, 2.0], [np.nan, 1.0]]), "ab")


def test_slices_and_what_was_prepared_of_them_have_the_same_features(run, data):
    predictor = Predictor.load(run)
    slices = [s for file in sorted(data.glob("*.png")) for s in read_slices(file.read_bytes(), file.name)]
    prepared = [predictor.prepare(slice_) for slice_ in slices]
    features = predictor.features(slices)
    assert features.shape == (18, 1280) and features.dtype == np.float32
    assert np.array_equal(features, predictor.features(prepared))
    assert np.array_equal(features, predictor.features([item.image for item in prepared]))
    assert predictor.features([]).shape == (0, 1280)


def test_a_network_exported_without_features_predicts_and_says_what_it_lacks(copy, data):
    network = onnx.load(copy / "model.onnx")
    del network.graph.output[2]
    onnx.save(network, copy / "model.onnx")
    file = data / "tumour_0.png"
    slices = read_slices(file.read_bytes(), file.name)
    predictor = Predictor.load(copy)
    assert predictor.predict(slices)[0].label in predictor.labels
    with pytest.raises(RunError, match=r"copy: model\.onnx: found a network without features"):
        predictor.features(slices)


def test_the_demo_run_has_an_index_of_all_that_it_was_trained_on():
    run, index = load_run(), neighbours.load(None)
    trained = [row for row in run.config["data"]["counts"] if row["part"] == "train"]
    assert index.slices.value_counts(["source", "label"]).to_dict() == {
        (row["source"], row["label"]): row["images"] for row in trained
    }
    assert (run.path / neighbours.FILE).stat().st_size < 1_000_000
