"""What one reading of the files to train on, or of those to evaluate on, finds out; in memory that does not grow.

with TemporaryFile() as file:
    files = opened("train", ("births/train*",), spec)
    part = read(files, Seen(file), identity=("key",))
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from trainer.errors import RunError
from trainer.inputs import encoding, raw
from trainer.inputs.columns import Unit
from trainer.inputs.source import format_of, open_source
from trainer.inputs.spec import InputSpec
from trainer.quality import duplicates, statistics
from trainer.quality.duplicates import Seen
from trainer.quality.statistics import EMPTY, Statistics
from trainer.storage import paths


UNITS_AT_ONCE = 2
MOST_BAD = 100_000  # rows of a side: to say what is wrong with each takes long, and more of them say no more
ROWS = "rows"  # what is wrong with a row, where it is with no column of it
COLUMN = re.compile(r"column [^:]+")


@dataclass(frozen=True)
class Files:
    """The files of one side, the units of those that can be opened, and by name what is wrong with the others."""

    data: str  # train or eval
    names: tuple[str, ...]
    units: tuple[Unit, ...]
    spec: InputSpec
    refused: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]  # by the name of a file, as far as they are known


@dataclass(frozen=True)
class Part:
    """Rows that can be trained on, as statistics; and all others, by what is wrong with them."""

    statistics: Statistics = EMPTY
    bad: Counter[str] = field(default_factory=Counter)  # by `column NAME`, or `rows`
    first_bad: Mapping[str, str] = field(default_factory=dict)  # its place and what is wrong with it
    strange: Mapping[str, str] = field(default_factory=dict)  # columns that do not speak their vocabulary, and how
    blank: Counter[str] = field(default_factory=Counter)  # images of one colour, by their column
    prints: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # of a file: rows, and the sum of their hashes
    unread: Mapping[str, str] = field(default_factory=dict)  # files that could not be read to their end, and why


def opened(data: str, patterns: Sequence[str], spec: InputSpec) -> Files:
    """The files that the globs match. A glob without a file raises `UsageError`."""
    names = tuple(paths.expand(patterns))
    try:
        return _files(data, names, open_source(names, spec).units, spec, {})
    except RunError as error:
        first = str(error)
    units: list[Unit] = []
    refused = {}
    pairs = tuple(name for name in names if format_of(name) == "idx")
    for group in [*((name,) for name in names if name not in pairs), *([pairs] if pairs else [])]:
        try:
            units += open_source(group, spec).units
        except RunError as error:
            refused[group[0]] = str(error)
    return _files(data, names, tuple(units), spec, refused or {names[0]: first})


def _files(
    data: str, names: tuple[str, ...], units: tuple[Unit, ...], spec: InputSpec, refused: Mapping[str, str]
) -> Files:
    firsts = {unit.path: unit for unit in reversed(units)}
    columns = {path: raw.names(spec, unit) for path, unit in firsts.items()}
    return Files(data, names, units, spec, refused, columns)


def read(files: Files, seen: Seen, *, identity: Sequence[str]) -> Part:
    """Read all rows once. The columns of `identity` say which examples are the same, and `seen` gets their hashes."""
    part = Part()
    with ThreadPoolExecutor(UNITS_AT_ONCE) as pool:
        for first in range(0, len(files.units), UNITS_AT_ONCE):
            units = files.units[first : first + UNITS_AT_ONCE]
            for found in pool.map(lambda unit: _unit(files.spec, unit, seen, identity), units):
                part = _together(part, found)
            if part.bad.total() > MOST_BAD:
                problem = f"not read to its end, since {part.bad.total():,} rows so far are bad; expected fewer"
                return _together(part, Part(unread={units[-1].path: problem}))
    return part


def _unit(spec: InputSpec, unit: Unit, seen: Seen, identity: Sequence[str]) -> Part:
    names = [feature.name for feature in spec.read]
    part = Part()
    try:
        for rows in raw.read(spec, unit, others=[name for name in identity if name not in names]):
            hashes = duplicates.hashes(rows.table, identity)
            seen.add(hashes)
            found = Part(
                statistics.of(rows.table.select(names)),
                *_bad(unit.path, rows),
                strange=_strange(spec, unit.path, rows),
                blank=_blank(spec, rows.table),
                prints={unit.path: (len(hashes), int(hashes.sum()))},
            )
            part = _together(part, found)
    except RunError as error:
        return _together(part, Part(unread={unit.path: str(error)}))
    return part


def _together(first: Part, second: Part) -> Part:
    prints = dict(first.prints)
    for path, (rows, total) in second.prints.items():
        known = prints.get(path, (0, 0))
        prints[path] = (known[0] + rows, (known[1] + total) % 2**64)
    return Part(
        statistics.merged(first.statistics, second.statistics),
        first.bad + second.bad,
        {**second.first_bad, **first.first_bad},
        {**second.strange, **first.strange},
        first.blank + second.blank,
        prints,
        {**second.unread, **first.unread},
    )


def _bad(path: str, rows: raw.Rows) -> tuple[Counter[str], dict[str, str]]:
    """How many bad rows there are of each kind, and the first of each."""
    counts, firsts = Counter[str](), dict[str, str]()
    for row in rows.bad:
        column = COLUMN.match(row.problem)
        kind = column[0] if column else ROWS
        counts[kind] += 1
        firsts.setdefault(kind, f"{path}: {rows.place} {row.number}: {row.problem}")
    return counts, firsts


def _strange(spec: InputSpec, path: str, rows: raw.Rows) -> dict[str, str]:
    """The columns that training stops at since they do not speak their vocabulary, and what it says."""
    found = {}
    for name, words in rows.words.items():
        try:
            encoding.check_vocabulary(spec, {name: words}, path)
        except RunError as error:
            found[name] = str(error)
    return found


def _blank(spec: InputSpec, table: pa.Table) -> Counter[str]:
    """How many images have one value in all of their pixels."""
    counts = Counter[str]()
    for feature in spec.read:
        if feature.scale is not None and table.num_rows:
            pixels = table.column(feature.name).combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
            counts[feature.name] += int(np.sum(pixels.min(axis=1) == pixels.max(axis=1)))
    return +counts
