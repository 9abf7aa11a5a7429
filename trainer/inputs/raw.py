"""The rows of a unit as its file has them, for whoever judges them before they are trained on.

    for rows in raw.read(spec, unit, others=("key",)):
        rows.table, rows.bad

A row that training would stop at is among the bad ones, by the same judge: `trainer.inputs.encoding`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from trainer.inputs import columns, encoding, records, text
from trainer.inputs.columns import Unit
from trainer.inputs.encoding import ARROW_ERRORS, BadRow, Encoded
from trainer.inputs.source import format_of
from trainer.inputs.spec import InputSpec


@dataclass(frozen=True)
class Rows:
    """Some rows of a file that can be trained on, and what is wrong with the others among them.

    `table` has null for what is missing; numbers are float32 or int32, words are text, a vector is a list of its stored
    values, and other columns are text or bytes. The number of a bad row is its line, its row (from 1) or its record
    (from 0), as `place` says.
    """

    table: pa.Table
    words: dict[str, Counter[str]] = field(default_factory=dict)  # as in `Encoded`
    bad: list[BadRow] = field(default_factory=list)
    place: str = "line"


def read(spec: InputSpec, unit: Unit, others: Sequence[str] = ()) -> Iterator[Rows]:
    """The rows of a unit in blocks, with some other columns. A file that cannot be read raises `RunError`."""
    form = format_of(unit.path)
    if form == "csv":
        yield from _csv(spec, unit, others)
    elif form == "parquet":
        yield _parquet(spec, unit, others)
    elif form == "tfrecord":
        for table, first in records.tables(spec, unit):
            yield _judged(spec, table, range(first, first + table.num_rows), "record")
    else:
        encoded = Encoded(records.read_images(spec, unit), {})
        yield Rows(_vectors(spec, pa.table({spec.label.name: encoded.columns[spec.label.name]}), encoded))


def head(spec: InputSpec, unit: Unit, size: int) -> Rows:
    """The first rows of a unit of a CSV or Parquet file, about `size` bytes of them, without reading all of it."""
    if format_of(unit.path) == "parquet":
        rows = max(1, size // spec.stored_bytes)
        with columns.open_parquet(unit.path, unit.known) as file:
            wanted = [feature.name for feature in spec.read]
            batch = next(file.iter_batches(rows, row_groups=[unit.start], columns=wanted))
        return _judged(spec, pa.Table.from_batches([batch]), range(1, 1 + batch.num_rows), "row")
    if not columns.compressed(unit.path):
        unit = replace(unit, stop=min(unit.stop, unit.start + size))
    return next(_csv(spec, unit, (), size), Rows(pa.table({})))


def names(spec: InputSpec, unit: Unit) -> tuple[str, ...]:
    """The columns that the file of a unit has, whether or not they are read; of records and images none is known."""
    form = format_of(unit.path)
    if form == "parquet":
        with columns.open_parquet(unit.path, unit.known) as file:
            return tuple(file.schema_arrow.names)
    return (unit.header or spec.columns) if form == "csv" else ()


def _csv(spec: InputSpec, unit: Unit, others: Sequence[str], block_bytes: int = columns.UNIT_BYTES) -> Iterator[Rows]:
    cells = unit.header or spec.columns
    for block, count_before in columns.blocks(unit, block_bytes):
        try:
            table = text.table(spec, block, cells, others)
            encoded = encoding.encode(spec, table)
        except ARROW_ERRORS:
            table, lines, bad = text.rows(spec, block, cells, others)
            judged = _judged(spec, table, lines, "line")
            bad = sorted([*bad, *judged.bad], key=lambda row: row.number)
            before = count_before() if bad else 0
            yield replace(judged, bad=[replace(row, number=before + row.number) for row in bad])
        else:
            yield Rows(_plain(spec, table, encoded), encoded.words)


def _parquet(spec: InputSpec, unit: Unit, others: Sequence[str]) -> Rows:
    with columns.open_parquet(unit.path, unit.known) as file:
        wanted = [*(feature.name for feature in spec.read), *others]
        table = file.read_row_groups(list(range(unit.start, unit.stop)), columns=wanted)
        before = sum(file.metadata.row_group(i).num_rows for i in range(unit.start))
    for name in others:
        if table.column(name).type not in (pa.binary(), pa.large_binary()):
            table = table.set_column(table.column_names.index(name), name, table.column(name).cast(pa.string()))
    return _judged(spec, table, range(before + 1, before + 1 + table.num_rows), "row")


def _judged(spec: InputSpec, table: pa.Table, numbers: Sequence[int], place: str) -> Rows:
    """The rows of a table; `numbers` are their places in the file."""
    bad: list[BadRow] = []
    try:
        encoded = encoding.encode(spec, table)
    except ARROW_ERRORS:
        inspected = encoding.inspect(spec, table)
        encoded = inspected.good
        good = np.ones(table.num_rows, bool)
        good[[row.number for row in inspected.bad]] = False
        table = table.filter(pa.array(good))
        bad = [replace(row, number=numbers[row.number]) for row in inspected.bad]
    return Rows(_plain(spec, table, encoded), encoded.words, bad, place)


def _plain(spec: InputSpec, table: pa.Table, encoded: Encoded) -> pa.Table:
    """The table with each of the spec's columns in the one type that `Rows` promises."""
    for feature in spec.read:
        if feature.shape:
            continue
        column = table.column(feature.name)
        if feature.vocabulary:
            column = encoding.texts(feature, column)
        else:
            column = encoding.numeric(column)
            column = column.cast(pa.int32() if feature.dtype == "int64" else pa.float32(), safe=False)
        table = table.set_column(table.column_names.index(feature.name), feature.name, column)
    return _vectors(spec, table, encoded)


def _vectors(spec: InputSpec, table: pa.Table, encoded: Encoded) -> pa.Table:
    """The table with the vectors of the spec as lists of what was stored of them."""
    for feature in spec.read:
        if not feature.shape:
            continue
        stored = encoded.columns[feature.name]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), math.prod(feature.shape))
        if feature.name in table.column_names:
            table = table.set_column(table.column_names.index(feature.name), feature.name, lists)
        else:
            table = table.append_column(feature.name, lists)
    return table
