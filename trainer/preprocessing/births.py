"""Raw births to births to train on: which are kept, why the others are not, and which are for evaluation.

    kept = births.kept(table)                   # of the columns and types of raw.SCHEMA
    kept.table, kept.dropped                    # {"year: missing or not above 2000": 3, ...}
    evaluation = births.for_evaluation(kept.table)

The rules are those of training-data-analyst's babyweight, 2017: births since 2001 of which all numbers are known, split
by their month, so that no month is in both parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute

from trainer.preprocessing import fingerprint


ABOVE = {
    "year": 2000,
    "weight_pounds": 0,
    "mother_age": 0,
    "plurality": 0,
    "gestation_weeks": 0,
    "month": 0,
}
"""A birth is kept where each of these is known and above this. Else the first that is not is why it is dropped."""

PARTS = 4
EVALUATED = 3  # of the parts 0 to 3: ABS(MOD(FARM_FINGERPRINT(year and month), 4)) = 3
RACES = {
    1: "White",
    2: "Black",
    3: "American Indian",
    4: "Chinese",
    5: "Japanese",
    6: "Hawaiian",
    7: "Filipino",
    18: "Asian Indian",
    28: "Korean",
    39: "Samaon",  # as the files of 2017 have it
    48: "Vietnamese",
}
UNKNOWN_RACE = "Unknown"


@dataclass(frozen=True)
class Kept:
    """The births of a table that are trained on, and how many are not by the reason."""

    table: pa.Table
    dropped: Mapping[str, int]


def kept(table: pa.Table) -> Kept:
    """Apply the rules of `ABOVE` to raw births."""
    keep = np.ones(table.num_rows, bool)
    dropped = {}
    for name, least in ABOVE.items():
        good = compute.greater(table.column(name), least)
        if name == "weight_pounds":
            good = compute.and_(good, compute.is_finite(table.column(name)))
        passes = good.fill_null(False).to_numpy()
        dropped[reason(name)] = int(np.count_nonzero(keep & ~passes))
        keep &= passes
    return Kept(table if keep.all() else table.filter(pa.array(keep)), dropped)


def reason(name: str) -> str:
    """Why a birth is dropped for a column."""
    return f"{name}: missing or not above {ABOVE[name]}"


def for_evaluation(table: pa.Table) -> np.ndarray:
    """Which of the births are for evaluation, by BigQuery's fingerprint of year and month. (N,) bool."""
    years, months = (table.column(name).combine_chunks().dictionary_encode() for name in ("year", "month"))
    found = np.array(
        [
            [fingerprint.remainder(f"{year}{month}", PARTS) == EVALUATED for month in months.dictionary.to_pylist()]
            for year in years.dictionary.to_pylist()
        ],
        bool,
    ).reshape(len(years.dictionary), len(months.dictionary))
    return np.asarray(found[years.indices.to_numpy(), months.indices.to_numpy()])


def races(codes: pa.ChunkedArray) -> pa.ChunkedArray:
    """The names of race codes; `Unknown` for a missing one and for any other."""
    places = compute.index_in(codes, pa.array(list(RACES), pa.int64()))
    return pa.array([*RACES.values(), UNKNOWN_RACE]).take(places.fill_null(len(RACES)))
