"""A visitor's uploads: what the server holds them to, and which of them the page reads."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit import config

from dashboard import loaders, state
from dashboard.components import unread_message

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

SIZE = "server.maxUploadSize"


def keep_in_memory(parser: type[MultiPartParser] = MultiPartParser) -> None:
    """Have the server hold every upload in memory alone, and take none that is larger than a visit may bring.

    Starlette lays a form's file over a megabyte into a temporary file while it comes in. Streamlit bounds a file by
    its own setting before that, so that memory is bounded too. A second call changes nothing.
    """
    parser.spool_max_size = sys.maxsize
    most = loaders.allowance().file_mb
    if config.get_option(SIZE) > most:
        config.set_option(SIZE, most)


def admitted(uploads: Sequence["UploadedFile"]) -> list["UploadedFile"]:
    """Those of a visit's files that may be read now; says of the others why not, and when."""
    now = time.monotonic()
    begun = state.uploads_begun([upload.file_id for upload in uploads], now)
    found = loaders.admit([(upload.file_id, upload.name, upload.size) for upload in uploads], begun, now)
    for key in found.keys:
        begun.setdefault(key, now)
    for error in found.refused:
        st.error(unread_message(error), icon=":material/error:")
    if found.waiting:
        most = loaders.allowance().per_minute
        st.warning(
            f"**{found.waiting} of these files wait.** At most {most} files a minute are read here; "
            f"the next may be in {max(1, round(found.seconds))} s.",
            icon=":material/hourglass_empty:",
        )
        st.button("Read on", icon=":material/resume:", key="read-on")
    return [upload for upload in uploads if upload.file_id in found.keys]
