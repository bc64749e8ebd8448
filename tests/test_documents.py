"""The documents tell of what there is: every file, folder, module, page and command that they name."""

import re
from pathlib import Path

import pytest

from tests import command_reference, screenshots
from tests.test_layout import ROOT, project_files

TEXTS = [
    Path("README.md"),
    *(path for path in project_files() if path.parts[0] == "docs" and path.suffix == ".md"),
]

MADE = {
    "data/images",
    "data/market/scenarios.duckdb",
    "dashboard/views/hello.py",
    "data/runs/NAME",
    "data/runs/first",
}
"""What use brings about, and what the documents make up."""
OF_A_RUN = re.compile(r"(train|test)/CLASS|manifest\.csv|config\.json|\w+\.parquet|\w+\.onnx|my\.toml")
"""What lies in a run's folder, in a data folder, or is the reader's own."""

FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|toml|txt|ya?ml|css|csv|json)")
MODULE = re.compile(r"(?:core|market|tests|dashboard)(?:\.[a-z_0-9]+)+")


def named(text: str) -> set[str]:
    """Paths in code style and in diagrams; what is only a pattern (`views/<page>.py`) is left out."""
    diagrams = " ".join(re.findall(r"```mermaid\n(.*?)```", text, re.S))
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    words = [word for span in spans for word in span.split()] + re.split(r"[\s,\[\]\"()]+|<br>", diagrams)
    return {word for word in words if FILE.fullmatch(word)}


def there(name: str) -> bool:
    """Whether the project has such a file or folder; one without a folder may lie anywhere in it."""
    if name in MADE or OF_A_RUN.fullmatch(name) or name.startswith("../"):
        return True
    if "/" not in name:
        return any(path.name == name for path in project_files())
    place = Path(name.rstrip("/"))
    return any(path == place or place in path.parents for path in project_files())


@pytest.mark.parametrize("document", TEXTS, ids=str)
def test_every_file_and_folder_that_a_document_names_is_there(document):
    found = named((ROOT / document).read_text())
    assert sorted(name for name in found if not there(name)) == []


@pytest.mark.parametrize("document", TEXTS, ids=str)
def test_every_link_of_a_document_leads_to_a_file_and_a_heading_that_are_there(document):
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]*)\)", (ROOT / document).read_text()):
        name, _, heading = target.partition("#")
        file = (ROOT / document.parent / name).resolve() if name else ROOT / document
        if not file.exists() or (heading and heading not in headings(file)):
            broken.append(target)
    assert broken == []


def headings(file: Path) -> set[str]:
    """The anchors that GitHub gives a document's headings."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", TEXTS, ids=str)
def test_every_module_that_a_document_names_is_there(document):
    missing = []
    for name in set(re.findall(r"`(?:python -m )?(" + MODULE.pattern + r")", (ROOT / document).read_text())):
        parts = name.split(".")
        places = [Path(*parts[:n]) for n in range(2, len(parts) + 1)]
        if not any(path.with_suffix(".py") in project_files() or (ROOT / path).is_dir() for path in places):
            missing.append(name)
    assert missing == []


def test_every_document_is_linked_from_the_readme_or_another_document():
    linked = {
        (ROOT / document.parent / target.partition("#")[0]).resolve()
        for document in TEXTS
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", (ROOT / document).read_text())
    }
    assert [str(path) for path in TEXTS[1:] if ROOT / path not in linked] == []


def test_the_command_reference_is_what_the_parsers_say():
    written = command_reference.FILE.read_text()
    assert written == command_reference.reference(), "stale: python -m tests.command_reference"


def test_the_reference_has_every_command():
    text = command_reference.FILE.read_text()
    for line in ("python -m core predict", "python -m market psa", "python -m market scenarios save"):
        assert f"### {line}\n" in text


def test_every_page_has_a_picture_and_a_line_in_the_readme():
    home = (ROOT / "dashboard" / "Home.py").read_text()
    pages = {"overview", *re.findall(r'url_path="([\w-]+)"', home)}
    assert set(screenshots.PAGES) == pages
    assert {path.stem for path in screenshots.FOLDER.glob("*.png")} == pages
    readme = (ROOT / "README.md").read_text()
    assert [page for page in pages if f"screenshots/{page}.png)" not in readme] == []


def test_every_environment_variable_of_the_product_is_told_in_the_readme():
    used = {
        name
        for path in project_files()
        if path.suffix == ".py" and path.parts[0] in ("core", "market", "dashboard")
        for name in re.findall(r"LUNGLENS_[A-Z]+", (ROOT / path).read_text())
    }
    used.discard("LUNGLENS_JOB")  # from one of our processes to another
    readme = (ROOT / "README.md").read_text()
    assert {"LUNGLENS_RUNS"} <= used
    assert sorted(name for name in used if f"`{name}" not in readme) == []
