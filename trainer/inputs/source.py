"""The files of one input, whatever their formats, as units to read.

source = open_source(("data/babyweight/train.csv*",), spec)
columns = source.read(source.units[0])
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trainer.errors import RunError, UsageError
from trainer.inputs import columns, records
from trainer.inputs.columns import UNIT_BYTES, OnBadRow, Unit
from trainer.inputs.spec import Columns, InputSpec
from trainer.storage import paths


FILES_AT_ONCE = 16  # a bucket takes its time for each answer


@dataclass(frozen=True)
class Source:
    """Files with one spec, and the units in which they are read, in order."""

    files: tuple[str, ...]
    units: tuple[Unit, ...]
    spec: InputSpec
    on_bad_row: OnBadRow = "error"

    @property
    def size(self) -> int:
        """About how many bytes the rows take."""
        return sum(unit.size for unit in self.units)

    def read(self, unit: Unit) -> Columns:
        """The encoded rows of a unit."""
        form = format_of(unit.path)
        if form == "csv":
            return columns.read_csv(self.spec, unit, on_bad_row=self.on_bad_row)
        if form == "parquet":
            return columns.read_parquet(self.spec, unit, on_bad_row=self.on_bad_row)
        if form == "tfrecord":
            return records.read_tfrecord(self.spec, unit)
        return records.read_images(self.spec, unit)

    def count_rows(self) -> int:
        """The rows of all files, without encoding them. None at all raises `RunError`."""
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            rows = sum(pool.map(self._count, self.files))
        if not rows:
            raise RunError(f"{', '.join(self.files)}: no rows; expected at least one")
        return rows

    def _count(self, path: str) -> int:
        form = format_of(path)
        if form == "csv":
            return columns.count_csv(self.spec, path)
        if form == "parquet":
            return columns.count_parquet(path)
        return records.count_tfrecord(path) if form == "tfrecord" else records.count_idx(path)


def open_source(
    patterns: tuple[str, ...], spec: InputSpec, *, on_bad_row: OnBadRow = "error", unit_bytes: int = UNIT_BYTES
) -> Source:
    """The source of all files that the globs match. Names, headers and footers are checked; rows are not read yet.

    A mistake in them is one of flags, and raises `UsageError`; so do files that are all empty.
    """
    files = paths.expand(patterns)

    def units_of(path: str) -> list[Unit]:
        form = format_of(path)
        if form == "csv":
            return columns.csv_units(spec, path, unit_bytes)
        if form == "parquet":
            return columns.parquet_units(spec, path)
        return [records.whole_unit(path)] if form == "tfrecord" else []

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        units = [unit for units in pool.map(units_of, files) for unit in units]
    units += records.idx_units(spec, [path for path in files if format_of(path) == "idx"])
    if not any(unit.size for unit in units):
        raise UsageError(f"{', '.join(files)}: no data; expected at least one row")
    return Source(tuple(files), tuple(units), spec, on_bad_row)


def format_of(path: str) -> str:
    """csv, parquet, tfrecord or idx, by the file's name."""
    name = paths.name(path)
    for form, pattern in (
        ("csv", r"\.csv"),
        ("parquet", r"\.parquet"),
        ("tfrecord", "tfrecord"),
        ("idx", r"ubyte|idx\d"),
    ):
        if re.search(pattern, name):
            return form
    return "csv"
