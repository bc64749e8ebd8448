"""Cited parameters: `data/market/parameters/*.yaml`, read, checked, brought to one price year, and drawn.

A file is a list of entries, one entry a number. Fields, * where every entry has them:

id *            name in models and overrides: lower case, digits, underscores
setting *       us, uk, eu, cn, or global; a setting's own entry goes before the global one
label *         what it is, in words
unit *          one of UNITS; where it says currency, `currency` names it
population *    whose number it is
status *        published, derived, calibrated or assumption
trust           read (in its source), secondary (quoted elsewhere), memory; not in derived entries, which
                are as trustworthy as their weakest input
value           the base case: the mean
distribution    one of market.distributions.KINDS, fixed where it is not drawn
low, high       its 95 % interval, or the ends of a uniform or triangular distribution or of a fixed
                number's range; `interval` says whether they are published or ours
se              standard error, in place of an interval or beside it
events, n       counts behind a beta distribution
interval_note   why the distribution cannot reproduce the interval, where it cannot
currency, price_year    for money
minimum, maximum        what an override may be, where narrower than the unit allows
formula, inputs         of a derived entry: arithmetic over other ids, + - * / **, parentheses, exp, log,
                        sqrt, min, max
targets         of a calibrated entry: what it was fitted to
reason          of an assumption: why this number
sources         list of title, link, locator
note, used_by   optional

Loading raises ParameterError naming the file, the entry, the field and the line.
"""

import ast
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from math import inf, isfinite
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import yaml

from market import distributions
from market.distributions import Distribution
from market.errors import InputError, ParameterError

DATA = Path(__file__).resolve().parent.parent / "data" / "market"
SETTINGS = {"us": "USD", "uk": "GBP", "eu": "EUR", "cn": "CNY"}
"""Settings and the currency in which each counts."""
GLOBAL = "global"
STATUSES = ("published", "derived", "calibrated", "assumption")
TRUSTS = ("read", "secondary", "memory")
INTERVALS = ("published", "ours")


@dataclass(frozen=True)
class Unit:
    """The range of values that make sense, and whether they are money, and money that follows prices."""

    minimum: float
    maximum: float
    money: bool = False
    inflates: bool = False


_AMOUNT, _PRICE = Unit(0, inf), Unit(0, inf, money=True, inflates=True)
UNITS: dict[str, Unit] = {
    "probability": Unit(0, 1),
    "proportion": Unit(0, 1),
    "area under the curve": Unit(0, 1),
    "utility": Unit(-1, 1),
    "utility difference": Unit(-1, 1),
    "probability difference": Unit(-1, 1),
    "correlation": Unit(-1, 1),
    "ratio": _AMOUNT,
    "per year": _AMOUNT,
    "per person-year": _AMOUNT,
    "per 100,000 person-years": _AMOUNT,
    "seconds": _AMOUNT,
    "minutes": _AMOUNT,
    "days": _AMOUNT,
    "years": _AMOUNT,
    "persons": _AMOUNT,
    "persons per year": _AMOUNT,
    "scans": _AMOUNT,
    "scans per year": _AMOUNT,
    "scans per person": _AMOUNT,
    "sites": _AMOUNT,
    "readers": _AMOUNT,
    "scanners per million persons": _AMOUNT,
    "relative value units": _AMOUNT,
    "exchange rate": _AMOUNT,
    "currency": _PRICE,
    "currency per scan": _PRICE,
    "currency per person": _PRICE,
    "currency per person per month": _PRICE,
    "currency per hour": _PRICE,
    "currency per month": _PRICE,
    "currency per year": _PRICE,
    # A threshold is a convention, and a published market size is what it was: prices do not move them.
    "currency per QALY": Unit(0, inf, money=True),
    "nominal currency per year": Unit(0, inf, money=True),
}
"""The closed list. An exchange rate is one unit of the setting's currency for so many of another's."""

_QUANTITY = (
    *("trust", "value", "distribution", "low", "high", "interval", "se", "events", "n"),
    *("interval_note", "price_year"),
)
"""What a derived entry does not have: its value follows."""

FIELDS = (
    *("id", "setting", "label", "unit", "population", "status", *_QUANTITY, "currency", "minimum", "maximum"),
    *("formula", "inputs", "targets", "reason", "sources", "note", "used_by"),
)
_ID = re.compile(r"[a-z][a-z0-9_]*")
_EXTREME = 1e-4
"""A distribution must keep all but this much of each tail inside the allowed range; draws are clipped to it."""


