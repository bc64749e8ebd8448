"""Data in AppTest: leaks in one sentence, pairs side by side, values of a link, and what to do without data."""

import csv
import io
import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import audit_example, runs
from core.audit import audit
from core.audit_example import PLANTED, write_example
from core.audit_report import report
from dashboard.audit import charts, loaders
from dashboard.figure import csv_bytes
from tests.test_audit import folder_of, picture, png

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """The synthetic folders, drawn once."""
    folder = tmp_path_factory.mktemp("example")
    write_example(folder)
    return folder


@pytest.fixture
def page(example, monkeypatch, tmp_path):
    """Opens Data with a link's values; LUNGLENS_DATA names `root`, by default an empty folder."""
    monkeypatch.setattr(loaders, "CACHE", example)

    def open_page(root: Path | None = None, **values) -> AppTest:
        monkeypatch.setenv("LUNGLENS_DATA", str(root or tmp_path / "nothing"))
        app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=120)
        app.switch_page("views/data.py")
        for name, value in values.items():
            app.query_params[name] = value
        app.run()
        assert [error.value for error in app.exception] == []
        return app

    return open_page


def text(app: AppTest) -> str:
    kinds = (app.title, app.header, app.markdown, app.caption, app.warning, app.error)
    return "\n".join(item.value for kind in kinds for item in kind)


def shown_leaks(app: AppTest) -> str:
    """What stands between the leaks' title and the matrix of counts."""
    words = [item.value for item in app.markdown]
    first = next(place for place, value in enumerate(words) if "on both sides of a split" in value)
    last = next(place for place, value in enumerate(words) if "holds every class" in value or "hold every" in value)
    return "\n".join(words[first:last])


def choice(app: AppTest, label: str):
    [found] = [item for item in app.button_group if item.label == label]
    return found


def test_the_example_holds_the_leaks_that_were_planted_and_no_others(example):
    found = audit([example / "synthetic_a", example / "synthetic_b"])
    assert found.leaks["kind"].value_counts().to_dict() == PLANTED
    assert len(found.clashes) == 1
    assert "LEAKS: 3 images" in report(found)


def test_the_example_is_drawn_once_and_is_complete(example):
    before = {path: path.stat().st_mtime_ns for path in example.rglob("*")}
    assert [path.name for path in write_example(example)] == ["synthetic_a", "synthetic_b"]
    assert {path: path.stat().st_mtime_ns for path in example.rglob("*")} == before
    assert [path.name for path in example.iterdir() if path.name.startswith(".")] == []


def test_without_a_data_root_the_page_says_what_to_set_and_offers_slices(page):
    app = page()
    assert "LUNGLENS_DATA" in text(app)
    [button] = [button for button in app.button if button.label == "Look at synthetic slices"]
    button.click().run()
    assert app.query_params["data"] == "synthetic"
    assert app.header[0].value == "3 of 11 test images repeat one of an earlier part"


def test_the_synthetic_slices_are_drawn_when_they_are_first_asked_for(page, monkeypatch, tmp_path):
    monkeypatch.setattr(loaders, "CACHE", tmp_path / "cache" / "audit")
    few = {"normal": 4, "tumour": 7}
    monkeypatch.setattr(audit_example, "COUNTS", dict.fromkeys(audit_example.SOURCES, few))
    app = page(data="synthetic")
    assert app.metric[0].value == "26"
    assert "could not be probed" in text(app)


def test_the_answer_counts_what_leaks_by_kind(page):
    app = page(data="synthetic")
    assert [(item.label, item.value) for item in app.metric][:5] == [
        ("Images", "50"),
        ("Leaking images", "3"),
        ("Files there again", "2"),
        ("Near copies", "1"),
        ("Not readable", "0"),
    ]
    said = text(app)
    assert "1 same file, 1 same group, 1 near copy" in said
    assert "3 pairs of images on both sides of a split" in said
    assert "saved\\_anew\\.jpg" in said
    assert "1 pair with different labels" in said
    assert "a class that can be told from its source was not learned" in said


def test_a_kind_of_leak_can_be_chosen_and_stands_in_the_address(page):
    app = page(data="synthetic")
    assert "copied\\.png" in shown_leaks(app)
    choice(app, "What the two share").set_value("near").run()
    assert app.query_params["leak"] == "near"
    assert "copied\\.png" not in shown_leaks(app)
    again = page(data="synthetic", leak="near")
    assert choice(again, "What the two share").value == "near"
    assert shown_leaks(again) == shown_leaks(app)


def test_coming_back_by_the_menu_shows_what_a_link_had_opened(page):
    app = page(data="synthetic", label="tumour")
    for view in ("overview", "data"):
        app.query_params.clear()
        app.switch_page(f"views/{view}.py").run()
    assert (app.query_params["data"], app.query_params["label"]) == ("synthetic", "tumour")
    assert app.header[0].value == "3 of 11 test images repeat one of an earlier part"


def test_the_gallery_shows_the_chosen_class_and_page(page):
    app = page(data="synthetic", label="tumour", page="2")
    said = text(app)
    assert "14 images, page 2 of 2" in said
    assert app.warning.len == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": ["synthetic", "gone"]}, "data was gone; expected one of synthetic. Used instead: the others"),
        ({"data": "synthetic", "page": "99"}, "page was 99; expected a whole number from 1 to 5. Used instead: 1"),
        ({"data": "synthetic", "label": "cat"}, "label was cat; expected one of normal, pneumonia, tumour"),
        ({"data": "synthetic", "leak": "x*y"}, "leak was x\\*y; expected one of sha256, group, near"),
        ({"data": "synthetic", "property": "mood"}, "property was mood; expected one of brightness"),
        ({"data": "synthetic", "parts": "demo"}, "parts was demo"),
    ],
)
def test_a_value_of_a_link_that_cannot_be_used_is_told_and_replaced(page, values, words):
    app = page(**values)
    [told] = [item.value for item in app.warning]
    assert words in told.replace("\\,", ",").replace("\\'", "'")
    assert "3 of 11 test images" in app.header[0].value


