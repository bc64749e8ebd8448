"""Pieces of the page Data: progress, leaks and copies side by side, the gallery, what can be taken away."""

import time

import pandas as pd
import streamlit as st

from core.audit import Audit
from core.labels import title
from dashboard import components
from dashboard.audit import link, loaders
from dashboard.components import plain
from dashboard.figure import downloads

PAIRS, TILES = 4, 12
"""Pairs and sample images on one page."""

FIRST_STEPS = 5
"""Steps of a long work before the time left is told."""

KIND_WORDS = {"sha256": "same file", "group": "same group", "near": "near copy"}
KIND_HELP = {
    "sha256": "Byte for byte the same file.",
    "group": "By the manifest both belong to one patient or series.",
    "near": "The fine detail of both pictures agrees: one was saved anew, or they are neighbouring slices.",
}


class Teller:
    """Shows how far a long work is and how long it still takes, from its first step on, with a way to stop it."""

    def __init__(self, doing: str) -> None:
        self.doing, self.start, self.last = doing, time.monotonic(), 0.0
        self.place = st.container()
        self.bar = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.bar is None:
            with self.place:
                self.bar = st.progress(0.0, text=f"{self.doing} ...")
                st.button(
                    "Stop",
                    key=link.key(f"stop-{self.doing}"),
                    icon=":material/stop:",
                    on_click=link.change,
                    kwargs={link.DATA: None},
                )
        if now - self.last < 0.25 and done < total:
            return
        self.last = now
        left = f", about {(now - self.start) / done * (total - done):.0f} s left" if done >= FIRST_STEPS else ""
        words = f"{done:,} of {total:,}{left}" if done < total else f"all {total:,}, one moment ..."
        self.bar.progress(done / total, text=f"{self.doing}: {words}")


def count_words(count: int, one: str, many: str | None = None) -> str:
    """As in "1 image", "1,354 images"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def class_words(label: str) -> str:
    """A class with its shape, as Markdown; labels of other data stand for themselves."""
    return f"{components.class_icon(label.casefold())} {plain(title(label))}"


def image_tile(found: Audit, row: int, red: bool = False, short: bool = False) -> None:
    """One image with its class, part and file name under it, the name without its folders where `short`."""
    image = found.table.iloc[row]
    content = loaders.picture(image["path"], image["sha256"]) if image["error"] == "" else None
    said = f"{title(image['label'])}, {image['file']}"
    if content is None:
        st.container(border=True, height=120).caption("This file could not be read.")
    else:
        st.image(content, width="stretch", alt=said)
    part = image["part"] if isinstance(image["part"], str) else ""
    name = image["file"].rpartition("/")[2] if short else image["file"]
    badge = f" :{'red' if red else 'gray'}-badge[{part}]" if part else ""
    st.markdown(f":small[{class_words(image['label'])}{badge}]  \n:small[:gray[{plain(name)}]]")


def pair_grid(found: Audit, pairs: pd.DataFrame, page_name: str, red: bool) -> None:
    """Pairs side by side, PAIRS a page, each with what the two share."""
    last = max(1, -(-len(pairs) // PAIRS))
    page = link.page(page_name, last)
    grid = st.grid(2, min_column_width=260)
    for pair in pairs.iloc[(page - 1) * PAIRS : page * PAIRS].itertuples():
        with grid.container(border=True):
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
                st.badge(
                    KIND_WORDS[pair.kind].capitalize(),
                    icon=":material/error:" if red else ":material/content_copy:",
                    color="red" if red else "gray",
                    help=KIND_HELP[pair.kind],
                )
                if pair.kind != "sha256":
                    alike = "do not look alike" if pd.isna(pair.similarity) else f"{pair.similarity:.2f} alike"
                    st.caption(alike, width="content")
            sides = st.grid(2, min_column_width=96)
            for row in (pair.first, pair.second):
                with sides.container(gap="xsmall"):
                    image_tile(found, row, red)
    pages(page_name, page, last)


def pages(name: str, page: int, last: int) -> None:
    """Page numbers that write themselves into the address."""
    if last < 2:
        return
    st.pagination(last, default=page, key=link.control(name, page), on_change=link.take, args=(name,))


def pairs_table(found: Audit, pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs with names in place of rows: kind, similarity, then source, file, label and part of both."""
    table = pairs[["kind", "similarity"]].copy()
    for side in ("first", "second"):
        rows = found.table.iloc[pairs[side]].reset_index(drop=True)
        for name in ("source", "file", "label", "part"):
            table[f"{side}_{name}"] = rows[name].to_numpy()
    return table


def titled(sentence: str, note: str, name: str, table: pd.DataFrame, level: int = 3) -> None:
    """A section's sentence and grey line with its table to take away at the right."""
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            components.figure_title(sentence, note, level)
        downloads(name, table)


