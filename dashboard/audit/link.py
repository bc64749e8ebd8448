"""What a visitor has chosen on Data lives in the address alone: it can be shared, and the back button undoes."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard import state
from dashboard.components import link_notice

KEY = "audit"
KEPT = f"{KEY}-address"
DATA, PARTS = "data", "parts"
HERE = f"{KEY}-{DATA}"
"""Name of a control that is always there: Streamlit forgets what it holds when the page is left."""

controls = state.Controls(KEY)
key, control, held = controls.key, controls.control, controls.held


def arrive() -> None:
    """Back from another page by the menu: take up the address that was left; else keep the one that is there."""
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    if state.held(HERE) is None and not address and KEPT in st.session_state:
        st.query_params.from_dict(st.session_state[KEPT])
    else:
        st.session_state[KEPT] = address


def change(**values: Any) -> None:
    """Put values into the address: text, numbers, lists of text; None or an empty list takes one out."""
    address = {name: st.query_params.get_all(name) for name in st.query_params}
    for name, value in values.items():
        address.pop(name, None)
        if value not in (None, [], ""):
            address[name] = value if isinstance(value, list) else [str(value)]
    st.query_params.from_dict(address)
    st.session_state[KEPT] = address


def chosen_data(known: Sequence[str]) -> list[str]:
    """The data folders that the address names, those that are not here with a notice."""
    named = list(dict.fromkeys(st.query_params.get_all(DATA)))
    absent = [name for name in named if name not in known]
    if absent:
        expected = f"one of {', '.join(known)}" if known else "a data folder"
        link_notice(DATA, ", ".join(absent), expected, "the others")
    return [name for name in named if name in known]


def one_of(name: str, known: Sequence[str], default: str, fallback: str = "") -> str:
    """A value of the address; another than those `known` gives a notice and the default (in words: `fallback`)."""
    value = st.query_params.get(name, default)
    if value in known or value == default:
        return value
    link_notice(name, value, f"one of {', '.join(known)}", fallback or default)
    return default


def page(name: str, last: int) -> int:
    """A page number from 1 to `last`; anything else gives a notice and the first page."""
    value = st.query_params.get(name, "1")
    if value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= last:
        return int(value)
    link_notice(name, value, f"a whole number from 1 to {last}", "1")
    return 1


def take(name: str, *forget: str) -> None:
    """A control was moved: its value goes into the address; those to forget, such as a page number, go out."""
    change(**{name: held(name)}, **dict.fromkeys(forget))


def address() -> str | None:
    """The whole link to this state; None where no browser asked."""
    here = st.context.url
    if not here:
        return None
    values = [(name, value) for name in st.query_params for value in st.query_params.get_all(name)]
    return f"{here.partition('?')[0]}?{urlencode(values)}"
