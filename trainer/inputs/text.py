"""CSV text to encoded columns: fast where every row is good, careful where one is not.

`parse` gives a block of whole lines to Arrow. When Arrow refuses it, or a value is not usable, `inspect` reads the
same block row by row, to name the line, the column and the value, or to leave the bad rows out.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from trainer.errors import RunError, UsageError
from trainer.inputs.spec import MISSING, Columns, Feature, InputSpec


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be trained on: `line` counts from 1 within its block."""

    line: int
    problem: str


def header(spec: InputSpec, first_line: bytes, path: str) -> tuple[str, ...]:
    """The column names in the first line when it is a header, else none.

    It is one when it has the name of every feature and of the label; with only some of them it raises `UsageError`.
    """
    cells = tuple(next(csv.reader([first_line.decode("utf-8-sig", errors="replace").strip()]), ()))
    needed = [feature.name for feature in spec.read]
    missing = [name for name in needed if name not in cells]
    if not missing:
        return cells
    if len(needed) - len(missing) >= min(2, len(needed)):
        raise UsageError(f"{path}: the header lacks the column {', '.join(missing)}; it has {', '.join(cells)}")
    return ()


def parse(spec: InputSpec, block: bytes, names: Sequence[str]) -> tuple[Columns, dict[str, Counter[str]]]:
    """Encode a block of whole lines; also count each string column's words that are not in its vocabulary.

    Raises `ValueError` when any row is bad; `inspect` then says which.
    """
    table = arrow_csv.read_csv(
        pa.BufferReader(block),
        read_options=arrow_csv.ReadOptions(column_names=list(names), block_size=max(1 << 20, len(block) // 4)),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=[feature.name for feature in spec.read],
            column_types={feature.name: _arrow_type(feature) for feature in spec.read},
            null_values=list(MISSING),
            strings_can_be_null=False,
        ),
    )
    return encode(spec, table)


def encode(spec: InputSpec, table: pa.Table) -> tuple[Columns, dict[str, Counter[str]]]:
    """Encode the columns of an Arrow table that hold the spec's features and label; see `parse`."""
    columns: Columns = {}
    unknown: dict[str, Counter[str]] = {}
    for feature in spec.read:
        column = table.column(feature.name)
        if feature.vocabulary:
            columns[feature.name], unknown[feature.name] = _positions(feature, column)
        else:
            columns[feature.name] = _numbers(feature, column)
    label = spec.label
    if label.vocabulary and (columns[label.name] == len(label.vocabulary)).any():
        raise ValueError(label.name)
    if label.dtype == "float32" and not np.isfinite(columns[label.name]).all():
        raise ValueError(label.name)
    return columns, unknown


def inspect(spec: InputSpec, block: bytes, names: Sequence[str]) -> Iterator[tuple[BadRow | None, bytes]]:
    """Each row of a block with what is wrong with it, or None, and its line of text."""
    features = {feature.name: feature for feature in spec.read}
    for line, text in enumerate(block.splitlines(keepends=True), start=1):
        if not text.strip():
            continue
        cells = next(csv.reader(io.StringIO(text.decode("utf-8", errors="replace"))), [])
        if len(cells) != len(names):
            yield BadRow(line, f"{len(cells)} columns, expected {len(names)} ({','.join(names)})"), text
            continue
        problems = (
            f"column {name}: {problem}"
            for name, cell in zip(names, cells, strict=True)
            if name in features and (problem := _problem(features[name], cell, is_label=name == spec.label.name))
        )
        problem = next(problems, None)
        yield (BadRow(line, problem) if problem else None), text


def check_vocabulary(spec: InputSpec, columns: Columns, unknown: dict[str, Counter[str]], path: str) -> None:
    """Raise `RunError` when most words of a string column are not in its vocabulary: `true` where it says `True`."""
    for feature in spec.features:
        words = unknown.get(feature.name)
        known = int((columns[feature.name] < len(feature.vocabulary)).sum()) if words else 0
        if words and (total := sum(words.values())) > known and total >= 10:
            word = words.most_common(1)[0][0]
            raise RunError(
                f"{path}: column {feature.name}: {total:,} of {total + known:,} values are not in the vocabulary, "
                f"such as {word!r}; expected one of {', '.join(map(repr, feature.vocabulary))}"
            )


def _arrow_type(feature: Feature) -> pa.DataType:
    if feature.vocabulary:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.int64() if feature.dtype == "int64" else pa.float32()


def _positions(feature: Feature, column: pa.ChunkedArray) -> tuple[np.ndarray, Counter[str]]:
    """int32 vocabulary positions (N,), and the count of each word that is neither known nor missing."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    position = {word: i for i, word in enumerate(feature.vocabulary)}
    outside = len(feature.vocabulary)
    parts, unknown = [], Counter[str]()
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        codes = chunk.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        table = np.array([*(position.get(word, outside) for word in words), outside], np.int32)
        parts.append(table[codes])
        strange = [i for i, word in enumerate(words) if word not in position and word not in MISSING]
        if strange:
            counts = np.bincount(codes, minlength=len(table))
            unknown.update({words[i]: int(counts[i]) for i in strange})
    return (np.concatenate(parts) if parts else np.zeros(0, np.int32)), unknown


def _numbers(feature: Feature, column: pa.ChunkedArray) -> np.ndarray:
    """float32 or int32 values (N,); a missing one becomes the default, or raises `ValueError` where there is none."""
    if feature.dtype == "int64":
        if column.null_count:
            raise ValueError(feature.name)
        return np.asarray(column.cast(pa.int32()).to_numpy(), np.int32)
    values = np.asarray(column.cast(pa.float32()).to_numpy(), np.float32)
    absent = np.isnan(values)
    if absent.any():
        if feature.default is None:
            raise ValueError(feature.name)
        values = np.where(absent, np.float32(feature.default), values)
    return values


def _problem(feature: Feature, cell: str, *, is_label: bool) -> str | None:
    """What is wrong with a cell, or None."""
    if feature.vocabulary:
        if is_label and cell not in feature.vocabulary:
            return f"{cell!r} is not one of {', '.join(map(repr, feature.vocabulary))}"
        return None
    if cell in MISSING:
        usable = feature.default is not None and not is_label
        return None if usable else f"{cell!r} is a missing value, expected a number"
    try:
        value = int(cell) if feature.dtype == "int64" else float(cell)
    except ValueError:
        return f"{cell!r} is not a{'n integer' if feature.dtype == 'int64' else ' number'}"
    return f"{cell!r} is not finite" if is_label and not math.isfinite(value) else None