@dataclass(frozen=True)
class Source:
    """Where a number stands: title, link, and the place in it."""

    title: str
    link: str
    locator: str


@dataclass(frozen=True)
class Parameter:
    """One entry; the module's docstring says what each field means. None where an entry lacks a field."""

    id: str
    setting: str
    label: str
    unit: str
    population: str
    status: str
    trust: str | None
    value: float | None
    distribution: str | None
    low: float | None
    high: float | None
    interval: str | None
    se: float | None
    events: float | None
    n: float | None
    interval_note: str | None
    currency: str | None
    price_year: int | None
    minimum: float
    maximum: float
    formula: str | None
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    reason: str | None
    sources: tuple[Source, ...]
    note: str | None
    used_by: tuple[str, ...]
    file: str
    line: int

    @property
    def unit_text(self) -> str:
        """The unit with the currency in it, as "USD per scan"."""
        return self.unit.replace("currency", self.currency or "currency", 1)

    @property
    def sampled(self) -> bool:
        """Whether it is drawn in a probabilistic analysis; derived entries follow from their inputs."""
        return self.distribution not in (None, "fixed")

    @property
    def range(self) -> tuple[float, float] | None:
        """low and high for sensitivity analyses, from the distribution where the entry gives none."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        return fitted(self).interval() if self.sampled else None

    def fail(self, field: str, found: str, expected: str) -> NoReturn:
        """Raise the ParameterError of this entry and field."""
        raise ParameterError(f"{self.file}: {self.id}.{field} (line {self.line})", found, expected)


@dataclass(frozen=True, eq=False)
class ParameterSet:
    """All entries that hold in a setting, with overrides on top; values are computed once.

    Money in another currency than the setting's has no value here: a derived entry converts it with an
    exchange rate, in the open. With `price_year`, money is in the prices of that year.
    """

    setting: str
    price_year: int | None
    parameters: Mapping[str, Parameter]
    overrides: Mapping[str, float]

    @property
    def currency(self) -> str:
        return SETTINGS[self.setting]

    def value(self, parameter_id: str) -> float:
        """The base value: the override, the entry's value, or what its formula gives."""
        parameter = self._known(parameter_id)
        if self._is_foreign(parameter):
            expected = f"an amount in {self.currency}: derive an entry from this one with an exchange rate"
            parameter.fail("currency", str(parameter.currency), expected)
        return self._base[parameter_id]

    def values(self) -> dict[str, float]:
        """id -> base value of all entries that are not in another currency; a fresh dict."""
        return {key: value for key, value in self._base.items() if not self._is_foreign(self.parameters[key])}

    def draw(self, n: int, seed: int, start: int = 0) -> dict[str, np.ndarray]:
        """id -> (n,) draws number start to start + n, fixed and overridden values repeated.

        Each id has a stream of its own, so that neither other ids nor chunks change its draws. Foreign
        currencies are left out, as in `values`. Raises ParameterError where a distribution does not fit.
        """
        draws: dict[str, np.ndarray] = {}
        for key, parameter in self.parameters.items():
            if key in self.overrides or parameter.distribution == "fixed":
                draws[key] = np.full(n, self._base[key])
            elif parameter.sampled:
                found = fitted(parameter).draw(distributions.uniforms(key, n, seed, start))
                draws[key] = np.clip(found, parameter.minimum, parameter.maximum)
        self._derive(draws)
        return {key: np.broadcast_to(draws[key], (n,)) for key in self.values()}

    def trust(self, parameter_id: str) -> str:
        """The entry's trust; of a derived one the weakest among its inputs, directly or by others."""
        parameter = self._known(parameter_id)
        if parameter.trust is not None:
            return parameter.trust
        return max((self.trust(name) for name in parameter.inputs), key=TRUSTS.index)

    def with_overrides(self, changes: Mapping[str, float]) -> "ParameterSet":
        """A set in which these ids have these values, fixed; earlier overrides stay.

        Money is in the prices of `price_year`, or where there is none in those of the entry. Raises
        ParameterError for an unknown id, naming close ones, and for a value outside its range.
        """
        checked = dict(self.overrides)
        for key, value in changes.items():
            parameter = self._known(key)
            low, high = parameter.minimum, parameter.maximum
            number = finite_number(value)
            if number is None:
                raise ParameterError(key, reprlib.repr(value), "a finite number")
            if not low <= number <= high:
                raise ParameterError(key, f"{number:g}", f"{_span(low, high)} ({parameter.unit_text})")
            if self._is_foreign(parameter):
                raise ParameterError(key, f"an entry in {parameter.currency}", f"one in {self.currency}")
            checked[key] = number
        return replace(self, overrides=checked)

    @cached_property
    def _base(self) -> dict[str, float]:
        """Base values of all entries, foreign ones too."""
        values: dict[str, Any] = {
            key: parameter.value for key, parameter in self.parameters.items() if parameter.value is not None
        }
        values.update(self.overrides)
        self._derive(values)
        return {key: float(values[key]) for key in self.parameters}

    def _derive(self, values: dict[str, Any]) -> None:
        """Add what the formulas give, inputs first."""

        def add(key: str) -> None:
            parameter = self.parameters[key]
            self._check_price_years(parameter)
            for name in parameter.inputs:
                if name not in values:
                    add(name)
            try:
                found = evaluate(str(parameter.formula), {name: values[name] for name in parameter.inputs})
            except InputError as error:
                parameter.fail("formula", error.found, error.expected)
            low, high = float(np.min(found)), float(np.max(found))
            if not parameter.minimum <= low <= high <= parameter.maximum:  # NaN fails too
                expected = f"{_span(parameter.minimum, parameter.maximum)} ({parameter.unit_text})"
                parameter.fail("formula", f"{low if low < parameter.minimum else high:g}", expected)
            values[key] = found

        for key in self.parameters:
            if key not in values:
                add(key)

    def _check_price_years(self, parameter: Parameter) -> None:
        dated = self._dated_inputs(parameter)
        if len(set(dated.values())) > 1:
            found = ", ".join(f"{key} in prices of {year}" for key, year in dated.items())
            parameter.fail("inputs", found, "one price year: load the setting with a price_year")

    def _dated_inputs(self, parameter: Parameter) -> dict[str, int]:
        """id -> price year of all amounts that follow prices among the inputs, directly or by others."""
        found: dict[str, int] = {}
        for entry in (self.parameters[name] for name in parameter.inputs if name not in self.overrides):
            if entry.price_year is not None and UNITS[entry.unit].inflates:
                found[entry.id] = entry.price_year
            found |= self._dated_inputs(entry)
        return found

    def _known(self, parameter_id: str) -> Parameter:
        try:
            return self.parameters[parameter_id]
        except KeyError:
            raise ParameterError(
                str(parameter_id),
                f"no such parameter in setting {self.setting}",
                _close(parameter_id, self.parameters),
            ) from None

    def _is_foreign(self, parameter: Parameter) -> bool:
        return UNITS[parameter.unit].money and parameter.currency != self.currency


