"""Screening value, card by card: the answer, the waterfall, the years, the prices, the investment, the table.

Text alternatives of charts that follow a slider hold no values: with another description the browser builds a
chart anew, in place of changing its data. The values stand in the sentence above and in the table to save.
"""

import math

import pandas as pd
import streamlit as st

from dashboard import figure
from dashboard.components import figure_title
from dashboard.economics import address, charts, loaders, state, words
from dashboard.economics.loaders import Tables
from dashboard.economics.scenario_card import PRICES
from market.scenarios import Scenario

WHOSE = {"hospital": "Hospital", "payer": "Payer", "total": "Both"}
WHO = {"hospital": "the hospital", "payer": "the payer", "total": "hospital and payer together"}
WAIT = "95 % in a moment"
NO_CHANGE = "no change"


def whose_money() -> str:
    """The choice of the book that is looked at; it is in the address, but no part of the scenario."""
    given = address.one_of("whose", WHOSE, "hospital", "whose", f"one of {', '.join(WHOSE)}")
    return st.segmented_control(
        "Whose money",
        list(WHOSE),
        default=given,
        format_func=WHOSE.get,
        required=True,
        **address.choice("whose", given, "whose-money"),
        help="The hospital pays for readers and AI and is paid for its services; the payer pays for all services. "
        "Of both together, payments between them cancel.",
    )


def clear(low: float, high: float) -> bool:
    """Whether a whole interval lies on one side of no effect."""
    return low > 0 or high < 0


def pill(row: dict, name: str, better: int, say) -> tuple[str, str, str]:
    """Text, colour and arrow of the interval `name` of a row; grey unless the whole of it is on one side."""
    low, high = row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan)
    if math.isnan(low):
        return (WAIT if f"{name}_low" not in row else "no interval"), "off", "off"
    if low == high == 0:
        return NO_CHANGE, "off", "off"
    if low == high == math.inf:
        return words.NEVER, "off", "off"
    text = words.range_words(low, high, say)
    if not clear(low, high) or better == 0:
        return text, "off", "off"
    return text, ("green" if better * high > 0 and better * low > 0 else "red"), ("up" if low > 0 else "down")


def badge(row: dict, name: str, better: int, say) -> str:
    """The same as Markdown, for a table."""
    text, colour, arrow = pill(row, name, better, say)
    glyph = {"up": "↑ ", "down": "↓ ", "off": ""}[arrow]
    return f":{'gray' if colour == 'off' else colour}-badge[{glyph}{text.replace('$', chr(92) + '$')}]"


def escaped(text: str) -> str:
    """Text with money in it, which Markdown would take for mathematics."""
    return text.replace("$", "\\$")


def net(tables: Tables, whose: str) -> dict:
    """The row of the net cash, which is the last but one."""
    return tables.items[whose].iloc[-2].to_dict()


def answer(scenario: Scenario, tables: Tables, whose: str, currency: str) -> None:
    """The answer as a sentence, then four metrics with their intervals."""
    row = net(tables, whose)
    st.header(answer_sentence(scenario, tables, whose, currency), anchor=False)
    found = tables.outcomes.set_index("id").to_dict("index")
    with st.container(border=True), st.grid(4, min_column_width=130, gap="small"):
        text, colour, arrow = pill(row, "change", -1, lambda value: words.thousands(value, currency, plus=True))
        st.metric(
            "Net cash",
            words.thousands(row["change"], currency, plus=True),
            delta=text,
            delta_color=colour,
            delta_arrow=arrow,
            help=f"Change in money paid less money received, per 1,000 people screened, for {WHO[whose]}. Exactly "
            f"{words.exact(row['change'])}. Reader time that frees capacity is not in it.",
        )
        for name, label in (
            ("recalls", "Recalls"),
            ("screen_detected", "Cancers found"),
            ("reader_hours", "Reader hours"),
        ):
            one = found[name]
            text, colour, arrow = pill(one, "change", one["better"], words.per_1000)
            st.metric(
                label,
                words.per_1000(one["change"]),
                delta=text,
                delta_color=colour,
                delta_arrow=arrow,
                help=f"{one['label']} per 1,000 people screened: {one['comparator']:.4g} with "
                f"{words.STRATEGIES[scenario.comparator]}, {one['strategy']:.4g} with "
                f"{words.STRATEGIES[scenario.strategy]}. Exactly {words.exact(one['change'])}.",
            )
    told = f"95 % intervals of {tables.draws:,} draws" if tables.draws else "95 % intervals follow in a moment"
    st.caption(
        f"Change per 1,000 people screened in a year, over {words.years(scenario.years)}; {told}. A pill is "
        "coloured only when its whole interval is on one side of zero."
    )


