"""What kind of predictions an export makes: numbers to compare with a label, or classes with their probabilities.

It follows from the label of the InputSpec and from the shapes of the outputs, not from any names.
"""

from dataclasses import dataclass

import numpy as np

from trainer.reporting.predictions import Predicted


SUM_ERROR = 1e-3  # of probabilities, which float32 adds up to about 1
MOST_CLASSES = 1000
"""More whole numbers are no classes but ids or amounts, and a matrix of them would be larger than the memory."""


@dataclass(frozen=True)
class Numbers:
    """Predictions of a number. Examples whose prediction is none are left out."""

    output: str  # the response key
    rows: np.ndarray  # (N,): their places among all examples
    labels: np.ndarray  # (N,)
    predictions: np.ndarray  # (N,)


@dataclass(frozen=True)
class Classes:
    """Predictions of one of K classes. Examples whose label is none of them, or whose prediction is, are left out."""

    output: str
    names: tuple[str, ...]  # K
    rows: np.ndarray  # (N,): their places among all examples
    labels: np.ndarray  # (N,)
    classes: np.ndarray  # (N,)
    probabilities: np.ndarray | None  # (N, K), where there are some


def of(predicted: Predicted) -> Numbers | Classes | None:
    """The kind of predictions; None where none of the outputs is one that is understood here."""
    if predicted.label.shape:
        return None
    if predicted.label.vocabulary or predicted.label.dtype == "int64":
        return _classes(predicted)
    return _numbers(predicted)


def _numbers(predicted: Predicted) -> Numbers | None:
    """The first output with one float an example."""
    for name, values in predicted.outputs.items():
        flat = values.reshape(len(values), -1)
        if flat.shape[1] == 1 and np.issubdtype(flat.dtype, np.floating):
            rows = np.flatnonzero(np.isfinite(flat[:, 0]) & np.isfinite(predicted.labels))
            return Numbers(name, rows, predicted.labels[rows], flat[rows, 0])
    return None


def _classes(predicted: Predicted) -> Classes | None:
    """The first output with probabilities of classes, else the first with a whole number an example."""
    words = predicted.label.vocabulary
    for name, values in predicted.outputs.items():
        if _are_probabilities(values) and len(words or values[0]) == values.shape[1]:
            return _of_classes(predicted, name, values.argmax(axis=1), values)
    for name, values in predicted.outputs.items():
        if values.ndim == 1 and np.issubdtype(values.dtype, np.integer):
            return _of_classes(predicted, name, values, None)
    return None


def _of_classes(
    predicted: Predicted, name: str, classes: np.ndarray, probabilities: np.ndarray | None
) -> Classes | None:
    words = predicted.label.vocabulary
    if words:
        size = len(words)
    elif probabilities is not None:
        size = probabilities.shape[1]
    else:
        size = int(max(predicted.labels.max(), classes.max())) + 1
    if size > MOST_CLASSES:
        return None
    inside = (predicted.labels >= 0) & (predicted.labels < size) & (classes >= 0) & (classes < size)
    if probabilities is not None:
        inside &= np.isfinite(probabilities).all(axis=1)
    rows = np.flatnonzero(inside)
    return Classes(
        name,
        tuple(words or map(str, range(size))),
        rows,
        predicted.labels[rows],
        classes[rows],
        None if probabilities is None else probabilities[rows],
    )


def _are_probabilities(values: np.ndarray) -> bool:
    """Whether values (N, K) are, but for examples that have some that are not finite."""
    if values.ndim != 2 or values.shape[1] < 2 or not np.issubdtype(values.dtype, np.floating):
        return False
    values = values[np.isfinite(values).all(axis=1)]
    return bool(len(values) and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=SUM_ERROR))
