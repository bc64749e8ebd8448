"""What a page has drawn reaches the browser, also where a part of it is drawn anew before all has left the server.

Where a fragment runs before the messages of the run before have been sent, Streamlit (1.67) drops those of the
fragment, but still tells the browser that the run before has ended as it should. The browser then removes the
fragment's elements as stale, so that what follows goes to wrong places ("Bad delta path index").
"""

from collections.abc import Callable, Sequence
from functools import wraps

from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

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
