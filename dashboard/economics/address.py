"""A page's own parameters in the address, in step with its widgets: a link and the back button win."""

import time
from collections.abc import Collection

import streamlit as st

from dashboard.economics.link import cannot_use
from dashboard.economics.state import STALE_SECONDS
from dashboard.state import control_key, held

KEPT, BEFORE = "address-{}", "address-before-{}"


def brought(key: str) -> str | None:
    """What a link or the back button put into the address; None where it holds what the page put there itself."""
    given = st.query_params.get(key, "")
    before, when = st.session_state.get(BEFORE.format(key), (None, 0.0))
    if given == st.session_state.get(KEPT.format(key), ""):
        return None
    # A browser may still send the address of just before a change: that is no wish to go back.
    return None if given == before and time.monotonic() - when < STALE_SECONDS else given


def put(key: str, value: str) -> None:
    """Put a value into the address; "" takes the parameter out."""
    kept = st.session_state.get(KEPT.format(key), "")
    if value != kept:
        st.session_state[BEFORE.format(key)] = kept, time.monotonic()
        st.session_state[KEPT.format(key)] = value
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)


def one_of(
    key: str,
    options: Collection[str],
    default: str,
    what: str,
    offered: str = "one that this page offers",
    used: str | None = None,
) -> str:
    """The address's choice; the default where it has none, and with a notice where it is none of `options`."""
    asked = st.query_params.get(key)
    if asked is None or asked in options:
        return default if asked is None else asked
    st.warning(cannot_use(what, asked, offered, used or default), icon=":material/info:")
    return default


def choice(key: str, value: str, widget: str) -> dict[str, object]:
    """Key and callback of a control that begins with `value` and keeps what is chosen in the address."""

    def chosen() -> None:
        if held(widget):
            st.query_params[key] = held(widget)
        else:
            st.query_params.pop(key, None)

    return {"key": control_key(widget, value), "on_change": chosen}
