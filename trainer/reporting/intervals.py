"""95 % confidence intervals of what is counted or averaged over examples.

intervals.of_share(981, 1000)          # Wilson's, of an accuracy
intervals.of_mean(residuals)           # of a bias
intervals.of_rmse(residuals)           # by the delta method
"""

import math
from dataclasses import dataclass

import numpy as np


Z = 1.959963984540054  # the normal distribution has 95 % of its mass within this many standard deviations


@dataclass(frozen=True)
class Interval:
    """An estimate, and the ends of its interval; those are NaN where there are too few examples for one."""

    value: float
    low: float
    high: float


def of_share(successes: int, count: int) -> Interval:
    """A share of `count` independent examples: Wilson's score interval, which stays within 0 and 1.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    share = successes / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def of_mean(values: np.ndarray) -> Interval:
    """The mean of independent values (N,), whose distribution is taken for normal."""
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(np.mean(values, dtype=np.float64))
    half = Z * _standard_error(values)
    return Interval(mean, mean - half, mean + half)


def of_rmse(residuals: np.ndarray) -> Interval:
    """The root of the mean of squared residuals (N,).

    By the delta method: the standard error of a root is that of the mean below it, divided by twice the root (A. W. van
    der Vaart, Asymptotic Statistics, 1998, theorem 3.1).
    """
    if len(residuals) == 0:
        return Interval(math.nan, math.nan, math.nan)
    squares = np.square(residuals, dtype=np.float64)
    root = math.sqrt(float(np.mean(squares)))
    half = Z * _standard_error(squares) / (2 * root) if root else 0.0
    return Interval(root, float(np.maximum(0.0, root - half)), root + half)


def _standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values; NaN for one value alone."""
    if len(values) < 2:
        return math.nan
    return float(np.std(values, ddof=1, dtype=np.float64)) / math.sqrt(len(values))
