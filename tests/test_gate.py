"""The gate: what lies far from the training slices is refused, by a limit that left-out sources set."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset

from core import gate, refusals
from core.__main__ import main
from core.errors import RunError
from core.images import read_slices
from core.phantom import phantom
from core.predict import line
from core.predictor import Predictor
from core.runs import load_run
from core.slices import Slice
from tests.made_images import dicom_dataset, png, written

RNG = np.random.default_rng(3)
AXES = RNG.normal(size=(5, 40))
"""Made context varies along five axes of forty, and a little everywhere."""


def context(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 7 + rng.normal(size=(n, 5)) @ AXES + 0.3 * rng.normal(size=(n, 40))


@pytest.fixture(scope="module")
def fitted() -> gate.Gate:
    return gate.fit(context(400, 0), np.arange(400) // 2)


def test_one_is_the_95th_percentile_of_slices_like_those_of_training(fitted):
    assert np.mean(fitted.distance(context(4000, 1)) <= 1) == pytest.approx(0.95, abs=0.03)


def test_what_varies_where_training_slices_do_not_is_far(fitted):
    along = 7 + 3 * RNG.normal(size=(50, 5)) @ AXES
    across = context(50, 2) + 3 * RNG.normal(size=(50, 40))
    assert fitted.distance(along).max() < 1 < 2 < fitted.distance(across).min()


def test_a_gate_is_the_same_for_the_same_slices_and_seed():
    first, again = (gate.fit(context(200, 0), np.arange(200) // 2, seed=4) for _ in range(2))
    assert first.unit == again.unit
    assert np.array_equal(first.components, again.components)


@pytest.mark.parametrize(("slices", "groups"), [(99, 99), (200, 4)])
def test_too_few_slices_or_groups_make_no_gate(slices, groups):
    assert gate.fit(context(slices, 0), np.arange(slices) % groups) is None


def test_the_limit_is_the_least_that_lets_95_percent_of_each_source_through():
    near, far = np.arange(1, 21) / 20, np.arange(1, 21) / 10
    limit = gate.calibrate(np.concatenate([near, far]), ["near"] * 20 + ["far"] * 20)
    assert limit == 1.9  # 19 of 20 are 95 %
    frame = pd.DataFrame({"source": ["a"] * 4, "group": [1, 1, 2, 3], gate.COLUMN: [0.5, 3.0, 1.0, 1.2]})
    assert gate.passed(frame, 1.5)["a"]["value"] == 0.75


def test_a_gate_is_read_as_it_was_written(fitted, tmp_path):
    gate.write(tmp_path, fitted)
    again = gate.load(tmp_path)
    assert np.array_equal(again.distance(context(9, 5)), fitted.distance(context(9, 5)))
    assert again.limit == fitted.limit == gate.DEFAULT_LIMIT
    assert gate.load(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    "damage",
    [
        {"limit": 0},
        {"limit": "1.5"},
        {"unit": float("nan")},
        {"size": [16, 41]},
        {"centre": "AAAA"},
        {"scale": "not base64"},
        {"components": None},
    ],
)
def test_a_damaged_gate_is_an_error_that_names_the_file(fitted, tmp_path, damage):
    gate.write(tmp_path, fitted)
    content = json.loads((tmp_path / gate.FILE).read_text()) | damage
    (tmp_path / gate.FILE).write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"gate\.json: found a damaged file"):
        gate.load(tmp_path)


@pytest.fixture(scope="module")
def demo() -> Predictor:
    return Predictor.load(threads=1)


@pytest.mark.parametrize("label", ["normal", "pneumonia", "tumour"])
def test_the_demo_run_answers_phantoms(demo, label):
    found = demo.predict([phantom(label, seed).slice for seed in (31, 32, 33)])
    assert all(one.refused is None and one.label and one.distance <= demo.gate.limit for one in found)
    assert all("refused" not in line(one) for one in found)


def made_pictures() -> dict[str, np.ndarray]:
    import cv2

    rng = np.random.default_rng(0)
    page = np.full((400, 500), 255, np.uint8)
    for row in range(14):
        cv2.putText(page, f"Findings, line {row}", (12, 26 + 27 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 0, 2)
    clouds = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 9)
    return {
        "noise": rng.integers(0, 256, (256, 256), dtype=np.uint8),
        "black": np.zeros((256, 256), np.uint8),
        "text": page,
        "white on black": 255 - page,
        "clouds": cv2.normalize(clouds, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8),
        "stripes": np.tile((np.arange(256) % 16 * 17).astype(np.uint8), (256, 1)),
        "one pixel": np.zeros((1, 1), np.uint8),
        "a line": np.arange(250, dtype=np.uint8)[None],
    }


@pytest.mark.parametrize("kind", made_pictures())
def test_the_demo_run_refuses_what_is_no_slice(demo, kind):
    (found,) = demo.predict([Slice(made_pictures()[kind], "grey", kind)])
    assert found.label is None and found.probabilities == {}
    assert found.refused.endswith(".") and len(found.refused) > 30
    assert found.heatmap().shape == found.shape and not found.heatmap().any()
    told = line(found)
    assert told["label"] is None and told["probabilities"] == {} and told["refused"] == found.refused
    assert json.dumps(told, allow_nan=False)


def test_a_file_that_says_it_is_another_modality_is_refused_whatever_it_shows(demo):
    values = (phantom("normal", 31).slice.pixels + 1024).astype(np.uint16)
    shown = {"RescaleIntercept": "-1024", "RescaleSlope": "1"}
    for modality, refused in (("CT", False), ("MR", True), ("CR", True), ("OT", False)):
        dataset: Dataset = dicom_dataset(values, Modality=modality, **shown)
        (slice_,) = read_slices(written(dataset), "file.dcm")
        (found,) = demo.predict([slice_])
        assert (found.refused is not None) is refused, modality
        if refused:
            assert found.refused == f"The file says that it is {modality}, not CT."


def test_a_picture_with_much_colour_is_refused_and_one_with_letters_drawn_in_is_not(demo):
    import cv2

    from core.samples import png_bytes

    grey = cv2.imdecode(np.frombuffer(png_bytes(phantom("normal", 31).slice), np.uint8), cv2.IMREAD_COLOR)
    drawn, tinted = grey.copy(), grey.copy()
    cv2.putText(drawn, "R", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 255), 4)
    tinted[..., 0] //= 3
    for pixels, refused in ((grey, False), (drawn, False), (tinted, True)):
        (slice_,) = read_slices(cv2.imencode(".png", pixels)[1].tobytes(), "picture.png")
        (found,) = demo.predict([slice_])
        assert (found.refused is not None) is refused
    assert found.refused.endswith("% of its pixels are coloured; a CT slice is grey.")


def test_a_lung_field_taller_than_wide_is_refused(demo):
    import cv2

    made = phantom("normal", 31).slice
    height, width = made.pixels.shape
    for share, refused in ((1.0, False), (0.8, False), (0.5, True)):
        narrow = cv2.resize(made.pixels.astype(np.float32), (round(share * width), height))
        (found,) = demo.predict([Slice(narrow, "hu", "narrow")])
        assert (found.refused == gate.TALL) is refused, share


def test_the_command_line_says_why_there_is_no_answer(capsys, tmp_path):
    (tmp_path / "noise.png").write_bytes(png(made_pictures()["noise"]))
    assert main(["predict", str(tmp_path / "noise.png")]) == 0
    assert f"noise.png: no answer: {gate.NO_LUNGS}" in capsys.readouterr().out
    assert main(["predict", "--csv", str(tmp_path / "noise.png")]) == 0
    header, row = capsys.readouterr().out.splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert cells["label"] == cells["p_normal"] == "" and cells["refused"] == gate.NO_LUNGS


def test_refusals_are_counted_by_folder_and_kept_in_the_run(tmp_path, capsys):
    for kind, pixels in (("noise", made_pictures()["noise"]), ("text", made_pictures()["text"])):
        (tmp_path / kind).mkdir()
        for number in range(3):
            (tmp_path / kind / f"{number}.png").write_bytes(png(np.roll(pixels, 5 * number)))
    (tmp_path / "text" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    kinds = [str(tmp_path / kind) for kind in ("noise", "text")]
    assert main(["refusals", *kinds]) == 0
    assert "noise: 3 of 3 refused (95 %: " in capsys.readouterr().out
    assert main(["refusals", *kinds, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text"]["refused"]["slices"] == 4 and found["text"]["answered"] == []
    copy = tmp_path / "runs" / "copy"
    shutil.copytree(load_run().path, copy, ignore=shutil.ignore_patterns("metrics.json", "folds"))
    (copy / "metrics.json").write_text("{}")
    assert main(["refusals", str(tmp_path / "noise"), "--run", str(copy), "--keep"]) == 0
    kept = load_run(copy)
    assert kept.metrics["gate"]["outside"]["noise"] == found["noise"]
    assert kept.metrics["gate"]["limit"] == gate.load(copy).limit
    assert "| noise | 1.00" in kept.card
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no picture"):
        refusals.count(None, [tmp_path / "empty"])


def test_a_run_without_a_gate_answers_all_and_cannot_count(demo, tmp_path):
    from tests.made_runs import made_run

    run = made_run(tmp_path, "open")
    (found,) = Predictor.load(run, threads=1).predict([Slice(made_pictures()["noise"], "grey", "noise")])
    assert found.label and found.distance is None and found.refused is None
    with pytest.raises(RunError, match=r"no gate\.json"):
        refusals.count(run, [tmp_path])


def test_the_demo_runs_limit_lets_left_out_slices_through_as_its_card_says(demo):
    run = load_run()
    frame = pd.read_parquet(run.path / "predictions.parquet")
    left_out = frame[frame["scheme"] == "source"]
    assert demo.gate.limit == run.metrics["gate"]["limit"]
    assert gate.calibrate(left_out[gate.COLUMN].to_numpy(), left_out["source"]) == demo.gate.limit
    passed = gate.passed(left_out, demo.gate.limit)
    assert passed == run.metrics["gate"]["passed"]["leave_one_source_out"]
    assert all(share["value"] >= 0.95 for share in passed.values())


@pytest.mark.parametrize("folder", ["ood/chest_xray", "ood/brain_mri", "ood/photo"])
def test_of_pictures_that_are_no_slices_as_many_are_refused_as_the_card_says(shared, folder):
    ((kind, found),) = refusals.count(None, [shared / folder]).items()
    assert found == load_run().metrics["gate"]["outside"][kind]


def test_at_least_95_percent_of_pictures_that_are_no_slices_are_refused():
    outside = load_run().metrics["gate"]["outside"].values()
    whole = sum(kind["refused"]["slices"] for kind in outside)
    assert whole >= 300
    assert sum(len(kind["answered"]) for kind in outside) <= 0.05 * whole


def test_slices_of_a_scanner_that_no_source_has_are_answered(demo, shared):
    files = sorted((shared / "dicom" / "chest_ct_A0001").glob("*.dcm"))
    found = demo.predict([slice_ for file in files for slice_ in read_slices(file.read_bytes(), file.name)])
    assert len(found) == 8
    assert sum(one.refused is not None for one in found) == 0
