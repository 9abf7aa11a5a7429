"""What is known of a table without its rows: small, and exactly the same in whatever order its parts are merged.

    statistics = EMPTY
    for part in parts:
        statistics = merged(statistics, of(part))        # pa.Table or pa.RecordBatch
    json.dumps(to_json(statistics))

`merged` is associative and commutative to the last bit, so that any number of workers, blocks and orders write the same
bytes (docs/decisions/2026-11-26-statistics-that-merge.md).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pyarrow as pa

from trainer.errors import UsageError
from trainer.quality import numbers, words
from trainer.quality.numbers import Numbers
from trainer.quality.words import Words


Column = Numbers | Words
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Statistics:
    """Rows, and the statistics of each column by its name, in the order of the names."""

    rows: int = 0
    columns: Mapping[str, Column] = field(default_factory=dict)


EMPTY = Statistics()


def of(table: pa.Table | pa.RecordBatch) -> Statistics:
    """The statistics of a table. Words are of text and booleans, numbers of numbers and of lists of them.

    A column of another type raises `UsageError`.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    return Statistics(table.num_rows, {name: _column(name, table.column(name)) for name in sorted(table.column_names)})


def merged(first: Statistics, second: Statistics) -> Statistics:
    """The statistics of both tables together. A column of words in one and of numbers in the other: `UsageError`."""
    columns = {}
    for name in sorted({*first.columns, *second.columns}):
        parts = [part.columns[name] for part in (first, second) if name in part.columns]
        columns[name] = parts[0] if len(parts) == 1 else _merged(name, *parts)
    return Statistics(first.rows + second.rows, columns)


def to_json(statistics: Statistics) -> dict[str, Any]:
    """For a file: what people look for, and all that `from_json` needs."""
    return {
        "rows": statistics.rows,
        "columns": {
            name: _words_json(column) if isinstance(column, Words) else _numbers_json(column)
            for name, column in statistics.columns.items()
        },
    }


def from_json(content: Mapping[str, Any]) -> Statistics:
    """What `to_json` was given. Anything else raises `UsageError`."""
    try:
        columns = {name: _from_json(column) for name, column in content["columns"].items()}
        return Statistics(int(content["rows"]), dict(sorted(columns.items())))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"statistics: {error!r}; expected what trainer.quality.statistics.to_json wrote") from error


def _column(name: str, column: pa.ChunkedArray) -> Column:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if any(
        test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_null)
    ):
        return words.words_of(column)
    missing = column.null_count
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        missing += column.null_count
        kind = kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise UsageError(f"column {name}: {column.type}; expected text, booleans, numbers or lists of numbers")
    if kind != pa.uint8():
        column = column.cast(pa.float64(), safe=False)
    return numbers.numbers_of(column.drop_null().to_numpy(), missing=missing)


def _merged(name: str, first: Column, second: Column) -> Column:
    if isinstance(first, Words) and isinstance(second, Words):
        return words.merged(first, second)
    parts = [Numbers(missing=c.missing) if isinstance(c, Words) and not c.count else c for c in (first, second)]
    if not (isinstance(parts[0], Numbers) and isinstance(parts[1], Numbers)):
        raise UsageError(f"column {name}: words in one part and numbers in another; expected one of both")
    return numbers.merged(parts[0], parts[1])


def _words_json(column: Words) -> dict[str, Any]:
    every = column.count + column.missing
    often = sorted(column.counts.items(), key=lambda pair: -pair[1])
    return {
        "kind": "words",
        "count": column.count,
        "missing": column.missing,
        "missing_share": column.missing / every if every else 0.0,
        "distinct": column.distinct,
        "shares": {word: count / column.count for word, count in often[:10]},
        "counts": dict(often),
        "others": column.others,
    }


def _numbers_json(column: Numbers) -> dict[str, Any]:
    every = column.count + column.infinite + column.missing
    some = bool(column.count)
    return {
        "kind": "numbers",
        "count": column.count,
        "missing": column.missing,
        "missing_share": column.missing / every if every else 0.0,
        "infinite": column.infinite,
        "zeros": column.zeros,
        "mean": column.mean,
        "standard_deviation": column.deviation,
        "minimum": column.minimum if some else None,
        "maximum": column.maximum if some else None,
        "quantiles": {f"{share:g}": column.quantile(share) for share in SHARES},
        "sum": str(column.total),
        "sum_of_squares": str(column.squares),
        "counts_of": "values" if column.exact else "buckets",
        "counts": {repr(value): count for value, count in column.counts.items()},
    }


def _from_json(content: Mapping[str, Any]) -> Column:
    counts = {str(value): int(count) for value, count in content["counts"].items()}
    if content["kind"] == "words":
        return Words(int(content["missing"]), dict(sorted(counts.items())), int(content["others"]))
    if content["kind"] != "numbers":
        raise ValueError(content["kind"])
    return Numbers(
        missing=int(content["missing"]),
        infinite=int(content["infinite"]),
        minimum=math.inf if content["minimum"] is None else float(content["minimum"]),
        maximum=-math.inf if content["maximum"] is None else float(content["maximum"]),
        total=Fraction(content["sum"]),
        squares=Fraction(content["sum_of_squares"]),
        exact=content["counts_of"] == "values",
        counts=dict(sorted((float(value), count) for value, count in counts.items())),
    )
