"""Entry of the dashboard: page config, look, navigation and the sidebar that every page shares."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # `streamlit run` puts only dashboard/ on the path
    sys.path.insert(0, str(ROOT))

import streamlit as st

from dashboard import components, loaders, state

STATIC = ROOT / "dashboard" / "static"

st.set_page_config(page_title="LungLens", page_icon=str(STATIC / "icon.svg"), layout="wide")
st.html(STATIC / "app.css")
st.logo(str(STATIC / "logo.svg"), size="large", icon_image=str(STATIC / "icon.svg"))

page = st.navigation(
    {
        "": [
            st.Page("views/overview.py", title="Overview", icon=":material/home:", default=True),
        ],
        "Diagnostics": [
            st.Page("views/classify.py", title="Classify", icon=":material/radiology:", url_path="classify"),
        ],
    },
    expanded=True,
)

with st.sidebar:
    state.choose_run(loaders.run_names())
    st.caption(components.DISCLAIMER)

page.run()
