"""Rows as BigQuery's natality table has them, simulated: raw, with the dirt that real rows have.

    natality_table.write("data/natality", rows=50_000)       # natality-00000-of-00004.csv ...

The births of `natality`, with year and month, codes for words, and what preprocessing is there for: years before 2001,
numbers that are missing or zero, race codes that nobody names. How much dirt there is is a round guess. CSV with a
header, `true` and `false`, and nothing for a missing value, as BigQuery exports it.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from trainer.errors import UsageError
from trainer.samples import natality
from trainer.storage import paths


ROWS = 50_000
CHUNK_ROWS = 100_000
FILE = re.compile(r"natality-(\d{5})-of-(\d{5})\.csv")
YEARS = (2001, 2008)
FIRST_YEAR, EARLIER = 1969, 0.05  # the share of births before 2001
DIRT = {  # the share of rows in which a column is missing, and that in which it is zero
    "weight_pounds": (0.001, 0.0005),
    "mother_age": (0.0, 0.0005),
    "plurality": (0.0005, 0.0),
    "gestation_weeks": (0.008, 0.0005),
    "mother_married": (0.002, 0.0),
}
CODES = {
    "White": 1, "Black": 2, "American Indian": 3, "Chinese": 4, "Japanese": 5, "Hawaiian": 6, "Filipino": 7,
    "Asian Indian": 18, "Korean": 28, "Samaon": 39, "Vietnamese": 48,
}  # fmt: skip
UNNAMED_CODES = (0, 9, 68, 78)  # of races that have no name, and then there is the missing one
WORDS = {"True": True, "False": False, "None": None}


def write(directory: str, *, rows: int = ROWS, seed: int = 1, shards: int = 4) -> dict[str, int]:
    """Write so many raw rows; how many went where. Raises `UsageError` where files of another set are in the way."""
    for flag, value, least in (("shards", shards, 1), ("seed", seed, 0), ("rows", rows, max(1, shards))):
        if value < least:
            raise UsageError(f"--{flag}: {value}: expected {least} or more")
    names = [f"natality-{shard:05d}-of-{shards:05d}.csv" for shard in range(shards)]
    paths.make_directory(directory)
    for name in paths.list_names(directory):
        if FILE.fullmatch(name) and name not in names:
            raise UsageError(f"{paths.join(directory, name)}: is of another set; expected a folder without it")
    for index, name in enumerate(names):
        size = rows * (index + 1) // shards - rows * index // shards
        generator = np.random.default_rng([seed, index])
        with paths.open_output(paths.join(directory, name)) as file:
            for start in range(0, size, CHUNK_ROWS):
                table = draw(generator, min(CHUNK_ROWS, size - start))
                if not start:
                    file.write(f"{','.join(table.column_names)}\n".encode())
                csv.write_csv(table, file, csv.WriteOptions(include_header=False, quoting_style="none"))
    return {"births": rows}


def draw(generator: np.random.Generator, rows: int) -> pa.Table:
    """The next `rows` raw births of a generator, dirt and all."""
    births = natality.draw(generator, rows)
    year = generator.integers(YEARS[0], YEARS[1] + 1, rows)
    early = generator.random(rows) < EARLIER
    year[early] = generator.integers(FIRST_YEAR, YEARS[0], np.count_nonzero(early))
    table = raw(births, year, generator.integers(1, 13, rows), generator.choice([*UNNAMED_CODES, -1], rows))
    for name, (missing, zero) in DIRT.items():
        chance, column = generator.random(rows), table[name]
        if zero:
            column = pa.compute.if_else(pa.array(chance > 1 - zero), pa.scalar(0, column.type), column)
        column = pa.compute.if_else(pa.array(chance < missing), pa.scalar(None, column.type), column)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def raw(
    births: natality.Births, year: npt.NDArray[Any], month: npt.NDArray[Any], unnamed: npt.NDArray[Any]
) -> pa.Table:
    """Births as raw rows. `unnamed` has the race codes of those whose race is unknown, -1 for a missing one."""
    race = np.array([CODES.get(name, -1) for name in births["mother_race"]])
    race = np.where(race < 0, unnamed, race)
    return pa.table(
        {
            "year": pa.array(year),
            "month": pa.array(month),
            "weight_pounds": pa.array(births["weight_pounds"]),
            "is_male": _answers(births["is_male"]),
            "mother_age": pa.array(births["mother_age"]),
            "mother_race": pa.array(race, mask=race < 0),
            "plurality": pa.array(births["plurality"]),
            "gestation_weeks": pa.array(births["gestation_weeks"].astype(np.int64)),
            "mother_married": _answers(births["mother_married"]),
            "cigarette_use": _answers(births["cigarette_use"]),
            "alcohol_use": _answers(births["alcohol_use"]),
        }
    )


def _answers(words: npt.NDArray[Any]) -> pa.Array:
    return pa.array([WORDS[word] for word in words], pa.bool_())
