"""Planted names, ids and marks of a patient: searched for on disk, in log, address, page, downloads, elsewhere."""

import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser
from tests.made_images import zipped

ROOT = browser.ROOT
SAMPLE = ROOT / "data" / "samples" / "synthetic_05_pneumonia.dcm"
WAIT = 90_000
LARGEST_WRITE = 64 * 1024
"""Bytes that any file of the server may grow to while the tests run: less than an upload or its picture."""

TAGS = {
    "PatientName": "Zyxolinsky^Quenby",
    "PatientID": "PIDZQ7731904",
    "PatientBirthDate": "19130607",
    "InstitutionName": "Qwoxburyzq",
    "ReferringPhysicianName": "Vurmdale^Ilka",
    "AccessionNumber": "ACCZQ55812",
    "StudyDescription": "Stagezq of Zyxolinsky",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77319041",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.77319042",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.77319043",
}
PRIVATE = "Prvtmarkq88"
OWN = (".streamlit", "core", "dashboard", "data", "market")
"""Folders of the project that a server could write to."""
FILE = "Fnamezq4471"
MEMBER = "Membrzq9902"
SECRETS = sorted({*TAGS.values(), *re.findall(r"[A-Z]\w{5,}", " ".join(TAGS.values())), PRIVATE})
"""What must be nowhere at all; the visitor's own file names may stand on that visitor's page and in their CSV."""


@dataclass(frozen=True)
class Hosted:
    """A hosted demo in folders of its own: where it answers, what it may write to, all that it printed."""

    url: str
    folder: Path
    log: Path
    started: float


@pytest.fixture(scope="module")
def hosted(tmp_path_factory) -> Iterator[Hosted]:
    """A demo whose files, unlinked ones included, cannot grow beyond LARGEST_WRITE: a larger write fails."""
    folder, started = tmp_path_factory.mktemp("privacy"), time.time()
    for name in ("home", "tmp", "cache"):
        (folder / name).mkdir()
    log, port = folder / "log", browser._free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUNGLENS_")}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "LUNGLENS_DEMO": "1"}
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("CI", None)  # under it some libraries report less than they would in use
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py")]
    command += ["--server.headless", "true", "--server.address", "127.0.0.1", "--server.port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_WRITE, LARGEST_WRITE)),
        )
    app = browser.App(f"http://127.0.0.1:{port}", log, process.pid)
    try:
        browser._wait_until_ready(app, process)
        yield Hosted(app.url, folder, log, started)
    finally:
        process.terminate()
        process.wait(30)


def marked() -> bytes:
    """A synthetic slice with every planted tag, and a mark burned into its pixels; over a megabyte."""
    dataset = pydicom.dcmread(SAMPLE)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    for keyword, value in TAGS.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = TAGS["SOPInstanceUID"]
    dataset.private_block(0x0099, "Lab", create=True).add_new(1, "LO", PRIVATE)
    pixels = dataset.pixel_array.copy()
    mark = np.zeros(pixels.shape, np.uint8)
    cv2.putText(mark, "QUENBY", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 3)
    pixels[mark > 0] = pixels.max()
    dataset.PixelData = pixels.tobytes()
    dataset.DataSetTrailingPadding = bytes(1024**2)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def send(page: Page, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    page.locator("input[type=file]").first.set_input_files(file)


def written(folder: Path, since: float = 0.0) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder that changed since then, links not followed; others' may go meanwhile."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                    yield str(path), path.read_bytes()


def leaks(where: str, content: bytes | str, words: list[str]) -> list[str]:
    """The planted words that stand in something, in UTF-8 or UTF-16, however they are spelled."""
    raw = content.encode() if isinstance(content, str) else content
    low = raw.lower()
    return [
        f"{where}: {word}"
        for word in words
        if any(word.lower().encode(code) in low for code in ("utf-8", "utf-16-le"))
    ]


def burned_in(content: bytes, pixels: np.ndarray) -> bool:
    """Whether a file holds rows of the planted picture as they are, or is a picture that shows it."""
    return pixels[30:33].tobytes() in content or (
        content[:4] in (b"\x89PNG", b"RIFF", b"\xff\xd8\xff\xe0") and len(content) > 20_000
    )


def test_nothing_of_a_patient_is_anywhere_but_on_the_visitors_own_page(hosted: Hosted, chromium: Browser):
    content = marked()
    assert len(content) > 1024**2
    mine = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    mine.set_default_timeout(WAIT)
    page = mine.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{hosted.url}/classify")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    send(page, f"{FILE}.dcm", content)
    answer = page.get_by_role("heading", name=re.compile("Most like|No answer")).first
    expect(answer).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(f"{FILE}.dcm").first).to_be_visible(timeout=WAIT)
    send(page, f"{FILE}.zip", zipped({f"{MEMBER}/{MEMBER}.dcm": content, f"{MEMBER}/a.txt": b"no picture"}))
    expect(page.get_by_text("could not be read").first).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=WAIT)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download results").click()
    table = Path(started.value.path()).read_bytes()
    assert FILE.encode() in table, "the visitor's own words, in the visitor's own file"
    drawn = page.locator("img[src*='/media/']").evaluate_all("all => all.map((one) => one.src)")
    assert drawn, "the slice and its heat map"
    pictures = [page.request.get(source).body() for source in drawn]

    other = chromium.new_context().new_page()
    other.set_default_timeout(WAIT)
    other.goto(f"{hosted.url}/classify")
    expect(other.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    expect(other.get_by_text("No slice yet")).to_be_visible(timeout=WAIT)

    names = [*SECRETS, FILE, MEMBER]
    found = leaks("the visitor's page", page.content(), SECRETS) + leaks("the table", table, SECRETS)
    found += [leak for picture in pictures for leak in leaks("a picture", picture, SECRETS)]
    found += leaks("addresses", "\n".join([*asked, page.url]), names)
    found += leaks("the other visit", other.content() + other.url, names)
    found += leaks("the log", hosted.log.read_bytes(), names)
    pixels = pydicom.dcmread(io.BytesIO(content)).pixel_array
    for path, held in written(hosted.folder):
        found += leaks(path, held, names)
        found += [f"{path}: the picture"] if burned_in(held, pixels) else []
    for folder in (*(ROOT / name for name in OWN), Path(tempfile.gettempdir())):
        for path, held in written(folder, hosted.started):
            found += leaks(path, held, SECRETS)
    mine.close()
    assert found == []
    log = hosted.log.read_text(errors="replace")
    assert "Traceback" not in log and "File too large" not in log and "Failed to persist" not in log
    assert [path for path, _ in written(hosted.folder) if not path.endswith("/log")] == []


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"..." + "zyxolinsky".encode("utf-16-le"))
    assert [leak for path, held in written(tmp_path) for leak in leaks(path, held, ["Zyxolinsky"])]
    pixels = pydicom.dcmread(io.BytesIO(marked())).pixel_array
    assert burned_in(b"x" + pixels.tobytes(), pixels) and not burned_in(b"x" * 100_000, pixels)
    assert {"Zyxolinsky", "PIDZQ7731904", PRIVATE} <= set(SECRETS)
