"""The rows of a CSV file as the columns that a signature takes.

    layout = rows.layout(part, plan)
    for block in rows.read(part, plan, layout):
        call(model, signature, block.columns)

The file has a header, or the columns of the training file in their order. Only the inputs of the signature and the
key are read; the label and the rest are left out. It is read block by block, so it may be larger than memory.

Every input is read as the distinct texts of a block and their places, so that a text is made a number, or an object of
Python, once a block and not once a row.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import csv as arrow_csv

from trainer.errors import RunError, UsageError
from trainer.inputs.spec import MISSING
from trainer.prediction import parts
from trainer.prediction.lines import KEY
from trainer.prediction.parts import Part
from trainer.serving.protocol import Signature
from trainer.serving.values import shown


BLOCK_BYTES = 4 << 20
DISTINCT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True)
class Plan:
    """What to read: the signature's inputs, and the column that identifies a row where there is one."""

    signature: Signature
    columns: tuple[str, ...]  # of a file without a header; empty when nobody knows them
    key: str
    defaults: frozenset[str]  # the inputs for which the model has a value when they are missing
    batch_size: int


@dataclass(frozen=True)
class Layout:
    """What the first line of a file says: the names of its columns, or that it is a row already."""

    names: tuple[str, ...]
    has_header: bool
    key: str | None  # the column of it, where there is one and the predictions do not have it by themselves


@dataclass(frozen=True)
class Block:
    """Some rows: the inputs (B,) or (B, 1), and the keys (B,), one each, where the layout has a key."""

    columns: dict[str, np.ndarray]
    keys: pa.Array | None


def plan(signature: Signature, schema: Mapping[str, Any] | None, batch_size: int) -> Plan:
    """What the signature takes from a CSV file. Raises `UsageError` for an input that is more than one value a row."""
    for name, info in signature.inputs.items():
        if info.shape is None or info.shape[1:] not in ((), (1,)):
            sizes = "unknown" if info.shape is None else list(info.shape[1:])
            raise UsageError(
                f"--csv: signature {signature.name}: input {name} has the shape {sizes}; expected one value a row; "
                "use --json-instances"
            )
    known = schema or {}
    defaults = {name for name, feature in known.get("features", {}).items() if feature.get("default") is not None}
    return Plan(signature, tuple(known.get("columns", ())), known.get("key") or KEY, frozenset(defaults), batch_size)


def layout(part: Part, plan: Plan) -> Layout:
    """What the columns of the part's file are."""
    cells = next(csv.reader([parts.first_line(part).decode("utf-8-sig", errors="replace").strip()]), [])
    if not cells:
        raise RunError(f"{part.name}: no rows; expected one instance, or a header, on the first line")
    missing = [name for name in plan.signature.inputs if name not in cells]
    if len(missing) < len(plan.signature.inputs):
        if missing:
            raise UsageError(
                f"{part.name}: the header lacks the column {', '.join(missing)}; it has {', '.join(cells)}"
            )
        return _layout(cells, plan, has_header=True)
    absent = [name for name in plan.signature.inputs if name not in plan.columns]
    if absent:
        raise UsageError(
            f"{part.name}: line 1: {shown(','.join(cells))}: expected a header with the columns "
            f"{', '.join(plan.signature.inputs)}, since the export does not say where in a row {absent[0]} is"
        )
    return _layout(plan.columns, plan, has_header=False)


def read(part: Part, plan: Plan, layout: Layout) -> Iterator[Block]:
    """The rows of a part, at most `plan.batch_size` at once. A row that cannot be used raises `RunError`."""
    row = 1
    with parts.opened(part) as text:
        for lines in parts.whole_lines(text, BLOCK_BYTES):
            if row == 1 and part.start == 0 and layout.has_header:
                lines = lines.partition(b"\n")[2]
                row += 1
            if not lines.strip():
                continue  # Arrow refuses to read nothing
            rows = _table(lines, row, part, plan, layout)
            columns = {name: _input(rows[name], name, part, plan, row) for name in plan.signature.inputs}
            keys = _texts(rows[layout.key]) if layout.key else None
            for start in range(0, rows.num_rows, plan.batch_size):
                few = slice(start, start + plan.batch_size)
                taken = {name: distinct[places[few]] for name, (distinct, places) in columns.items()}
                yield Block(taken, None if keys is None else keys[few])
            row += rows.num_rows


