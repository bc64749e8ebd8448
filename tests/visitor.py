"""A visitor without a browser: speaks Streamlit's own protocol, so that many of them weigh little.

A WebSocket carries protocol buffers: a drawing of the page is asked for with the state of its controls, and comes
back as messages, one an element. Pictures and uploads go by HTTP. What a browser does by itself is done here too:
pictures are fetched, fragments that draw themselves again are, controls that are gone are forgotten.
"""

import http.client
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

WAIT = 120.0


class Fault(Exception):
    """What a visitor must not meet: an exception on the page, an answer of 4xx or 5xx, no answer."""


@dataclass(frozen=True)
class Shown:
    """An element on the page: its kind (`slider`, `alert`), its message, the fragment that draws it, and when."""

    kind: str
    message: Any
    fragment: str
    drawing: int

    @property
    def label(self) -> str:
        return getattr(self.message, "label", "")


@dataclass
class Visitor:
    """One tab of a browser at `url`; to be closed, as it is on leaving a `with`."""

    url: str
    wait: float = WAIT
    shown: dict[tuple[int, ...], Shown] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    states: dict[str, WidgetState] = field(default_factory=dict)
    page: str = ""
    query: str = ""

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        self._http = http.client.HTTPConnection(address.hostname, address.port, timeout=self.wait)
        self._drawing, self._begun, self._cookie = 0, False, ""
        self._again: dict[str, tuple[float, float]] = {}
        self._fetched: set[str] = set()
        self._fetch("GET", "/_stcore/health")  # as a browser does; the answer sets the cookie against forgery
        self._session = ""
        self._connect()

    def _connect(self) -> None:
        before = [self._session] if self._session else []
        self._connection = connect(
            self.url.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit", self._cookie, *before],
            additional_headers={"Cookie": f"_streamlit_xsrf={self._cookie}"},
            max_size=None,
            open_timeout=self.wait,
        )
        self._socket = self._connection.__enter__()

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave: the tab is closed."""
        self._connection.__exit__(None, None, None)
        self._http.close()

    def lose_connection(self) -> None:
        """Lose the connection and take it up again, as on a train."""
        self._connection.__exit__(None, None, None)
        self._connect()

    def open(self, page: str = "", query: str = "") -> None:
        """Go to the page of this address (`classify`) with these parameters, and wait until all of it is drawn."""
        self.query = query
        self._again.clear()
        self._draw(self.pages.get(page, ""), "", name="" if self.pages else page)

    def controls(self, kind: str, label: str = "") -> list[Shown]:
        """What can be used of a kind, in order of the page; `label` is its beginning."""
        return [item for item in self.elements(kind) if item.label.startswith(label) and not item.message.disabled]

    def elements(self, kind: str) -> list[Shown]:
        return [item for _, item in sorted(self.shown.items()) if item.kind == kind]

    def click(self, button: Shown) -> None:
        """Press a button and wait for what it does."""
        self._change(button, trigger_value=True)

    def slide(self, slider: Shown, value: float) -> None:
        """Move a slider to a value, or to the place of an option."""
        self._change(slider, double_array_value={"data": [value]})

    def choose(self, control: Shown, option: str) -> None:
        """Take an option of a select box, by its words."""
        self._change(control, string_value=option)

    def choose_segments(self, control: Shown, options: list[str]) -> None:
        """Take options of a segmented control, by their words."""
        self._change(control, string_array_value={"data": options})

    def upload(self, name: str, content: bytes, keep: bool = False) -> None:
        """Give a file to the page's uploader, in place of those there or, with `keep`, beside them."""
        [uploader] = self.controls("file_uploader")
        before = self.states.get(uploader.message.id)
        files = list(before.file_uploader_state_value.uploaded_file_info) if before else []
        urls = self._upload_urls(name)
        self._put(urls.upload_url, name, content)
        info = UploadedFileInfo(name=name, size=len(content), file_id=urls.file_id, file_urls=urls)
        kept = [*files, info] if keep else [info]
        self._change(uploader, file_uploader_state_value={"uploaded_file_info": kept})
        for gone in () if keep else files:
            self._fetch("DELETE", _path(gone.file_urls.delete_url), headers=self._token())

    def stay(self, seconds: float) -> None:
        """Look at the page for a while; parts of it that draw themselves again do."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            due = min((at for at, _ in self._again.values()), default=end)
            if due > time.monotonic():
                self._take(min(left, due - time.monotonic()))
                continue
            for fragment, (at, interval) in list(self._again.items()):
                if at <= time.monotonic():
                    self._again[fragment] = time.monotonic() + interval, interval
                    self._draw(self.page, fragment, by_itself=True)

    def text(self) -> str:
        """All words on the page, as they were sent."""
        return "\n".join(str(item.message) for _, item in sorted(self.shown.items()))

    def _change(self, control: Shown, **value: Any) -> None:
        key = control.message.id
        state = WidgetState(id=key, **value)
        self.states[key] = state
        self._draw(self.page, control.fragment)
        if "trigger_value" in value:
            self.states.pop(key, None)

    def _draw(self, page: str, fragment: str, by_itself: bool = False, name: str = "") -> None:
        """Ask for a drawing and take all of it; Fault where it holds an exception."""
        self._drawing, self._begun = self._drawing + 1, False
        message = BackMsg()
        ask = message.rerun_script
        ask.query_string, ask.page_script_hash, ask.page_name = self.query, page, name
        ask.fragment_id, ask.is_auto_rerun = fragment, by_itself
        ask.context_info.url = self.url
        ask.widget_states.widgets.extend(self.states.values())
        self._socket.send(message.SerializeToString())
        deadline = time.monotonic() + self.wait
        while not self._take(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                raise Fault(f"no answer within {self.wait:.0f} s")
        self._fetch_pictures()
        wrong = [item.message for item in self.elements("exception")]
        if wrong:
            raise Fault(f"exception on the page: {wrong[0].type} {wrong[0].message}")

    def _take(self, seconds: float) -> bool:
        """Take one message, if one comes in time; whether it ended a drawing."""
        try:
            message = ForwardMsg.FromString(self._socket.recv(timeout=max(0.0, seconds)))
        except TimeoutError:
            return False
        kind = message.WhichOneof("type")
        if kind == "delta":
            self._place(tuple(message.metadata.delta_path), message.delta)
        elif kind == "navigation":
            self.pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            self.page = message.navigation.page_script_hash
        elif kind == "new_session":
            self._begun = True
            self.page = message.new_session.page_script_hash or self.page
            self._session = message.new_session.initialize.session_id
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            asked = message.auto_rerun
            self._again[asked.fragment_id] = time.monotonic() + asked.interval, asked.interval
        elif kind == "stop_auto_rerun":
            self._again.clear()
        elif kind == "file_urls_response":
            self._urls = message.file_urls_response
        elif kind == "script_finished":
            return self._finish(message.script_finished)
        return False

    def _place(self, path: tuple[int, ...], delta: Any) -> None:
        kind = delta.WhichOneof("type")
        if kind != "new_element":
            return
        element = delta.new_element
        name = element.WhichOneof("type")
        self.shown[path] = Shown(name, getattr(element, name), delta.fragment_id, self._drawing)

    def _finish(self, status: int) -> bool:
        """Forget what the drawing has not drawn again; whether it was the last one."""
        if not self._begun or status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return False
        whole = status != ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
        drawn = {item.fragment for item in self.shown.values() if item.drawing == self._drawing}
        self.shown = {
            path: item
            for path, item in self.shown.items()
            if item.drawing == self._drawing or not (whole or item.fragment in drawn)
        }
        there = {getattr(item.message, "id", "") for item in self.shown.values()}
        self.states = {key: state for key, state in self.states.items() if key in there}
        fragments = {item.fragment for item in self.shown.values()}
        self._again = {key: value for key, value in self._again.items() if key in fragments or not whole}
        return True

    def _upload_urls(self, name: str) -> Any:
        message = BackMsg()
        ask = message.file_urls_request
        ask.request_id, ask.session_id = uuid.uuid4().hex, self._session
        ask.file_names.append(name)
        self._urls = None
        self._socket.send(message.SerializeToString())
        deadline = time.monotonic() + self.wait
        while self._urls is None and time.monotonic() < deadline:
            self._take(deadline - time.monotonic())
        if self._urls is None or self._urls.error_msg:
            raise Fault("no address to upload to")
        return self._urls.file_urls[0]

    def _put(self, url: str, name: str, content: bytes) -> None:
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        head += "Content-Type: application/octet-stream\r\n\r\n"
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        more = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        self._fetch("PUT", _path(url), body, self._token() | more)

    def _token(self) -> dict[str, str]:
        return {"X-Xsrftoken": self._cookie, "Cookie": f"_streamlit_xsrf={self._cookie}"}

    def _fetch_pictures(self) -> None:
        """Fetch what a browser would: the pictures of the page that it has not yet."""
        wanted = [image.url for item in self.elements("imgs") for image in item.message.imgs]
        wanted = [url for url in wanted if url.startswith("/media/")]
        for url in wanted:
            if url not in self._fetched:
                self._fetch("GET", url)
        self._fetched = set(wanted)

    def _fetch(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        try:
            answer = self._asked(method, path, body, headers or {})
        except (http.client.RemoteDisconnected, ConnectionError):  # closed by the server while idle
            self._http.close()
            answer = self._asked(method, path, body, headers or {})
        content = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie" and value.startswith("_streamlit_xsrf="):
                self._cookie = value.partition("=")[2].partition(";")[0]
        if answer.status >= 400:
            raise Fault(f"{method} {path.split('?')[0]} was answered with {answer.status}")
        return content

    def _asked(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        self._http.request(method, path, body, headers)
        return self._http.getresponse()


def held(url: str) -> dict[str, float]:
    """What the server says of itself: `active_sessions`, and bytes in memory by the name of what holds them."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=WAIT)
    connection.request("GET", "/_stcore/metrics", headers={"Accept": "text/plain"})
    text = connection.getresponse().read().decode()
    connection.close()
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#") or " " not in line:
            continue
        name, value = line.rsplit(" ", 1)
        family, _, labels = name.partition("{")
        kind = labels.partition('cache_type="')[2].partition('"')[0]
        key = kind or family
        found[key] = found.get(key, 0.0) + float(value)
    return found


def _path(url: str) -> str:
    return urlsplit(url).path


def until(reached: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
