"""Chromium and the running dashboard for browser tests. `python -m tests.browser` installs Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NO_NGINX = "nginx is not on this machine (Debian: apt-get install nginx-light)"
MISSING = "no Chromium: it could neither be found nor installed"


@dataclass(frozen=True)
class App:
    """A running dashboard: where it answers, the file that takes all that it prints, its process."""

    url: str
    log: Path
    pid: int


def chromium() -> str | None:
    """Path of a Chromium or Chrome that starts: one on PATH, else Playwright's own, else None."""
    for name in NAMES:
        path = shutil.which(name)
        if path and _starts(path):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if _starts(path) else None


def install_chromium() -> str | None:
    """Install Chromium where it is missing: Debian's package as root, else Playwright's download."""
    if path := chromium():
        return path
    if sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Chromium (apt-get) ...", flush=True)
        if _run("apt-get", "update", "-qq"):
            _run("apt-get", "install", "-y", "-qq", "chromium")
    if not chromium():
        print("Installing Chromium (Playwright's download) ...", flush=True)
        _run(sys.executable, "-m", "playwright", "install", "chromium")
    return chromium()


def in_ci() -> bool:
    """Whether this is continuous integration, where nothing that can be had may be skipped."""
    return os.environ.get("CI", "").lower() in ("1", "true")


@contextmanager
def running_app(
    script: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    streamlit: str = "streamlit",
) -> Iterator[App]:
    """`streamlit run script` on a free port, ready to answer; ended on leaving. `environment` is added to ours.

    `streamlit` names the module that runs it: Streamlit's own, or tests.slow_app.

    Raises RuntimeError with the log where it does not become ready within a minute.
    """
    port = _free_port()
    command = [sys.executable, "-m", streamlit, "run", str(script), "--server.headless", "true"]
    command += ["--server.address", "127.0.0.1", "--server.port", str(port)]
    with log.open("wb") as out:
        added = os.environ | dict(environment or {})
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=added)
    app = App(f"http://127.0.0.1:{port}", log, process.pid)
    try:
        _wait_until_ready(app, process)
        yield app
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(app: App, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{app.url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not start:\n{app.log.read_text(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _starts(path: str) -> bool:
    """Whether the program runs: Ubuntu's chromium-browser may be a stub, and libraries may be missing."""
    try:
        result = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def _run(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, env=environment, check=False, timeout=900).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return False


if __name__ == "__main__" and install_chromium() is None:
    print(f"Browser tests will {'fail' if in_ci() else 'be skipped'}: {MISSING}.", file=sys.stderr)
