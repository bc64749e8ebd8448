"""Damaged files: the page that meets one names it, with what was found and expected; never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import shape
from core.errors import RunError
from core.runs import load_run
from core.train import resume
from market.calibration import stored_fit
from market.errors import ParameterError
from tests import browser
from tests.visitor import Visitor

LUNG = "data/market/parameters/lung_us.yaml"
SAMPLE = "data/samples/synthetic_05_pneumonia.dcm"
FOLDERS = ("core", "market", "dashboard", "data", ".streamlit")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A copy of the program in which something of every kind is damaged."""
    tree = tmp_path_factory.mktemp("tree")
    made = shutil.ignore_patterns("__pycache__", "cache", "images", "screenshots", "*.duckdb*", ".jobs", ".trash")
    for folder in FOLDERS:
        shutil.copytree(browser.ROOT / folder, tree / folder, ignore=made)
    (tree / LUNG).write_text("- id: [", encoding="utf-8")
    (tree / "data" / "evidence" / "paper.json").write_bytes(b'{"accuracy": ')
    (tree / SAMPLE).write_bytes((tree / SAMPLE).read_bytes()[:4000])
    run = tree / "data" / "runs" / "reference"
    (run / "model.onnx").write_bytes((run / "model.onnx").read_bytes()[:100_000])
    (run / "predictions.parquet").write_bytes(b"PAR1 and no more")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["grouped_validation"]["n_slices"] = None
    (run / "metrics.json").write_text(json.dumps(metrics))
    (tree / "scenarios.duckdb").write_bytes(b"no database" * 2000)
    return tree


@pytest.fixture(scope="module")
def app(damaged, tmp_path_factory) -> Iterator[browser.App]:
    log = tmp_path_factory.mktemp("app") / "streamlit.log"
    own = {"LUNGLENS_SCENARIOS": str(damaged / "scenarios.duckdb"), "LUNGLENS_RUNS": str(damaged / "data" / "runs")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(browser, "ROOT", damaged)
        with browser.running_app(damaged / "dashboard" / "Home.py", log, own) as running:
            yield running
    assert "Traceback" not in log.read_text(errors="replace")


PAGES = {
    ("", ""): "lung_us.yaml",
    ("classify", "sample=synthetic_05_pneumonia"): "synthetic_05_pneumonia.dcm",
    ("classify", "run=reference"): "reference: model.onnx",
    ("performance", "run=reference"): "reference: predictions.parquet",
    ("runs", ""): "reference",
    ("model-card", "run=reference"): "reference: metrics.json: grouped_validation.n_slices",
    ("paper", ""): "paper.json",
    ("screening-value", ""): "lung_us.yaml",
    ("cost-effectiveness", ""): "lung_us.yaml",
    ("sensitivity", ""): "lung_us.yaml",
    ("adoption", ""): "lung_us.yaml",
    ("compare", ""): "scenarios.duckdb was damaged",
    ("sources", ""): "lung_us.yaml",
}


@pytest.mark.parametrize(("page", "query"), PAGES)
def test_a_page_names_the_damaged_file_that_it_meets(app, page, query):
    with Visitor(app.url) as visitor:
        visitor.open(page, query)
        said = "\n".join(item.message.body for item in visitor.elements("alert")).replace("\\", "")
        whole = visitor.text().replace("\\", "")
    assert PAGES[page, query] in (whole if page == "runs" else said)
    assert "expected" in said.lower() or page in ("runs", "compare")


def test_every_other_page_is_as_it_was(app):
    for page in ("classify", "performance", "train", "data", "model-card"):
        with Visitor(app.url) as visitor:
            visitor.open(page)
            assert visitor.elements("alert") == [], page


@pytest.mark.parametrize(
    ("module", "arguments", "file"),
    [
        ("market", ["run"], "lung_us.yaml"),
        ("core", ["predict", SAMPLE, "--run", "reference"], "model.onnx"),
        ("core", ["train", "--resume", "reference"], "reference"),
    ],
)
def test_a_command_names_the_damaged_file_in_one_line(damaged, module, arguments, file):
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=damaged,
        env={key: value for key, value in os.environ.items() if key != "LUNGLENS_RUNS"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2 and file in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no tensors", b"PK\x03\x04" + b"x" * 500])
def test_a_damaged_checkpoint_is_named_and_left_where_it_is(tmp_path, content):
    run = tmp_path / "cut"
    run.mkdir()
    shutil.copy(load_run("demo").path / "config.json", run)
    (run / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"cut: checkpoint\.pt: found a damaged file"):
        resume(run)
    assert (run / "checkpoint.pt").read_bytes() == content


def without(content: dict, *names: str) -> dict:
    return {name: value for name, value in content.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda config: without(config, "recipe"), "no recipe"),
        (lambda config: config | {"recipe": 5}, "recipe 5"),
        (lambda config: config | {"labels": [1, 2, 3]}, "labels"),
        (lambda config: config | {"temperature": "warm"}, "temperature"),
        (lambda config: config | {"temperature": float("nan")}, "temperature"),
        (lambda config: config | {"data": {"counts": [{"part": "train"}]}}, "counts"),
        (lambda config: config | {"data": 5}, "counts"),
    ],
)
def test_a_config_of_another_form_is_refused_by_its_entry(tmp_path, change, place):
    config = json.loads((load_run("demo").path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(change(config)))
    with pytest.raises(RunError, match=rf"config\.json.*{place}"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"gate": {"limit": None}}, "gate.limit: found None"),
        ({"grouped_validation": 5}, "grouped_validation: found 5"),
        ({"leave_one_source_out": {"a": {"classes": {}}}}, "leave_one_source_out.a: found no diseased_auc"),
        ({"tests": {"x": {"n_slices": True}}}, "tests.x.n_slices: found True"),
    ],
)
def test_metrics_of_another_form_are_refused_by_their_place(content, place):
    with pytest.raises(RunError, match=place):
        shape.check(content, shape.METRICS, "demo: metrics.json")


def test_what_is_measured_later_or_was_not_is_no_damage():
    shape.check({"further": {"x": 1}, "gate": None}, shape.METRICS, "demo: metrics.json")


@pytest.mark.parametrize("content", ["", "{}", '{"covariance": [[1]], "parameters": {}}', "\x00"])
def test_a_damaged_fit_is_named(tmp_path, content):
    (tmp_path / "nlst_fit.json").write_text(content)
    with pytest.raises(ParameterError, match=r"nlst_fit\.json"):
        stored_fit(tmp_path / "nlst_fit.json")


@pytest.mark.parametrize("content", [None, "", "age,female\n0,0.1\n", "age,female,male\n0,0.1,0.1\n2,0.1,0.1\n"])
def test_a_damaged_life_table_is_named(tmp_path, monkeypatch, content):
    from market import natural_history

    monkeypatch.setattr(natural_history, "LIFE_TABLE_FOLDER", tmp_path)
    file = natural_history.LIFE_TABLES["us"]
    if content is not None:
        (tmp_path / file).write_text(content)
    natural_history.life_table.cache_clear()
    try:
        with pytest.raises(ParameterError, match=file.replace(".", r"\.")):
            natural_history.life_table("us")
    finally:
        natural_history.life_table.cache_clear()
