"""How far the predictions of numbers are off: in all, by what was predicted, and where most.

errors = regression.errors(labels, predictions)
errors.rmse.value, errors.bias.low
"""

from dataclasses import dataclass

import numpy as np

from trainer.reporting import intervals
from trainer.reporting.intervals import Interval


GROUPS = 10
BINS = 41
WORST = 10


@dataclass(frozen=True)
class Errors:
    """The residuals, prediction minus label, of some examples."""

    count: int
    rmse: Interval
    bias: Interval  # their mean
    mae: Interval  # the mean of their sizes
    explained: float  # R², the share of the labels' variance; NaN where they have none


@dataclass(frozen=True)
class Group:
    """Examples with neighbouring predictions."""

    count: int
    predicted: float  # the mean
    observed: Interval  # the mean label


@dataclass(frozen=True)
class Histogram:
    """How many residuals are in each bin; the rest are left out."""

    edges: np.ndarray  # (bins + 1,)
    counts: np.ndarray  # (bins,)
    below: int
    above: int


def errors(labels: np.ndarray, predictions: np.ndarray) -> Errors:
    """Of labels and predictions (N,)."""
    residuals = _residuals(labels, predictions)
    variance = float(np.var(labels, dtype=np.float64)) if len(labels) else 0.0
    rmse = intervals.of_rmse(residuals)
    explained = 1 - rmse.value**2 / variance if variance else float("nan")
    return Errors(len(residuals), rmse, intervals.of_mean(residuals), intervals.of_mean(np.abs(residuals)), explained)


def calibration(labels: np.ndarray, predictions: np.ndarray) -> list[Group]:
    """The examples (N,) by deciles of what was predicted: a good model has observed what it predicted in each."""
    order = np.argsort(predictions, kind="stable")
    groups = np.array_split(order, min(GROUPS, len(order))) if len(order) else []
    return [
        Group(len(rows), float(np.mean(predictions[rows], dtype=np.float64)), intervals.of_mean(labels[rows]))
        for rows in groups
    ]


def histogram(labels: np.ndarray, predictions: np.ndarray) -> Histogram:
    """The residuals of examples (N,) around zero, as far as 99.8 % of them reach."""
    residuals = _residuals(labels, predictions)
    reach = float(np.quantile(np.abs(residuals), 0.998)) if len(residuals) else 0.0
    edges = np.linspace(-(reach or 1.0), reach or 1.0, BINS + 1)
    counts, _ = np.histogram(residuals, edges)
    return Histogram(edges, counts, int(np.sum(residuals < edges[0])), int(np.sum(residuals > edges[-1])))


def farthest(labels: np.ndarray, predictions: np.ndarray, count: int = WORST) -> np.ndarray:
    """The examples that are farthest off, the worst first."""
    return np.argsort(-np.abs(_residuals(labels, predictions)), kind="stable")[:count]


def _residuals(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return predictions.astype(np.float64) - labels.astype(np.float64)
