"""Numbers, times and values as a reader of a page has them."""

import math
from collections.abc import Sequence
from datetime import datetime, timezone

from trainer.reporting.intervals import Interval


NOTHING = "–"
FILTERS = ("number", "signed", "fixed", "interval", "percent", "size", "duration", "moment", "value", "below")
"""What the templates of a page use."""


def number(value: float | None) -> str:
    """Five digits, and all digits of a great one; a dash for none."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.5g}"


def signed(value: float | None) -> str:
    """A difference."""
    if value is None or not math.isfinite(value):
        return NOTHING
    sign = "−" if value < 0 else "+" if value else ""
    return sign + (number(abs(value)) if abs(value) >= 1000 else f"{abs(value):.3g}")


def fixed(value: float, places: int = 4) -> str:
    """A metric in a column, where its figures stand below each other; more figures of one that would be all zeros."""
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= 10**places:
        text = f"{value:,.0f}"
    elif 0 < abs(value) < 10**-places:
        text = f"{value:.2g}"
    else:
        text = f"{value:.{places}f}"
    return text.replace("-", "−") if value < 0 else text


def interval(found: Interval, places: int = 4) -> str:
    """The ends of an interval."""
    if not math.isfinite(found.low):
        return NOTHING
    return f"{fixed(found.low, places)} to {fixed(found.high, places)}"


def percent(share: float) -> str:
    """A share of one."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else NOTHING


def size(count: int) -> str:
    """Bytes."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= 0.9995 * factor:  # which is 1 of three digits, not 1e+03 of the next smaller unit
            return f"{count / factor:.3g} {unit}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """A time that passed, in two units at most."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def moment(time: float) -> str:
    """A point in time, UTC."""
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def flag(name: str) -> str:
    """A flag as it is typed."""
    return f"--{name.replace('_', '-')}"


def value(given: object) -> str:
    """A flag's value as it is typed."""
    if given is None or given == ():
        return NOTHING
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, Sequence) and not isinstance(given, str):
        return " ".join(map(str, given))
    return str(given)


def below(path: str, directory: str) -> str:
    """A path as it is from a folder, where it is below that."""
    return path.removeprefix(f"{directory.rstrip('/')}/")
