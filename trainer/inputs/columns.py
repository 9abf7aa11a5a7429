"""CSV and Parquet files, cut into units that can be read alone and in any order.

A unit of a plain CSV file is a range of bytes: it owns the lines that start within it, so any unit can be found from
the file's size alone and a resumed run reads no more than it needs. A unit of a Parquet file is a row group. A
compressed CSV file cannot be entered in the middle: it is one unit, read in blocks.
"""

import functools
import gzip
import logging
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from trainer.errors import RunError, UsageError
from trainer.inputs import encoding, text
from trainer.inputs.encoding import ARROW_ERRORS, Inspected
from trainer.inputs.spec import Columns, InputSpec, concatenate, count_rows
from trainer.storage import paths
from trainer.storage.entry import Entry


OnBadRow = Literal["error", "skip"]

UNIT_BYTES = 4 << 20  # fits a core's cache: with twice as much, Arrow is a third slower
GZIP_RATIO = 4  # about how many times larger a compressed file's content is
COUNT_BYTES = 64 << 20
HEADER_BYTES = 1 << 16
LINE_BYTES = 1 << 18
READ_BYTES = UNIT_BYTES + LINE_BYTES  # from a bucket, at once: a unit and the rest of its last line
EMPTY_LINE = re.compile(rb"\n(?=\r?\n)")
log = logging.getLogger("trainer.inputs")


@dataclass(frozen=True)
class Unit:
    """A part of a file that is read at once: bytes of a CSV file, row groups of a Parquet file, or all of it (0, 1)."""

    path: str
    start: int
    stop: int
    size: int  # about how many bytes its rows take
    header: tuple[str, ...] = ()  # the column names in the first line of a CSV file; empty where it has none
    known: Entry | None = None  # of the file when its units were made: it must not change under a run
    labels: "Unit | None" = None  # of the file with the labels, where that is another one


def csv_units(spec: InputSpec, path: str, unit_bytes: int = UNIT_BYTES) -> list[Unit]:
    """The units of a CSV file. A header that lacks a column, or a feature that no cell holds, raises `UsageError`."""
    vectors = [feature.name for feature in spec.read if feature.shape]
    if vectors:
        raise UsageError(
            f"{path}: {vectors[0]} is a vector, which no CSV cell holds; expected Parquet, TFRecord or IDX"
        )
    known = paths.stat(path)
    size, header = known.size, _header(spec, path, known)
    if compressed(path):
        return [Unit(path, 0, 1, size * GZIP_RATIO, header, known)]
    starts = range(0, size, unit_bytes)
    return [Unit(path, i, min(i + unit_bytes, size), min(unit_bytes, size - i), header, known) for i in starts]


def read_csv(spec: InputSpec, unit: Unit, *, on_bad_row: OnBadRow, block_bytes: int = UNIT_BYTES) -> Columns:
    """The encoded rows of a unit. A bad row raises `RunError` with its line, or is left out and counted in the log."""
    names = unit.header or spec.columns
    parts = []
    for lines, count_before in blocks(unit, block_bytes):
        try:
            encoded = text.parse(spec, lines, names)
        except ARROW_ERRORS:
            inspected = text.inspect(spec, lines, names)
            if inspected.bad:
                line = count_before() + inspected.bad[0].number
                hint = f" (no header, which would name {', '.join(spec.columns)})" if line == 1 else ""
                _report(inspected, f"{unit.path}: line {line}{hint}", on_bad_row)
            encoded = inspected.good
        encoding.check_vocabulary(spec, encoded.words, unit.path)
        parts.append(encoded.columns)
    return concatenate(spec, parts)


def blocks(unit: Unit, block_bytes: int = UNIT_BYTES) -> Iterator[tuple[bytes, Callable[[], int]]]:
    """The lines that a unit of a CSV file owns, but for the header, in blocks; and how to count those before each."""
    return _gzip_blocks(unit, block_bytes) if compressed(unit.path) else _blocks(unit)


def count_csv(spec: InputSpec, path: str) -> int:
    """The rows of a CSV file, good or bad: the lines that are not empty, but for the header."""
    rows = 0
    with open_text(path) as file:
        while lines := file.read(UNIT_BYTES) + file.readline():
            rows += lines.count(b"\n") - len(EMPTY_LINE.findall(b"\n" + lines)) + (not lines.endswith(b"\n"))
    return rows - bool(_header(spec, path))


def parquet_units(spec: InputSpec, path: str) -> list[Unit]:
    """The row groups of a Parquet file that have rows. A missing column raises `UsageError`."""
    known = paths.stat(path)
    with open_parquet(path, known) as file:
        have = file.schema_arrow.names
        missing = [feature.name for feature in spec.read if feature.name not in have]
        if missing:
            raise UsageError(f"{path}: lacks the column {', '.join(missing)}; it has {', '.join(have)}")
        rows = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    return [Unit(path, i, i + 1, n * spec.stored_bytes, known=known) for i, n in enumerate(rows) if n]