def _layout(names: list[str] | tuple[str, ...], plan: Plan, *, has_header: bool) -> Layout:
    returned = {plan.key, KEY} & plan.signature.outputs.keys()
    return Layout(tuple(names), has_header, key=plan.key if plan.key in names and not returned else None)


def _table(lines: bytes, first_row: int, part: Part, plan: Plan, layout: Layout) -> pa.RecordBatch:
    """The rows of some lines as Arrow reads them.

    Arrow gets text, not the file: it would read that ahead in a thread of its own, which aborts a process that ends
    meanwhile.
    """
    kinds = {layout.key: pa.string()} if layout.key else {}
    kinds |= dict.fromkeys(plan.signature.inputs, DISTINCT)
    # One thread: only then do Arrow's errors have the number of the row. One block, so that there is one batch.
    options = arrow_csv.ReadOptions(column_names=layout.names, block_size=len(lines) + 1, use_threads=False)
    convert = arrow_csv.ConvertOptions(include_columns=list(kinds), column_types=kinds, strings_can_be_null=False)
    try:
        table = arrow_csv.read_csv(pa.BufferReader(lines), read_options=options, convert_options=convert)
    except pa.ArrowInvalid as error:
        before = parts.rows_before(part) + first_row - 1
        problem = re.sub(r"(?<=Row #)\d+", lambda number: str(before + int(number[0])), str(error))
        raise RunError(f"{part.name}: {problem}; expected the columns {', '.join(layout.names)}") from error
    return table.to_batches()[0]


def _texts(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if column.type == DISTINCT else column


def _input(column: pa.Array, name: str, part: Part, plan: Plan, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of an input, (V,) or (V, 1), and the place among them of each row's, (N,)."""
    info, places = plan.signature.inputs[name], column.indices.to_numpy()
    if info.dtype == "string":
        distinct = column.dictionary.cast(pa.binary()).to_numpy(zero_copy_only=False)
    else:
        texts = _trimmed(column.dictionary, "float" in info.dtype and name in plan.defaults)
        kind = {"bool": pa.bool_(), "bfloat16": pa.float32()}.get(info.dtype) or pa.type_for_alias(info.dtype)
        try:
            distinct = np.asarray(texts.cast(kind).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid as error:
            bad = [_is_refused(text, kind) for text in texts.to_pylist()]
            place = int(np.argmax(np.array(bad)[places]))
            row = parts.rows_before(part) + first_row + place
            problem = f"{shown(texts[int(places[place])].as_py())}: expected {_noun(info.dtype)}"
            raise RunError(f"{part.name}: row {row}: column {name}: {problem}") from error
    return distinct if len(info.shape or ()) == 1 else distinct[:, None], places


def _trimmed(texts: pa.Array, may_miss: bool) -> pa.Array:
    """Texts of numbers. A missing one is null, and so NaN, for which the model has a value, when it `may_miss`."""
    trimmed = compute.utf8_trim_whitespace(texts)
    if not may_miss:
        return trimmed
    return compute.if_else(compute.is_in(trimmed, pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)


def _is_refused(text: str | None, kind: pa.DataType) -> bool:
    try:
        pa.array([text], pa.string()).cast(kind)
    except pa.ArrowInvalid:
        return True
    return False


def _noun(dtype: str) -> str:
    return "true or false" if dtype == "bool" else f"a whole number ({dtype})" if "int" in dtype else "a number"
