"""Raw files cut into blocks, so that several workers share one: parts of CSV files and row groups of Parquet files.

    for block in blocks.cut(paths.expand(["raw/natality*.csv"])):
        for table in blocks.read(block): ...                  # in the types of raw.SCHEMA

A CSV file has a header, may be compressed, and is then one block. Every line is a row: a quoted cell may hold commas,
but no line end.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from trainer.errors import RunError, UsageError
from trainer.inputs.spec import MISSING
from trainer.prediction import parts
from trainer.prediction.parts import Part
from trainer.preprocessing import raw
from trainer.storage import paths


BLOCK_BYTES = 32 << 20
TABLE_BYTES = 8 << 20  # of text, in a table
TABLE_ROWS = 1 << 17  # the same of Parquet
FILES_AT_ONCE = 16  # a bucket takes its time for each answer
REFUSED = (pa.ArrowException, ValueError, TypeError)


@dataclass(frozen=True)
class Block:
    """Some rows of a file: lines of a CSV file, or a row group of a Parquet file."""

    part: Part
    names: tuple[str, ...] = ()  # the header of a CSV file
    row_group: int | None = None


def cut(files: Iterable[str], block_bytes: int = BLOCK_BYTES) -> list[Block]:
    """All blocks of some files, in order. A file that lacks a column raises `UsageError`."""
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return list(itertools.chain.from_iterable(pool.map(lambda path: _blocks(path, block_bytes), files)))


def read(block: Block) -> Iterator[pa.Table]:
    """The raw births of a block, in tables of a bounded size. A bad value raises `RunError` with its line."""
    return _read_csv(block) if block.row_group is None else _read_parquet(block, block.row_group)


def _blocks(path: str, block_bytes: int) -> list[Block]:
    known = paths.stat(path)
    if path.endswith(".parquet"):
        with paths.open_input(path, known=known) as file:
            metadata = _parquet(file, path).metadata
            _check_columns(path, metadata.schema.to_arrow_schema().names)
            whole = Part(path, path, known=known)
            return [Block(whole, row_group=index) for index in range(metadata.num_row_groups)]
    if not known.size:
        raise UsageError(f"{path}: is empty; expected a header with the columns {', '.join(raw.COLUMNS)}")
    whole = Part(path, path, known=known)
    names = tuple(_cells(parts.first_line(whole)))
    _check_columns(path, names)
    return [Block(part, names) for part in parts.cut(path, known, block_bytes)]


def _check_columns(path: str, names: Iterable[str]) -> None:
    have = list(names)
    missing = [name for name in raw.COLUMNS if name not in have]
    if len(missing) == len(raw.COLUMNS):
        raise UsageError(f"{path}: has none of the columns of raw births; expected a header with {', '.join(missing)}")
    if missing:
        raise UsageError(f"{path}: lacks the column {', '.join(missing)}; it has {', '.join(have)}")


def _read_csv(block: Block) -> Iterator[pa.Table]:
    before = 0  # lines of the part
    with parts.opened(block.part) as text:
        for lines in parts.whole_lines(text, TABLE_BYTES):
            header = before == 0 and block.part.start == 0
            yield _parsed(lines, block, before, header=header)
            before += lines.count(b"\n")


def _parsed(lines: bytes, block: Block, before: int, *, header: bool) -> pa.Table:
    """The rows of some lines of a block, with `before` lines of it before them."""
    if header:
        lines = lines[lines.find(b"\n") + 1 :] if b"\n" in lines else b""
        before += 1
    if not lines.strip():
        return raw.SCHEMA.empty_table()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(lines),
            # One thread: what is to run at once is for the runner to say.
            read_options=arrow_csv.ReadOptions(column_names=block.names, block_size=len(lines) + 1, use_threads=False),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(raw.COLUMNS),
                column_types={name: raw.READ_AS[kind] for name, kind in raw.COLUMNS.items()},
                null_values=list(MISSING),
                true_values=list(raw.TRUE),
                false_values=list(raw.FALSE),
            ),
        )
        return raw.typed(table)
    except pa.ArrowInvalid as error:
        number, problem = _first_bad_line(lines, block.names) or (1, f"in it or after it: {error}")
        line = _lines_before(block.part) + before + number
        raise RunError(f"{block.part.name}: line {line}: {problem}") from error


def _first_bad_line(lines: bytes, names: tuple[str, ...]) -> tuple[int, str] | None:
    """The number of the first bad line, from 1, and what is wrong with it."""
    places = {name: names.index(name) for name in raw.COLUMNS}
    for number, line in enumerate(lines.splitlines(), start=1):
        if not line.strip():
            continue
        cells = _cells(line)
        if len(cells) != len(names):
            return number, f"{len(cells)} columns, expected {len(names)} ({','.join(names)})"
        for name, place in places.items():
            if wrong := raw.problem(name, cells[place]):
                return number, wrong
    return None


def _lines_before(part: Part) -> int:
    """How many lines of the file are before the part; reads them."""
    lines = 0
    if part.start:
        with paths.open_input(part.path, known=part.known) as file:
            while content := file.read(min(TABLE_BYTES, part.start - file.tell())):
                lines += content.count(b"\n")
            file.seek(part.start - 1)
            lines += bool(file.readline().strip(b"\n"))  # the line that the part before ends with
    return lines


def _read_parquet(block: Block, row_group: int) -> Iterator[pa.Table]:
    path, known = block.part.path, block.part.known
    with paths.open_input(path, known=known) as file:
        opened = _parquet(file, path)
        before = sum(opened.metadata.row_group(index).num_rows for index in range(row_group))
        for batch in opened.iter_batches(TABLE_ROWS, row_groups=[row_group], columns=list(raw.COLUMNS)):
            table = pa.Table.from_batches([batch])
            try:
                yield raw.typed(table)
            except REFUSED as error:
                bad = raw.first_bad({name: table[name].to_pylist() for name in raw.COLUMNS})
                number, problem = bad or (0, f"in it or after it: {error}")
                raise RunError(f"{path}: row {before + number + 1}: {problem}") from error
            before += len(batch)


def _parquet(file: Any, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, pre_buffer=paths.is_remote(path))
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: not a whole Parquet file: {error}") from error


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8-sig", errors="replace").strip("\r\n")]), [])
    except csv.Error:  # a cell larger than the module's limit
        return []
