"""Overview: how good is this model, and what is AI reading worth? The least flattering figures first."""

import pandas as pd
import streamlit as st

from core.errors import RunError
from core.labels import title
from dashboard import components, loaders, state
from dashboard.components import figure_title, plain
from dashboard.economics import words
from dashboard.economics.link import DEFAULT
from dashboard.economics.loaders import PRICE_YEAR
from dashboard.evidence import loaders as evidence
from dashboard.measured import forest_card, headline
from dashboard.versus import loaders as worth_loaders

DOORS = (
    (
        "I build models",
        "Train a run, watch it, compare it, open the matrix cell where it fails.",
        "performance",
        "Where it is right and wrong",
    ),
    (
        "I run a screening service",
        "What AI changes per 1,000 people, per year, and the most one should pay.",
        "screening_value",
        "What it changes for a site",
    ),
    (
        "I weigh the evidence, or invest",
        "Whether it is worth its cost, how fast it could spread, and how sure that is.",
        "cost_effectiveness",
        "Whether it is worth its cost",
    ),
)


def answer(table: pd.DataFrame, metrics: dict) -> None:
    """The answer as a sentence, made from the run's figures; no figure, no claim."""
    if table.empty:
        st.header("How well it does on a source it has not seen is not measured", anchor=False)
        st.markdown("This run holds no leave-one-source-out results.")
        return
    worst, best = table.loc[table["value"].idxmin()], table.loc[table["value"].idxmax()]
    low, high = f"{worst['value']:.2f}", f"{best['value']:.2f}"
    st.header(f"On a source it has not seen, it finds {low} to {high} of a class's slices", anchor=False)
    grouped = (metrics.get("grouped_validation") or {}).get("balanced_accuracy")
    known = f" On sources it knows, balanced accuracy is {grouped['value']:.2f}." if grouped else ""
    st.markdown(
        f"Weakest on {slices_of(worst)}: {plain(worst['words'])}. "
        f"Strongest on {slices_of(best)}: {plain(best['words'])}.{known}",
        width=720,
    )


def slices_of(row: pd.Series) -> str:
    """As in "normal slices of MosMedData", in Markdown."""
    return f"{title(row['label']).lower()} slices of {plain(row['source'])}"


def doors() -> None:
    """Where to go, by what one came for."""
    with st.grid(3, min_column_width=220, gap="small"):
        for who, text, page, label in DOORS:
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{who}**  \n{text}")
                st.page_link(f"views/{page}.py", label=label, icon=":material/arrow_forward:")


def worth() -> None:
    """What AI reading changes in money and time, in the scenario that nobody has touched."""
    found = worth_loaders.outputs(DEFAULT)
    low, high = worth_loaders.spread(found.drawn["inc_cost"])
    size, more = words.money(abs(found.base["inc_cost"]), found.currency), "more" if low > 0 else "less"
    sentence = f"Read with AI alongside, a person's screening costs {size} {more}"
    if low <= 0 <= high:
        sentence = "Whether reading with AI alongside costs more or less cannot be told"
    with st.container(border=True, height="stretch"):
        figure_title(
            sentence,
            f"United States, {words.money_line(found.currency, PRICE_YEAR)}, over a lifetime, against one reader; "
            f"pills: 95 % of {worth_loaders.DRAWS} draws",
        )
        with st.grid(3, min_column_width=140, gap="medium"):
            for label, name, say in (
                ("Cost a person", "inc_cost", lambda value: words.money(value, found.currency, True)),
                ("Net benefit", "inc_nmb", lambda value: words.money(value, found.currency, True)),
            ):
                st.metric(
                    label,
                    say(found.base[name]),
                    delta=words.range_words(*worth_loaders.spread(found.drawn[name]), say),
                    delta_color="off",
                    delta_arrow="off",
                )
            st.metric(
                "Reader hours",
                words.per_1000(found.base["reader_hours"]),
                delta="per 1,000 people",
                delta_color="off",
                delta_arrow="off",
                help="Base values, over all screens of a lifetime. This frees capacity, not cash.",
            )
        st.caption(
            "Nothing of this uses the model run above: slice-level accuracy on a curated set is not screening "
            "accuracy. The AI here is that of published screening studies."
        )


def what_it_is(metrics: dict, refuses: bool) -> None:
    """What this is, what it is not, and how much of each source it was measured on."""
    with st.container(border=True, height="stretch"):
        figure_title("What it is, and what it is not", "Read this before any figure")
        st.markdown(
            "**It is** a small network (MobileNetV2) that calls one lung CT slice normal, pneumonia or lung "
            "tumour, shows what spoke for the call, and comes with its recipe and its measurements."
            f"{' It refuses pictures that are unlike those it learned from.' if refuses else ''}\n\n"
            "**It is not** a medical device or a reader of scans. It sees one slice, not a patient; it knows "
            "three classes and calls one of them for every lung slice, whatever else there is to see; and no "
            "source it learned from holds all three, so part of a class may be the look of a source."
        )
        left_out = metrics.get("leave_one_source_out") or {}
        if left_out:
            rows = [
                (loaders.source_title(name), f"{part['n_slices']:,}", f"{part['n_groups']:,}")
                for name, part in left_out.items()
            ]
            st.table(
                pd.DataFrame(rows, columns=["Measured on", "Slices", "Groups"]),
                border="horizontal",
                hide_index=True,
                alt="Slices and groups of each source that the model was measured on",
            )


with components.head(
    "How good is this model, and what would it be worth?",
    "LungLens calls a lung CT slice normal, pneumonia or lung tumour. These are the measurements of "
    f"run {plain(state.run_name())}, least flattering first.",
):
    if st.button("Classify a slice", type="primary", icon=":material/radiology:"):
        st.switch_page("views/classify.py")
try:
    run = loaders.run(state.run_name())
    opened = evidence.run_gate(run)
except RunError as error:
    components.run_message(error)
    st.stop()

table = loaders.left_out_table(run.metrics)
answer(table, run.metrics)
headline(run.metrics)
doors()
left, right = st.columns([7, 5], gap="small")
with left:
    forest_card(table)
with right:
    what_it_is(run.metrics, opened is not None)
worth()
st.page_link(
    "views/model_card.py", label="Model card: data, training, all results, limits", icon=":material/fact_check:"
)
