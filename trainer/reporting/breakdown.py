"""A figure of every slice of the examples, on one scale: where a model errs.

found = breakdown.of(features, columns, rmse, lambda rows: intervals.of_rmse(residuals[rows]))
found.parts[0].rows[0].figure, found.place(1.04)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.inputs.spec import Feature
from trainer.reporting import slices
from trainer.reporting.intervals import Interval


RELIABLE = 30  # examples from which on a normal interval is one; others do not stretch the scale


@dataclass(frozen=True)
class Row:
    """A slice and its figures; `figure` is the one that is drawn, of the scale of all rows."""

    name: str
    count: int
    figure: Interval
    bias: Interval | None = None


@dataclass(frozen=True)
class Part:
    """The slices of one feature."""

    feature: Feature
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Breakdown:
    """A figure by slice, the ends of a scale on which all can be drawn, and the features that are always the same."""

    parts: tuple[Part, ...]
    least: float
    most: float
    overall: float
    constant: Mapping[str, str]

    def place(self, value: float) -> float:
        """Where a value is on the scale, in percent; at its end where it is beyond."""
        return round(100 * min(1.0, max(0.0, (value - self.least) / (self.most - self.least))), 2)


def of(
    features: Sequence[Feature],
    columns: Mapping[str, np.ndarray],
    overall: float,
    figure: Callable[[np.ndarray], Interval],
    bias: Callable[[np.ndarray], Interval] | None = None,
) -> Breakdown | None:
    """The slices with a figure of each; None where no feature has two."""
    found: dict[str, list[slices.Slice]] = {}
    for part in slices.cut(features, columns):
        found.setdefault(part.feature.name, []).append(part)
    parts = [
        Part(
            own[0].feature,
            tuple(Row(s.name, len(s.rows), figure(s.rows), bias(s.rows) if bias else None) for s in own),
        )
        for own in found.values()
        if len(own) > 1
    ]
    if not parts:
        return None
    rows = [row for part in parts for row in part.rows]
    sure = [row for row in rows if row.count >= RELIABLE] or rows
    ends = [end for row in sure for end in (row.figure.low, row.figure.value, row.figure.high) if math.isfinite(end)]
    least, most = min([*ends, overall]), max([*ends, overall])
    margin = 0.04 * (most - least) or 1.0
    constant = {name: own[0].name for name, own in found.items() if len(own) == 1}
    return Breakdown(tuple(parts), least - margin, most + margin, overall, constant)