def load_parameters(
    setting: str,
    folder: Path = DATA / "parameters",
    price_year: int | None = None,
    index: Path = DATA / "price_index.yaml",
) -> ParameterSet:
    """The entries of a setting and the global ones, money brought to the prices of `price_year`.

    Without a price year every amount stays in the prices of its own. Raises ParameterError as the module
    says, and where the price index lacks a currency or a year.
    """
    if setting not in SETTINGS:
        raise ParameterError("setting", reprlib.repr(setting), "one of " + ", ".join(SETTINGS))
    entries = load_entries(folder)
    chosen = {entry.id: entry for entry in entries if entry.setting == GLOBAL}
    chosen |= {entry.id: entry for entry in entries if entry.setting == setting}
    if price_year is not None:
        indices = load_price_index(index)
        chosen = {key: _at_prices(entry, price_year, indices, index.name) for key, entry in chosen.items()}
    _check_formulas(chosen)
    return ParameterSet(setting, price_year, chosen, {})


def load_entries(folder: Path = DATA / "parameters") -> tuple[Parameter, ...]:
    """All entries of all files of a folder, in the order of file names and lines; kept while no file changes."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".yaml")
        stamps = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    except OSError as error:
        raise ParameterError(
            folder.name, f"no readable folder ({error.strerror})", "a folder of YAML files"
        ) from error
    if not files:
        raise ParameterError(folder.name, "no YAML file", "one or more with cited parameters")
    return _load_files(stamps)


@lru_cache(maxsize=4096)
def fitted(parameter: Parameter) -> Distribution:
    """The distribution of a sampled entry.

    Raises ParameterError where none fits, where it misses the mean or an end of the interval by more than
    TOLERANCE of its width and no interval_note says why, and where it leaves the allowed range.
    """
    kind, mean, low, high = str(parameter.distribution), parameter.value, parameter.low, parameter.high
    try:
        if parameter.events is not None:
            found = distributions.beta_from_counts(parameter.events, parameter.n)
        elif parameter.se is not None:
            found = distributions.fit_se(kind, mean, parameter.se)
        else:
            found = distributions.fit(kind, mean, low, high)
    except InputError as error:
        parameter.fail("distribution", f"{kind} with {error.name} {error.found}", error.expected)
    if low is not None and high is not None and parameter.interval_note is None:
        miss = distributions.misfit(found, mean, low, high)
        if miss > distributions.TOLERANCE:
            ends = " to ".join(f"{end:.4g}" for end in found.interval())
            expected = (
                f"{low:g} to {high:g}, each to {distributions.TOLERANCE:.0%} of the width, or an interval_note"
            )
            parameter.fail(
                "distribution", f"a {kind} distribution with mean {found.mean:.4g} from {ends}", expected
            )
    least, most = found.quantile([_EXTREME, 1 - _EXTREME]).tolist()
    if not parameter.minimum <= least <= most <= parameter.maximum:
        found_text = f"a {kind} distribution that reaches from {least:.4g} to {most:.4g}"
        parameter.fail("distribution", found_text, _span(parameter.minimum, parameter.maximum))
    return found


# Formulas


_FUNCTIONS = {
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "sqrt": (np.sqrt, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}
_OPERATORS = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.float_power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}


def evaluate(formula: str, values: Mapping[str, Any]) -> Any:
    """The value of an arithmetic formula over named numbers or arrays of one shape.

    Nothing else than arithmetic is understood, so a formula cannot do anything else. Raises InputError named
    formula for what is not understood, an unknown name, and a result that is not finite.
    """
    with np.errstate(all="ignore"):
        found = _walk(_parsed(formula), values)
    if not np.isfinite(found).all():
        raise InputError("formula", f"{formula!r}, which is not finite", "a finite result")
    return found


def formula_names(formula: str) -> set[str]:
    """The names a formula uses, functions left out; InputError as `evaluate` raises it."""
    tree = _parsed(formula)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


@lru_cache(maxsize=1024)
def _parsed(formula: str) -> ast.expr:
    if len(formula) > 500:
        raise InputError("formula", f"{len(formula)} characters", "500 at most")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError("formula", reprlib.repr(formula), "arithmetic over ids") from error
    return tree


def _walk(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return np.float64(number)
        case ast.Name(id=name):
            if name not in values:
                raise InputError("formula", f"the name {name}", "one of its inputs: " + ", ".join(values))
            return np.asarray(values[name], dtype=np.float64)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_walk(operand, values))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_walk(left, values), _walk(right, values))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            function, arity = _FUNCTIONS[name]
            if len(args) != arity:
                raise InputError("formula", f"{name} of {len(args)}", f"{arity} between its parentheses")
            return function(*(_walk(argument, values) for argument in args))
    known = "numbers, inputs, + - * / **, parentheses, " + ", ".join(_FUNCTIONS)
    raise InputError("formula", ast.unparse(node), known)


def _check_formulas(chosen: Mapping[str, Parameter]) -> None:
    """ParameterError for inputs that are not there, that go round in a circle, or whose money does not mix."""
    state: dict[str, str] = {}

    def visit(parameter: Parameter, path: tuple[str, ...]) -> None:
        if state.get(parameter.id) == "done":
            return
        if parameter.id in path:
            parameter.fail("inputs", " -> ".join((*path, parameter.id)), "no circle")
        for name in parameter.inputs:
            if name not in chosen:
                parameter.fail("inputs", name, _close(name, chosen))
            visit(chosen[name], (*path, parameter.id))
        _check_money_mix(parameter, chosen)
        state[parameter.id] = "done"

    for parameter in chosen.values():
        visit(parameter, ())


def _check_money_mix(parameter: Parameter, chosen: Mapping[str, Parameter]) -> None:
    inputs = [chosen[name] for name in parameter.inputs]
    money = [entry for entry in inputs if UNITS[entry.unit].money]
    currencies = {entry.currency for entry in money}
    if UNITS[parameter.unit].money:
        currencies.add(parameter.currency)
    if len(currencies) > 1 and not any(entry.unit == "exchange rate" for entry in inputs):
        parameter.fail("inputs", "amounts in " + " and ".join(sorted(map(str, currencies))), "an exchange rate too")


# Prices


@dataclass(frozen=True)
class PriceIndex:
    """Index levels of a currency by year, and where they stand."""

    currency: str
    label: str
    years: str
    trust: str
    levels: Mapping[int, float]
    sources: tuple[Source, ...]
    note: str | None

    def factor(self, from_year: int, to_year: int) -> float:
        """By what to multiply prices of one year to have those of another; ParameterError for other years."""
        for year in (from_year, to_year):
            if year not in self.levels:
                expected = f"a year from {min(self.levels)} to {max(self.levels)} ({self.years})"
                raise ParameterError(f"price index of {self.currency}", f"no index for {year}", expected)
        return self.levels[to_year] / self.levels[from_year]


def load_price_index(path: Path = DATA / "price_index.yaml") -> dict[str, PriceIndex]:
    """currency -> its index; each entry has `values` by year or `changes_percent` on the year before.

    Kept while the file does not change.
    """
    try:
        stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    except OSError:
        stamp = (0, 0)  # reading it tells what is wrong
    return dict(_load_index(path, *stamp))


@lru_cache(maxsize=16)
def _load_index(path: Path, modified: int, size: int) -> dict[str, PriceIndex]:
    found: dict[str, PriceIndex] = {}
    allowed = ("currency", "label", "years", "trust", "note", "values", "changes_percent", "sources")
    for entry in _entries(path, "currency", allowed):
        currency = entry.text("currency")
        if currency in found:
            entry.fail("currency", f"{currency} a second time", "one index a currency")
        values, changes = entry.by_year("values"), entry.by_year("changes_percent")
        if bool(values) == bool(changes):
            entry.fail("values", "both or neither of values and changes_percent", "one of them")
        found[currency] = PriceIndex(
            currency=currency,
            label=entry.text("label"),
            years=entry.text("years"),
            trust=entry.choice("trust", TRUSTS),
            levels=values or _chained(changes, entry),
            sources=entry.sources(),
            note=entry.text("note", required=False),
        )
    return found


def _chained(changes: dict[int, float], entry: "_Entry") -> dict[int, float]:
    """Levels from yearly changes in percent: 100 in the year before the first."""
    years = sorted(changes)
    if years != list(range(years[0], years[-1] + 1)):
        entry.fail("changes_percent", "a gap between years", "every year from first to last")
    levels = {years[0] - 1: 100.0}
    for year in years:
        levels[year] = levels[year - 1] * (1 + changes[year] / 100)
    return levels


def _at_prices(entry: Parameter, year: int, indices: Mapping[str, PriceIndex], name: str) -> Parameter:
    """The entry with its money in prices of `year`; as it is where it is no money, or none that inflates."""
    if not UNITS[entry.unit].inflates or entry.price_year is None or entry.price_year == year:
        return entry
    if entry.currency not in indices:
        entry.fail("currency", f"{entry.currency}, for which {name} has no index", _close("", indices))
    try:
        factor = indices[str(entry.currency)].factor(entry.price_year, year)
    except ParameterError as error:
        entry.fail("price_year", f"{entry.price_year} to {year}, {error.found} in {name}", error.expected)
    scaled = {
        field: number * factor
        for field in ("value", "low", "high", "se")
        if (number := getattr(entry, field)) is not None
    }
    return replace(entry, price_year=year, **scaled)


# YAML


_BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
_DEEPEST, _MOST_NODES = 20, 20_000
"""What `read_yaml` reads; the largest file that ships has 2,556 nodes, and none is more than 4 deep."""


class _Loader(_BaseLoader):
    """The safe loader with decimal numbers only, 1e-5 among them, which refuses a key that stands twice.

    YAML 1.1 takes 012 for 10, 1:30 for 90 and 1_5 for 15; here they are texts.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen:
                problem = f"the key {key} a second time"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which quotes the texts that `_Loader` would read as numbers, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_INT, _WHOLE, list("-+0123456789"))
    _class.add_implicit_resolver(_FLOAT, _DECIMAL, list("-+0123456789."))
    _class.add_implicit_resolver(_FLOAT, _NOT_FINITE, list("-+."))


