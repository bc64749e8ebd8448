"""Start the dashboard behind its proxy: Streamlit for this machine alone, nginx for visitors. Both end together.

`--healthy` starts nothing: exit status 0 where the dashboard answers, else 1.

PORT                       where nginx listens, 7860 if not said (0.0.0.0; HOST names another address)
LUNGLENS_BASE_PATH         path below which all pages lie, as in /lunglens; none if not said
LUNGLENS_FRAME_ANCESTORS   who may show the pages in a frame, as in "https://huggingface.co"; no other if not said
LUNGLENS_TRUSTED_PROXIES   addresses, as in "10.0.0.0/8", whose X-Forwarded-For tells who a visitor is
LUNGLENS_UPLOAD_MB         largest request and file, 25 if not said; Streamlit is told the same
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).with_name("nginx.conf")
BASE = r"(/[A-Za-z0-9._~-]+)*"
PROXIES = r"[0-9A-Fa-f.:/ ]*"
ANCESTOR = r"'self'|'none'|https?://(\*\.)?[A-Za-z0-9.-]+(:\d+)?"


@dataclass(frozen=True)
class Settings:
    """What the environment says; `base` is empty or begins with a slash, `upload_mb` in MiB."""

    listen: str
    base: str
    ancestors: tuple[str, ...]
    proxies: tuple[str, ...]
    upload_mb: int

    @property
    def framed(self) -> bool:
        """Whether other sites may show the pages in a frame, where browsers hold SameSite=Lax cookies back."""
        return any(ancestor.startswith("http") for ancestor in self.ancestors)


class SettingError(Exception):
    """An environment variable with a value that cannot be used."""


def settings(environment: Mapping[str, str]) -> Settings:
    """Read and check the environment; raises SettingError naming the variable, what was found and expected."""

    def number(name: str, default: int, most: int) -> int:
        text = environment.get(name) or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise SettingError(f"{name}: found {text!r}; expected a whole number from 1 to {most:,}.")
        return int(text)

    host = environment.get("HOST") or "0.0.0.0"
    if not re.fullmatch(r"[0-9.]+|\[[0-9A-Fa-f:]+\]", host):
        raise SettingError(f"HOST: found {host!r}; expected an IP address, IPv6 in brackets.")
    base = "/" + (environment.get("LUNGLENS_BASE_PATH") or "").strip("/")
    base = "" if base == "/" else base
    if not re.fullmatch(BASE, base):
        raise SettingError(f"LUNGLENS_BASE_PATH: found {base!r}; expected a path such as /lunglens.")
    ancestors = tuple((environment.get("LUNGLENS_FRAME_ANCESTORS") or "'self'").split())
    if not all(re.fullmatch(ANCESTOR, ancestor) for ancestor in ancestors):
        raise SettingError(
            f"LUNGLENS_FRAME_ANCESTORS: found {' '.join(ancestors)!r}; expected origins such as https://example.org."
        )
    proxies = environment.get("LUNGLENS_TRUSTED_PROXIES") or ""
    if not re.fullmatch(PROXIES, proxies):
        raise SettingError(f"LUNGLENS_TRUSTED_PROXIES: found {proxies!r}; expected addresses such as 10.0.0.0/8.")
    return Settings(
        f"{host}:{number('PORT', 7860, 65_535)}",
        base,
        ancestors,
        tuple(proxies.split()),
        number("LUNGLENS_UPLOAD_MB", 25, 2_000),
    )


def policy(ancestors: tuple[str, ...]) -> str:
    """Content-Security-Policy that Streamlit's pages work under: all from this server, nothing framed, no plug-in.

    Streamlit sets styles from scripts, which needs 'unsafe-inline' for styles, and loads a component's script (the
    picture tiles of Performance) as a blob that its own script made. A script or handler that stands in the text of
    a page never runs.
    """
    parts = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "blob:", *inline_scripts()]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(ancestors),
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def inline_scripts() -> list[str]:
    """Digests of the scripts that stand in Streamlit's own page, as a policy names them."""
    page = Path(find_spec("streamlit").origin).parent / "static" / "index.html"
    scripts = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    return [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]


def proxy_configuration(chosen: Settings, state: Path, port: int, level: str = "crit") -> str:
    """nginx.conf filled in: its files below `state`, Streamlit at `port` of this machine."""
    trusted = [f"    set_real_ip_from {network};\n" for network in chosen.proxies]
    if trusted:
        trusted += ["    real_ip_header X-Forwarded-For;\n", "    real_ip_recursive on;\n"]
    values = {
        "state": state,
        "level": level,
        "trusted": "".join(trusted),
        "listen": chosen.listen,
        "body_mb": chosen.upload_mb + 1,  # a multipart body is a little larger than its file
        "policy": policy(chosen.ancestors),
        "base": chosen.base,
        "port": port,
    }
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), TEMPLATE.read_text(encoding="utf-8"))


def streamlit_command(chosen: Settings, port: int) -> list[str]:
    """How Streamlit is started: for this machine alone, XSRF and CORS checks on."""
    options = {
        "server.address": "127.0.0.1",
        "server.port": port,
        "server.headless": "true",
        "server.baseUrlPath": chosen.base.strip("/"),
        "server.maxUploadSize": chosen.upload_mb,
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.xsrfCookieSameSite": "none" if chosen.framed else "lax",
        "browser.gatherUsageStats": "false",
    }
    given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py"), *given]


def run(chosen: Settings) -> int:
    """Run both until one ends or a signal comes; the exit status of the one that ended, 0 after a signal."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if nginx is None:
        raise SettingError("nginx: not found on PATH or in /usr/sbin; install nginx-light (Debian) or nginx.")
    asked = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: asked.set())
    with tempfile.TemporaryDirectory(prefix="lunglens-") as folder:
        state, port = Path(folder), _free_port()
        written = state / "nginx.conf"
        written.write_text(proxy_configuration(chosen, state, port), encoding="utf-8")
        started = [
            subprocess.Popen(streamlit_command(chosen, port), cwd=ROOT),
            subprocess.Popen([nginx, "-e", "stderr", "-p", folder, "-c", str(written), "-g", "daemon off;"]),
        ]
        while not asked.wait(0.2):
            if any(process.poll() is not None for process in started):
                break
        ended = [process.returncode for process in started if process.returncode is not None]
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return 0 if asked.is_set() else (ended[0] or 1)


def healthy(chosen: Settings) -> bool:
    """Whether the dashboard answers through its proxy, for the container's health check."""
    address = chosen.listen.replace("0.0.0.0:", "127.0.0.1:")
    try:
        with urllib.request.urlopen(f"http://{address}{chosen.base}/_stcore/health", timeout=4) as answer:
            return answer.status == 200
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    try:
        chosen = settings(os.environ)
        sys.exit(not healthy(chosen) if sys.argv[1:] == ["--healthy"] else run(chosen))
    except SettingError as error:
        sys.exit(str(error))
