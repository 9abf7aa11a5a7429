"""Simulated raw rows: the sampler's births, in the form of BigQuery's table and with its dirt."""

import re

import numpy as np
import pyarrow.csv
import pytest
from pyarrow import compute

from trainer import data
from trainer.errors import UsageError
from trainer.preprocessing import births, raw
from trainer.samples import natality, natality_table


@pytest.fixture(scope="module")
def rows():
    return natality_table.draw(np.random.default_rng(2), 200_000)


def test_rows_have_the_columns_and_types_that_preprocessing_reads(rows):
    assert rows.schema.equals(raw.SCHEMA)


def test_codes_are_those_that_preprocessing_names():
    assert {code: name for name, code in natality_table.CODES.items()} == births.RACES


def test_files_are_csv_as_bigquery_exports_it_and_a_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert natality_table.write(str(tmp_path / name), rows=101, seed=seed, shards=2) == {"births": 101}
    first, again, other = ([path.read_text() for path in sorted((tmp_path / name).iterdir())] for name in "abc")
    assert first == again
    assert not set(first) & set(other)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "natality-00000-of-00002.csv",
        "natality-00001-of-00002.csv",
    ]
    number = r"\d*"
    answer = "(true|false|)"
    row = rf"{number},{number},[\d.]*,{answer},{number},{number},{number},{number},{answer},{answer},{answer}"
    for text, count in zip(first, (50, 51), strict=True):
        header, *lines = text.splitlines()
        assert header == ",".join(raw.COLUMNS)
        assert len(lines) == count
        assert all(re.fullmatch(row, line) for line in lines)


def test_a_file_of_several_chunks_has_one_header_and_no_repetition(tmp_path, monkeypatch):
    monkeypatch.setattr(natality_table, "CHUNK_ROWS", 100)
    natality_table.write(str(tmp_path), rows=350, shards=1)
    lines = (tmp_path / "natality-00000-of-00001.csv").read_text().splitlines()
    assert len(lines) == 351
    assert len(set(lines)) > 345


def test_written_rows_are_those_that_were_drawn(tmp_path):
    natality_table.write(str(tmp_path), rows=500, seed=9, shards=1)
    found = pyarrow.csv.read_csv(tmp_path / "natality-00000-of-00001.csv")
    drawn = natality_table.draw(np.random.default_rng([9, 0]), 500)
    assert raw.typed(found).combine_chunks().equals(drawn.combine_chunks())


def test_all_years_months_and_kinds_of_dirt_are_there(rows):
    assert set(rows["year"].to_pylist()) == set(range(1969, 2009))
    assert set(rows["month"].to_pylist()) == set(range(1, 13))
    early = compute.less(rows["year"], 2001)
    assert np.mean(early.to_numpy()) == pytest.approx(0.05, abs=0.005)
    codes = set(rows["mother_race"].to_pylist())
    assert codes == {*natality_table.CODES.values(), *natality_table.UNNAMED_CODES, None}
    for name, (missing, zero) in natality_table.DIRT.items():
        assert rows[name].null_count / len(rows) == pytest.approx(missing, rel=0.3, abs=1e-5)
        if zero:
            assert compute.sum(compute.equal(rows[name], 0)).as_py() / len(rows) == pytest.approx(zero, rel=0.4)


def test_preprocessing_drops_rows_for_every_reason_but_the_month_and_keeps_nine_tenths(rows):
    kept = births.kept(rows)
    assert {reason for reason, count in kept.dropped.items() if not count} == {births.reason("month")}
    assert kept.table.num_rows / len(rows) == pytest.approx(0.94, abs=0.01)


def test_what_is_kept_weighs_as_the_sampler_s_births_do(rows):
    kept = births.kept(rows).table["weight_pounds"].to_numpy()
    drawn = natality.simulate(200_000, seed=1)["weight_pounds"]
    assert kept.mean() == pytest.approx(drawn.mean(), abs=0.02)
    assert kept.std() == pytest.approx(drawn.std(), rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, "--rows: 0: expected 4 or more"),
        ({"rows": 2, "shards": 3}, "--rows: 2: expected 3 or more"),
        ({"seed": -1}, "--seed: -1: expected 0 or more"),
        ({"shards": 0}, "--shards: 0: expected 1 or more"),
    ],
)
def test_an_impossible_request_names_the_flag_and_writes_nothing(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        natality_table.write(str(tmp_path / "out"), **arguments)
    assert not (tmp_path / "out").exists()


def test_files_of_another_set_are_not_mixed_with_the_new_ones(tmp_path):
    natality_table.write(str(tmp_path), rows=40)
    with pytest.raises(UsageError, match=r"natality-00000-of-00004\.csv: is of another set"):
        natality_table.write(str(tmp_path), rows=40, shards=5)


def test_the_command_makes_them(tmp_path, capsys):
    assert data.main(["natality", "--output", str(tmp_path / "out"), "--rows", "60", "--shards", "2"]) == 0
    assert f"wrote {tmp_path}/out: 60 births" in capsys.readouterr().out
    natality_table.write(str(tmp_path / "same"), rows=60, shards=2)
    for path in (tmp_path / "same").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
