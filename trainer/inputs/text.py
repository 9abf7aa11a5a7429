"""CSV text to encoded columns: fast where every row is good, careful where one is not.

    encoded = parse(spec, block, names)         # a block of whole lines; ValueError when Arrow refuses it
    inspected = inspect(spec, block, names)     # then: row by row

Every line is a row: a quoted cell may hold commas, but no line end.
"""

import csv
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
from pyarrow import csv as arrow_csv

from trainer.errors import UsageError
from trainer.inputs import encoding
from trainer.inputs.encoding import BadRow, Encoded, Inspected
from trainer.inputs.spec import MISSING, Feature, InputSpec, concatenate


BOM = b"\xef\xbb\xbf"
NO_TEXT = {
    b"\x1f\x8b": "gzip",
    b"PAR1\x15": "Parquet",
    b"PK\x03\x04": "zip, or a spreadsheet,",
    b"BZh91AY&SY": "bzip2",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
"""How files begin that are often taken for CSV."""


def header(spec: InputSpec, first_line: bytes, path: str) -> tuple[str, ...]:
    """The column names in the first line when it is a header, else none.

    It is one when it has the name of every feature and of the label; with only some of them it raises `UsageError`, and
    so does a file of another format.
    """
    for start, form in NO_TEXT.items():
        if first_line.startswith(start):
            expected = "UTF-8 text; a name with .csv.gz or .parquet says what else a file is"
            raise UsageError(f"{path}: begins as {form} does; expected {expected}")
    cells = tuple(_cells(first_line.removeprefix(BOM).strip()))
    needed = [feature.name for feature in spec.read]
    missing = [name for name in needed if name not in cells]
    if len(needed) - len(missing) < min(2, len(needed)):
        return ()
    if missing:
        raise UsageError(f"{path}: the header lacks the column {', '.join(missing)}; it has {', '.join(cells)}")
    twice = [name for name in needed if cells.count(name) > 1]
    if twice:
        raise UsageError(f"{path}: the header has the column {twice[0]} twice; expected it once")
    return cells


def parse(spec: InputSpec, block: bytes, names: Sequence[str]) -> Encoded:
    """Encode a block of whole lines. Raises one of `encoding.ARROW_ERRORS` when any row is bad."""
    if not block or block.isspace():
        return Encoded(concatenate(spec, []), {})  # Arrow refuses to read nothing
    return encoding.encode(spec, table(spec, block, names))


def table(spec: InputSpec, block: bytes, names: Sequence[str], others: Sequence[str] = ()) -> pa.Table:
    """The columns that the spec reads of a block of whole lines, and some others as text.

    Raises one of `encoding.ARROW_ERRORS` for a cell of another type and for a line of too many or too few.
    """
    types = {feature.name: _arrow_type(feature) for feature in spec.read} | {name: pa.string() for name in others}
    return arrow_csv.read_csv(
        pa.BufferReader(block),
        # One thread, since training needs the others. One block, since rows of several would come in several chunks.
        read_options=arrow_csv.ReadOptions(column_names=list(names), block_size=len(block) + 1, use_threads=False),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=list(types),
            column_types=types,
            null_values=list(MISSING),
            strings_can_be_null=False,
        ),
    )


def inspect(spec: InputSpec, block: bytes, names: Sequence[str]) -> Inspected:
    """Encode the good rows of a block and say what is wrong with the bad ones, by line from 1. Blank lines are none."""
    found, lines, bad = rows(spec, block, names)
    inspected = encoding.inspect(spec, found)
    bad += [replace(row, number=lines[row.number]) for row in inspected.bad]
    return Inspected(inspected.good, sorted(bad, key=lambda row: row.number))


def rows(
    spec: InputSpec, block: bytes, names: Sequence[str], others: Sequence[str] = ()
) -> tuple[pa.Table, list[int], list[BadRow]]:
    """What `table` reads, line by line and all as text; the line of each row; and the lines that have no such cells."""
    wanted = [*(feature.name for feature in spec.read), *others]
    places = [names.index(name) for name in wanted]
    columns: list[list[str]] = [[] for _ in places]
    lines: list[int] = []  # of the rows in `columns`
    bad: list[BadRow] = []
    for number, line in enumerate(block.removeprefix(BOM).splitlines(), start=1):
        if not line.strip():
            continue
        cells = _cells(line)
        if len(cells) != len(names):
            bad.append(BadRow(number, f"{len(cells)} columns, expected {len(names)} ({','.join(names)})"))
        elif any("\ufffd" in cells[place] for place in places):
            bad.append(BadRow(number, "not UTF-8 text"))
        else:
            lines.append(number)
            for column, place in zip(columns, places, strict=True):
                column.append(cells[place])
    found = pa.table({name: pa.array(column, pa.string()) for name, column in zip(wanted, columns, strict=True)})
    return found, lines, bad


def _cells(line: bytes) -> list[str]:
    text = line.decode("utf-8", errors="replace")
    try:
        return next(csv.reader([text]), []) if '"' in text else text.split(",")
    except csv.Error:  # a cell larger than the module's limit
        return []


def _arrow_type(feature: Feature) -> pa.DataType:
    if feature.vocabulary:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.int32() if feature.dtype == "int64" else pa.float32()
