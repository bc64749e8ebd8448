"""CHEERS 2022, filled in from a scenario: what the analysis reports and where, and what its user must still say.

Items as in Husereau et al. 2022, "Consolidated Health Economic Evaluation Reporting Standards 2022 (CHEERS 2022)
statement", BMC Medicine 20:23, table 1 (https://doi.org/10.1186/s12916-021-02204-0). What only a person who
makes the decision can know is open, never made up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from market.errors import ParameterError
from market.lung import LEFT_OUT
from market.parameters import ParameterSet
from market.scenarios import Scenario
from market.screening import STRATEGY_LABELS

OPEN = ""
SETTING_NAMES = {"us": "the United States", "uk": "the United Kingdom", "eu": "the European Union", "cn": "China"}


@dataclass(frozen=True)
class Item:
    """One of the 28 items; `text` says how the analysis meets it, or is empty where only its user can."""

    number: int
    section: str
    topic: str
    text: str

    @property
    def is_open(self) -> bool:
        return self.text == OPEN


Write = Callable[[Scenario, ParameterSet], str]


def cheers(scenario: Scenario, parameters: ParameterSet) -> list[Item]:
    """The 28 items for a scenario with these parameters, in order."""
    return [
        Item(number, section, topic, write if isinstance(write, str) else _filled(write, scenario, parameters))
        for number, (section, topic, write) in enumerate(_ITEMS, 1)
    ]


def _filled(write: Write, scenario: Scenario, parameters: ParameterSet) -> str:
    """What the item says, or open where the setting lacks a number for it."""
    try:
        return write(scenario, parameters)
    except ParameterError:
        return OPEN


def _title(scenario: Scenario, parameters: ParameterSet) -> str:
    compared = " against ".join(STRATEGY_LABELS[name] for name in (scenario.strategy, scenario.comparator))
    return f"A model-based economic evaluation of lung cancer screening: {compared}."


def _population(scenario: Scenario, parameters: ParameterSet) -> str:
    age, stop = parameters.value("start_age"), parameters.value("screen_stop_age")
    men = parameters.value("share_male")
    return (
        f"Smokers and former smokers who begin screening at age {age:g} and end it at {stop:g}, {men:.0%} of them "
        "men."
    ).replace("%", " %")


def _setting(scenario: Scenario, parameters: ParameterSet) -> str:
    return (
        f"Numbers of {SETTING_NAMES[scenario.setting]}; where they stand for another population, the table of "
        "inputs says so."
    )


def _comparators(scenario: Scenario, parameters: ParameterSet) -> str:
    return (
        "Compared are "
        + ", ".join(STRATEGY_LABELS.values())
        + ": no screening, reading without AI, and each way of reading with it."
    )


def _horizon(scenario: Scenario, parameters: ParameterSet) -> str:
    return (
        f"A lifetime for costs and QALYs, because deaths are averted years after a screen; {scenario.years} years "
        "for the budget."
    )


def _discounting(scenario: Scenario, parameters: ParameterSet) -> str:
    costs, health = (100 * parameters.value(key) for key in ("discount_cost", "discount_effect"))
    return (
        f"Costs {costs:g} % and health {health:g} % a year, as recommended in the setting (see inputs); the budget "
        "is not discounted."
    )


def _currency(scenario: Scenario, parameters: ParameterSet) -> str:
    return (
        f"{parameters.currency} in prices of {parameters.price_year}; each cost names the year of its prices and "
        "is brought forward by the price index in data/market/price_index.yaml."
    )


def _parameters(scenario: Scenario, parameters: ParameterSet) -> str:
    entries = parameters.parameters.values()
    sampled = sum(entry.sampled for entry in entries)
    return (
        f"All {len(parameters.parameters)} numbers stand in the table of inputs with value, range, distribution "
        f"({sampled} are drawn) and source; {len(parameters.overrides)} were changed for this scenario."
    )


_MODEL = (
    "A cohort model of the natural history of lung cancer (preclinical and clinical stages, three-month cycles), "
    "fitted to the National Lung Screening Trial; open source: market/lung.py, market/calibration.py."
)
_VALIDATION = "Checked against published results that it was not fitted to: python -m market validate."

_ITEMS: tuple[tuple[str, str, str | Write], ...] = (
    ("Title", "Title", _title),
    ("Abstract", "Abstract", "The answer at the head of this report."),
    (
        "Introduction",
        "Background and objectives",
        "What AI adds to screening, for who buys or pays it.",
    ),
    ("Methods", "Health economic analysis plan", OPEN),
    ("Methods", "Study population", _population),
    ("Methods", "Setting and location", _setting),
    ("Methods", "Comparators", _comparators),
    (
        "Methods",
        "Perspective",
        "Health care for costs per person and QALYs; the hospital and its payer, apart, for the budget.",
    ),
    ("Methods", "Time horizon", _horizon),
    ("Methods", "Discount rate", _discounting),
    (
        "Methods",
        "Selection of outcomes",
        "QALYs, life years and deaths of lung cancer; harms: false positives, invasive procedures, complications, "
        "overdiagnosed cancers.",
    ),
    ("Methods", "Measurement of outcomes", _MODEL),
    (
        "Methods",
        "Valuation of outcomes",
        "Utilities of smokers by age and their ratios by stage, from the publications named among the inputs.",
    ),
    (
        "Methods",
        "Measurement and valuation of resources and costs",
        "Published payments and costs for each service, counts of services from the model.",
    ),
    ("Methods", "Currency, price date, and conversion", _currency),
    ("Methods", "Rationale and description of model", f"{_MODEL} {_VALIDATION}"),
    (
        "Methods",
        "Analytics and assumptions",
        "Expected values by cohort; probabilistic analysis with calibrated parameters drawn together. " + LEFT_OUT,
    ),
    ("Methods", "Characterising heterogeneity", OPEN),
    ("Methods", "Characterising distributional effects", OPEN),
    (
        "Methods",
        "Characterising uncertainty",
        "95 % intervals of draws, one-way analyses over each number's range, value of information.",
    ),
    ("Methods", "Engagement with patients and others affected", OPEN),
    ("Results", "Study parameters", _parameters),
    (
        "Results",
        "Summary of main results",
        "Cost-effectiveness, outcomes and budget in this report.",
    ),
    (
        "Results",
        "Effect of uncertainty",
        "Intervals beside results where draws were run.",
    ),
    ("Results", "Effect of engagement", OPEN),
    (
        "Discussion",
        "Findings, limitations, generalisability",
        "Limits are listed in this report; that results carry over to another site is for its user to judge.",
    ),
    ("Other", "Source of funding", OPEN),
    ("Other", "Conflicts of interest", OPEN),
)
