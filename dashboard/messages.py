"""What a page has drawn reaches the browser at once, also where a part is drawn anew before all has left.

Three faults of Streamlit (1.67). Where a fragment runs before the messages of the run before have been sent, it
drops those of the fragment, but still tells the browser that the run before has ended as it should. The browser
then removes the fragment's elements as stale, so that what follows goes to wrong places ("Bad delta path index").

Where a fragment is asked for while the run before is ending, another thread draws it, and what the first has still
to say, its end above all, is dropped. The browser then keeps the elements that this run did not draw.

Last, its listening socket does not name TCP as its protocol, for which asyncio looks before it has small writes
leave at once. Each message after the first, and each answer on a connection that is kept, waited until the other
side had acknowledged the one before, 40 ms and more.
"""

import asyncio.base_events
import socket
from collections.abc import Callable, Sequence
from functools import wraps

from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import RerunData

SOON = 0.01
"""Seconds after which it is looked again whether a run has ended."""

_OURS = "lunglens"


def keep_all(queue: type[ForwardMsgQueue] = ForwardMsgQueue) -> None:
    """Have message queues keep what was not sent when a fragment runs; a second call changes nothing."""
    if not hasattr(queue.clear, _OURS):
        queue.clear = _keeping(queue.clear)


def _keeping(clear: Callable[..., None]) -> Callable[..., None]:
    @wraps(clear)
    def keep(
        self: ForwardMsgQueue,
        retain_lifecycle_msgs: bool = False,
        fragment_ids_this_run: Sequence[str] | None = None,
    ) -> None:
        if retain_lifecycle_msgs and fragment_ids_this_run is not None:
            self._delta_index_map = {}  # nothing of the run that begins may take the place of an older message
        else:  # all has been sent, or all of the page is drawn anew
            clear(self, retain_lifecycle_msgs, fragment_ids_this_run)

    setattr(keep, _OURS, True)
    return keep


def end_first(session: type[AppSession] = AppSession) -> None:
    """Have fragments wait for the end of a run that is ending; a second call changes nothing."""
    if not hasattr(session._create_scriptrunner, _OURS):
        session._create_scriptrunner = _ending_first(session._create_scriptrunner)


def _ending_first(create: Callable[[AppSession, RerunData], None]) -> Callable[[AppSession, RerunData], None]:
    @wraps(create)
    def create_or_wait(self: AppSession, asked: RerunData) -> None:
        if asked.fragment_id and self._scriptrunner is not None:  # which took nothing more on: it is ending
            self._event_loop.call_later(SOON, ask_again, self, asked)
        else:
            create(self, asked)

    def ask_again(self: AppSession, asked: RerunData) -> None:
        if self._state == AppSessionState.SHUTDOWN_REQUESTED or not self.has_fragment(asked.fragment_id):
            return
        if self._scriptrunner is None or not self._scriptrunner.request_rerun(asked):
            create_or_wait(self, asked)

    setattr(create_or_wait, _OURS, True)
    return create_or_wait


def at_once() -> None:
    """Have connections that are made from now on send at once what is written to them."""
    if hasattr(asyncio.base_events, "_set_nodelay"):
        asyncio.base_events._set_nodelay = _no_delay


def _no_delay(connection: socket.socket) -> None:
    if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