def answer_sentence(scenario: Scenario, tables: Tables, whose: str, currency: str) -> str:
    """As in "AI read alongside probably saves cash: in 86 of 100 model runs it costs less than today"."""
    subject = words.capital(words.STRATEGIES[scenario.strategy])
    change = net(tables, whose)["change"]
    if not tables.draws:
        side = "costs" if change > 0 else "saves"
        return f"{subject} {side} {escaped(words.thousands(abs(change), currency))} per 1,000 people screened"
    runs = round(100 * tables.saves_cash[whose])
    today = words.STRATEGIES[scenario.comparator]
    if runs >= 98:
        return f"{subject} saves cash: in {runs} of 100 model runs it costs less than {today}"
    if runs >= 70:
        return f"{subject} probably saves cash: in {runs} of 100 model runs it costs less than {today}"
    if runs > 30:
        return f"Whether it saves cash cannot be told: in {runs} of 100 model runs it costs less than {today}"
    if runs > 2:
        return f"{subject} probably costs more: in {100 - runs} of 100 model runs it costs more than {today}"
    return f"{subject} costs more: in {100 - runs} of 100 model runs it costs more than {today}"


def sources_line(scenario: Scenario) -> str:
    """How many numbers stand behind the page, how far they are to be trusted, and where to see them."""
    counts = loaders.trust_counts(scenario, loaders.site(scenario).asked)
    total = sum(counts.values())
    return f"Sources: {total} numbers, {counts['memory']} of them assumptions. [Show them]({sources_link()})"


def sources_link() -> str:
    """The address of Sources with this scenario, filtered to the model behind this page."""
    query = state.link_text()
    return f"sources{query}{'&' if query else '?'}x_model=Budget+and+business+case"


def waterfall(scenario: Scenario, tables: Tables, whose: str, currency: str) -> None:
    """From today's cost to that with AI; reader time that is not cash stands apart."""
    items = tables.items[whose]
    rows = waterfall_rows(items, currency)
    total = net(tables, whose)["comparator"]
    told = "whiskers: 95 % interval" if tables.draws else "intervals follow"
    note = (
        f"Change in money per 1,000 people screened, for {WHO[whose]}; today's total is "
        f"{escaped(words.thousands(total, currency))}. Left saves, right costs more; {told}"
    )
    figure.figure(
        charts.waterfall(rows, words.SYMBOLS[currency]),
        items,
        sentence=escaped(waterfall_sentence(rows, currency)),
        note=note,
        alt_text="Waterfall of the change in cost by item, down to the net; the values stand beside the bars",
        name=f"cost-waterfall-{whose}",
        source=sources_line(scenario),
    )


