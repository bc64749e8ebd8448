"""Slices as a paged gallery: those of the chosen cells of the matrix, or all that are called wrongly."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.labels import title
from dashboard.components import GLYPHS, figure_title
from dashboard.figure import downloads
from dashboard.loaders import source_title
from dashboard.performance import link, loaders
from dashboard.performance.link import Choice
from dashboard.performance.loaders import Picked, Subject
from dashboard.performance.opened import open_image
from dashboard.performance.tiles import Tile, as_data, tiles
from dashboard.performance.words import lower

A_PAGE = 12
PAGER = "pager"
NOTHING = pd.DataFrame()
ORDER = {"most": "Most confident", "least": "Least confident"}


def gallery_card(of: Subject) -> None:
    """The slices of the chosen cells, or all that are called wrongly, twelve a page."""
    with st.container(border=True, height="stretch"):
        gallery_figure(of)
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.segmented_control(
                "Order",
                list(ORDER),
                default=link.choice().order,
                required=True,
                format_func=ORDER.get,
                label_visibility="collapsed",
                key=link.control("order", link.choice().order),
                on_change=link.take,
                args=("order", "order"),
                kwargs={"page": 1},
            )
            downloads("slices", _all(of) if st.session_state.get("save-slices") else NOTHING)


def _all(of: Subject) -> pd.DataFrame:
    choice = link.choice()
    places = loaders.rows(Picked(of, choice.point, choice.cells), choice.order)
    return loaders.listed(of, choice.point, places).drop(columns="row")


@st.fragment(key=link.key("gallery"))
def gallery_figure(of: Subject) -> None:
    """One page of the slices; the one that is open stands over the page."""
    choice = link.choice()
    places = loaders.rows(Picked(of, choice.point, choice.cells), choice.order)
    pages = max(1, -(-len(places) // A_PAGE))
    page = min(choice.page, pages)
    shown = loaders.listed(of, choice.point, places[(page - 1) * A_PAGE : page * A_PAGE])
    pictures = [loaders.picture(of, row.source, row.file, row.sha256) for row in shown.itertuples()]
    figure_title(gallery_sentence(len(places), choice), gallery_note(pictures, len(places)))
    gallery(shown, pictures, choice.image, "Slices")
    if pages > 1:
        pager(page, pages)
    open_image(of, choice)


def pager(page: int, pages: int) -> None:
    """The pages of the gallery; set anew where the page was changed by something else than itself."""
    # A pagination that is given a default may not be given a value by its key as well: so a new key.
    times = st.session_state.setdefault(link.key(PAGER), 0)
    if st.session_state.get(link.key(f"page-{times}"), page) != page:
        times += 1
        st.session_state[link.key(PAGER)] = times
    st.pagination(
        pages, default=page, key=link.key(f"page-{times}"), on_change=_paged, args=(times,), max_visible_pages=5
    )


def _paged(times: int) -> None:
    link.change(page=st.session_state[link.key(f"page-{times}")])


def gallery_sentence(count: int, choice: Choice) -> str:
    """As in "The 96 normal slices called pneumonia"."""
    if not choice.cells:
        return f"All {count:,} slices that are called wrongly"
    if len(choice.cells) == 1:
        [(true, called)] = choice.cells
        return f"The {count:,} {lower(true)} slices called {lower(called)}"
    return f"The {count:,} slices in {len(choice.cells)} cells of the matrix"


def gallery_note(pictures: Sequence[bytes | None], count: int) -> str:
    """What a caption says, and whether pictures are here."""
    if not count:
        return "No slice lies in these cells"
    if not any(pictures):
        return "Called class and its probability, source. Images of this run are not here; all numbers are"
    absent = "; hatched: not on this machine" if not all(pictures) else ""
    return f"Called class and its probability, source; select one to open it{absent}"


def called_words(row: Any) -> tuple[str, str]:
    """Caption and explanation of a slice: what it is called; what it is, and its file."""
    caption = f"{GLYPHS.get(row.called, '◆')} {row.confidence:.2f}, {source_title(row.source)}"
    return caption, f"{title(row.true)}, called {lower(row.called)}: {row.file}"


def gallery(
    shown: pd.DataFrame,
    pictures: Sequence[bytes | None],
    opened: str,
    name: str,
    columns: int = 4,
    words: Callable[[Any], tuple[str, str]] = called_words,
) -> None:
    """Pictures with their captions; each opens its slice. `shown` as by loaders.listed."""
    found = []
    for row, picture in zip(shown.itertuples(), pictures, strict=True):
        sign = row.sha256[: link.SHA]
        found.append(Tile(sign, *words(row), as_data(picture), sign == opened))
    tiles(found, name, link.key(f"tiles-{name.lower()}"), columns, _open)


def _open(sign: str) -> None:
    link.change(image=sign)
    st.rerun([link.key("gallery")])  # which opens it, also where the tile is not its own
