"""Numbers as people say them: money, counts, shares, years, and their intervals. Exact values go to tooltips."""

from collections.abc import Callable
from math import floor, isfinite, isnan, log10

SYMBOLS = {"USD": "$", "GBP": "£", "EUR": "€", "CNY": "CN¥"}
CURRENCIES = {"USD": "US dollars", "GBP": "pounds sterling", "EUR": "euros", "CNY": "yuan"}
SETTINGS = {"us": "US", "uk": "UK", "eu": "EU", "cn": "China"}
STRATEGIES = {
    "none": "no screening",
    "single": "one reader, no AI",
    "double": "two readers, no AI",
    "concurrent": "AI read alongside",
    "second_reader": "AI as second reader",
    "triage": "AI rules out",
}
"""Ways of reading, as they stand inside a sentence; `capital` for the start of one."""
PRICINGS = {"per_scan": "per scan", "per_year": "licence a year", "one_time": "bought once"}
TRUST = {
    "read": ("●", "Read in the source"),
    "secondary": ("◐", "Secondary source"),
    "memory": ("○", "Assumption"),
}
"""Sign and words of how far a number is to be trusted."""
LEGEND = ", ".join(f"{sign} {words.lower()}" for sign, words in TRUST.values())
STATUS = {"derived": ("function", "Derived"), "calibrated": ("tune", "Calibrated")}
NEVER, NONE = "never", "–"


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def signed(text: str, value: float, plus: bool = False) -> str:
    """The text of a size, with "−" before it where the value is below 0, and "+" above if wanted.

    A value whose text is nothing but zeros has no sign.
    """
    if not any(digit in text for digit in "123456789"):
        return text
    return f"−{text}" if value < 0 else f"+{text}" if plus and value > 0 else text


def whole(text: str) -> str:
    """The text with its minus signs held to their numbers when a line breaks."""
    return text.replace("−", "−\u2060")


def significant(value: float, digits: int = 3) -> str:
    """The size of a number to so many significant digits, thousands apart: 0.0123, 1.5, 12.3, 11,100."""
    size = abs(value)
    if not isfinite(size):
        return NEVER if size == float("inf") else NONE
    if size == 0:
        return "0"
    places = digits - 1 - floor(log10(size))
    rounded = round(size, places)
    if rounded and floor(log10(rounded)) > floor(log10(size)):  # 9.996 became 10.00
        places -= 1
    return f"{rounded:,.{max(0, places)}f}"


def number(value: float, plus: bool = False, digits: int = 3) -> str:
    """As in "−21.4", "1,450", "0.0123"."""
    return signed(significant(value, digits), value, plus)


def given(value: float, digits: int = 6) -> str:
    """A number as its source gives it, without zeros that say nothing: "−0.035", "5", "12,760,000"."""
    text = significant(value, digits)
    return signed(text.rstrip("0").rstrip(".") if "." in text else text, value)


def exact(value: float) -> str:
    """All digits of a float, for a tooltip."""
    return repr(float(value)).replace("-", "−")


def money(value: float, currency: str, plus: bool = False) -> str:
    """As in "$11,100", "−£0.35": three significant figures, whole above 100."""
    if not isfinite(value):
        return significant(value)
    size = abs(value)
    text = significant(value) if size >= 100 else f"{size:,.2f}" if size != round(size) else f"{size:,.0f}"
    return signed(SYMBOLS.get(currency, f"{currency} ") + text, value, plus)


def thousands(value: float, currency: str, plus: bool = False) -> str:
    """As in "+$25.0k", "£1.25m", "−$340": short, for the ends of bars and axes."""
    size = abs(value)
    if not isfinite(size):
        return significant(value)
    for limit, divisor, letter in ((999.5e6, 1e9, "bn"), (999.5e3, 1e6, "m"), (999.5, 1e3, "k")):
        if size >= limit:
            return signed(f"{SYMBOLS.get(currency, f'{currency} ')}{_three(size / divisor)}{letter}", value, plus)
    text = f"{size:,.0f}" if size >= 10 or size == round(size) else f"{size:,.2f}"
    return signed(SYMBOLS.get(currency, f"{currency} ") + text, value, plus)


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:,.1f}" if value >= 9.995 else f"{value:,.2f}"


def per_1000(value: float, plus: bool = True) -> str:
    """A change per 1,000, as in "−21", "+0.5", "−0.03"."""
    size = abs(value)
    if size < 5e-3:
        return "0" if size < 5e-10 else signed("0.00", value)
    text = f"{size:,.0f}" if size >= 20 else f"{size:,.1f}" if size >= 1 else f"{size:.2f}"
    return signed(text, value, plus)


def years(value: float) -> str:
    """As in "5.6 years", "1 year", "never"."""
    if isnan(value):
        return NONE
    if not isfinite(value):
        return NEVER
    text = f"{value:.1f}".removesuffix(".0")
    return f"{text} year" if text == "1" else f"{text} years"


def percent(value: float, digits: int = 0) -> str:
    """A share as in "25 %", "18.7 %" (digits 1)."""
    return NONE if isnan(value) else signed(f"{abs(100 * value):,.{digits}f} %", value)


def qalys(value: float, plus: bool = False) -> str:
    """QALYs a person, as in "0.0123"; with four places, as differences of strategies are small."""
    return signed(f"{abs(value):,.4f}", value, plus)


def range_words(low: float, high: float, say: Callable[[float], str] = number) -> str:
    """As in "0.75 to 0.80": both ends said by `say`; one that is not finite is "never" or "–"."""
    return f"{say(low)} to {say(high)}"


def money_line(currency: str, price_year: int) -> str:
    """As in "2024 US dollars"."""
    return f"{price_year} {CURRENCIES.get(currency, currency)}"


def trust_sign(trust: str) -> str:
    """The sign alone: a character and not an icon, whose Markdown a screen reader would spell out in a label."""
    return TRUST[trust][0]


def trust_words(trust: str, status: str = "") -> str:
    """As in "Read in the source", "Assumption", "Derived, weakest part: assumption"."""
    words = TRUST[trust][1]
    if status in STATUS:
        return f"{STATUS[status][1]}; weakest part: {words.lower()}"
    return words
