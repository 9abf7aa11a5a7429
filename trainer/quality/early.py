"""A look at some rows while TensorFlow is imported: what is odd about them is said, and the run goes on.

    with early.looking(spec, run.train_files, run.eval_files):
        import tensorflow

The rows are the first 64 KiB (or as many rows as that is about) of up to four files of each side, spread over all of
them; of a single CSV file, from four places spread over it. Images and records are not looked at. Where a `stats.json`
lies beside the files, as `trainer.preprocess` leaves it, the rows are compared with it too.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from trainer.errors import RunError
from trainer.inputs import columns, raw
from trainer.inputs.columns import Unit
from trainer.inputs.encoding import ARROW_ERRORS
from trainer.inputs.source import format_of
from trainer.inputs.spec import InputSpec
from trainer.quality import checks, findings, recorded, statistics
from trainer.quality.findings import Finding
from trainer.quality.statistics import EMPTY, Statistics
from trainer.storage import paths


PLACES = 4  # of each side
PLACE_BYTES = 64 << 10
LEAST_ROWS = 100  # fewer say nothing
ROW_GROUP_BYTES = 4 << 20  # of a Parquet file in a bucket, from which no less than a row group is read
log = logging.getLogger("trainer.quality")


@dataclass(frozen=True)
class Look:
    """What was seen of one side."""

    rows: Statistics
    findings: tuple[Finding, ...]


@contextlib.contextmanager
def looking(spec: InputSpec, train_files: Sequence[str], eval_files: Sequence[str]) -> Iterator[None]:
    """Look in a thread, and say what is odd when the block ends."""
    with ThreadPoolExecutor(2, thread_name_prefix="looking") as pool:
        looks = [pool.submit(look, *side, spec) for side in (("train", train_files), ("eval", eval_files))]
        yield
        train, evaluation = (found.result() for found in looks)
    rows = train.rows.rows + evaluation.rows.rows
    for finding in findings.same_once(train.findings, evaluation.findings):
        fields = {**asdict(replace(finding, severity="WARNING")), "rows": rows}
        log.warning("data of %s, %s rows looked at: %s", finding.data, f"{rows:,}", finding, extra={"fields": fields})


def look(data: str, patterns: Sequence[str], spec: InputSpec) -> Look:
    """What is odd about some rows of a side. What cannot be read is no finding: training will say it."""
    try:
        files = paths.expand(patterns)
        rows = sample(spec, files)
        known = recorded.beside(files[0]).get(data, EMPTY)
    except (RunError, *ARROW_ERRORS) as error:
        log.debug("not looked at: %s", error)
        return Look(EMPTY, ())
    if rows.rows < LEAST_ROWS:
        return Look(rows, ())
    drifted = checks.of_drift(f"{recorded.NAME}, {data}", spec, known, rows)
    return Look(rows, (*checks.of_columns(data, spec, rows), *drifted))


def sample(spec: InputSpec, files: Sequence[str]) -> Statistics:
    """The statistics of the rows that are looked at."""
    found = EMPTY
    for unit in _places(spec, files):
        table = raw.head(spec, unit, PLACE_BYTES).table
        if table.num_rows:
            found = statistics.merged(found, statistics.of(table))
    return found


def _places(spec: InputSpec, files: Sequence[str]) -> Iterator[Unit]:
    """Where to look: the beginning of some files, or some places in one."""
    readable = [file for file in files if format_of(file) in ("csv", "parquet")]
    count = min(PLACES, len(readable))
    for file in (readable[i * len(readable) // count] for i in range(count)):
        parquet = format_of(file) == "parquet"
        units = columns.parquet_units(spec, file) if parquet else columns.csv_units(spec, file, unit_bytes=1 << 62)
        for unit in units[:1]:
            if not parquet:
                places = PLACES if count == 1 and not columns.compressed(file) else 1
                for i in range(places):
                    yield replace(unit, start=i * unit.stop // places, stop=(i + 1) * unit.stop // places)
            elif not paths.is_remote(file) or unit.size <= ROW_GROUP_BYTES:
                yield unit
