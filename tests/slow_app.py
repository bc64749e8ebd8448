"""`streamlit run` on a machine so busy that messages leave for the browser once a second."""

import sys
import time

from streamlit.runtime.app_session import AppSession
from streamlit.web.cli import main

SECONDS = 1.0


def rarely(flush):
    """`AppSession.flush_browser_queue` that hands out nothing within a second of the last time."""

    def flush_browser_queue(self):
        if time.monotonic() - getattr(self, "last_flush", 0.0) < SECONDS:
            if not self._browser_queue.is_empty():
                self._message_enqueued_callback()  # or nobody asks again
            return []
        self.last_flush = time.monotonic()
        return flush(self)

    return flush_browser_queue


if __name__ == "__main__":
    AppSession.flush_browser_queue = rarely(AppSession.flush_browser_queue)
    sys.argv = ["streamlit", *sys.argv[1:]]
    main()
