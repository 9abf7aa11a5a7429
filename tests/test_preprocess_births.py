"""Raw births to rows of training files, beside a slow and obvious way to do it."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.experiments import babyweight
from trainer.preprocessing import births, fingerprint, layouts, raw, shards
from trainer.samples import babyweight as sample
from trainer.samples import natality, natality_table


REAL = Path(os.environ.get("TRAINER_DATA", Path(__file__).parents[2] / "shared" / "data")) / "natality"
RULES = ["year", "weight_pounds", "mother_age", "plurality", "gestation_weeks", "month"]
NUMBERS = {1: "Single(1)", 2: "Twins(2)", 3: "Triplets(3)", 4: "Quadruplets(4)", 5: "Quintuplets(5)"}
RACES = {
    1: "White", 2: "Black", 3: "American Indian", 4: "Chinese", 5: "Japanese", 6: "Hawaiian", 7: "Filipino",
    18: "Asian Indian", 28: "Korean", 39: "Samaon", 48: "Vietnamese",
}  # fmt: skip
ANSWERS = st.sampled_from([True, False, None])


def whole(least, most):
    """A number, seldom none: as many more are kept."""
    return st.integers(least, most + 1).map(lambda value: None if value > most else value)


BIRTHS = st.fixed_dictionaries(
    {
        "year": whole(1998, 2009),
        "month": whole(0, 12),
        "weight_pounds": st.floats(-1, 20) | st.sampled_from([None, 0.0, 7.25, 8.5, 1e-5, 39.0, float("inf")]),
        "is_male": ANSWERS,
        "mother_age": whole(0, 60),
        "mother_race": whole(-1, 60),
        "plurality": whole(0, 7),
        "gestation_weeks": whole(0, 99),
        "mother_married": ANSWERS,
        "cigarette_use": ANSWERS,
        "alcohol_use": ANSWERS,
    }
)


def table(rows):
    return pa.Table.from_pylist(rows, raw.SCHEMA)


def dropped_for(row):
    """The first column for which a row is dropped, or None."""
    for name in RULES:
        value = row[name]
        if value is None or not (2000 if name == "year" else 0) < value < float("inf"):
            return name
    return None


def lines(row, layout):
    """The lines of a birth that is kept, but for the keys."""

    def said(name):
        return str(row[name])

    weeks = f"{row['gestation_weeks']}.0"
    weight = str(row["weight_pounds"])
    if layout == "babyweight":
        race = RACES.get(row["mother_race"], "Unknown")
        words = [weight, said("is_male"), said("mother_age"), race, said("plurality"), weeks]
        return [",".join([*words, said("mother_married"), said("cigarette_use"), said("alcohol_use")])]
    single = row["plurality"] == 1
    return [
        ",".join([weight, said("is_male"), said("mother_age"), NUMBERS.get(row["plurality"], "Multiple(2+)"), weeks]),
        ",".join([weight, "Unknown", said("mother_age"), "Single(1)" if single else "Multiple(2+)", weeks]),
    ]


@pytest.mark.parametrize("layout", ["babyweight", "ultrasound"])
@given(rows=st.lists(BIRTHS, max_size=20))
def test_any_births_become_the_lines_that_python_would_write(layout, rows):
    kept = births.kept(table(rows))
    made = layouts.lines(layouts.LAYOUTS[layout](kept.table))
    expected = [line for row in rows if dropped_for(row) is None for line in lines(row, layout)]
    assert sorted(made.to_pylist()) == sorted(expected)
    assert [key.hex() for key in layouts.keys(made).to_pylist()] == [
        hashlib.sha224(line.encode()).hexdigest() for line in made.to_pylist()
    ]


@given(rows=st.lists(BIRTHS, max_size=20))
def test_every_birth_is_kept_or_counted_once_by_the_first_reason(rows):
    kept = births.kept(table(rows))
    reasons = [dropped_for(row) for row in rows]
    assert kept.table.num_rows == reasons.count(None)
    assert dict(kept.dropped) == {births.reason(name): reasons.count(name) for name in RULES}


def test_the_split_is_that_of_bigquery_by_year_and_month():
    months = [(year, month) for year in range(2001, 2009) for month in range(1, 13)] * 2
    years, numbers = zip(*months, strict=True)
    evaluated = births.for_evaluation(pa.table({"year": years, "month": numbers}))
    hashes = np.array([fingerprint.of(f"{year}{month}") for year, month in months])
    assert evaluated.tolist() == (np.abs(np.fmod(hashes, 4)) == 3).tolist()  # fmod keeps the sign, as MOD does
    assert evaluated.sum() == 2 * 19


def test_a_birth_becomes_the_line_that_the_sampler_writes_byte_for_byte():
    drawn = natality.simulate(3000, seed=5)
    count = len(drawn["plurality"])
    generator = np.random.default_rng(1)
    rows = natality_table.raw(
        drawn, np.full(count, 2005), generator.integers(1, 13, count), generator.choice([-1, 9], count)
    )
    kept = births.kept(raw.typed(rows))
    made = shards.keyed(layouts.babyweight(kept.table), "csv")
    ours = [f"{line},{key.hex()}" for line, key in zip(made["line"].to_pylist(), made["key"].to_pylist(), strict=True)]
    assert ours == sample._lines(drawn).decode().splitlines()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real births in {REAL}; set TRAINER_DATA")
def test_real_births_become_the_lines_that_they_are_published_as():
    published = [line for file in sorted(REAL.glob("*.csv-*")) for line in file.read_text().splitlines()]
    codes = {name: code for code, name in RACES.items()}
    rows = []
    for line in published:
        weight, male, age, race, plurality, weeks, married, cigarettes, alcohol, _ = line.split(",")
        numbers = (int(age), codes.get(race), int(plurality), int(float(weeks)))
        answers = ({"True": True, "False": False, "None": None}[word] for word in (married, cigarettes, alcohol))
        rows.append(dict(zip(raw.COLUMNS, (2005, 3, float(weight), male == "True", *numbers, *answers), strict=True)))
    kept = births.kept(table(rows))
    made = shards.keyed(layouts.babyweight(kept.table), "csv")
    assert len(made) == len(published) > 30_000
    for line, key, expected in zip(made["line"].to_pylist(), made["key"].to_pylist(), published, strict=True):
        assert f"{line},{key.hex()}" == expected


def test_the_words_are_those_of_the_experiment_s_vocabulary():
    assert {*births.RACES.values(), births.UNKNOWN_RACE} == set(babyweight.RACES)
    empty = layouts.babyweight(raw.SCHEMA.empty_table())
    assert (*empty.column_names, layouts.KEY) == babyweight.SPEC.columns
