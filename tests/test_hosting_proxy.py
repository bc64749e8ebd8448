"""The hosted demo as the container starts it: no root, read-only tree, nginx before it, a base path, XSRF on."""

import http.client
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from deploy import serve
from tests import browser

ROOT = browser.ROOT
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
NOBODY = 65534
WAIT = 90_000
GUARANTEED_MB = 690
"""Memory that Streamlit Community Cloud guarantees."""


def addresses() -> list[str]:
    """The path of every page below the base, as Home names them."""
    return ["", *re.findall(r'url_path="([a-z-]+)"', (ROOT / "dashboard" / "Home.py").read_text())]


@dataclass(frozen=True)
class Served:
    """The demo behind its proxy: its address with the base path, the process, its environment, what it printed."""

    url: str
    process: subprocess.Popen
    environment: dict[str, str]
    log: Path

    @property
    def origin(self) -> str:
        return self.url.rpartition("/")[0]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def answer(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """(status, headers) of one request."""
        connection = self.connection()
        connection.request(method, path, body, headers)
        found = connection.getresponse()
        found.read()
        connection.close()
        return found.status, found.headers

    def streamlit(self) -> int:
        """Process id of Streamlit, a child of the script."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return next(int(pid) for pid in children if b"streamlit" in Path(f"/proc/{pid}/cmdline").read_bytes())


def as_nobody(command: list[str]) -> list[str]:
    """The command as in the container, where this is root: without rights, and the tree mounted read-only.

    The one right that stays is to read what belongs to root, since Python may lie in root's home.
    """
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return command
    dropped = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    dropped += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", *command]
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return dropped
    mounted = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@"'
    return ["unshare", "-m", "sh", "-c", mounted, str(ROOT), *dropped]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    if NGINX is None:
        pytest.skip(browser.NO_NGINX)
    folder = tmp_path_factory.mktemp("hosting")
    written = folder / "written"
    written.mkdir()
    written.chmod(0o777)
    port = browser._free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUNGLENS_")}
    environment |= {"PORT": str(port), "HOST": "127.0.0.1", "LUNGLENS_DEMO": "1", "LUNGLENS_BASE_PATH": "/lens"}
    environment |= {"TMPDIR": str(written), "HOME": str(written), "PYTHONDONTWRITEBYTECODE": "1"}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            as_nobody([sys.executable, "deploy/serve.py"]), cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    found = Served(f"http://127.0.0.1:{port}/lens", process, environment, log)
    try:
        deadline = time.monotonic() + 60
        while not healthy(found) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        process.terminate()
        status = process.wait(30)
    assert status == 0, log.read_text()
    assert list(written.iterdir()) == [], "something was written and left"
    assert "Traceback" not in log.read_text()


def healthy(served: Served) -> bool:
    command = [sys.executable, "deploy/serve.py", "--healthy"]
    return subprocess.run(command, cwd=ROOT, env=served.environment, check=False).returncode == 0


def test_the_process_has_no_rights_and_cannot_write_its_own_tree(served):
    status = Path(f"/proc/{served.streamlit()}/status").read_text()
    uids = re.search(r"^Uid:\s+(\d+)", status, re.M)[1]
    assert uids != "0" or (os.geteuid() == 0 and not shutil.which("setpriv"))
    assert int(re.search(r"^CapEff:\s+(\w+)", status, re.M)[1], 16) in (0, 1 << 2)


def test_the_health_check_tells_an_answer_from_none(served):
    assert healthy(served)
    gone = served.environment | {"PORT": str(browser._free_port())}
    assert not healthy(Served(served.url, served.process, gone, served.log))


@pytest.mark.parametrize("path", ["/lens/", "/lens/_stcore/health", "/lens/app/static/icon.svg", "/lens/none.js"])
def test_every_answer_carries_the_headers(served, path):
    headers = served.answer("GET", path)[1]
    assert headers["Content-Security-Policy"] == serve.policy(("'self'",))
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Server"] == "nginx"


def test_scripts_in_a_page_are_forbidden_but_for_the_one_that_streamlit_brings():
    scripts = serve.policy(("'self'",)).partition("script-src ")[2].partition(";")[0].split()
    assert "'unsafe-inline'" not in scripts and "'unsafe-eval'" not in scripts and "*" not in scripts
    assert len(serve.inline_scripts()) == 1 and scripts[-1] == serve.inline_scripts()[0]


@pytest.mark.parametrize("path", ["/", "/classify", "/lens/_stcore/metrics", "/lens/_stcore/agent/openapi.json"])
def test_what_lies_beside_the_base_path_and_doors_for_programs_answer_404(served, path):
    assert served.answer("GET", path)[0] == 404


def test_a_slice_goes_up_through_the_proxy_and_is_answered(served, chromium):
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(WAIT)
    page.goto(f"{served.url}/classify")
    expect(page.get_by_text("A public server: up to 25 MB a file")).to_be_visible(timeout=WAIT)
    sample = ROOT / "data" / "samples" / "synthetic_03_normal.png"
    with page.expect_response(lambda answer: "/upload_file/" in answer.url) as sent:
        page.locator("input[type=file]").first.set_input_files(str(sample))
    assert sent.value.status == 204 and sent.value.request.headers["x-xsrftoken"]
    expect(page.get_by_role("heading", name=re.compile("Most like|No answer")).first).to_be_visible(timeout=WAIT)
    refused = served.answer("PUT", urlsplit(sent.value.url).path, b"", **{"Content-Type": "multipart/form-data"})
    assert refused[0] == 403, "an upload without the page's token"
    page.close()


@pytest.fixture(scope="module")
def visitor(served, chromium) -> Iterator[tuple[Page, list[str]]]:
    """One visitor's page through the proxy, and what went wrong on it."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(WAIT)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: None if ours(served, asked.url) else faults.append(asked.url))

    def note(message) -> None:
        probing = "404" in message.text  # Streamlit asks below the page's own path first
        if message.type == "error" and not probing:
            faults.append(message.text)

    page.on("console", note)
    yield page, faults
    page.close()


@pytest.mark.parametrize("address", addresses())
def test_a_page_works_under_the_policy(served, visitor, address):
    page, faults = visitor
    page.goto(f"{served.url}/{address}", wait_until="commit")
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    if address == "performance":  # its tiles are a component with a script of its own
        expect(page.locator(".st-key-performance-tiles-slices li button").first).to_be_visible(timeout=WAIT)
    assert faults == []


def test_after_all_pages_torch_is_not_loaded_and_a_small_host_has_memory_left(served, visitor):
    process = Path(f"/proc/{served.streamlit()}")
    assert "onnxruntime" in (process / "maps").read_text(), "the pages before this test were not visited"
    assert "libtorch" not in (process / "maps").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())[1]) / 1024
    assert peak < GUARANTEED_MB


