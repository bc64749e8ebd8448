"""The whole card of a run, as its file has it: contents, and every section with a heading to link to."""

import re
from pathlib import Path

import streamlit as st

from core.runs import Run
from dashboard.components import plain
from dashboard.evidence import loaders as evidence
from dashboard.measured import card_body

CSS = Path(__file__).with_name("card.css")


def whole_card(run: Run) -> None:
    """Contents and sections; the checklists, which the page shows by themselves, are in the downloads."""
    st.header("The whole card", anchor="whole-card")
    if not run.card:
        st.markdown(
            "This run has no MODEL_CARD.md; `python -m core evaluate --keep NAME` and cross-validation write one."
        )
        return
    first, *sections = re.split(
        r"^### (?=\S)", card_body(evidence.card_without_checklists(run)), flags=re.MULTILINE
    )
    titles = [section.partition("\n")[0].strip() for section in sections]
    with st.container(key="whole-card"):
        st.markdown(first)
        with st.container(key="whole-card-contents"):
            st.markdown("\n".join(f"- [{plain(title)}](#{anchor(title)})" for title in titles))
        for title, section in zip(titles, sections, strict=True):
            st.subheader(plain(title), anchor=anchor(title))
            st.markdown(section.partition("\n")[2], anchors=False)


def anchor(title: str) -> str:
    """What a section is linked to by: "card-" and its words in lower case, as in "card-what-it-refuses"."""
    return f"card-{re.sub(r'[^a-z0-9]+', '-', title.lower()).strip('-')}"
