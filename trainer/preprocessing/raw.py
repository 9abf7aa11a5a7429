"""The raw columns that births come in, and their types: those of BigQuery's `publicdata.samples.natality`.

table = raw.typed(columns)                # whole numbers, numbers, and true or false; null where one is missing
raw.problem("mother_age", "old")          # what is wrong with a value, or None
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pyarrow import compute

from trainer.errors import RunError
from trainer.inputs.spec import MISSING


WHOLE, NUMBER, ANSWER = "a whole number", "a number", "true or false"
COLUMNS = {
    "year": WHOLE,
    "month": WHOLE,
    "weight_pounds": NUMBER,
    "is_male": ANSWER,
    "mother_age": WHOLE,
    "mother_race": WHOLE,
    "plurality": WHOLE,
    "gestation_weeks": WHOLE,
    "mother_married": ANSWER,
    "cigarette_use": ANSWER,
    "alcohol_use": ANSWER,
}
"""What each column holds. A table may have more; they are not read."""

TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
READ_AS = {WHOLE: pa.float64(), NUMBER: pa.float64(), ANSWER: pa.bool_()}
"""Whole numbers too are read as numbers: a column of them that lacks some is `39.0` where pandas wrote it."""
SCHEMA = pa.schema(
    [(name, {WHOLE: pa.int64(), NUMBER: pa.float64(), ANSWER: pa.bool_()}[kind]) for name, kind in COLUMNS.items()]
)


def typed(table: pa.Table) -> pa.Table:
    """The raw columns of a table in the types of `SCHEMA`. A value that is none raises `pa.ArrowInvalid`."""
    return pa.table({name: _typed(table.column(name), kind) for name, kind in COLUMNS.items()}, SCHEMA)


def of_rows(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of values as BigQuery's client gives them: int, float, Decimal, bool, text, None. A bad one: `RunError`."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name, column in columns.items():
            column.append(row[name])
    try:
        return typed(pa.table({name: _plain(column, COLUMNS[name]) for name, column in columns.items()}))
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError) as error:
        raise RunError(f"a row: {first_problem(columns) or error}") from error


def first_problem(columns: Mapping[str, list[Any]]) -> str | None:
    """What is wrong with the first bad value of some columns, by name and value."""
    found = first_bad(columns)
    return found[1] if found else None


def first_bad(columns: Mapping[str, list[Any]]) -> tuple[int, str] | None:
    """The first row, from 0, with a bad value, and what is wrong with it."""
    for number, values in enumerate(zip(*columns.values(), strict=True)):
        for name, value in zip(columns, values, strict=True):
            if wrong := problem(name, value):
                return number, wrong
    return None


def problem(name: str, value: Any) -> str | None:
    """What is wrong with a value of a column, as text or of any type of Python; None where nothing is."""
    kind = COLUMNS[name]
    if value is None or str(value).strip() in MISSING or _is(kind, value):
        return None
    return f"column {name}: {str(value)!r}: expected {kind}"


def _is(kind: str, value: Any) -> bool:
    if kind == ANSWER:
        return str(value) in TRUE + FALSE
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return kind == NUMBER or math.isnan(number) or number.is_integer()


def _plain(values: list[Any], kind: str) -> pa.Array:
    """An Arrow array of Python's values: a Decimal is a number too."""
    if kind == ANSWER:
        return pa.array(values, pa.bool_())
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _typed(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == ANSWER:
        return column.cast(pa.bool_())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):  # text, decimals, nothing at all
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        column = compute.if_else(compute.is_nan(column), pa.scalar(None, column.type), column)
    return column.cast(pa.int64() if kind == WHOLE else pa.float64())