def ours(served: Served, url: str) -> bool:
    return url.startswith((served.origin, "data:", "blob:"))


def test_a_body_over_the_limit_is_turned_away_before_it_is_read(served):
    path = "/lens/_stcore/upload_file/none/none"
    connection = served.connection()
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(27 * 1024**2))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_too_many_uploads_and_too_many_requests_are_told_to_wait(served):
    path = "/lens/_stcore/upload_file/none/none"
    answers = [served.answer("PUT", path)[0] for _ in range(40)]
    assert answers[0] == 403 and answers[-1] == 429
    assert served.answer("GET", "/lens/")[0] == 200, "pages stay open to one who uploads too much"
    connection = served.connection()
    seen = set()
    for _ in range(900):
        connection.request("GET", "/lens/_stcore/host-config")
        answer = connection.getresponse()
        answer.read()
        seen.add(answer.status)
        if answer.status == 429:
            break
    connection.close()
    assert seen == {200, 429}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "80 default_server; root /"),
        ("PORT", "70000"),
        ("HOST", "localhost;"),
        ("LUNGLENS_BASE_PATH", "/a; } server {"),
        ("LUNGLENS_FRAME_ANCESTORS", "https://example.org; script-src *"),
        ("LUNGLENS_TRUSTED_PROXIES", "10.0.0.0/8; deny all"),
        ("LUNGLENS_UPLOAD_MB", "-1"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_never_reaches_the_proxy(name, value):
    with pytest.raises(serve.SettingError, match=f"^{name}: found "):
        serve.settings({name: value})


def test_a_site_that_frames_the_pages_is_named_in_the_policy_and_gets_a_cookie_for_uploads():
    chosen = serve.settings({"LUNGLENS_FRAME_ANCESTORS": "'self' https://huggingface.co"})
    assert serve.policy(chosen.ancestors).endswith("frame-ancestors 'self' https://huggingface.co")
    assert "none" in options(chosen)["--server.xsrfCookieSameSite"]
    assert options(serve.settings({}))["--server.xsrfCookieSameSite"] == "lax"
    assert options(chosen)["--server.enableXsrfProtection"] == "true"


def options(chosen: serve.Settings) -> dict[str, str]:
    command = serve.streamlit_command(chosen, 1)
    given = command[command.index("run") + 2 :]
    return dict(zip(given[::2], given[1::2], strict=True))


def test_only_listed_proxies_say_who_a_visitor_is():
    def configuration(**environment: str) -> str:
        return serve.proxy_configuration(serve.settings(environment), Path("/nowhere"), 1)

    assert "set_real_ip_from" not in configuration()
    assert "set_real_ip_from 10.0.0.0/8;" in configuration(LUNGLENS_TRUSTED_PROXIES="10.0.0.0/8 ::1")
    assert "@" not in re.sub(r"#.*", "", configuration())