def waterfall_rows(items: pd.DataFrame, currency: str) -> pd.DataFrame:
    """Rows of charts.waterfall: items that change anything, the net, and time that is not cash."""
    *rows, last_cash, last_capacity = items.to_dict("records")
    chosen = [
        ("cash", "Reader time, paid" if row["group"] == "reading" else row["label"], row)
        for row in rows
        if row["kind"] == "cash" and (row["comparator"] != 0 or row["strategy"] != 0)
    ]
    chosen.append(("net", charts.NET, last_cash))
    if last_capacity["change"] != 0:
        chosen.append(("capacity", charts.TIME, last_capacity))

    def say(value: float) -> str:
        return words.thousands(value, currency, plus=True)

    ends = [(row.get("change_low", math.nan), row.get("change_high", math.nan)) for _, _, row in chosen]
    return pd.DataFrame(
        {
            "label": [label for _, label, _ in chosen],
            "change": [row["change"] for _, _, row in chosen],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
            "kind": [part for part, _, _ in chosen],
            "words": [say(row["change"]) for _, _, row in chosen],
            "range_words": ["" if math.isnan(a) else words.range_words(a, b, say) for a, b in ends],
        }
    )


def waterfall_sentence(rows: pd.DataFrame, currency: str) -> str:
    """The largest cost against the largest saving."""
    cash = rows[rows["kind"] == "cash"]
    most, least = cash.loc[cash["change"].idxmax()], cash.loc[cash["change"].idxmin()]
    cost = f"{most['label']} costs most, {words.thousands(most['change'], currency)}"
    if least["change"] >= 0:
        return f"{cost}, and nothing saves cash"
    name = least["label"] if least["label"].startswith("AI") else least["label"][0].lower() + least["label"][1:]
    saving = f"{name}, {words.thousands(-least['change'], currency)}"
    if most["change"] <= 0:
        return f"No item costs more; most is saved by {saving}"
    return f"{cost}; the largest saving is {saving}"


def years(scenario: Scenario, tables: Tables, whose: str, currency: str) -> None:
    """Budget impact by year and item."""

    def say(value: float) -> str:
        return words.thousands(value, currency, plus=True)

    table = tables.years[whose]
    rows = table.assign(words=[said(row, say) for row in table.to_dict("records")])
    totals = table[table["group"] == "net"]
    last = totals.iloc[-1]
    told = "ring: net with 95 % interval" if tables.draws else "ring: net"
    site = loaders.site(scenario)
    figure.figure(
        charts.budget_years(rows, words.SYMBOLS[currency]),
        table,
        sentence=escaped(years_sentence(totals, WHO[whose], say)),
        note=f"Change in cash by year, undiscounted, for {WHO[whose]}; {words.number(site.entrants)} new people "
        f"and on average {words.number(site.scans)} scans a year; cumulative "
        f"{escaped(say(last['cumulative']))} after {words.years(scenario.years)}; {told}",
        alt_text="Stacked bars of the change in cash by year and item, the net of each year as a ring",
        name=f"budget-impact-{whose}",
        source="Above zero costs more, below saves. " + sources_line(scenario),
    )


def said(row: dict, say) -> str:
    """An amount with its interval, as in "−$10.1k (−$14.2k to −$5.9k)"."""
    low = row.get("change_low", math.nan)
    text = say(row["change"])
    return text if math.isnan(low) else f"{text} ({words.range_words(low, row['change_high'], say)})"


def years_sentence(totals: pd.DataFrame, who: str, say) -> str:
    """When the money is back, or what the last year is like."""
    first, last = totals.iloc[0], totals.iloc[-1]
    subject = words.capital(who)
    pay, save = ("pay", "save") if who == WHO["total"] else ("pays", "saves")
    even = totals.loc[(totals["cumulative"] <= 0), "year"]
    if first["change"] > 0 and len(even):
        return f"{subject} {pay} first; the money is back in year {int(even.iloc[0])}"
    if first["change"] > 0 and last["change"] < 0:
        return f"{subject} {pay} {say(first['change'])} in year 1; later years save, but not enough to be even"
    if first["change"] <= 0 and last["cumulative"] <= 0:
        return f"{subject} {save} from the first year on" if last["cumulative"] < 0 else "Cash does not change"
    return (
        f"{subject} {pay} more in every year: {say(first['change'])} in year 1, {say(last['change'])} in the last"
    )


