"""`python -m core predict`: files, folders and archives in, one line a slice out, nothing stops the rest."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main
from core.phantom import phantom
from core.predictor import Predictor
from core.samples import dicom_bytes, png_bytes
from core.train import Order, train
from tests.made_images import zipped
from tests.made_runs import small_recipe, write_data


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = write_data(tmp_path_factory.mktemp("predict") / "drawn", per_class=4, seed=10)
    order = Order("small", (str(folder),), small_recipe(epochs=1), "none", 0)
    return train(order, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def slices() -> list:
    return [phantom(label, 5, size=96).slice for label in ("normal", "pneumonia", "tumour")]


@pytest.fixture
def inbox(tmp_path, slices) -> Path:
    """A folder with a PNG, a DICOM in a folder below, a ZIP of two, junk that looks like a PNG, and a text."""
    (tmp_path / "below").mkdir()
    (tmp_path / "a.png").write_bytes(png_bytes(slices[0]))
    (tmp_path / "below" / "no_suffix").write_bytes(dicom_bytes(slices[1], "pneumonia", 5))
    (tmp_path / "c.zip").write_bytes(zipped({"2.png": png_bytes(slices[2]), "10.png": png_bytes(slices[0])}))
    (tmp_path / "d.png").write_bytes(b"no picture at all")
    (tmp_path / "readme.txt").write_text("not for the model")
    return tmp_path


def predict(capsys, *arguments: str) -> tuple[int, str]:
    status = main(["predict", *arguments])
    return status, capsys.readouterr().out


def test_every_slice_is_one_json_line_with_its_path_as_given(capsys, run, inbox):
    status, out = predict(capsys, str(inbox), "--run", str(run), "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["path"] for line in lines] == [
        f"{inbox}/a.png",
        f"{inbox}/c.zip!2.png",
        f"{inbox}/c.zip!10.png",
        f"{inbox}/d.png",
        f"{inbox}/below/no_suffix",
    ]
    assert status == 1
    assert "expected" in lines[3]["error"] and "label" not in lines[3]
    for line in lines[:3] + lines[4:]:
        assert set(line) == {"path", "frame", "label", "probabilities", "run", "warnings"}
        assert list(line["probabilities"]) == ["normal", "pneumonia", "tumour"]
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert line["label"] == max(line["probabilities"], key=line["probabilities"].get)
        assert line["run"] == "small"


def test_the_exit_status_is_zero_when_all_were_read(capsys, run, inbox):
    status, out = predict(capsys, str(inbox / "a.png"), "--run", str(run))
    assert status == 0
    assert out.startswith(f"{inbox}/a.png: most like ")


def test_a_missing_file_is_a_line_and_status_one(capsys, run, inbox):
    status, out = predict(capsys, str(inbox / "gone.png"), str(inbox / "a.png"), "--run", str(run), "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert "No such file" in lines[0]["error"] and lines[1]["label"]


def test_wrong_usage_and_a_missing_run_are_status_two(capsys, inbox):
    with pytest.raises(SystemExit) as stop:
        main(["predict"])
    assert stop.value.code == 2
    assert main(["predict", str(inbox), "--run", "no-such-run"]) == 2
    assert "no-such-run: found no such run" in capsys.readouterr().err


def test_a_damaged_model_is_status_two_and_names_the_file(capsys, run, inbox, tmp_path_factory):
    import shutil

    broken = tmp_path_factory.mktemp("broken") / "small"
    shutil.copytree(run, broken)
    (broken / "model.onnx").write_bytes(b"half a network")
    assert main(["predict", str(inbox), "--run", str(broken)]) == 2
    assert "small: model.onnx" in capsys.readouterr().err


def test_csv_has_a_header_and_a_row_a_slice(capsys, run, inbox):
    _, out = predict(capsys, str(inbox), "--run", str(run), "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 5
    assert float(rows[0]["p_normal"]) + float(rows[0]["p_pneumonia"]) + float(rows[0]["p_tumour"]) == pytest.approx(
        1, abs=1e-5
    )
    assert rows[3]["label"] == "" and "expected" in rows[3]["error"]


def test_heat_maps_are_written_beside_each_other_in_the_slices_size(capsys, run, inbox, tmp_path_factory):
    out = tmp_path_factory.mktemp("heat")
    predict(capsys, str(inbox), "--run", str(run), "--heatmaps", str(out))
    files = sorted(out.iterdir())
    assert len(files) == 4
    for file in files:
        with Image.open(file) as picture:
            assert (picture.size, picture.mode) == ((96, 96), "RGB")


def test_heat_maps_within_a_walked_folder_are_not_classified(capsys, run, inbox):
    arguments = (str(inbox), "--run", str(run), "--json", "--heatmaps", str(inbox / "maps"))
    first, second = predict(capsys, *arguments)[1], predict(capsys, *arguments)[1]
    assert len(first.splitlines()) == len(second.splitlines()) == 5


def test_a_heat_map_of_a_slice_with_a_very_long_name_is_written(capsys, run, inbox):
    long = inbox / ("x" * 120) / ("y" * 120)
    long.mkdir(parents=True)
    (inbox / "a.png").rename(long / "a.png")
    status, out = predict(capsys, str(long), "--run", str(run), "--json", "--heatmaps", str(inbox / "maps"))
    assert status == 0 and json.loads(out)["label"]
    assert len(list((inbox / "maps").iterdir())) == 1


def test_heat_maps_that_cannot_be_written_are_wrong_usage(capsys, run, inbox):
    assert main(["predict", str(inbox), "--run", str(run), "--heatmaps", str(inbox / "a.png")]) == 2
    assert "--heatmaps" in capsys.readouterr().err


def test_predictions_do_not_depend_on_the_company_of_a_slice(run, slices):
    predictor = Predictor.load(run)
    together = predictor.predict(slices * 7)
    for slice_, prediction in zip(slices * 7, together, strict=True):
        alone = predictor.predict([slice_])[0]
        assert alone.label == prediction.label
        assert list(alone.probabilities.values()) == pytest.approx(
            list(prediction.probabilities.values()), abs=1e-5
        )


def test_one_predictor_serves_several_threads(run, slices):
    from concurrent.futures import ThreadPoolExecutor

    predictor = Predictor.load(run)
    expected = [p.probabilities for p in predictor.predict(slices)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: predictor.predict(slices), range(12)):
            for ours, theirs in zip(found, expected, strict=True):
                assert list(ours.probabilities.values()) == pytest.approx(list(theirs.values()), abs=1e-5)


def test_a_heat_map_lies_within_what_the_network_saw(run, slices):
    prediction = Predictor.load(run).predict(slices[:1])[0]
    box = prediction.box
    outside = np.ones((96, 96), bool)
    outside[box.top : box.top + box.height, box.left : box.left + box.width] = False
    for label in ("normal", "pneumonia", "tumour"):
        heat = prediction.heatmap(label)
        assert heat.shape == (96, 96) and heat.min() >= 0 and heat.max() <= 1
        assert outside.any() and not heat[outside].any()
    assert max(prediction.heatmap(label).max() for label in prediction.probabilities) > 0.9


def test_predicting_imports_no_torch(run, inbox):
    code = (
        "import sys; from core.__main__ import main;"
        f"main(['predict', {str(inbox / 'a.png')!r}, '--run', {str(run)!r}, '--json']);"
        "print([m for m in ('torch', 'pandas', 'sklearn', 'scipy', 'pydicom') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
