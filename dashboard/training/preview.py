"""What a training will do, before it starts: images by class and source, batches, expected minutes."""

import pandas as pd
import streamlit as st

from core.backbones import BACKBONES
from core.errors import LungLensError
from core.labels import title
from core.order import Order, Request
from dashboard.components import glyph_and_word, plain
from dashboard.figure import downloads
from dashboard.loaders import source_title
from dashboard.training import loaders

PARTS = {"train": "Learn from", "validation": "Validate on", "test": "Test on", "left out": "Left out"}


def refused(error: LungLensError) -> None:
    """What stands in the way of a training, in words."""
    st.error(
        f"**{plain(error.name)}.** Found {plain(error.found)}; expected {plain(error.expected)}.",
        icon=":material/error:",
    )


def sentence(request: Request, parts: pd.DataFrame) -> str:
    """As in "It will learn from 1,067 images and validate on 268 others"."""
    images = parts.groupby("part")["images"].sum()
    kind = "phantoms" if all(name.startswith("phantoms-") for name in parts["source"]) else "images"
    text = f"It will learn from {images.get('train', 0):,} {kind}"
    if images.get("validation", 0):
        text += f" and validate on {images['validation']:,} others"
    return text


def facts(order: Order, parts: pd.DataFrame) -> str:
    """The recipe as it will be followed, in a few plain lines of Markdown."""
    recipe = order.recipe
    images = parts.groupby("part")["images"].sum()
    batches = -(-int(images.get("train", 0)) // recipe.batch_size)
    small = sum(recipe.size_at(epoch) != recipe.preprocess.size for epoch in range(recipe.epochs))
    sizes = f"{recipe.preprocess.size} pixels"
    if small:
        sizes = f"{recipe.small_size} pixels in the first {small}, then {sizes}"
    kept = "the epoch of best validation accuracy is kept" if recipe.keep == "best" else "the last epoch is kept"
    drawn = ", and healthy slices with drawn lesions besides" if recipe.lesions else ""
    return (
        f"{recipe.epochs} epochs of {batches} batches of {recipe.batch_size}{drawn}, {sizes}; {kept}. "
        f"{BACKBONES[recipe.backbone].title}, optimiser {recipe.optimizer}, "
        f"learning rate {recipe.learning_rate:g}, seed {order.seed}."
    )


def named(source: str) -> str:
    """A source by the name it is known by."""
    return "Phantoms" if source.startswith("phantoms-") else source_title(source)


def counts_table(parts: pd.DataFrame) -> pd.DataFrame:
    """One row per source and class: images and groups of each part."""
    rows = []
    for (source, label), own in parts.groupby(["source", "label"], sort=False):
        row = {"Source": named(source), "Class": glyph_and_word(label)}
        for part, words in PARTS.items():
            if part in set(parts["part"]):
                row[words] = int(own.loc[own["part"] == part, "images"].sum())
        rows.append(row | {"Groups": int(own["groups"].sum())})
    return pd.DataFrame(rows)


def counts(parts: pd.DataFrame) -> None:
    """Images by source and class as a table, with its data to take away."""
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute"):
        classes = ", ".join(title(label).lower() for label in dict.fromkeys(parts["label"]))
        st.markdown(
            f"### Images by source and class\n"
            f":small[:gray[{plain(classes)}; a group (patient, series) is never split]]",
            anchors=False,
        )
        downloads("train-images", parts)
    shown = counts_table(parts)
    st.dataframe(
        shown, hide_index=True, height=min(38 + 35 * len(shown), 320), alt="Images by source, class and part"
    )


def expected_time(request: Request, order: Order, parts: pd.DataFrame, busy: bool) -> None:
    """Minutes from three timed batches, or the button that times them."""
    timing = loaders.timed(request)
    if timing is None:
        st.metric("Expected time", "–", delta="not measured", delta_color="off", delta_arrow="off")
        note = "Another training is running: it would slow down the measurement." if busy else "Takes some seconds."
        if st.button("Time three batches", icon=":material/timer:", help=note, key="time"):
            try:
                with st.spinner("Timing three batches", show_time=True):
                    loaders.time_batches(request)
            except LungLensError as error:
                refused(error)
                return
            st.rerun()
        return
    middle, least, most = loaders.seconds(order.recipe, parts, timing)
    st.metric(
        "Expected time",
        duration(middle),
        delta=f"{duration(least)} to {duration(most)}",
        delta_color="off",
        delta_arrow="off",
        help="From three batches timed on this machine: the middle one; in grey, if all were as fast or as slow as "
        "the fastest and the slowest of them. Writing the finished model, under a minute, is not counted.",
    )


def duration(seconds: float) -> str:
    """As in "40 s", "12 min" or "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