def prices(scenario: Scenario, tables: Tables, whose: str, currency: str) -> None:
    """The highest price that one should pay, from two points of view."""
    found = tables.measures.set_index("id").to_dict("index")
    owner = "hospital" if whose == "payer" else whose
    wtp = loaders.parameters(scenario).value("wtp")
    worth = f"Worth it at {words.thousands(wtp, currency)} per QALY"
    labels = {"price_neutral": "No more cost over a lifetime", "price_wtp": worth}
    if scenario.pricing == "per_scan":
        labels = {f"price_{owner}_cash": f"Break even in {words.years(scenario.years)}"} | labels
    rows = []
    for name, label in labels.items():
        row = found.get(name)
        if row is None or not math.isfinite(row["value"]):
            continue
        low, high = row.get("value_low", math.nan), row.get("value_high", math.nan)
        text = words.thousands(row["value"], currency)
        if not math.isnan(low):
            text += f" ({words.range_words(low, high, short)})"
        rows.append({"id": name, "label": label, "value": row["value"], "low": low, "high": high, "words": text})
    if not rows:
        figure_title("No price to look for", "Neither way of reading uses AI, or both do")
        return
    table = pd.DataFrame(rows)
    by_scan = scenario.pricing == "per_scan"
    now = loaders.values(scenario)["c_ai_scan"]
    figure.figure(
        charts.prices(
            table, now if by_scan else None, f"now {words.money(now, currency)}", words.SYMBOLS[currency]
        ),
        table,
        sentence=escaped(price_sentence(table, currency)),
        note="Highest price per scan for the AI"
        + (", with 95 % intervals" if tables.draws else "; intervals follow"),
        alt_text="Dots and intervals of the highest prices, each under its value in words",
        name="highest-price",
        source=(f"Cash counts set-up over {words.years(scenario.years)} at this volume. " if by_scan else "")
        + f"Over a lifetime set-up is left out. Negative: not even free of charge. {sources_line(scenario)}",
    )


def short(value: float) -> str:
    """An end of an interval beside an amount that has its currency already."""
    return words.number(value, digits=2 if abs(value) < 100 else 3)


def price_sentence(table: pd.DataFrame, currency: str) -> str:
    """The least flattering price first."""
    row = table.loc[table["value"].idxmin()]
    if row["value"] <= 0:
        label = row["label"][0].lower() + row["label"][1:]
        return f"By one measure not even a free AI pays: {label}"
    return f"Up to {words.money(row['value'], currency)} a scan it pays by every measure"


def investment(scenario: Scenario, tables: Tables, whose: str, currency: str) -> None:
    """Net present value, payback and break-even volume."""
    if whose == "payer":
        figure_title("The payer buys no AI", "Net present value and payback are the hospital's, or of both")
        return
    found = tables.measures.set_index("id").to_dict("index")
    value = found[f"npv_{whose}_cash"]

    def say(amount: float) -> str:
        return words.thousands(amount, currency)

    rate = loaders.parameters(scenario).value("discount_hospital")
    figure_title(investment_sentence(value), f"Cash over {words.years(scenario.years)}, for {WHO[whose]}")
    text, colour, arrow = pill(value, "value", 1, say)
    st.metric(
        "Net present value",
        say(value["value"]),
        delta=text,
        delta_color=colour,
        delta_arrow=arrow,
        help=f"All cash flows, discounted at {words.percent(rate, 1)} a year. "
        f"Exactly {words.exact(value['value'])}.",
    )
    with st.grid(2, min_column_width=110, gap="small"):
        for name, label, tell, help_ in (
            ("payback", "Payback", words.years, "Years until what is paid once has come back, undiscounted."),
            ("break_even", "Break-even volume", words.number, "Scans a year at which the net present value is 0."),
        ):
            row = found[f"{name}_{whose}_cash"]
            text = pill(row, "value", 0, tell)[0]
            st.metric(label, tell(row["value"]), delta=text, delta_color="off", delta_arrow="off", help=help_)
    price = found[f"price_{whose}_cash"]
    if scenario.pricing != "per_scan" and math.isfinite(price["value"]):
        what = {"per_year": "licence a year", "one_time": "purchase"}[scenario.pricing]
        interval = pill(price, "value", 0, say)[0]
        st.caption(
            escaped(words.whole(f"Highest price, {what}, that breaks even: {say(price['value'])} ({interval})."))
        )
    irr = found[f"irr_{whose}_cash"]["value"]
    rate_words = (
        "No rate of return balances the flow" if math.isnan(irr) else f"Rate of return {words.percent(irr, 1)}"
    )
    st.caption(
        f"{rate_words}. Reader time that frees capacity is left out: it pays no bill.\n\n{sources_line(scenario)}"
    )
    figure.downloads("business-case", tables.measures)


