"""How far one column's values are from where another's are: the population stability index.

    found = drift.between(train.columns["mother_age"], evaluation.columns["mother_age"])
    found.index >= drift.NOTICED

The index is the sum over bins of (p - q) ln(p / q), for p and q the shares of each side in the bin. By the usual rule
less than 0.1 is no change to speak of and 0.25 a large one (Siddiqi, Credit Risk Scorecards, 2006). Bins are words, or
the tenths of the first side's numbers, and one for what is missing. A bin counts half a value more than it has, so that
an empty one does not make the index infinite.

Few rows differ by chance alone: without any change, the index of n and m rows in B bins is about (1/n + 1/m) times a
chi-squared of B - 1 degrees (Yurdakul, Statistical Properties of Population Stability Index, 2018). An index below what
that exceeds once in a thousand times is not noticed either.
"""

import bisect
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from trainer.quality import numbers, words
from trainer.quality.numbers import Numbers
from trainer.quality.statistics import Column
from trainer.quality.words import Words


NOTICED, LARGE = 0.1, 0.25
BINS = 10
WORDS = 20
ONCE_IN_1000 = 3.0902  # standard deviations of a normal distribution


@dataclass(frozen=True)
class Drift:
    """The index, the least one that chance does not explain, and the bin that changed most with its two shares."""

    index: float
    by_chance: float
    bin: str
    first: float
    second: float

    @property
    def is_noticed(self) -> bool:
        """Whether it is neither small nor of few rows."""
        return self.index >= max(NOTICED, self.by_chance)


class Bin(NamedTuple):
    """Values of one kind, and how many each side has. Two bins may have the same name: it has six digits."""

    name: str
    first: int
    second: int


def between(first: Column, second: Column) -> Drift | None:
    """The drift from one column to another. None where either has no values, or they are of two kinds."""
    if isinstance(first, Words) and isinstance(second, Words):
        bins = _bins_of_words(first, second)
    elif isinstance(first, Numbers) and isinstance(second, Numbers):
        bins = _bins_of_numbers(first, second)
    else:
        return None
    bins = [each for each in (*bins, Bin("missing", first.missing, second.missing)) if each.first or each.second]
    total, other = sum(each.first for each in bins), sum(each.second for each in bins)
    if not (total and other):
        return None
    parts = []
    for each in bins:
        p, q = (each.first + 0.5) / (total + 0.5 * len(bins)), (each.second + 0.5) / (other + 0.5 * len(bins))
        parts.append((p - q) * math.log(p / q))
    most = bins[parts.index(max(parts))]
    by_chance = (1 / total + 1 / other) * _chi_squared(len(bins) - 1)
    return Drift(sum(parts), by_chance, most.name, most.first / total, most.second / other)


def _bins_of_words(first: Words, second: Words) -> list[Bin]:
    """The most frequent words, and all others together."""
    together = words.merged(first, second).counts  # those of which both sides have the exact count
    often = sorted(together, key=lambda word: (-together[word], word))[:WORDS]
    bins = [Bin(repr(word), first.counts.get(word, 0), second.counts.get(word, 0)) for word in often]
    rest = [column.count - sum(column.counts.get(word, 0) for word in often) for column in (first, second)]
    return [*bins, Bin("other words", *rest)]


def _bins_of_numbers(first: Numbers, second: Numbers) -> list[Bin]:
    """Ranges that hold about a tenth of the first side each; where there are fewer values, one for each."""
    exact = first.exact and second.exact
    sides = [
        dict(column.counts) if exact or not column.exact else numbers.merged(column, Numbers(exact=False)).counts
        for column in (first, second)
    ]
    values = sorted({*sides[0], *sides[1]})
    if exact and len(values) <= BINS:
        return [Bin(f"{value:g}", sides[0].get(value, 0), sides[1].get(value, 0)) for value in values]
    edges = sorted({edge for i in range(1, BINS) if (edge := _quantile(sides[0], i / BINS)) is not None})
    ranges = [f"{low:g} to less than {high:g}" for low, high in itertools.pairwise(edges)]
    names = [f"less than {edges[0]:g}", *ranges, f"{edges[-1]:g} or more"] if edges else ["all"]
    counts = [[0, 0] for _ in names]
    for side, column in enumerate(sides):
        for value, count in column.items():
            counts[bisect.bisect_right(edges, value)][side] += count
    return [Bin(name, *pair) for name, pair in zip(names, counts, strict=True)]


def _quantile(counts: Mapping[float, int], share: float) -> float | None:
    """The value or edge at a rank."""
    below, rank = 0, share * sum(counts.values())
    for value in sorted(counts):
        below += counts[value]
        if below > rank:
            return value
    return None


def _chi_squared(degrees: int) -> float:
    """What a chi-squared exceeds once in a thousand times, within a percent or so from 2 degrees on (Wilson and
    Hilferty, PNAS 17, 1931)."""
    if not degrees:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + ONCE_IN_1000 * math.sqrt(spread)) ** 3)
