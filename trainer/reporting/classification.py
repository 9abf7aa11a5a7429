"""How often predicted classes are right, which are taken for which, and whether their probabilities can be believed.

matrix = classification.confusion(labels, classes, size=10)
classification.per_class(matrix)[7].recall.low
classification.reliability(labels, probabilities).error     # the expected calibration error
"""

from dataclasses import dataclass

import numpy as np

from trainer.reporting import intervals
from trainer.reporting.intervals import Interval


BINS = 15
SHOWN = 12
LEAST = 1e-12  # a probability, so that its logarithm is a number


@dataclass(frozen=True)
class Scores:
    """Of one class."""

    count: int  # examples that are of it
    precision: Interval  # of those said to be of it, the share that is
    recall: Interval  # of those that are of it, the share that was said to be
    f1: float


@dataclass(frozen=True)
class Bin:
    """Examples whose predicted class was given a probability in a range."""

    count: int
    confidence: float  # the mean probability
    accuracy: Interval


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a given confidence are right."""

    bins: tuple[Bin, ...]  # those that have examples
    error: float  # the mean distance of confidence and accuracy, weighted by the examples


def confusion(labels: np.ndarray, classes: np.ndarray, *, size: int) -> np.ndarray:
    """How many examples of each class, by row, were taken for each, by column: (N,), (N,) -> (size, size)."""
    return np.bincount(labels.astype(np.int64) * size + classes, minlength=size * size).reshape(size, size)


def accuracy(matrix: np.ndarray) -> Interval:
    """The share of examples on the diagonal."""
    return intervals.of_share(int(np.trace(matrix)), int(matrix.sum()))


def per_class(matrix: np.ndarray) -> list[Scores]:
    """The scores of each class of a confusion matrix."""
    found = []
    for place, right in enumerate(np.diag(matrix)):
        actual, predicted = int(matrix[place].sum()), int(matrix[:, place].sum())
        f1 = 2 * float(right) / (actual + predicted) if actual + predicted else float("nan")
        precision, recall = intervals.of_share(int(right), predicted), intervals.of_share(int(right), actual)
        found.append(Scores(actual, precision, recall, f1))
    return found


def confused(matrix: np.ndarray, most: int = SHOWN) -> list[tuple[int, int, int]]:
    """Which class is most often taken for which other: (label, class, examples), the most first."""
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, matrix.shape)
    return [(int(r), int(c), int(wrong[r, c])) for r, c in zip(rows, columns, strict=True) if wrong[r, c]]


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Reliability:
    """The examples by the probability of their predicted class: (N,), (N, K).

    With the expected calibration error over bins of equal width (C. Guo and others, On calibration of modern neural
    networks, ICML 2017).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found, error = [], 0.0
    for place in range(bins):
        inside = of == place
        count = int(inside.sum())
        if count:
            mean = float(np.mean(confidence[inside], dtype=np.float64))
            share = intervals.of_share(int(right[inside].sum()), count)
            found.append(Bin(count, mean, share))
            error += count / len(labels) * abs(share.value - mean)
    return Reliability(tuple(found), error)


def losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The cross-entropy of each example, in nats: (N,), (N, K) -> (N,)."""
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(own.astype(np.float64), LEAST)))


def worst(labels: np.ndarray, probabilities: np.ndarray, count: int = SHOWN) -> np.ndarray:
    """The examples of the greatest loss, the worst first."""
    return np.argsort(-losses(labels, probabilities), kind="stable")[:count]


def least_certain(probabilities: np.ndarray, count: int = SHOWN) -> np.ndarray:
    """The examples whose predicted class has the least probability, the least first."""
    return np.argsort(probabilities.max(axis=1), kind="stable")[:count]
