"""Entry of the dashboard: page config, look, navigation and the sidebar that every page shares."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` puts only dashboard/ on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st

from dashboard import components, departure, garbage, loaders, messages, state, uploads
from dashboard.economics import scenario_card
from dashboard.economics import state as scenario_state

STATIC = ROOT / "dashboard" / "static"

loaders.share_heaps()
messages.keep_all()
messages.end_first()
messages.at_once()
departure.free_what_was_held()
uploads.keep_in_memory()
st.set_page_config(page_title="LungLens", page_icon=str(STATIC / "icon.svg"), layout="wide")
st.html(STATIC / "app.css")
st.logo(str(STATIC / "logo.svg"), size="large", icon_image=str(STATIC / "icon.svg"))

DIAGNOSTICS = [
    st.Page("views/classify.py", title="Classify", icon=":material/radiology:", url_path="classify"),
    st.Page("views/performance.py", title="Performance", icon=":material/grid_on:", url_path="performance"),
    st.Page("views/runs.py", title="Runs", icon=":material/stacked_line_chart:", url_path="runs"),
    st.Page("views/train.py", title="Train", icon=":material/model_training:", url_path="train"),
    st.Page("views/data.py", title="Data", icon=":material/photo_library:", url_path="data"),
]
EVIDENCE = [
    st.Page("views/paper.py", title="Paper", icon=":material/article:", url_path="paper"),
    st.Page("views/model_card.py", title="Model card", icon=":material/fact_check:", url_path="model-card"),
]
ONE_RUN = ("", "classify", "performance", "model-card")
"""Addresses of the pages that look at one model run, chosen in the sidebar."""
MARKET = [
    st.Page(
        "views/screening_value.py", title="Screening value", icon=":material/payments:", url_path="screening-value"
    ),
    st.Page(
        "views/cost_effectiveness.py",
        title="Cost-effectiveness",
        icon=":material/balance:",
        url_path="cost-effectiveness",
    ),
    st.Page("views/sensitivity.py", title="Sensitivity", icon=":material/tornado:", url_path="sensitivity"),
    st.Page("views/adoption.py", title="Adoption and market", icon=":material/trending_up:", url_path="adoption"),
    st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare"),
    st.Page("views/sources.py", title="Sources", icon=":material/menu_book:", url_path="sources"),
]

page = st.navigation(
    {
        "": [st.Page("views/overview.py", title="Overview", icon=":material/home:", default=True)],
        "Diagnostics": DIAGNOSTICS,
        "Evidence": EVIDENCE,
        "Market": MARKET,
    },
    expanded=True,
)

with st.sidebar, components.told():
    state.choose_run(loaders.run_names(), shown=page.url_path in ONE_RUN)
    if page in MARKET:
        scenario_card.sidebar(page.url_path)
    else:
        scenario_state.elsewhere()
with st.sidebar:
    st.caption(components.DISCLAIMER)

with components.told():
    page.run()
garbage.after_drawing(page.url_path)
