"""Where the numbers of a decision come from, and what the model leaves out: the foot of both pages."""

import streamlit as st

from dashboard.economics import loaders, words
from market.lung import LEFT_OUT
from market.scenarios import Scenario


def card(scenario: Scenario) -> None:
    """How many numbers are used and how far they are to be trusted, limits, and the way to Sources."""
    parameters = loaders.parameters(scenario)
    asked = loaders.base_case(scenario).asked
    used = [key for key in parameters.parameters if key in asked]
    counts = {trust: sum(parameters.trust(key) == trust for key in used) for trust in words.TRUST}
    told = ", ".join(f"{words.trust_sign(trust)} {count} {_WORDS[trust]}" for trust, count in counts.items())
    with st.container(border=True, gap="small"):
        st.markdown(f"**Where the numbers come from.** The model uses {len(used)} numbers: {told}.")
        st.caption(
            f"**Limits.** {LEFT_OUT} How AI changes a reader is known from studies on enriched sets; "
            "accuracy on single slices of a curated set is not screening accuracy."
        )
        st.page_link("views/sources.py", label="Show every number with its source", icon=":material/menu_book:")


_WORDS = {"read": "read in the source", "secondary": "from secondary sources", "memory": "assumptions"}
