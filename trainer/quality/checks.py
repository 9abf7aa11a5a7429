"""What the statistics of data say about it: columns by themselves, and beside those of other data.

findings = [*checks.of_columns("train", spec, statistics), *checks.of_drift("train, eval", spec, first, second)]
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from trainer.inputs.encoding import MISSING_WORD
from trainer.inputs.spec import Feature, InputSpec
from trainer.quality import drift
from trainer.quality.findings import Finding, Severity
from trainer.quality.numbers import Numbers
from trainer.quality.statistics import Column, Statistics
from trainer.quality.words import Words


MISSING_SHARE = 0.1
"""Of a column; one in ten is a round number, from no study."""

RARE = 0.01
"""The least frequent class beside the most frequent one: also a round number."""

SHOWN_WORDS = 5
SHOWN_CLASSES = 20  # of a vocabulary too, which may be of many thousands


def of_columns(data: str, spec: InputSpec, statistics: Statistics) -> Iterator[Finding]:
    """Columns with one value, values that are missing, unknown words, and numbers that make no sense."""
    for feature in spec.read:
        column = statistics.columns.get(feature.name)
        if not column or statistics.rows < 2:
            continue
        if same := _one_value(column):
            severity: Severity = "ERROR" if feature == spec.label else "WARNING"
            yield Finding(severity, "constant", data, thing(spec, feature), f"{same} in all rows", "values that differ")
        elif column.missing > MISSING_SHARE * statistics.rows and MISSING_WORD not in feature.vocabulary:
            value = f"{share(column.missing, statistics.rows)} values are missing"
            yield Finding("WARNING", "missing", data, thing(spec, feature), value, f"at most {MISSING_SHARE:.0%}")
        if isinstance(column, Words):
            yield from _unknown(data, spec, feature, column)
        else:
            yield from _beyond(data, spec, feature, column)


def of_labels(data: str, spec: InputSpec, statistics: Statistics) -> Iterator[Finding]:
    """Classes that are rare, or in no row at all."""
    counts = classes(spec, statistics)
    if len(counts) < 2 or not any(counts.values()):
        return
    most = max(counts, key=lambda word: counts[word])
    rare = [word for word, count in counts.items() if count < RARE * counts[most]]
    values = [f"{word} in {counts[word]:,} rows, {most} in {counts[most]:,}" for word in rare[:SHOWN_CLASSES]]
    if len(rare) > SHOWN_CLASSES:
        values.append(f"{len(rare) - SHOWN_CLASSES:,} more of {len(counts):,} classes are as rare")
    for value in values:
        expected = f"each class at least {RARE:.0%} as often as the most frequent one"
        yield Finding("WARNING", "labels", data, thing(spec, spec.label), value, expected)


def of_classes(spec: InputSpec, first: Statistics, second: Statistics) -> Iterator[Finding]:
    """Integer classes to evaluate on that no row to train on has; those of words are in the vocabulary."""
    if spec.label.dtype != "int64":
        return
    known = classes(spec, first)
    unknown = [word for word in classes(spec, second) if word not in known]
    if known and unknown:
        value = f"{_listed(unknown)} in eval, in no row of train"
        yield Finding("ERROR", "labels", "train, eval", thing(spec, spec.label), value, "classes that are trained on")


def of_drift(data: str, spec: InputSpec, first: Statistics, second: Statistics) -> Iterator[Finding]:
    """Columns whose values are elsewhere in the second than in the first; `data` names both."""
    names = data.split(", ")
    for feature in spec.read:
        columns = [part.columns.get(feature.name) for part in (first, second)]
        if not (columns[0] and columns[1]):
            continue
        found = drift.between(columns[0], columns[1])
        if not found or not found.is_noticed:
            continue
        size = "large, " if found.index >= drift.LARGE else ""
        value = (
            f"{', '.join(f'{_middle(column)}in {name}' for column, name in zip(columns, names, strict=True) if column)}"
            f"; {found.bin} {found.first:.1%} and {found.second:.1%} ({size}index {found.index:.2f})"
        )
        expected = f"a population stability index below {drift.NOTICED}"
        yield Finding("WARNING", "drift", data, thing(spec, feature), value, expected)


def classes(spec: InputSpec, statistics: Statistics) -> dict[str, int]:
    """How many rows each class of the label has; of a label that is no class, or of very many: none."""
    column = statistics.columns.get(spec.label.name)
    if isinstance(column, Words):
        return {word: column.counts.get(word, 0) for word in spec.label.vocabulary}
    if isinstance(column, Numbers) and column.exact and spec.label.dtype == "int64":
        return {str(int(value)): count for value, count in column.counts.items()}
    return {}


def thing(spec: InputSpec, feature: Feature) -> str:
    """What a column is called in a finding."""
    return f"{'label' if feature == spec.label else 'column'} {feature.name}"


def share(count: int, every: int) -> str:
    """`12 of 1,000 (1.2%)`."""
    percent = f"{count / every:.1%}"
    return f"{count:,} of {every:,} ({'under 0.1%' if percent == '0.0%' and count else percent})"


def _listed(words: Sequence[str]) -> str:
    """The first of some words, and how many more there are."""
    more = len(words) - SHOWN_CLASSES
    return ", ".join(words[:SHOWN_CLASSES]) + (f" and {more:,} more" if more > 0 else "")


def _one_value(column: Column) -> str:
    """The only value of a column, as words for it; empty where there are several."""
    if not column.counts and column.missing:
        return "missing"
    if len(column.counts) != 1 or column.missing or not (isinstance(column, Words) or column.exact):
        return ""
    (value,) = column.counts
    return repr(value) if isinstance(value, str) else f"{value:g}"


def _unknown(data: str, spec: InputSpec, feature: Feature, column: Words) -> Iterator[Finding]:
    unknown = {word: count for word, count in column.counts.items() if word not in feature.vocabulary}
    if not unknown:
        return
    often = sorted(unknown, key=lambda word: (-unknown[word], word))[:SHOWN_WORDS]
    more = len(unknown) - len(often) + max(0, column.distinct - len(column.counts))
    value = (
        f"{share(sum(unknown.values()) + column.others, column.count)} values are unknown words: "
        f"{', '.join(f'{word!r} {unknown[word]:,}' for word in often)}"
        f"{f', and {more:,} more' if more else ''}"
    )
    expected = f"one of {_listed([*map(repr, feature.vocabulary)])}"
    yield Finding("WARNING", "vocabulary", data, thing(spec, feature), value, expected)


def _beyond(data: str, spec: InputSpec, feature: Feature, column: Numbers) -> Iterator[Finding]:
    """Numbers below the least or above the most that the spec allows; of buckets, those that are all beyond."""
    if not column.count:
        return
    sides: tuple[tuple[Literal["least", "most"], float | None, float, int], ...] = (
        ("least", feature.minimum, column.minimum, -1),
        ("most", feature.maximum, column.maximum, 1),
    )
    for word, limit, furthest, sign in sides:
        if limit is None or (furthest - limit) * sign <= 0:
            continue
        beyond = sum(count for value, count in column.counts.items() if (value - limit) * sign > 0)
        value = f"{share(max(1, beyond), column.count)} values are beyond, up to {furthest:g}"
        expected = f"at {word} {limit:g}{f' {feature.unit}' if feature.unit else ''}"
        yield Finding("ERROR", "range", data, thing(spec, feature), value, expected)


def _middle(column: Column) -> str:
    """The mean of numbers, to put before where they are."""
    return f"mean {column.mean:.4g} " if isinstance(column, Numbers) and column.count else ""
