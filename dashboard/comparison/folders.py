"""Rename, note, delete and undo: what a visitor may do with a run's folder."""

import pandas as pd
import streamlit as st

from core.errors import RunError
from dashboard.comparison import link, loaders
from dashboard.components import plain

SAID = f"{link.KEY}-said"
"""What the last change has to say: (whether it went well, Markdown); told once."""

DELETED = f"{link.KEY}-deleted"
"""Names in the trash that this visitor put there, the last first."""

MOST_LISTED = 10


def report() -> None:
    """What the last change did, and for what was just deleted a button that brings it back."""
    good, said = st.session_state.pop(SAID, (True, ""))
    if said and good:
        st.toast(said, icon=":material/check_circle:", duration="long")
    elif said:
        st.error(said, icon=":material/error:")
    in_trash = set(loaders.trashed())
    mine = [kept for kept in st.session_state.get(DELETED, ()) if kept in in_trash]
    for kept in mine[:1]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="comparison-undo"):
            st.markdown(f"**{plain(_name(kept))}** was deleted. Its folder lies in the trash, whole.")
            _restore_button("Undo", kept, "undo-button")


def show(table: pd.DataFrame) -> None:
    """One run's name and note to change, its deletion, and what lies in the trash."""
    with st.expander("Rename, note or delete a run", icon=":material/edit:", key="comparison-folders"):
        if loaders.hosted():
            st.caption("On this public demo runs are only looked at. On your own machine you can change them here.")
            return
        if len(table):
            _one(table)
        _trash()


def _one(table: pd.DataFrame) -> None:
    names = table["name"].tolist()
    key = link.key("changing")
    if st.session_state.get(key) not in names:
        st.session_state[key] = names[0]
    name = st.selectbox("Run to change", names, key=key)
    fixed, no_note = loaders.refusal(name), loaders.note_refusal(name)
    if fixed:
        st.caption(f":material/lock: {plain(fixed)}")
    left, right = st.columns([1, 1], gap="medium")
    damaged = table.loc[table["name"] == name, "state"].iloc[0] == "damaged"
    with left:
        new = st.text_input(
            "New name", name, key=link.key(f"new-name-{name}"), max_chars=100, disabled=bool(fixed) or damaged
        )
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Rename run",
                icon=":material/edit:",
                disabled=bool(fixed) or damaged or new.strip() in ("", name),
                on_click=_rename,
                args=(name, new.strip()),
            )
            st.button(
                "Delete run",
                icon=":material/delete:",
                disabled=bool(fixed),
                on_click=_delete,
                args=(name,),
                help="Moves the folder to the trash; Undo brings it back",
            )
    with right:
        note = table.loc[table["name"] == name, "note"].iloc[0]
        text = st.text_area(
            "Note",
            note,
            key=link.key(f"note-{name}"),
            max_chars=10_000,
            height=100,
            placeholder="What this run was for, what it taught you",
            disabled=bool(no_note),
        )
        st.button(
            "Save note",
            icon=":material/save:",
            disabled=bool(no_note) or text.strip() == note.strip(),
            on_click=_write_note,
            args=(name, text),
        )


def _trash() -> None:
    kept = loaders.trashed()
    if not kept:
        return
    st.markdown(f"**In the trash: {len(kept)}**\n\n:small[:gray[Nothing is purged by itself; "
                "to free the space, delete `.trash` in the folder of runs]]")  # fmt: skip
    for place, name in enumerate(kept[:MOST_LISTED]):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{plain(_name(name))} :small[:gray[deleted {plain(_when(name))} UTC]]")
            _restore_button(f"Restore {plain(_name(name))}", name, f"trash-{place}")
    if len(kept) > MOST_LISTED:
        st.caption(f"and {len(kept) - MOST_LISTED} more, deleted before these")


def _restore_button(label: str, kept: str, place: str) -> None:
    st.button(
        label,
        icon=":material/undo:",
        key=link.key(place),
        on_click=_restore,
        args=(kept,),
        help=f"Bring {plain(_name(kept))} back",
    )


def _name(kept: str) -> str:
    return kept.rpartition("-")[0]


def _when(kept: str) -> str:
    time = kept.rpartition("-")[2]
    return f"{time[:4]}-{time[4:6]}-{time[6:8]} {time[9:11]}:{time[11:13]}"


def _rename(name: str, new: str) -> None:
    if _tried(lambda: loaders.rename(name, new), f"{plain(name)} is now called {plain(new)}."):
        link.renamed(name, new)
        st.session_state[link.key("changing")] = new


def _write_note(name: str, text: str) -> None:
    _tried(lambda: loaders.write_note(name, text), f"The note on {plain(name)} is saved.")


def _delete(name: str) -> None:
    def act() -> None:
        st.session_state[DELETED] = [loaders.delete(name), *st.session_state.get(DELETED, ())]

    _tried(act, f"{plain(name)} was deleted. Undo brings it back.")


def _restore(kept: str) -> None:
    _tried(lambda: loaders.restore(kept), f"{plain(_name(kept))} is back.")


def _tried(act, said: str) -> bool:
    """Whether a change went well; what it has to say is told at the next drawing."""
    try:
        act()
    except RunError as error:
        found, expected = plain(error.found), plain(error.expected)
        st.session_state[SAID] = (False, f"**Nothing was changed.** {plain(error.name)}: found {found}; "
                                         f"expected {expected}.")  # fmt: skip
        return False
    except OSError as error:
        st.session_state[SAID] = (False, f"**Nothing was changed.** The folder could not be moved or written: "
                                         f"{plain(error.strerror or 'unknown reason')}.")  # fmt: skip
        return False
    st.session_state[SAID] = (True, said)
    return True
