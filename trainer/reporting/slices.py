"""Parts of the examples by what is known of them: a word of a category, a value of a number or a range of it.

    for part in slices.cut(features, columns):
        part.feature.name, part.name, part.rows        # "plurality", "2", places of the rows

Which columns there are is the experiment's affair: they follow from its InputSpec.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.inputs.spec import Feature


MOST_VALUES = 9
SHARES = (0.025, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 0.975, 1.0)
"""A number with more distinct values is cut where these shares of the examples are below: narrow at both ends, where
examples are few and models err most."""
MOST_WORDS = 20
"""Of a larger vocabulary the words that most examples have are slices; the others are one together."""
UNKNOWN, OTHERS = "(unknown or missing)", "(other words)"


@dataclass(frozen=True)
class Slice:
    """The examples that have a column in common."""

    feature: Feature
    name: str
    rows: np.ndarray  # their places


def cut(features: Sequence[Feature], columns: Mapping[str, np.ndarray]) -> list[Slice]:
    """The slices of every scalar feature, in its order; of encoded columns (N,). Only those that have examples."""
    found = []
    for feature in features:
        if feature.name in columns and not feature.shape:
            values = columns[feature.name]
            found += _by_word(feature, values) if feature.vocabulary else _by_range(feature, values)
    return found


def _by_word(feature: Feature, codes: np.ndarray) -> list[Slice]:
    names = (*feature.vocabulary, UNKNOWN)
    counts = np.bincount(codes, minlength=len(names))
    often = np.sort(np.argsort(-counts, kind="stable")[:MOST_WORDS])
    found = [Slice(feature, names[code], np.flatnonzero(codes == code)) for code in often if counts[code]]
    others = np.flatnonzero(~np.isin(codes, often))
    return found + ([Slice(feature, OTHERS, others)] if len(others) else [])


def _by_range(feature: Feature, values: np.ndarray) -> list[Slice]:
    missing = np.flatnonzero(~np.isfinite(values))
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    tops = distinct
    if len(distinct) > MOST_VALUES:
        tops = np.unique(np.quantile(known, SHARES, method="inverted_cdf"))  # values that there are
    found, below = [], -np.inf
    for top in tops:
        rows = np.flatnonzero((values > below) & (values <= top))
        least, most = values[rows].min(), values[rows].max()
        name = shown(least) if least == most else f"{shown(least)} to {shown(most)}"
        found.append(Slice(feature, name, rows))
        below = top
    return found + ([Slice(feature, UNKNOWN, missing)] if len(missing) else [])


def shown(value: float) -> str:
    """A number as the name of a slice has it."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e7 else f"{value:.4g}"