def read_parquet(spec: InputSpec, unit: Unit, *, on_bad_row: OnBadRow) -> Columns:
    """The encoded rows of a row group; see `read_csv`."""
    with open_parquet(unit.path, unit.known) as file:
        table = file.read_row_groups(list(range(unit.start, unit.stop)), columns=[f.name for f in spec.read])
        rows_before = sum(file.metadata.row_group(i).num_rows for i in range(unit.start))
    try:
        encoded = encoding.encode(spec, table)
    except ARROW_ERRORS:
        inspected = encoding.inspect(spec, table)
        _report(inspected, f"{unit.path}: row {rows_before + inspected.bad[0].number + 1}", on_bad_row)
        encoded = inspected.good
    encoding.check_vocabulary(spec, encoded.words, unit.path)
    return encoded.columns


def count_parquet(path: str) -> int:
    """The rows of a Parquet file, from its footer."""
    with open_parquet(path) as file:
        return int(file.metadata.num_rows)


def compressed(path: str) -> bool:
    """Whether the name says gzip."""
    return path.endswith(".gz")


@contextmanager
def open_text(path: str, known: Entry | None = None, buffer_bytes: int = READ_BYTES) -> Iterator[BinaryIO]:
    """The bytes of a file, decompressed where its name says gzip; if that fails, `RunError`."""
    with paths.open_input(path, known=known, buffer_bytes=buffer_bytes) as file:
        if not compressed(path):
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
                yield cast(BinaryIO, unzipped)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RunError(f"{path}: not a whole gzip file: {error}") from error


@contextmanager
def open_parquet(path: str, known: Entry | None = None) -> Iterator[pq.ParquetFile]:
    """A Parquet file; one that is not whole raises `RunError`."""
    with paths.open_input(path, known=known) as file:
        try:
            yield pq.ParquetFile(file, pre_buffer=paths.is_remote(path))  # few large reads in place of many small ones
        except (pa.ArrowException, OSError) as error:
            raise RunError(f"{path}: not a whole Parquet file: {error}") from error


def _header(spec: InputSpec, path: str, known: Entry | None = None) -> tuple[str, ...]:
    with open_text(path, known, buffer_bytes=HEADER_BYTES) as file:
        return text.header(spec, file.readline(), path)


def _blocks(unit: Unit) -> Iterator[tuple[bytes, Callable[[], int]]]:
    """The lines that a unit of a plain CSV file owns, but for the header, and how to count those before them."""
    start = max(0, unit.start - 1)  # where that byte ends a line, the next one starts within the unit
    buffer_bytes = min(READ_BYTES, unit.stop - start + LINE_BYTES)
    with paths.open_input(unit.path, known=unit.known, buffer_bytes=buffer_bytes) as file:
        file.seek(start)
        if unit.start or unit.header:
            start += len(file.readline(unit.stop - start))
        if start == unit.stop:
            return
        lines = file.read(unit.stop - start)
        if not lines.endswith(b"\n"):
            lines += file.readline()
    yield lines, functools.partial(_lines_before, unit.path, start)


def _gzip_blocks(unit: Unit, block_bytes: int) -> Iterator[tuple[bytes, Callable[[], int]]]:
    """The same for a compressed file, block by block."""
    before = 0
    with open_text(unit.path, unit.known, buffer_bytes=block_bytes + LINE_BYTES) as file:
        if unit.header:
            file.readline()
            before = 1
        while lines := file.read(block_bytes) + file.readline():
            yield lines, functools.partial(int, before)
            before += lines.count(b"\n")


def _lines_before(path: str, offset: int) -> int:
    return sum(_line_ends(path, start, min(COUNT_BYTES, offset - start)) for start in range(0, offset, COUNT_BYTES))


@functools.lru_cache(maxsize=4096)  # else a large file with a bad row in every unit would be read again for each
def _line_ends(path: str, start: int, size: int) -> int:
    with paths.open_input(path, buffer_bytes=READ_BYTES) as file:
        file.seek(start)
        return file.read(size).count(b"\n")


def _report(inspected: Inspected, first: str, on_bad_row: OnBadRow) -> None:
    """Raise `RunError` with the first bad row, or say in the log how many there are. `first` is its place."""
    bad = inspected.bad
    problem = f"{first}: {bad[0].problem}"
    if on_bad_row == "error":
        raise RunError(f"{problem} (--on-bad-row skip leaves such rows out)")
    total = len(bad) + count_rows(inspected.good.columns)
    log.warning("skipped %d of %d rows; the first: %s", len(bad), total, problem)