def test_a_damaged_folder_is_named_with_what_was_found(page, tmp_path):
    (tmp_path / "root" / "bad").mkdir(parents=True)
    (tmp_path / "root" / "bad" / "manifest.csv").write_text("file,label\n1.png,normal\n")
    app = page(tmp_path / "root", data="bad")
    [error] = app.error
    assert "no column group" in error.value
    assert app.metric.len == 0


def test_a_folder_without_parts_and_with_a_torn_file_is_still_shown(page, tmp_path):
    rows = [(f"{seed}.png", "normal", f"p{seed}", "", png(picture(seed))) for seed in range(3)]
    folder_of(tmp_path / "root" / "mine", [*rows, ("torn.png", "normal", "t", "", png(picture(4))[:99])])
    app = page(tmp_path / "root", data="mine")
    assert app.header[0].value == "No train and test part is named here, so nothing can leak between them"
    assert "1 file could not be read" in text(app)
    assert app.multiselect[0].options == ["Synthetic slices, with faults put in", "mine"]


def test_an_image_that_changed_is_looked_at_again(page, tmp_path):
    rows = [
        (f"{seed}.png", "normal", f"p{seed}", split, png(picture(seed)))
        for seed, split in ((1, "train"), (2, "test"))
    ]
    folder = folder_of(tmp_path / "root" / "mine", rows)
    assert page(tmp_path / "root", data="mine").header[0].value == "No test image repeats one of an earlier part"
    (folder / "2.png").write_bytes(png(picture(1)))
    assert (
        page(tmp_path / "root", data="mine").header[0].value == "1 of 1 test images repeats one of an earlier part"
    )


def test_a_hosted_demo_shows_synthetic_slices_only(page, monkeypatch, tmp_path):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    folder_of(tmp_path / "root" / "secret", [("1.png", "normal", "p", "", png(picture(1)))])
    app = page(tmp_path / "root", data="secret")
    assert app.multiselect[0].options == ["Synthetic slices, with faults put in"]
    assert "secret" not in app.multiselect[0].value
    assert "data was secret" in app.warning[0].value


def test_classes_of_awkward_names_are_counted_and_told_apart(page, tmp_path):
    labels = ("images", "size", "Normal", "normal")
    rows = [(f"{k}.png", label, f"p{k}", "", png(picture(k))) for k, label in enumerate(labels)]
    folder_of(tmp_path / "root" / "mine", rows)
    page(tmp_path / "root", data="mine")
    found = audit([tmp_path / "root" / "mine"])
    table = loaders.kinds_of_file(found, "size")
    assert table.to_dict("records") == [
        {"size": "160 x 160", "images": 4, "images (class)": 1, "size (class)": 1, "Normal": 1, "normal": 1}
    ]
    assert charts.titles(["normal", "Normal", "tumour"]) == ["normal", "Normal", "Lung tumour"]


def test_a_damaged_split_of_some_run_takes_nothing_down(page, monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    for name, content in (("torn", b"\xff\x00"), ("blank", b"\n"), ("whole", b"source,file\nmine,1.png\n")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "model.onnx").write_bytes(b"x")
        (tmp_path / "runs" / name / "split.csv").write_bytes(content)
    folder = folder_of(tmp_path / "root" / "mine", [("1.png", "normal", "p", "", png(picture(1)))])
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    app = page(tmp_path / "root", data="mine")
    [parts] = [item for item in app.selectbox if item.label == "Parts from"]
    assert parts.options == ["The folders themselves", "Split of run whole"]


def test_names_keep_their_hyphens_and_capitals(page, tmp_path):
    for name, shift in (("Site-A", 0), ("Site-B", 90), ("Site-C", 0)):
        pictures = {seed: picture(seed, "tumour") // 2 + shift for seed in range(6)}
        rows = [(f"{seed}.png", "tumour", f"p{seed}", "", png(one)) for seed, one in pictures.items()]
        folder_of(tmp_path / "root" / name, rows)
    app = page(tmp_path / "root", data=["Site-A", "Site-B", "Site-C"])
    assert "Largest clear difference: Site-B, brightness" in text(app).replace("\\", "")
    assert "−" not in "".join(line for line in text(app).splitlines() if "Site" in line)


def test_what_is_downloaded_names_files_and_no_path_of_the_machine(example, tmp_path):
    images = loaders.table([example / "synthetic_a", example / "synthetic_b"])
    found = loaders.audit("test", images, "", lambda done, total: None)
    content = loaders.as_json(found)
    assert json.loads(content)["leaks"][0]["second"]["file"] == "copied.png"
    assert str(example).encode() not in content
    from dashboard.audit import parts

    table = list(csv.DictReader(io.StringIO(csv_bytes(parts.pairs_table(found, found.leaks)).decode())))
    assert [row["kind"] for row in table] == ["sha256", "group", "near"]
    assert {row["second_part"] for row in table} == {"test"}
    assert "path" not in parts.images_table(found).columns
    assert loaders.part_counts(found)["images"].sum() == loaders.class_counts(found)["images"].sum() == 50