def investment_sentence(row: dict) -> str:
    """What the interval of the net present value says."""
    low, high = row.get("value_low", math.nan), row.get("value_high", math.nan)
    if math.isnan(low):
        return "As an investment, it pays" if row["value"] > 0 else "As an investment, it does not pay"
    if low > 0:
        return "As an investment, it pays"
    return "As an investment, it does not pay" if high < 0 else "As an investment, it may or may not pay"


def change_table(scenario: Scenario, tables: Tables) -> None:
    """All outcomes, today and with AI, per 1,000 and per year."""
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute"):
        with st.container(width="stretch"):
            figure_title(
                "What changes per 1,000 people",
                f"{words.capital(words.STRATEGIES[scenario.strategy])} against "
                f"{words.STRATEGIES[scenario.comparator]}; arrow and colour mark a clear gain or loss",
            )
        figure.downloads("what-changes", tables.outcomes)
    after = "Then" if scenario.strategy in ("single", "double") else "With AI"
    lines: list[list[str]] = []
    for basis, head in (("screened", "Per 1,000 screened in a year"), ("lifetime", "Per 1,000 who start, in life")):
        rows = tables.outcomes[tables.outcomes["basis"] == basis].to_dict("records")
        lines += [[head, "Today", after, "Change", "95 % interval", "Here, a year"], ["---"] * 6]
        lines += [
            [
                row["label"],
                words.number(row["comparator"]),
                words.number(row["strategy"]),
                words.per_1000(row["change"]),
                badge(row, "change", row["better"], words.per_1000),
                words.per_1000(row["change_per_year"]),
            ]
            for row in rows
        ]
        lines.append([])
    # As one text: `st.table` makes each cell an element of its own, which takes the browser ten times as long.
    with st.container(key="changes"):
        st.markdown("\n".join(f"| {' | '.join(line)} |" if line else "" for line in lines))
    st.caption(
        f"Here: {words.number(loaders.site(scenario).scans)} people screened and "
        f"{words.number(loaders.site(scenario).entrants)} who start in a year. {sources_line(scenario)}"
    )


def provenance(scenario: Scenario) -> None:
    """Where the numbers come from and what the model leaves out."""
    counts = loaders.trust_counts(scenario, loaders.site(scenario).asked)
    with st.container(border=True):
        st.markdown(
            f":material/menu_book: **Where the numbers come from.** {sum(counts.values())} numbers: "
            f"{counts['read']} read in the source, {counts['secondary']} from secondary sources, "
            f"{counts['memory']} assumptions. [Sources]({sources_link()}) "
            f"[Sensitivity](sensitivity{state.link_text()})"
        )
        st.caption(
            "**Limits.** A model, not a trial. The AI's own accuracy comes from other people than the reader's. "
            "Deaths from surgery of cancers found by a screen and harm from radiation are left out, in favour of "
            "screening. A budget counts a cancer that is not found as money saved: see deaths averted."
        )


def price_id(scenario: Scenario) -> str:
    """The id of the price under the scenario's contract."""
    return PRICES[scenario.pricing]
