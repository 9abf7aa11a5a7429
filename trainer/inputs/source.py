"""The files of one input, whatever their format, as units to read.

source = open_source(("data/babyweight/train.csv*",), spec)
columns = source.read(source.units[0])
"""

from dataclasses import dataclass
from functools import cached_property

from trainer.errors import RunError, UsageError
from trainer.inputs import columns, records
from trainer.inputs.columns import Unit
from trainer.inputs.spec import Columns, InputSpec
from trainer.storage import paths


@dataclass(frozen=True)
class Source:
    """Files with one spec. `units` says what can be read, `read` reads one."""

    files: tuple[str, ...]
    spec: InputSpec
    skip_bad_rows: bool = False

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Everything there is to read, in the order of the files. No data at all raises `UsageError`."""
        units: list[Unit] = []
        for path in self.files:
            form = format_of(path)
            if form == "csv":
                units += columns.csv_units(self.spec, path)
            elif form == "parquet":
                units += columns.parquet_units(path)
            elif form == "tfrecord":
                units += [Unit(path, 0, 1, paths.size(path))]
        units += [Unit(image, 0, 1, paths.size(image)) for image in self._labels]
        if not units or not any(unit.size for unit in units):
            raise UsageError(f"{', '.join(self.files)}: no data; expected at least one row")
        return tuple(units)

    def read(self, unit: Unit) -> Columns:
        """The encoded rows of a unit."""
        form = format_of(unit.path)
        if form == "csv":
            return columns.read_csv(self.spec, unit, skip_bad_rows=self.skip_bad_rows)
        if form == "parquet":
            return columns.read_parquet(self.spec, unit, skip_bad_rows=self.skip_bad_rows)
        if form == "tfrecord":
            return records.read_tfrecord(self.spec, unit)
        return records.read_images(self.spec, unit.path, self._labels[unit.path])

    def count_rows(self) -> int:
        """The rows of all files, without encoding them."""
        rows = sum(self._count(path) for path in self.files)
        if rows <= 0:
            raise RunError(f"{', '.join(self.files)}: no rows; expected at least one")
        return rows

    def _count(self, path: str) -> int:
        form = format_of(path)
        if form == "csv":
            return columns.count_csv(self.spec, path)
        if form == "parquet":
            return columns.count_parquet(path)
        if form == "tfrecord":
            return records.count_tfrecord(path)
        return records.count_idx(path) if path in self._labels else 0

    @cached_property
    def _labels(self) -> dict[str, str]:
        """The labels file of each IDX images file."""
        files = [path for path in self.files if format_of(path) == "idx"]
        return dict(records.idx_pairs(files)) if files else {}


def open_source(patterns: tuple[str, ...], spec: InputSpec, *, on_bad_row: str = "error") -> Source:
    """The source of all files that the globs match; headers and pairs are checked, nothing else is read yet."""
    source = Source(tuple(paths.expand(patterns)), spec, skip_bad_rows=on_bad_row == "skip")
    source.units  # noqa: B018 -- lists them now, while a mistake is still a matter of flags
    return source


def format_of(path: str) -> str:
    """csv, parquet, tfrecord or idx, by the file's name."""
    name = paths.name(path)
    if "tfrecord" in name:
        return "tfrecord"
    if "ubyte" in name or "idx" in name:
        return "idx"
    return "parquet" if ".parquet" in name else "csv"