@st.fragment
def take_away(found: Audit) -> None:
    """The address of what is shown, made when it is asked for (the parts below change it); the audit as JSON."""
    with st.container(horizontal=True, width="content", gap="small"):
        if link.address():
            menu = st.popover("Copy link", icon=":material/link:", on_change="rerun", key=link.key("link"))
            if menu.open:
                with menu:
                    st.caption("Opens the same data and choices on this dashboard:")
                    st.code(link.address(), language=None, wrap_lines=True)
        st.download_button(
            "Download",
            lambda: loaders.as_json(found),
            "lunglens-audit.json",
            "application/json",
            icon=":material/download:",
            on_click="ignore",
            help="All counts, pairs and intervals as JSON",
        )


@st.fragment
def leaks(found: Audit) -> None:
    """The leaking pairs side by side, all of them or of one kind."""
    kinds = [kind for kind in KIND_WORDS if (found.leaks["kind"] == kind).any()]
    counts = found.leaks["kind"].value_counts()
    titled(
        f"{count_words(len(found.leaks), 'pair')} of images on both sides of a split",
        "Left the earlier part, right the part that it leaks into; surest first",
        "leaks",
        pairs_table(found, found.leaks),
    )
    wanted = link.one_of("leak", kinds, "", "all")
    if len(kinds) > 1:
        st.segmented_control(
            "What the two share",
            ["", *kinds],
            default=wanted,
            format_func=lambda kind: f"{KIND_WORDS[kind].capitalize()} {counts[kind]}" if kind else "All",
            key=link.control("leak", wanted),
            on_change=link.take,
            args=("leak", "leakpage"),
            wrap=True,
        )
    shown = found.leaks[found.leaks["kind"] == wanted] if wanted else found.leaks
    pair_grid(found, shown.reset_index(drop=True), "leakpage", red=True)


@st.fragment
def copies(found: Audit) -> None:
    """What is there twice anywhere in the data, by kind, and copies whose labels contradict each other."""
    pairs = found.duplicates
    near = pairs["kind"] == "near"
    lists = {
        "labels": ("Different labels", found.clashes),
        "files": ("Same file", pairs[~near]),
        "near": ("Near copies", pairs[near & ~pairs["same_group"]]),
        "group": ("Near, one group", pairs[near & pairs["same_group"]]),
    }
    clashes, again = len(found.clashes), int((~near).sum())
    apart = int((near & ~pairs["same_group"]).sum())
    said = [
        f"{count_words(again, 'file is', 'files are')} there again" if again else "No file is there twice",
        f"{count_words(apart, 'near copy', 'near copies') if apart else 'no near copy'} between groups",
        f"{count_words(clashes, 'pair')} with different labels" if clashes else "no copy contradicts another",
    ]
    titled(
        ", ".join(said),
        "Anywhere in the data, also within one part. Near copies inside a group are neighbouring slices, as a rule",
        "copies",
        pairs_table(found, pairs),
    )
    filled = [name for name, (_, part) in lists.items() if len(part)]
    if not filled:
        return
    wanted = link.one_of("copies", filled, filled[0])
    st.segmented_control(
        "Copies to show",
        filled,
        default=wanted,
        required=True,
        format_func=lambda name: f"{lists[name][0]} {len(lists[name][1])}",
        key=link.control("copies", wanted),
        on_change=link.take,
        args=("copies", "copypage"),
        wrap=True,
    )
    pair_grid(found, lists[wanted][1].reset_index(drop=True), "copypage", red=False)


@st.fragment
def gallery(found: Audit) -> None:
    """A page of sample images, of all or of one class, source and part."""
    titled("The images themselves", "In the order of the folders", "images", images_table(found), level=2)
    shown = found.table
    with st.container(horizontal=True, gap="small"):
        for name, words in (("label", "Class"), ("source", "Source"), ("part", "Part")):
            values = found.table[name].dropna()
            known = loaders.class_order(values) if name == "label" else sorted(values.unique())
            if len(known) < 2:
                continue
            wanted = link.one_of(name, known, "", "all")
            st.selectbox(
                words,
                ["", *known],
                ["", *known].index(wanted),
                format_func=lambda value, name=name: (
                    (title(value) if name == "label" else value) if value else "All"
                ),
                key=link.control(name, wanted),
                on_change=link.take,
                args=(name, "page"),
                width=220,
            )
            if wanted:
                shown = shown[shown[name] == wanted]
    if shown.empty:
        st.caption("No image is of this class, source and part at once.")
        return
    last = -(-len(shown) // TILES)
    page = link.page("page", last)
    st.caption(f"{count_words(len(shown), 'image')}, page {page} of {last:,}")
    grid = st.grid(6, min_column_width=140)
    for row in shown.index[(page - 1) * TILES : page * TILES]:
        with grid.container(gap="xsmall"):
            image_tile(found, int(row), short=True)
    pages("page", page, last)


def images_table(found: Audit) -> pd.DataFrame:
    """One row per image, without the paths of this machine."""
    return found.table.drop(columns=["path"])
