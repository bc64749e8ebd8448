"""Market size from the bottom up: persons, screens, price and sites, every factor in sight.

    total (TAM)        eligible x screens a year if all came as recommended x price
    serviceable (SAM)  TAM x share that comes to screening today x share of sites an AI can be connected to
    obtainable (SOM)   SAM x share of those sites that use an AI x share of these that one vendor wins

A year's screens per person are 1 / screen_interval_years times scans_per_screen, which counts the scans that
follow up on nodules. Published market sizes come from the top down and differ by a factor of four and more:
`top_down_band` shows them beside, as a band; nothing is computed from them. A factor that no source gives for
a setting is missing, not guessed: the levels that need it are left out and `missing` names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError, ParameterError
from market.natural_history import Parameters

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("TAM", "SAM", "SOM")
FACTORS = {
    "TAM": (
        ("eligible", "persons eligible for screening"),
        ("screens_per_person_year", "scans a year of a person who comes as recommended"),
        ("price", "price of the AI per scan"),
    ),
    "SAM": (
        ("uptake", "share of the eligible who come"),
        ("share_sites_reachable", "share of scans at sites where an AI can be connected"),
    ),
    "SOM": (
        ("adopted", "share of reachable sites that use an AI"),
        ("vendor_share", "share of these sites that one vendor wins"),
    ),
}
"""What each level multiplies the one before by."""

NEEDS = {
    "eligible": ("eligible",),
    "screens_per_person_year": ("screen_interval_years", "scans_per_screen"),
    "price": ("c_ai_scan",),
    "uptake": ("uptake",),
    "share_sites_reachable": ("share_sites_reachable",),
    "adopted": (),
    "vendor_share": ("vendor_share",),
}
LONGEST_YEARS = 30


@dataclass(frozen=True, eq=False)
class MarketSize:
    """Market in one year, money per year in the currency of the parameters; arrays (n_sim,).

    factors  {factor: value} in the order in which they are multiplied, as far as they are known
    levels   {"TAM": money, ...} as far as their factors are known
    missing  {level: ids of the parameters that no source gives}
    """

    factors: Mapping[str, np.ndarray]
    levels: Mapping[str, np.ndarray]
    missing: Mapping[str, tuple[str, ...]]

    def table(self, sim: int = 0) -> "pd.DataFrame":
        """One row a level and factor, in order: label, value, and the product up to there."""
        import pandas as pd

        rows, product = [], 1.0
        for level in self.levels:
            for factor, label in FACTORS[level]:
                value = float(self.factors[factor][sim % self.factors[factor].size])
                product *= value
                rows.append({"level": level, "factor": factor, "label": label, "value": value, "product": product})
        return pd.DataFrame(rows, columns=["level", "factor", "label", "value", "product"])


@dataclass(frozen=True, eq=False)
class MarketYears:
    """The market by year, arrays (year, sim); year 1 is the first after the parameters' own year.

    eligible         persons
    uptake           share of them that come as recommended
    screened         persons, eligible x uptake
    scans            scans a year
    reachable_scans  of these at sites where an AI can be connected
    """

    eligible: np.ndarray
    uptake: np.ndarray
    screened: np.ndarray
    scans: np.ndarray
    reachable_scans: np.ndarray

    def table(self, sim: int = 0) -> "pd.DataFrame":
        """One row a year: year and the fields of MarketYears, in one draw."""
        import pandas as pd

        columns = {name: values[:, sim % values.shape[1]] for name, values in vars(self).items()}
        return pd.DataFrame({"year": np.arange(1, len(self.eligible) + 1), **columns})


def market_size(parameters: Mapping[str, ArrayLike], adopted: ArrayLike | None = None) -> MarketSize:
    """TAM, SAM and SOM of the parameters' own year, as far as their factors are known.

    adopted  share of reachable sites that use an AI, for the SOM (market.diffusion gives it); None leaves
             the SOM out. Uses eligible, screen_interval_years, scans_per_screen, c_ai_scan, uptake,
             share_sites_reachable and vendor_share; raises InputError for an adopted share outside 0 to 1,
             ParameterError for a value out of range.
    """
    get = Parameters(parameters)
    factors: dict[str, np.ndarray] = {}
    levels: dict[str, np.ndarray] = {}
    missing: dict[str, tuple[str, ...]] = {}
    size: np.ndarray | None = np.ones(1)
    for level in LEVELS:
        if level == "SOM" and adopted is None:
            break
        lacking = tuple(name for factor, _ in FACTORS[level] for name in NEEDS[factor] if name not in parameters)
        if lacking:
            missing[level] = lacking
        for factor, _ in FACTORS[level]:
            if all(name in parameters for name in NEEDS[factor]):
                factors[factor] = _share("adopted", adopted) if factor == "adopted" else _factor(get, factor)
                size = None if size is None else size * factors[factor]
        size = None if lacking else size
        if size is not None:
            levels[level] = size
    return MarketSize(factors, levels, missing)


def market_years(parameters: Mapping[str, ArrayLike], n_years: int) -> MarketYears:
    """Eligible persons, uptake and scans in each of n_years.

    Each year has eligible_ratio times the eligible of the year before; uptake closes uptake_closing of its
    distance to uptake_most every year. Beside these it uses the ids of `market_size` but for price and vendor.
    Raises InputError for a horizon that is not 1 to 30 years, ParameterError for a value that is missing or
    out of range.
    """
    years = _years(n_years)[:, None]
    get = Parameters(parameters)
    eligible = get("eligible") * get("eligible_ratio", 0.5, 1.5) ** years
    now, most = get("uptake", 0, 1), get("uptake_most", 0, 1)
    uptake = most - (most - now) * (1 - get("uptake_closing", 0, 1)) ** years
    screened = eligible * uptake
    scans = screened * _factor(get, "screens_per_person_year")
    reachable = scans * _factor(get, "share_sites_reachable")
    n_sim = get.n_sim()
    return MarketYears(
        *(np.broadcast_to(a, (len(years), n_sim)) for a in (eligible, uptake, screened, scans, reachable))
    )


def top_down_band(parameters: Mapping[str, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest published size of the world's market for imaging AI times lung's share of it.

    Money per year in the setting's currency, nominal, of different years: to stand beside a bottom-up size of
    one setting, which should lie below it, and to be computed with by nobody. Uses top_down_low, top_down_high;
    raises ParameterError where they are missing or the lower is not the lower.
    """
    get = Parameters(parameters)
    low, high = get("top_down_low"), get("top_down_high")
    if not (low <= high).all():
        raise ParameterError("top_down_low", f"{low.max():g}", f"at most top_down_high, {high.min():g}")
    return low, high


def _factor(get: Parameters, factor: str) -> np.ndarray:
    if factor == "screens_per_person_year":
        return get("scans_per_screen") / get("screen_interval_years", 1e-6)
    if factor == "price":
        return get("c_ai_scan")
    if factor == "eligible":
        return get("eligible")
    return get(factor, 0, 1)


def _share(name: str, value: ArrayLike) -> np.ndarray:
    share = np.atleast_1d(np.asarray(value, dtype=float))
    if not ((share >= 0) & (share <= 1)).all():
        raise InputError(name, f"{value}", "a share from 0 to 1")
    return share


def _years(n_years: int) -> np.ndarray:
    if isinstance(n_years, bool) or not isinstance(n_years, int | np.integer) or not 1 <= n_years <= LONGEST_YEARS:
        raise InputError("n_years", repr(n_years), f"a whole number of years from 1 to {LONGEST_YEARS}")
    return np.arange(1, n_years + 1)
