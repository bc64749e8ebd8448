"""Runs: which run is better, and is the difference real? All runs, two of them compared, curves overlaid."""

from contextlib import suppress

import streamlit as st

from core.errors import RunError
from dashboard import components
from dashboard.comparison import folders, link, loaders, overlay, pair, table


@st.fragment
def copy_link() -> None:
    """The address of what is shown when it is opened, with every run by its name."""
    if not st.context.url:  # no browser asked
        return
    menu = st.popover("Copy link", icon=":material/link:", key=link.key("copy"), on_change="rerun")
    if menu.open:
        chosen, scheme = link.choice(), ""
        with suppress(RunError):
            scheme = chosen.scheme or next(iter(loaders.common_schemes(chosen.first, chosen.second)), "")
        with menu:
            st.caption("Opens this view for anyone who has these runs:")
            st.code(link.address(scheme), language=None, wrap_lines=True)


actions = components.head(
    "Which run is better, and is the difference real?",
    "All runs on this machine; two of them compared on the very same images; their curves overlaid. "
    "A slice is not a patient.",
)
runs = loaders.runs_table()
finished = tuple(runs.loc[runs["state"] == "finished", "name"])
kept = link.follow(
    link.Offer(
        finished=finished,
        with_curves=tuple(runs.loc[(runs["state"] != "damaged") & (runs["epochs_done"] > 0), "name"]),
        pair=loaders.first_pair(finished),
        recipes=tuple(table.recipes(runs)),
    )
)
with actions:
    copy_link()
for notice in kept.notices:
    components.link_notice(**vars(notice))
folders.report()
if runs.empty:
    with st.container(border=True):
        components.figure_title("No run yet", "Train one on the page Train, or with `make train`.", level=2)
else:
    table.show(runs)
    pair.show()
    st.divider()
    overlay.show()
folders.show(runs)
st.caption(
    "**Sources and limits.** Read from each run's config.json, metrics.json, history.csv and predictions.parquet. "
    "Images are the same where their bytes are. A run chosen because it was best on these images looks better here "
    "than it is on others; comparing many runs makes one of them look clearly better by chance. Slices are "
    "counted, not patients."
)
