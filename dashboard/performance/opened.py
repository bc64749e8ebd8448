"""One slice in full: its picture with heat map, its probabilities, and the training slices most like it."""

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import RunError
from core.labels import title
from core.slices import LUNG_WINDOW, Slice
from dashboard import viewer
from dashboard.components import class_icon, figure_title, plain
from dashboard.loaders import FileRead, source_title
from dashboard.performance import link, loaders
from dashboard.performance.link import Choice
from dashboard.performance.loaders import Subject
from dashboard.performance.words import lower

NEAR = 4

ABSENT = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="192" height="192"><defs><pattern id="h" width="8" height="8" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="3" height="8" fill="#75858F" '
    'fill-opacity=".45"/></pattern></defs><rect width="192" height="192" fill="url(#h)"/></svg>'
)
"""What stands for a picture that is not on this machine."""


def open_image(of: Subject, choice: Choice) -> None:
    """The open slice in a dialog, where the address names one; a notice where it names none of these."""
    if not choice.image:
        return
    row = loaders.row_of(of, choice.image)
    if row is None:
        st.warning(
            f"**This link names a slice that is not among these.** image was {plain(choice.image)}; expected the "
            f"first {link.SHA} signs of the checksum of one of them. None is opened.",
            icon=":material/info:",
        )
        return
    item = loaders.listed(of, choice.point, np.array([row])).iloc[0]
    words = f"{title(item['true'])}, called {lower(item['called'])}: {plain(item['file'])}"
    st.dialog(words, width="large", on_dismiss=close)(slice_dialog)(of, choice, item)


def close() -> None:
    """Close the slice; the address follows."""
    link.change(image="")


def slice_dialog(of: Subject, choice: Choice, item: pd.Series) -> None:
    """Left the picture, right probabilities and facts; below the nearest training slices."""
    found = loaders.read_slice(item["source"], item["file"], item["sha256"])
    found = found or loaders.phantom_slice(item["file"], str(item["group"]), item["sha256"])
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _picture(of, item, found)
    with right:
        _probabilities(of, item)
        _facts(item)
    _nearest(of, item, found)


def _picture(of: Subject, item: pd.Series, found: Slice | None) -> None:
    if found is None:
        small = loaders.picture(of, item["source"], item["file"], item["sha256"])
        words = f"{title(item['true'])} slice of {plain(source_title(item['source']))}"
        st.image(small or ABSENT, width="stretch", alt=words if small else "")
        st.caption(
            "Only a small picture is kept with the run, so no heat map is drawn."
            if small
            else "Images of this run are not here: the folder that LUNGLENS_DATA names does not hold this file."
        )
        return
    reading = loaders.reading(of.run, found)
    if reading is None:
        st.image(loaders.picture(of, item["source"], item["file"], item["sha256"]), width="stretch", alt="CT slice")
        st.caption("The run ships no model, so no heat map is drawn.")
        return
    called = reading.prediction
    mode = (
        "Slice"
        if called.refused
        else st.segmented_control(
            "Show",
            ["Slice", "Heat map", "Both"],
            default="Heat map",
            required=True,
            key=link.key("view"),
            label_visibility="collapsed",
            persist_state="session",
        )
    )
    window = LUNG_WINDOW if reading.unit == "hu" else (0.0, 255.0)
    picture = st.container(gap=None)
    heat_label, strength = viewer.heat_controls(reading) if mode != "Slice" else (called.label, 0.0)
    with picture:
        shown = FileRead("performance", item["file"], readings=[reading], finished=True)
        viewer.draw(shown, 0, viewer.View(mode, *window, heat_label, strength, True))
    if called.refused:
        st.caption(f"The run's final model gives it no answer. {plain(called.refused)}")
        return
    st.caption(
        f"Heat map and outline are by the run's final model, which calls it {lower(called.label)} and "
        "may have learned from this slice. The probabilities beside it are those that were tested."
    )


def _probabilities(of: Subject, item: pd.Series) -> None:
    found = loaders.predictions(of)
    probabilities = dict(zip(found.labels, map(float, found.probabilities[int(item["row"])]), strict=True))
    figure_title(
        f"{class_icon(item['called'])} Called {lower(item['called'])}, {item['confidence']:.2f}",
        f"True class: {lower(item['true'])}. Probabilities at the run's temperature",
    )
    for label, value in probabilities.items():
        st.progress(min(max(value, 0.0), 1.0), text=f"{class_icon(label)} {title(label)} {value:.2f}")


def _facts(item: pd.Series) -> None:
    rows = [
        ("Source", plain(source_title(item["source"]))),
        ("File", plain(item["file"])),
        ("Group", plain(str(item["group"]))),
        ("SHA-256", f"`{item['sha256'][:12]}…`"),
    ]
    st.table(
        pd.DataFrame(rows), border="horizontal", hide_index=True, hide_header=True, alt="Facts about the slice"
    )


def _nearest(of: Subject, item: pd.Series, found: Slice | None) -> None:
    if found is None:
        st.caption("The nearest training slices are found by the picture, which is not here.")
        return
    try:
        near = loaders.nearest(of.run, found, item["sha256"], NEAR)
    except RunError as error:
        st.caption(f"No nearest training slices: found {plain(error.found)}; expected {plain(error.expected)}.")
        return
    figure_title(
        f"Most like it among the training slices: {', '.join(lower(label) for label in near['label'])}",
        "Distance between features of the network, 0 for the same picture; the slice itself is left out",
        level=3,
    )
    with st.grid(NEAR, min_column_width=130, gap="xsmall"):
        for row in near.itertuples():
            with st.container(gap=None):
                picture = loaders.picture(of, row.source, row.file, row.sha256)
                st.image(
                    picture or ABSENT, width="stretch", alt=f"{title(row.label)} training slice" if picture else ""
                )
                st.caption(
                    f"{class_icon(row.label)} {lower(row.label)}, {plain(source_title(row.source))}, "
                    f"distance {row.distance:.2f}"
                )
