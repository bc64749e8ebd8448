"""Who uses the AI when: Bass diffusion through the sites with CT, in three scenarios, and what it earns.

A scenario is a published analogue, a diffusion of imaging equipment through hospitals: its p and q say how
fast, its ceiling how far. To them come, in all scenarios alike:

    years_in_use          years since the first sites used such an AI, so that a forecast starts on the curve
    price                 a fall in price speeds diffusion, as in the generalised Bass model: time t from now
                          becomes X(t) = t + adoption_price_effect ln(P(0) / P(t)) (Bass, Krishnan and Jain
                          1994, "Why the Bass model fits without decision variables", Marketing Science
                          13:203); and its level sets how many sites will ever buy, at the constant
                          elasticity adoption_price_elasticity about the usual price c_ai_usual
    reimbursement         X(t) is stretched by 1 + adoption_reimbursement_effect x share_ai_reimbursed

Both work from now on: up to now diffusion went on unpaid and at the usual price, and what they change is how
fast, and how many, of the sites without an AI will follow.

The share is one of the sites where an AI can be connected; scans and revenue follow from market.market_size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.adoption import cumulative_share
from market.errors import InputError
from market.market_size import MarketSize, market_size, market_years
from market.natural_history import Parameters

if TYPE_CHECKING:
    import pandas as pd

SCENARIOS = ("optimistic", "base", "slow")
LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Quantiles of a fan."""


@dataclass(frozen=True, eq=False)
class Adoption:
    """Adoption in one scenario, arrays (year, sim); money per year in the currency of the parameters.

    share           of reachable sites that use an AI at the end of the year
    sites           of all screening sites, at the end of the year
    new_sites       in the year
    scans           read with an AI in the year, by the mean of the shares at its start and end
    price           per scan
    revenue         of all vendors
    vendor_revenue  of one vendor, by vendor_share
    """

    scenario: str
    share: np.ndarray
    sites: np.ndarray
    new_sites: np.ndarray
    scans: np.ndarray
    price: np.ndarray
    revenue: np.ndarray
    vendor_revenue: np.ndarray

    def table(self, sim: int = 0) -> "pd.DataFrame":
        """One row a year: scenario, year and the fields of Adoption, in one draw."""
        import pandas as pd

        columns = {name: values[:, sim] for name, values in vars(self).items() if name != "scenario"}
        return pd.DataFrame({"scenario": self.scenario, "year": np.arange(1, len(self.share) + 1), **columns})


def adoption(parameters: Mapping[str, ArrayLike], scenario: str = "base", n_years: int = 10) -> Adoption:
    """Adoption and revenue by year in one of SCENARIOS.

    Uses bass_p_SCENARIO, bass_q_SCENARIO, ceiling_SCENARIO, years_in_use, c_ai_scan, c_ai_usual,
    price_fall (share by which the price falls a year), adoption_price_effect, adoption_price_elasticity,
    adoption_reimbursement_effect, share_ai_reimbursed, sites_screening, vendor_share and the ids of
    market_years. Raises InputError for an unknown scenario and horizon, ParameterError for a value that is
    missing or out of range.
    """
    if scenario not in SCENARIOS:
        raise InputError("scenario", repr(scenario), "one of " + ", ".join(SCENARIOS))
    years = market_years(parameters, n_years)
    get = Parameters(parameters)
    share = adopted_share(parameters, scenario, np.arange(n_years + 1))
    sites = share * get("sites_screening") * get("share_sites_reachable", 0, 1)
    price = get("c_ai_scan") * (1 - get("price_fall", 0, 0.9)) ** np.arange(n_years)[:, None]
    scans = years.reachable_scans * (share[1:] + share[:-1]) / 2
    revenue = scans * price
    return Adoption(
        scenario=scenario,
        share=share[1:],
        sites=sites[1:],
        new_sites=np.diff(sites, axis=0),
        scans=scans,
        price=np.broadcast_to(price, scans.shape),
        revenue=revenue,
        vendor_revenue=revenue * get("vendor_share", 0, 1),
    )


def adopted_share(parameters: Mapping[str, ArrayLike], scenario: str, years: ArrayLike) -> np.ndarray:
    """Share of reachable sites that use an AI so many years from now, (year, sim); errors as `adoption`.

    Year 0 is now, and negative years are the past back to years_in_use ago, when it was 0. Today's price, its
    fall and reimbursement leave both as they were; a ceiling below today's share leaves that too.
    """
    if scenario not in SCENARIOS:
        raise InputError("scenario", repr(scenario), "one of " + ", ".join(SCENARIOS))
    get = Parameters(parameters)
    n_sim = get.n_sim()
    t = np.asarray(years, dtype=float)[:, None]
    p, q, in_use = get(f"bass_p_{scenario}", 1e-9), get(f"bass_q_{scenario}"), get("years_in_use")
    past = np.maximum(np.broadcast_to(in_use + np.minimum(t, 0), (len(t), n_sim)), 0)  # before the first use, 0
    until_now = cumulative_share(past, p, q) * get(f"ceiling_{scenario}", 0, 1)  # up to year 0, then as in year 0
    # P(t) = P(0) (1 - fall)^t, so ln(P(0) / P(t)) grows in proportion to t.
    falling = -np.log1p(-get("price_fall", 0, 0.9)) * get("adoption_price_effect")
    paid = get("adoption_reimbursement_effect") * get("share_ai_reimbursed", 0, 1)
    decay = np.exp(-(p + q) * np.maximum(t, 0) * (1 + falling) * (1 + paid))
    begun = q / p * np.exp(-(p + q) * in_use)
    waiting = decay * (1 + begun) / (1 + begun * decay)  # (1 - F) / (1 - F now), of those who have none now
    return until_now + np.maximum(ceiling_share(parameters, scenario) - until_now, 0) * (1 - waiting)


def size_today(parameters: Mapping[str, ArrayLike]) -> MarketSize:
    """TAM, SAM and SOM of the parameters' own year, as far as their factors are known.

    The SOM needs the share of sites that use an AI today, in the base scenario, where the setting has one.
    """
    known = all(key in parameters for key in ("c_ai_scan", "c_ai_usual", "share_ai_reimbursed"))
    return market_size(parameters, adopted_share(parameters, "base", [0.0])[0] if known else None)


def ceiling_share(parameters: Mapping[str, ArrayLike], scenario: str) -> np.ndarray:
    """Share of reachable sites that would ever use an AI at its price, (n_sim,) or (1,), at most 1.

    A free AI reaches all, unless the elasticity or the ceiling at the usual price is 0.
    """
    get = Parameters(parameters)
    usual = get(f"ceiling_{scenario}", 0, 1)
    ratio = get("c_ai_scan") / get("c_ai_usual", 1e-9)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        found = usual * ratio ** -get("adoption_price_elasticity")
    return np.where(usual > 0, np.minimum(1.0, found), 0.0)


def fan(draws: np.ndarray) -> "pd.DataFrame":
    """One row a year: year, mean and the quantiles LEVELS, named q2.5 and so on, of draws (year, sim).

    Raises InputError for draws of another shape and ones that are not finite.
    """
    import pandas as pd

    draws = np.asarray(draws, dtype=float)
    if draws.ndim != 2 or not draws.size or not np.isfinite(draws).all():
        raise InputError("draws", f"shape {draws.shape}", "finite numbers (year, sim)")
    columns = {f"q{level * 100:g}": np.quantile(draws, level, axis=1) for level in LEVELS}
    return pd.DataFrame({"year": np.arange(1, len(draws) + 1), "mean": draws.mean(axis=1), **columns})
