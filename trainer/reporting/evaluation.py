"""What an export's predictions of the evaluation files say of it: the numbers and charts of a report's section.

section = evaluation.of(predicted)             # a Regression, a Classification, or None where it is neither
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import image

from trainer.inputs.spec import Feature
from trainer.reporting import breakdown, charts, classification, intervals, kinds, regression, slices
from trainer.reporting.breakdown import Breakdown
from trainer.reporting.charts import Chart
from trainer.reporting.classification import Reliability, Scores
from trainer.reporting.intervals import Interval
from trainer.reporting.predictions import Predicted
from trainer.reporting.regression import Errors, Group


MATRIX_CLASSES = 20
"""With more classes their matrix is no longer read; the pairs that are confused most are."""


@dataclass(frozen=True)
class Example:
    """One example that stands out."""

    label: str
    prediction: str
    size: float  # of the error, or the probability of what was predicted
    values: tuple[str, ...] = ()  # of the features that are named beside
    image: str = ""  # a data URI


@dataclass(frozen=True)
class Regression:
    """Predictions of a number."""

    output: str
    label: Feature
    count: int
    left_out: int
    errors: Errors
    groups: tuple[Group, ...]
    charts: tuple[Chart, ...]
    sliced: Breakdown | None
    columns: tuple[str, ...]  # of the examples' values
    farthest: tuple[Example, ...]


@dataclass(frozen=True)
class Classification:
    """Predictions of a class."""

    output: str
    label: Feature
    names: tuple[str, ...]
    count: int
    left_out: int
    accuracy: Interval
    wrong: int  # examples
    loss: float | None  # the mean cross-entropy
    matrix: np.ndarray | None  # (K, K), for classes that are few
    scores: tuple[Scores, ...]
    confused: tuple[tuple[str, str, int], ...]
    reliability: Reliability | None
    charts: tuple[Chart, ...]
    sliced: Breakdown | None
    worst: tuple[Example, ...]
    least_certain: tuple[Example, ...]


def of(predicted: Predicted) -> Regression | Classification | None:
    """The section; None where the predictions are neither numbers nor classes, or none is left."""
    kind = kinds.of(predicted)
    if kind is None or not len(kind.rows):
        return None
    return _regression(predicted, kind) if isinstance(kind, kinds.Numbers) else _classification(predicted, kind)


def _regression(predicted: Predicted, kind: kinds.Numbers) -> Regression:
    labels, predictions = kind.labels, kind.predictions
    residuals = predictions.astype(np.float64) - labels
    columns = {name: values[kind.rows] for name, values in predicted.columns.items()}
    unit = f" ({predicted.label.unit})" if predicted.label.unit else ""
    groups = regression.calibration(labels, predictions)
    drawn = [charts.residuals(regression.histogram(labels, predictions), unit), charts.calibration(groups, unit)]
    named = [feature for feature in predicted.features if feature.name in columns]
    farthest = [
        Example(
            f"{labels[row]:.4g}",
            f"{predictions[row]:.4g}",
            float(residuals[row]),
            tuple(_word(feature, columns[feature.name][row]) for feature in named),
        )
        for row in regression.farthest(labels, predictions)
    ]
    errors = regression.errors(labels, predictions)
    return Regression(
        output=kind.output,
        label=predicted.label,
        count=len(labels),
        left_out=len(predicted) - len(labels),
        errors=errors,
        groups=tuple(groups),
        charts=tuple(drawn),
        sliced=breakdown.of(
            predicted.features,
            columns,
            errors.rmse.value,
            lambda rows: intervals.of_rmse(residuals[rows]),
            lambda rows: intervals.of_mean(residuals[rows]),
        ),
        columns=tuple(feature.name for feature in named),
        farthest=tuple(farthest),
    )


def _classification(predicted: Predicted, kind: kinds.Classes) -> Classification:
    labels, classes, probabilities = kind.labels, kind.classes, kind.probabilities
    size = len(kind.names)
    matrix = classification.confusion(labels, classes, size=size)
    accuracy = classification.accuracy(matrix)
    right = labels == classes
    reliability = None if probabilities is None else classification.reliability(labels, probabilities)
    worst: Sequence[int] = ()
    uncertain: Sequence[int] = ()
    if probabilities is not None and predicted.pixels:
        worst, uncertain = (
            classification.worst(labels, probabilities).tolist(),
            classification.least_certain(probabilities).tolist(),
        )
    return Classification(
        output=kind.output,
        label=predicted.label,
        names=kind.names,
        count=len(labels),
        left_out=len(predicted) - len(labels),
        accuracy=accuracy,
        wrong=int(np.sum(~right)),
        loss=None if probabilities is None else float(classification.losses(labels, probabilities).mean()),
        matrix=matrix if size <= MATRIX_CLASSES else None,
        scores=tuple(classification.per_class(matrix)),
        confused=tuple((kind.names[a], kind.names[b], n) for a, b, n in classification.confused(matrix)),
        reliability=reliability,
        charts=() if reliability is None else (charts.reliability(reliability),),
        sliced=breakdown.of(
            predicted.features,
            {name: values[kind.rows] for name, values in predicted.columns.items()},
            accuracy.value,
            lambda rows: intervals.of_share(int(right[rows].sum()), len(rows)),
        ),
        worst=tuple(_pictured(predicted, kind, row) for row in worst),
        least_certain=tuple(_pictured(predicted, kind, row) for row in uncertain),
    )


def _pictured(predicted: Predicted, kind: kinds.Classes, row: int) -> Example:
    assert kind.probabilities is not None
    return Example(
        kind.names[kind.labels[row]],
        kind.names[kind.classes[row]],
        float(kind.probabilities[row].max()),
        image=picture(predicted.pixels[int(kind.rows[row])]),
    )


def picture(pixels: np.ndarray) -> str:
    """The data URI of a square image, (side * side,) of bytes; empty where they make no square."""
    side = math.isqrt(len(pixels))
    if side * side != len(pixels):
        return ""
    content = io.BytesIO()
    image.imsave(content, pixels.reshape(side, side), cmap="gray", vmin=0, vmax=255, format="png")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _word(feature: Feature, value: float) -> str:
    if feature.vocabulary:
        return (*feature.vocabulary, slices.UNKNOWN)[int(value)]
    return slices.shown(float(value))
