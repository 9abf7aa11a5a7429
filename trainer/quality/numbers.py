"""The statistics of one column of numbers, exactly the same in whatever order its parts are merged.

    numbers = numbers_of(np.array([7.25, 6.5, np.nan]))
    numbers.mean, numbers.quantile(0.5), numbers.missing

Counts are integers, and sums are fractions, which do not round. Where there are few distinct values, each is counted;
where there are more, values are counted by bucket: those of the same sign and power of two, cut into 64 equal parts, so
that a quantile is within 1/128 (0.8 %) of a value that has that rank. A bucket depends on the value's bits alone, so
merging adds counts, as in DDSketch (Masson, Rim and Lee, VLDB 2019, https://arxiv.org/abs/1908.10693); the buckets are
those of HdrHistogram, since a logarithm may differ in its last bit from one machine to the next.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from pyarrow import compute


VALUES_KEPT = 256
"""Distinct values up to which each is counted by itself: all ages, weeks, classes, and bytes of pixels."""

BUCKET_SHIFT = np.uint64(52 - 6)  # a double without the last bits of its 52 behind the point
CHUNK = 1 << 24  # values whose halves still add up exactly in a double: 2**27 each
SAMPLE = 4096
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT32_LEAST = 2.0**-149  # what is nearer to zero is zero in 32 bits; and its square would not be exact in 64
SPLITTER = 2.0**27 + 1


@dataclass(frozen=True)
class Numbers:
    """A column of numbers. `counts` is by value where `exact`, else by the edge of a bucket that is nearer to zero."""

    missing: int = 0  # null or NaN
    infinite: int = 0  # or too large for 32 bits; not among the following
    minimum: float = math.inf
    maximum: float = -math.inf
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    exact: bool = True
    counts: Mapping[float, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many finite numbers there are."""
        return sum(self.counts.values())

    @property
    def zeros(self) -> int:
        """How many are zero."""
        return self.counts.get(0.0, 0)

    @property
    def mean(self) -> float | None:
        """The mean; None of no numbers."""
        return float(self.total / self.count) if self.count else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation, of the population; None of no numbers."""
        if not self.count:
            return None
        return math.sqrt(self.squares / self.count - (self.total / self.count) ** 2)

    def quantile(self, share: float) -> float | None:
        """A value with about this share of the numbers below it; None of no numbers."""
        below, rank = 0, share * (self.count - 1)
        for value in sorted(self.counts):
            below += self.counts[value]
            if below > rank:
                return value if self.exact else min(max(middle(value), self.minimum), self.maximum)
        return None


def numbers_of(values: np.ndarray, *, missing: int = 0) -> Numbers:
    """The statistics of numbers of any dtype and shape; NaN is missing too, besides those that are not among them."""
    if values.dtype == np.uint8:
        found = np.bincount(values.reshape(-1), minlength=256)
        return _exact({float(i): int(found[i]) for i in np.flatnonzero(found)}, missing=missing)
    every = values.reshape(-1).astype(np.float64) + 0.0  # -0.0 becomes 0.0
    finite = every[np.abs(every) <= FLOAT32_MAX]
    finite[np.abs(finite) < FLOAT32_LEAST] = 0.0
    absent = int(np.isnan(every).sum())
    missing, infinite = missing + absent, every.size - absent - finite.size
    if not finite.size:
        return Numbers(missing=missing, infinite=infinite)
    if len(np.unique(finite[:SAMPLE])) <= VALUES_KEPT:  # else there is no need to look at all of them
        values_counts = compute.value_counts(finite)
        if len(values_counts) <= VALUES_KEPT:
            pairs = zip(*(values_counts.field(i).to_pylist() for i in (0, 1)), strict=True)
            return _exact(dict(sorted(pairs)), missing=missing, infinite=infinite)
    return Numbers(
        missing=missing,
        infinite=infinite,
        minimum=float(finite.min()),
        maximum=float(finite.max()),
        total=exact_sum(finite),
        squares=sum((exact_sum(part) for part in _squares(finite)), Fraction(0)),
        exact=False,
        counts=_buckets(finite),
    )


def merged(first: Numbers, second: Numbers) -> Numbers:
    """The statistics of both columns together."""
    exact = first.exact and second.exact and len({*first.counts, *second.counts}) <= VALUES_KEPT
    counts: dict[float, int] = {}
    for part in (first, second):
        for value, count in part.counts.items():
            key = edge(value) if part.exact and not exact else value
            counts[key] = counts.get(key, 0) + count
    return Numbers(
        missing=first.missing + second.missing,
        infinite=first.infinite + second.infinite,
        minimum=min(first.minimum, second.minimum),
        maximum=max(first.maximum, second.maximum),
        total=first.total + second.total,
        squares=first.squares + second.squares,
        exact=exact,
        counts=dict(sorted(counts.items())),
    )


def edge(value: float) -> float:
    """The edge of a value's bucket that is nearer to zero."""
    return float(_edges(np.array([value]).view(np.uint64) >> BUCKET_SHIFT)[0])


def middle(lower: float) -> float:
    """The middle of the bucket with this edge."""
    if not lower:
        return 0.0
    bucket = np.array([lower]).view(np.uint64) >> BUCKET_SHIFT
    return float((lower + _edges(bucket + np.uint64(1))[0]) / 2)


def exact_sum(values: np.ndarray) -> Fraction:
    """The sum of finite float64 values (N,), without rounding."""
    total = Fraction(0)
    for start in range(0, len(values), CHUNK):
        fractions, exponents = np.frexp(values[start : start + CHUNK])
        mantissas = (fractions * 2.0**53).astype(np.int64)
        least = int(exponents.min())
        places = exponents - least
        high = np.bincount(places, weights=mantissas >> 27)
        low = np.bincount(places, weights=mantissas & (2**27 - 1))
        sums = ((int(high[i]) << 27) + int(low[i]) << int(i) for i in np.flatnonzero((high != 0) | (low != 0)))
        total += sum(sums) * Fraction(2) ** (least - 53)
    return total


def _exact(counts: Mapping[float, int], *, missing: int = 0, infinite: int = 0) -> Numbers:
    """The statistics of a few distinct values, in order, that are counted."""
    fractions = {value: Fraction(value) for value in counts}
    return Numbers(
        missing=missing,
        infinite=infinite,
        minimum=min(counts, default=math.inf),
        maximum=max(counts, default=-math.inf),
        total=sum((fractions[value] * n for value, n in counts.items()), Fraction(0)),
        squares=sum((fractions[value] ** 2 * n for value, n in counts.items()), Fraction(0)),
        counts=counts,
    )


def _buckets(values: np.ndarray) -> dict[float, int]:
    """How many of the values (N,) are in each bucket, by its edge."""
    found = np.bincount((values.view(np.uint64) >> BUCKET_SHIFT).astype(np.int64))
    (buckets,) = np.nonzero(found)
    edges = _edges(buckets.astype(np.uint64))
    return dict(sorted(zip(edges.tolist(), found[buckets].tolist(), strict=True)))


def _edges(buckets: np.ndarray) -> np.ndarray:
    return (buckets << BUCKET_SHIFT).view(np.float64) + 0.0


def _squares(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Numbers whose sum is that of the squares: each square, rounded, and what rounding took from it.

    The second is Dekker's product (Numerische Mathematik 18, 1971). Without it, the deviation of large numbers that
    differ little would be lost.
    """
    squares = values * values
    scaled = SPLITTER * values
    high = scaled - (scaled - values)
    low = values - high
    rests = ((high * high - squares) + 2 * high * low) + low * low
    return (squares, rests) if rests.any() else (squares,)
