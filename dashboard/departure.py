"""What a visitor held leaves memory soon after the visit ends, uploads among it, whether or not others come.

Streamlit (1.67) keeps the session of a closed tab for two minutes, so that a lost connection can be taken up again,
but looks for what is past its time only when the next tab is closed: what the last visitor of the day uploaded
stays until the next day. Here a session that is not taken up again within SECONDS is closed for good.
"""

import asyncio
from collections.abc import Callable
from functools import wraps

from streamlit.runtime import get_instance
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo

from dashboard import garbage

SECONDS = 60.0
"""A browser that lost its connection tries again within half of this."""

_OURS = "lunglens"


def free_what_was_held(storage: type[MemorySessionStorage] = MemorySessionStorage) -> None:
    """Have sessions closed that nobody takes up again; a second call changes nothing."""
    if not hasattr(storage.save, _OURS):
        storage.save = _closing(storage.save)


def _closing(save: Callable[[MemorySessionStorage, SessionInfo], None]) -> Callable[..., None]:
    @wraps(save)
    def keep_for_a_while(self: MemorySessionStorage, info: SessionInfo) -> None:
        save(self, info)
        asyncio.get_running_loop().call_later(SECONDS, _close, self, info)

    setattr(keep_for_a_while, _OURS, True)
    return keep_for_a_while


def _close(storage: MemorySessionStorage, info: SessionInfo) -> None:
    """Close a session that is still put by; one that was taken up again is another entry, or none."""
    if storage.get(info.session.id) is info:
        get_instance().close_session(info.session.id)
        info.session.session_state.clear()  # now, and not once the collector finds the circle that it is in
        asyncio.get_running_loop().call_later(2 * garbage.SECONDS, garbage.COLLECTOR.collect)
