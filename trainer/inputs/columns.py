"""CSV and Parquet files, cut into units that can be read alone and in any order.

A unit of a plain CSV file is a range of bytes: it owns the lines that start within it, so any unit can be found from
the file's size alone and a resumed run reads no more than it needs. A unit of a Parquet file is a row group. A
compressed CSV file cannot be entered in the middle: it is one unit, read in blocks.
"""

import gzip
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from trainer.errors import RunError, UsageError
from trainer.inputs import text
from trainer.inputs.spec import Columns, InputSpec
from trainer.storage import paths


UNIT_BYTES = 8 << 20
LOOK_AHEAD_BYTES = 1 << 16
log = logging.getLogger("trainer.inputs")


@dataclass(frozen=True)
class Unit:
    """A part of a file that is read at once: bytes of a CSV file, row groups of a Parquet file, or all of it (0, 1)."""

    path: str
    start: int
    stop: int
    size: int  # about how many bytes are read
    header: tuple[str, ...] = ()  # the column names in the first line of a CSV file; empty where it has none


def csv_units(spec: InputSpec, path: str) -> list[Unit]:
    """The units of a CSV file. A header that lacks a column raises `UsageError`."""
    header = _header(spec, path)
    size = paths.size(path)
    if compressed(path):
        return [Unit(path, 0, 1, size, header)] if size else []
    return [
        Unit(path, start, min(start + UNIT_BYTES, size), min(UNIT_BYTES, size - start), header)
        for start in range(0, size, UNIT_BYTES)
    ]


def read_csv(spec: InputSpec, unit: Unit, *, skip_bad_rows: bool) -> Columns:
    """The encoded rows of a unit. A bad row raises `RunError` with its line, or is left out and counted in the log."""
    names = unit.header or spec.columns
    parts = []
    for block, first_line in _blocks(unit):
        if not block.strip():
            continue
        try:
            columns, unknown = text.parse(spec, block, names)
        except ValueError as error:  # Arrow's errors are ValueErrors too
            good = _good_rows(spec, unit, block, first_line, names, skip_bad_rows, error)
            if not good:
                continue
            columns, unknown = text.parse(spec, good, names)
        text.check_vocabulary(spec, columns, unknown, unit.path)
        parts.append(columns)
    return concatenate(spec, parts)


def count_csv(spec: InputSpec, path: str) -> int:
    """The rows of a CSV file, found by counting line ends."""
    lines, last = 0, b"\n"
    with open_text(path) as file:
        while block := file.read(UNIT_BYTES):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n") - bool(_header(spec, path))


def parquet_units(path: str) -> list[Unit]:
    """The row groups of a Parquet file that have rows."""
    with _parquet(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    return [Unit(path, i, i + 1, group.total_byte_size) for i, group in enumerate(groups) if group.num_rows]


def read_parquet(spec: InputSpec, unit: Unit, *, skip_bad_rows: bool) -> Columns:
    """The encoded rows of a row group; see `read_csv`."""
    names = [feature.name for feature in spec.read]
    with _parquet(unit.path) as file:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise UsageError(
                f"{unit.path}: lacks the column {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}"
            )
        table = file.read_row_groups(list(range(unit.start, unit.stop)), columns=names)
    try:
        columns, unknown = text.encode(spec, table)
    except (ValueError, pa.ArrowException) as error:
        # The careful path reads text, so the group goes through it as CSV; rows count from 1 within the group.
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False, quoting_style="needed"))
        block = sink.getvalue().to_pybytes()
        columns, unknown = text.parse(spec, _good_rows(spec, unit, block, 1, names, skip_bad_rows, error), names)
    text.check_vocabulary(spec, columns, unknown, unit.path)
    return columns


def count_parquet(path: str) -> int:
    """The rows of a Parquet file, from its footer."""
    with _parquet(path) as file:
        return int(file.metadata.num_rows)


