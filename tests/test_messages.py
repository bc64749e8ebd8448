"""The end of a drawing of the page is told, also where a part is asked for at that very moment."""

import asyncio
import asyncio.base_events
import inspect
import socket

import pytest
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.runtime import Runtime, RuntimeConfig
from streamlit.runtime.script_data import ScriptData
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from dashboard import messages

SCRIPT = """
import streamlit as st

@st.fragment
def part():
    st.write("part")

part()
"""
FINISHED = {
    ForwardMsg.FINISHED_SUCCESSFULLY: "page finished",
    ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY: "part finished",
}


@pytest.fixture
def script(tmp_path, monkeypatch) -> str:
    """A page with one fragment, and the server's runtime that running it takes."""
    path = tmp_path / "app.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(Runtime, "_instance", None)
    media, files = MemoryMediaFileStorage("/media"), MemoryUploadedFileManager("/files")
    Runtime(RuntimeConfig(str(path), None, media, files))
    return str(path)


def session_class(guarded: bool) -> type[AppSession]:
    class Session(AppSession):
        """As Streamlit made it, whatever the dashboard did to the class in this process."""

        _create_scriptrunner = inspect.unwrap(AppSession._create_scriptrunner)

    if guarded:
        messages.end_first(Session)
    return Session


def ends(session: AppSession) -> list[str]:
    told = session.flush_browser_queue()
    return [FINISHED[one.script_finished] for one in told if one.HasField("script_finished")]


async def quiet(session: AppSession) -> None:
    while session._scriptrunner is not None:
        await asyncio.sleep(0.01)


async def raced(script: str, guarded: bool, between=lambda session: None) -> list[str]:
    """What the browser is told where a part is asked for when the page is done and the loop has not heard so."""
    files = MemoryUploadedFileManager("/files")
    session = session_class(guarded)(ScriptData(script, False), files, ScriptCache(), lambda: None, {})
    session.request_rerun(None)
    await quiet(session)
    assert ends(session) == ["page finished"]
    (part,) = session._fragment_storage._fragments
    session.request_rerun(None)
    session._scriptrunner._script_thread.join()  # the loop, which this blocks, has its last messages yet to hear
    session.request_rerun(ClientState(fragment_id=part))
    between(session)
    for _ in range(20):
        await asyncio.sleep(0.02)
        await quiet(session)
    return ends(session)


def test_the_end_of_the_page_is_told_before_the_part_is_drawn(script):
    assert asyncio.run(raced(script, guarded=True)) == ["page finished", "part finished"]


def test_streamlit_itself_forgets_it(script):
    """If this fails, Streamlit tells it: messages.end_first can go."""
    assert asyncio.run(raced(script, guarded=False)) == ["part finished"]


def test_a_part_that_is_gone_by_then_is_left(script):
    told = asyncio.run(raced(script, True, lambda session: session._fragment_storage.clear()))
    assert told == ["page finished"]


def test_a_session_that_ends_by_then_draws_nothing_more(script):
    assert "part finished" not in asyncio.run(raced(script, True, lambda session: session.shutdown()))


async def delays() -> bool:
    """Whether a connection to a socket that is bound as Streamlit binds its own waits before small writes."""
    bound, taken = socket.socket(family=socket.AF_INET), asyncio.get_running_loop().create_future()
    bound.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(lambda _, writer: taken.set_result(writer), sock=bound)
    _, writer = await asyncio.open_connection(*bound.getsockname())
    other = await taken
    found = not other.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for one in (writer, other, server):
        one.close()
    return found


def test_small_messages_leave_at_once(monkeypatch):
    monkeypatch.setattr(asyncio.base_events, "_set_nodelay", asyncio.base_events._set_nodelay)
    messages.at_once()
    assert not asyncio.run(delays())