def read_yaml(text: str, name: str) -> tuple[Any, list[int]]:
    """What a YAML text holds, and the lines (from 1) on which the items of its list begin.

    Raises ParameterError naming the line where it is not YAML, has a key twice, an anchor, an alias or a tag, or
    is deeper or larger than any parameter file needs.
    """
    loader = None
    try:
        _check_shape(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None else f"{name} (line {mark.line + 1})"
        raise ParameterError(where, getattr(error, "problem", None) or "unreadable text", "YAML") from error
    except (ValueError, RecursionError) as error:
        raise ParameterError(name, f"a value that cannot be read ({error})", "YAML") from error
    finally:
        if loader is not None:
            loader.dispose()
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    return data, [item.start_mark.line + 1 for item in items]


def _check_shape(text: str) -> None:
    """Refuse what would exhaust the stack or the memory, before anything is composed, which is recursive."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_BaseLoader):
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        problem = None
        if depth > _DEEPEST:
            problem = f"more than {_DEEPEST} levels"
        elif nodes > _MOST_NODES:
            problem = f"more than {_MOST_NODES:,} values"
        elif getattr(event, "anchor", None):
            problem = "an anchor or alias"
        elif isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            problem = "a tag"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)


def yaml_text(data: Any) -> str:
    """Plain values as YAML that `read_yaml` gives back exactly, floats to the last digit."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def finite_number(value: Any) -> float | None:
    """The value as a float; None for what is no number, for True and False, NaN, and what is too large."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of four hundred digits
        return None
    return number if isfinite(number) else None


# Entries


@lru_cache(maxsize=16)
def _load_files(stamps: tuple[tuple[Path, int, int], ...]) -> tuple[Parameter, ...]:
    found: dict[tuple[str, str], Parameter] = {}
    units: dict[str, Parameter] = {}
    for path, _, _ in stamps:
        for entry in _entries(path, "id", FIELDS):
            parameter = _parameter(entry)
            key = (parameter.setting, parameter.id)
            if key in found:
                other = found[key]
                where = f"{other.file} (line {other.line})"
                entry.fail("id", f"a second entry in setting {parameter.setting}", f"only that in {where}")
            if units.setdefault(parameter.id, parameter).unit != parameter.unit:
                expected = f"{units[parameter.id].unit}, as in setting {units[parameter.id].setting}"
                entry.fail("unit", parameter.unit, expected)
            found[key] = parameter
    return tuple(found.values())


def _parameter(entry: "_Entry") -> Parameter:
    """The entry as a Parameter, every rule of the module's docstring checked."""
    name = entry.text("id")
    if not _ID.fullmatch(name) or name in _FUNCTIONS:
        entry.fail("id", reprlib.repr(name), "lower case letters, digits and underscores, a letter first")
    unit_name = entry.choice("unit", tuple(UNITS))
    unit, status = UNITS[unit_name], entry.choice("status", STATUSES)
    minimum = entry.number("minimum", unit.minimum, unit.maximum, default=unit.minimum)
    maximum = entry.number("maximum", minimum, unit.maximum, default=unit.maximum)
    common = {
        "id": name,
        "setting": entry.choice("setting", (GLOBAL, *SETTINGS)),
        "label": entry.text("label"),
        "unit": unit_name,
        "population": entry.text("population"),
        "status": status,
        "currency": entry.currency(unit),
        "minimum": minimum,
        "maximum": maximum,
        "targets": entry.texts("targets", only_if=status == "calibrated"),
        "reason": entry.text("reason", only_if=status == "assumption"),
        "sources": entry.sources(required=status == "published"),
        "note": entry.text("note", required=False),
        "used_by": entry.texts("used_by", required=False),
        "formula": entry.text("formula", only_if=status == "derived"),
        "inputs": entry.texts("inputs", only_if=status == "derived"),
        "file": entry.file,
        "line": entry.line,
    }
    quantity = _derived(entry) if status == "derived" else _quantity(entry, unit, minimum, maximum, status)
    return Parameter(**common, **quantity)


def _derived(entry: "_Entry") -> dict[str, Any]:
    """The fields that a derived entry does not have, after a look at its formula."""
    for field in _QUANTITY:
        if field in entry.data:
            entry.fail(field, "a value in a derived entry", "none: it follows from the inputs")
    try:
        names = formula_names(entry.text("formula"))
        evaluate(entry.text("formula"), dict.fromkeys(names, np.float64(0.5)))
    except InputError as error:
        if "not finite" not in error.found:  # at a half; at the inputs' values that is found out later
            entry.fail("formula", error.found, error.expected)
    if names != set(entry.texts("inputs")):
        entry.fail("inputs", ", ".join(entry.texts("inputs")), "just the names in the formula: " + ", ".join(names))
    return dict.fromkeys(_QUANTITY)


def _quantity(entry: "_Entry", unit: Unit, minimum: float, maximum: float, status: str) -> dict[str, Any]:
    trust = entry.choice("trust", TRUSTS)
    if trust == "memory" and status != "assumption":
        entry.fail("trust", f"memory in a {status} entry", "status assumption until a source is read")
    value = entry.number("value", minimum, maximum)
    kind = entry.choice("distribution", distributions.KINDS)
    low = entry.number("low", -inf, value, default=None)
    high = entry.number("high", value, inf, default=None)
    if (low is None) != (high is None):
        entry.fail("low, high", "one of them", "both or neither")
    if low is not None and (low < minimum or high > maximum):
        entry.fail("low, high", f"{low:g}, {high:g}", _span(minimum, maximum))
    _check_spread(entry, kind, value, low, high)
    return {
        "trust": trust,
        "value": value,
        "distribution": kind,
        "low": low,
        "high": high,
        "interval": entry.choice("interval", INTERVALS, only_if=low is not None),
        "se": entry.number("se", 0, inf, default=None),
        "events": entry.number("events", 0, inf, default=None),
        "n": entry.number("n", 0, inf, default=None),
        "interval_note": entry.text("interval_note", required=False),
        "price_year": entry.price_year(unit),
    }


def _check_spread(entry: "_Entry", kind: str, value: float, low: float | None, high: float | None) -> None:
    """A drawn entry has an interval, a standard error or counts; counts are a beta's, and give its value."""
    events, n = entry.number("events", 0, inf, default=None), entry.number("n", 0, inf, default=None)
    has = {"low and high": low is not None, "se": "se" in entry.data, "events and n": n is not None}
    if kind == "fixed":
        if has["se"] or events is not None or n is not None:
            entry.fail("distribution", "fixed with a standard error or counts", "a distribution that is drawn")
        return
    if (events is None) != (n is None):
        entry.fail("events, n", "one of them", "both or neither")
    if n is not None and (kind != "beta" or abs(value - events / n) > 0.0006):
        entry.fail(
            "events, n", f"{events:g} of {n:g} for a {kind} with value {value:g}", "a beta of value events / n"
        )
    if not any(has.values()):
        entry.fail("low, high", f"no spread for a {kind} distribution", "one of " + ", ".join(has))


class _Entry:
    """The fields of one item of a YAML list, each checked when it is asked for; errors name file and line."""

    def __init__(self, data: dict, file: str, line: int, key: str) -> None:
        self.data, self.file, self.line, self._key = data, file, line, key

    def fail(self, field: str, found: str, expected: str) -> NoReturn:
        name = self.data.get(self._key)
        label = f"{name}.{field}" if isinstance(name, str) and field != self._key else field
        raise ParameterError(f"{self.file}: {label} (line {self.line})", found, expected)

    def _absent(self, field: str, required: bool, only_if: bool | None) -> bool:
        """Whether the field is rightly not there; with only_if it must be there just where that is true."""
        there = field in self.data
        if only_if is False and there:
            self.fail(field, "a field that this entry does not have", "none")
        if not there and (only_if or (required and only_if is None)):
            self.fail(field, "nothing", "a value")
        return not there

    def text(self, field: str, required: bool = True, only_if: bool | None = None) -> Any:
        if self._absent(field, required, only_if):
            return None
        value = self.data[field]
        if not isinstance(value, str) or not value.strip():
            self.fail(field, reprlib.repr(value), "text (in quotes, where YAML takes it for something else)")
        return value.strip()

    def texts(self, field: str, required: bool = True, only_if: bool | None = None) -> tuple[str, ...]:
        if self._absent(field, required, only_if):
            return ()
        value = self.data[field]
        if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
            self.fail(field, reprlib.repr(value), "a list of texts")
        return tuple(item.strip() for item in value)

    def choice(self, field: str, options: Iterable[str], only_if: bool | None = None) -> Any:
        value = self.text(field, only_if=only_if)
        if value is not None and value not in options:
            self.fail(field, reprlib.repr(value), _close(value, options))
        return value

    def number(self, field: str, low: float, high: float, default: Any = "required") -> Any:
        if self._absent(field, default == "required", None):
            return default
        value = finite_number(self.data[field])
        if value is None:
            self.fail(field, reprlib.repr(self.data[field]), "a finite number")
        if not low <= value <= high:
            self.fail(field, f"{value:g}", _span(low, high))
        return value

    def currency(self, unit: Unit) -> Any:
        return self.choice("currency", sorted(set(SETTINGS.values())), only_if=unit.money)

    def price_year(self, unit: Unit) -> int | None:
        if self._absent("price_year", unit.inflates, only_if=None if unit.money else False):
            return None
        value = self.data["price_year"]
        if isinstance(value, bool) or not isinstance(value, int) or not 1950 <= value <= 2100:
            self.fail("price_year", reprlib.repr(value), "a year")
        return value

    def by_year(self, field: str) -> dict[int, float]:
        values = self.data.get(field, {})
        if not isinstance(values, dict):
            self.fail(field, reprlib.repr(values), "year: number")
        for year, value in values.items():
            number = finite_number(value)
            if not isinstance(year, int) or number is None or (field == "values" and number <= 0):
                self.fail(field, f"{year!r}: {value!r}", "year: number")
        return {year: float(values[year]) for year in sorted(values)}

    def sources(self, required: bool = True) -> tuple[Source, ...]:
        if self._absent("sources", required, None):
            return ()
        items, parts = self.data["sources"], ("title", "link", "locator")
        if not isinstance(items, list) or not items:
            self.fail("sources", reprlib.repr(items), "a list of title, link, locator")
        for item in items:
            if not isinstance(item, dict) or set(item) != set(parts):
                self.fail("sources", reprlib.repr(item), "title, link and locator, and nothing else")
            if not all(isinstance(item[part], str) and item[part].strip() for part in parts):
                self.fail("sources", reprlib.repr(item), "text in title, link and locator")
            if not item["link"].startswith(("https://", "http://")):
                self.fail("sources", f"the link {item['link']}", "one that begins with https://")
        return tuple(Source(*(item[part].strip() for part in parts)) for item in items)


def _entries(path: Path, key: str, allowed: Iterable[str]) -> list[_Entry]:
    """The items of a YAML file that holds a list of mappings, keys that are not allowed refused."""
    data, lines = read_yaml(read_text(path), path.name)
    if not isinstance(data, list) or not data:
        raise ParameterError(path.name, type(data).__name__, f"a list of entries, each beginning with - {key}:")
    entries = []
    for item, line in zip(data, lines, strict=True):
        if not isinstance(item, dict):
            raise ParameterError(f"{path.name} (line {line})", reprlib.repr(item), "an entry with fields")
        entry = _Entry(item, path.name, line, key)
        for field in item:
            if field not in allowed:
                entry.fail(str(field), "an unknown field", _close(str(field), allowed))
        entries.append(entry)
    return entries


def read_text(path: Path) -> str:
    """A file's text; ParameterError naming a file that is not there or is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(path.name, f"no readable file ({error.strerror})", "a text file") from error
    except UnicodeDecodeError as error:
        raise ParameterError(path.name, "bytes that are not UTF-8", "a text file in UTF-8") from error


def _close(word: str, known: Iterable[str]) -> str:
    """What to write instead of a word: the nearest known words, or all of them where they are few."""
    known = [str(item) for item in known]
    near = known if len(known) <= 12 else get_close_matches(str(word), known, n=5, cutoff=0.5)
    return "one of " + ", ".join(near) if near else f"one of the {len(known)} known ones, to which none is near"


def _span(low: float, high: float) -> str:
    if high == inf:
        return "a number" if low == -inf else f"{low:g} or more"
    return f"{high:g} or less" if low == -inf else f"{low:g} to {high:g}"
