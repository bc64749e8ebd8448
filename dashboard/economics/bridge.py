"""The bridge from a model run: its counts as the operating point of the AI, and what a threshold is worth."""

import streamlit as st

from core.errors import LungLensError
from core.labels import title
from dashboard import figure
from dashboard.components import plain
from dashboard.economics import charts, loaders, state, words
from market.errors import MarketError
from market.scenarios import OperatingPoint, Scenario

WARNING = "Slice-level accuracy on a curated set is not screening accuracy."
USES_AI_ACCURACY = ("second_reader", "triage")
NO_RUN = "No finished run here has kept predictions. Train one with `make train`."
SCHEMES = {"source": "sources left out", "group": "groups kept apart", "validation": "validation", "test": "test"}


def notice(scenario: Scenario) -> None:
    """Under the answer, whose accuracy the AI has where it comes from counts; and how it gets there."""
    point = scenario.operating_point
    if point is not None:
        right, cases = point.true_positives, point.true_positives + point.false_negatives
        free, others = point.true_negatives, point.true_negatives + point.false_positives
        st.warning(
            f"**{WARNING}** Carried over with its counts: {right:,.0f} of {cases:,.0f}, "
            f"{free:,.0f} of {others:,.0f}{from_words(scenario)}. Intervals vary it as these counts allow."
            f"{unused(scenario)}",
            icon=":material/info:",
        )
        st.button(
            "Use the sources' accuracy again",
            icon=":material/undo:",
            on_click=state.use_operating_point,
            args=(None,),
        )


def from_words(scenario: Scenario) -> str:
    """Where the counts come from, in parentheses; "" where nobody said so."""
    return f" ({plain(scenario.operating_point_note)})" if scenario.operating_point_note else ""


def unused(scenario: Scenario) -> str:
    """That the way of reading does not use the AI's own accuracy, where it does not."""
    if scenario.strategy in USES_AI_ACCURACY:
        return ""
    return (
        f" **{words.capital(words.STRATEGIES[scenario.strategy])} does not use it**: it acts when AI rules out or "
        "is the second reader."
    )


def choose() -> None:
    """The operating point of a model run: run, test, class, threshold; its counts go into the scenario."""
    menu = st.popover("Use the operating point of a run", icon=":material/target:", on_change="rerun", key="bridge")
    if not menu.open:
        return
    with menu:
        try:
            chosen = chosen_run("bridge")
        except LungLensError as error:
            st.caption(f"{plain(error.name)}: found {plain(error.found)}; expected {plain(error.expected)}.")
            return
        if chosen is None:
            st.caption(NO_RUN)
            return
        run, scheme, label = chosen
        threshold = st.slider(
            "Threshold", 0.0, 1.0, 0.5, 0.01, key="bridge-threshold", help="Called at or above it"
        )
        counts = loaders.counts(run, scheme, label, threshold)
        cases, others = (
            counts.true_positives + counts.false_negatives,
            counts.true_negatives + counts.false_positives,
        )
        st.markdown(
            f"Finds {counts.true_positives:,} of {cases:,} slices with it and leaves alone "
            f"{counts.true_negatives:,} of {others:,} without."
        )
        st.caption(f"{WARNING} A scan has many slices, and screening finds other cancers than a curated set shows.")
        st.button(
            "Use these counts",
            type="primary",
            disabled=not (cases and others),
            on_click=take,
            args=(run, scheme, label, threshold),
        )


def take(run: str, scheme: str, label: str, threshold: float) -> None:
    """Put the counts into the scenario, with where they come from."""
    counts = loaders.counts(run, scheme, label, threshold)
    point = OperatingPoint(**{name: float(value) for name, value in vars(counts).items()})
    note = f"run {run}, {SCHEMES.get(scheme, scheme)}, {label}, threshold {threshold:.2f}"
    state.use_operating_point(point, note[:120])


def chosen_run(place: str) -> tuple[str, str, str] | None:
    """Run, scheme and class by select boxes, each `place` its own; None where no run has predictions.

    The first run is the one that a link from its page names.
    """
    names = [name for name in loaders.run_names() if loaders.run_schemes(name)]
    if not names:
        return None
    linked = st.query_params.get("run")
    first = names.index(linked) if linked in names else 0
    run = st.selectbox("Model run", names, index=first, key=f"{place}-run")
    schemes = loaders.run_schemes(run)
    scheme = st.selectbox("Tested with", schemes, key=f"{place}-scheme", format_func=lambda s: SCHEMES.get(s, s))
    labels = ["tumour", loaders.DISEASED]
    named = {
        "tumour": f"{title('tumour')} against the rest",
        loaders.DISEASED: "Pneumonia or tumour against normal",
    }
    label = st.selectbox("What is called", labels, key=f"{place}-label", format_func=named.get)
    return run, scheme, label


def sweep_part(scenario: Scenario, currency: str) -> None:
    """What each threshold of a run is worth; computed only when opened."""
    if scenario.strategy not in USES_AI_ACCURACY:
        return
    part = st.expander(
        "What is each threshold of a model run worth?", icon=":material/tune:", on_change="rerun", key="sweep"
    )
    if not part.open:
        return
    with part:
        try:
            sweep(scenario, currency)
        except (LungLensError, MarketError) as error:
            st.caption(f"{plain(error.name)}: found {plain(error.found)}; expected {plain(error.expected)}.")


def sweep(scenario: Scenario, currency: str) -> None:
    """Net monetary benefit along the ROC curve of a run, the best threshold and the specificity in use."""
    with st.grid(3, min_column_width=180, gap="small"):
        chosen = chosen_run("sweep")
    if chosen is None:
        st.caption(NO_RUN)
        return
    run, scheme, label = chosen
    table = loaders.sweep(scenario, run, scheme, label)
    best = table[table["best"]].iloc[0]
    in_use = loaders.values(scenario)["ai_specificity"]
    wtp = loaders.parameters(scenario).value("wtp")
    figure.figure(
        charts.sweep(
            table,
            {"specificity": in_use, "words": "in use"},
            words.SYMBOLS[currency],
        ),
        table,
        sentence=figure_sentence(best, currency),
        note=f"Net monetary benefit per person against {words.STRATEGIES[scenario.comparator]}, lifetime, at "
        f"\\{words.money(wtp, currency)} per QALY; run {plain(run)}, {SCHEMES.get(scheme, plain(scheme))}; dashed: "
        f"the specificity that this scenario has, {in_use:.2f}",
        alt_text=f"Line of net monetary benefit along the ROC curve; best at threshold {best['threshold']:.3f}, "
        f"{words.money(best['nmb'], currency)} per person",
        name="threshold-sweep",
        source=f"{WARNING} No interval: see the analysis with draws.",
    )


def figure_sentence(best, currency: str) -> str:
    """Which threshold is worth most, and whether it is worth anything."""
    amount = words.money(best["nmb"], currency).replace("$", "\\$")
    if best["nmb"] <= 0:
        lost = amount.removeprefix("−")
        return f"No threshold is worth it: the best, {best['threshold']:.2f}, loses {lost} a person"
    return f"Threshold {best['threshold']:.2f} is worth most: {amount} a person"