def concatenate(spec: InputSpec, parts: list[Columns]) -> Columns:
    """One set of columns out of several."""
    if len(parts) == 1:
        return parts[0]
    return {
        f.name: np.concatenate([part[f.name] for part in parts])
        if parts
        else np.zeros((0, *f.shape), dtype=f.stored_dtype)
        for f in spec.read
    }


def compressed(path: str) -> bool:
    """Whether the name says gzip."""
    return path.endswith(".gz")


def open_text(path: str) -> BinaryIO:
    """The bytes of a file, decompressed where its name says gzip."""
    file = paths.open_input(path)
    if not compressed(path):
        return file
    unzipped = gzip.GzipFile(fileobj=file, mode="rb")
    unzipped.myfileobj = file  # type: ignore[assignment]  # closed with it; gzip leaves a file that it was given open
    return unzipped  # type: ignore[return-value]


def _parquet(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(paths.open_input(path))
    except pa.ArrowInvalid as error:
        raise RunError(f"{path}: not a whole Parquet file: {error}") from error


def _header(spec: InputSpec, path: str) -> tuple[str, ...]:
    with open_text(path) as file:
        try:
            first_line = file.readline()
        except (EOFError, OSError, zlib.error) as error:
            raise RunError(f"{path}: not a whole gzip file: {error}") from error
    return text.header(spec, first_line, path)


def _blocks(unit: Unit) -> Iterator[tuple[bytes, int | None]]:
    """Blocks of whole lines of a CSV unit, each with its first line's number where that is known without counting."""
    if not compressed(unit.path):
        yield _lines_from(unit), None
        return
    line, rest = 1, b""
    with open_text(unit.path) as file:
        if unit.header:
            file.readline()
            line = 2
        try:
            while piece := file.read(UNIT_BYTES):
                head, end, tail = (rest + piece).rpartition(b"\n")
                rest = tail
                if end:
                    yield head + end, line
                    line += head.count(b"\n") + 1
        except (EOFError, OSError, zlib.error) as error:
            raise RunError(f"{unit.path}: not a whole gzip file: {error}") from error
    if rest:
        yield rest, line


def _lines_from(unit: Unit) -> bytes:
    """The lines that start in bytes [start, stop) of a plain CSV file, without the header."""
    with paths.open_input(unit.path) as file:
        file.seek(max(0, unit.start - 1))
        data = file.read(unit.stop - max(0, unit.start - 1))
        if not data.endswith(b"\n"):
            while (piece := file.read(LOOK_AHEAD_BYTES)) and (end := piece.find(b"\n")) < 0:
                data += piece
            if piece:
                data += piece[: end + 1]
    if unit.start > 0 or unit.header:
        return data[data.find(b"\n") + 1 :] if b"\n" in data else b""
    return data


def _good_rows(
    spec: InputSpec,
    unit: Unit,
    block: bytes,
    first_line: int | None,
    names: tuple[str, ...] | list[str],
    skip: bool,
    error: Exception,
) -> bytes:
    """The block without its bad rows, or `RunError` with the first of them."""
    rows = list(text.inspect(spec, block, names))
    bad = [row for row, _ in rows if row]
    if not bad:
        raise RunError(f"{unit.path}: cannot be parsed: {error}") from error
    if first_line is None:
        first_line = _line_number(unit)
    place = f"{unit.path}: line {first_line + bad[0].line - 1}: {bad[0].problem}"
    if not skip:
        raise RunError(f"{place} (--on-bad-row skip leaves such rows out)")
    log.warning("skipped %d of %d rows; the first: %s", len(bad), len(rows), place)
    return b"".join(line for row, line in rows if not row)


def _line_number(unit: Unit) -> int:
    """The number, from 1, of the first line that `_lines_from` returns for a plain CSV unit."""
    if unit.path.endswith(".parquet"):
        return 1
    with paths.open_input(unit.path) as file:
        before = file.read(unit.start)
        if unit.start == 0:
            return 2 if unit.header else 1
        return before.count(b"\n") + (1 if before.endswith(b"\n") else 2)
