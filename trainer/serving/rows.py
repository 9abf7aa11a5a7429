"""The rows of a CSV file as the columns that a signature takes.

    with paths.open_input(path) as file:
        for block in rows.read(file, path, plan):
            call(model, signature, block.columns)

The file has a header, or the columns of the training file in their order. Only the inputs of the signature and the
key are read; the label and the rest are left out. A file is read block by block, so it may be larger than memory.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import csv as arrow_csv

from trainer.errors import RunError, UsageError
from trainer.inputs.spec import MISSING
from trainer.serving.protocol import Signature
from trainer.serving.values import shown


KEY = "key"
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Plan:
    """What to read: the signature's inputs, and the column that identifies a row where there is one."""

    signature: Signature
    columns: tuple[str, ...]  # of a file without a header; empty when nobody knows them
    key: str
    defaults: frozenset[str]  # the inputs for which the model has a value when they are missing
    batch_size: int


@dataclass(frozen=True)
class Block:
    """Some rows: the inputs (B,) or (B, 1), and the keys, one each, where the file has them."""

    columns: dict[str, np.ndarray]
    keys: list[str] | None


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


def read(file: BinaryIO, path: str, plan: Plan) -> Iterator[Block]:
    """The rows of a seekable file, at most `plan.batch_size` at once. A row that cannot be used raises `RunError`."""
    text: Any = gzip.GzipFile(fileobj=file) if path.endswith(".gz") else file
    try:
        names, has_header = _names(text.readline(), path, plan)
        text.seek(0)
        wanted = [name for name in names if name in plan.signature.inputs or name == plan.key]
        reader = arrow_csv.open_csv(
            text,
            # One thread: only then do Arrow's errors have the number of the row.
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=int(has_header), block_size=BLOCK_BYTES, use_threads=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=False
            ),
        )
        row = 1 + has_header
        for part in reader:
            for start in range(0, part.num_rows, plan.batch_size):
                yield _block(part.slice(start, plan.batch_size), plan, path, row + start)
            row += part.num_rows
    except pa.ArrowInvalid as error:
        raise RunError(f"{path}: {error}; expected the columns {', '.join(names)}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RunError(f"{path}: not a whole gzip file: {error}") from error


def _names(first_line: bytes, path: str, plan: Plan) -> tuple[list[str], bool]:
    """The names of the file's columns, and whether its first line says them."""
    cells = next(csv.reader([first_line.decode("utf-8-sig", errors="replace").strip()]), [])
    if not cells:
        raise RunError(f"{path}: no rows; expected one instance, or a header, on the first line")
    missing = [name for name in plan.signature.inputs if name not in cells]
    if len(missing) < len(plan.signature.inputs):
        if missing:
            raise UsageError(f"{path}: the header lacks the column {', '.join(missing)}; it has {', '.join(cells)}")
        return cells, True
    absent = [name for name in plan.signature.inputs if name not in plan.columns]
    if absent:
        raise UsageError(
            f"{path}: line 1: {shown(','.join(cells))}: expected a header with the columns "
            f"{', '.join(plan.signature.inputs)}, since the export does not say where in a row {absent[0]} is"
        )
    return list(plan.columns), False


def _block(part: pa.RecordBatch, plan: Plan, path: str, first_row: int) -> Block:
    columns = {}
    for name, info in plan.signature.inputs.items():
        texts = part.column(name)
        values = (
            texts.cast(pa.binary()).to_numpy(zero_copy_only=False)
            if info.dtype == "string"
            else _numbers(
                texts, info.dtype, "float" in info.dtype and name in plan.defaults, place=(path, name, first_row)
            )
        )
        columns[name] = values if info.shape == () or len(info.shape or ()) == 1 else values[:, None]
    keys = part.column(plan.key).to_pylist() if plan.key in part.schema.names else None
    return Block(columns, keys)


def _numbers(texts: pa.Array, dtype: str, may_miss: bool, *, place: tuple[str, str, int]) -> np.ndarray:
    """Texts as numbers (B,). A missing one is NaN, for which the model has a value when it `may_miss`."""
    arrow_type = {"bool": pa.bool_(), "bfloat16": pa.float32()}.get(dtype) or pa.type_for_alias(dtype)
    trimmed = compute.utf8_trim_whitespace(texts)
    if may_miss:
        trimmed = compute.if_else(compute.is_in(trimmed, pa.array(MISSING)), pa.scalar(None, pa.string()), trimmed)
    try:
        return np.asarray(trimmed.cast(arrow_type).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid as error:
        path, name, first_row = place
        for row, text in enumerate(trimmed.to_pylist(), first_row):
            if _refused(text, arrow_type):
                raise RunError(f"{path}: row {row}: column {name}: {shown(text)}: expected {_noun(dtype)}") from error
        raise


def _refused(text: str | None, arrow_type: pa.DataType) -> bool:
    try:
        pa.array([text], pa.string()).cast(arrow_type)
    except pa.ArrowInvalid:
        return True
    return False


def _noun(dtype: str) -> str:
    return "true or false" if dtype == "bool" else f"a whole number ({dtype})" if "int" in dtype else "a number"
