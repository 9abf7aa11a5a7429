"""Raw files in blocks: all rows once for any cut, and a bad value named with its line."""

import gzip
import io
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from trainer.errors import RunError, UsageError
from trainer.preprocessing import blocks, raw
from trainer.samples import natality_table
from trainer.storage import paths


ROW = {
    "year": 2005, "month": 3, "weight_pounds": 7.25, "is_male": True, "mother_age": 26, "mother_race": 18,
    "plurality": 1, "gestation_weeks": 39, "mother_married": False, "cigarette_use": None, "alcohol_use": None,
}  # fmt: skip
NAMES = ",".join(raw.COLUMNS)


@pytest.fixture(scope="module")
def births():
    """5,000 raw births with all their dirt."""
    return natality_table.draw(np.random.default_rng(3), 5000)


def text_of(table):
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    return sink.getvalue()


def read(*files, block_bytes=blocks.BLOCK_BYTES):
    tables = [table for block in blocks.cut(map(str, files), block_bytes) for table in blocks.read(block)]
    return pa.concat_tables([raw.SCHEMA.empty_table(), *tables])


def same(found, expected):
    assert found.combine_chunks().equals(raw.typed(expected).combine_chunks())


@pytest.mark.parametrize("block_bytes", [1 << 20, 50_000, 4096, 61])
@pytest.mark.parametrize("table_bytes", [1 << 20, 1000])
def test_every_row_is_read_once_for_any_size_of_blocks(births, tmp_path, monkeypatch, block_bytes, table_bytes):
    monkeypatch.setattr(blocks, "TABLE_BYTES", table_bytes)
    births = births.slice(0, 500) if block_bytes < 1000 else births
    file = tmp_path / "births.csv"
    file.write_bytes(text_of(births))
    assert len(blocks.cut([str(file)], block_bytes)) == max(1, -(-file.stat().st_size // block_bytes))
    same(read(file, block_bytes=block_bytes), births)


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.rstrip(b"\n"),
        lambda text: text.replace(b"\n", b"\n\n"),
        lambda text: text.replace(b"true", b"True").replace(b"false", b"FALSE"),
        lambda text: text.replace(b",,", b",NULL,").replace(b",,", b",NaN,"),
    ],
    ids=["ends of Windows", "byte order mark", "no last end", "empty lines", "words of Python", "words for nothing"],
)
@pytest.mark.parametrize("block_bytes", [1 << 20, 3000])
def test_text_is_read_as_programs_write_it(births, tmp_path, changed, block_bytes):
    file = tmp_path / "births.csv"
    file.write_bytes(changed(text_of(births.slice(0, 200))))
    same(read(file, block_bytes=block_bytes), births.slice(0, 200))


def test_a_compressed_file_is_one_block_and_read_in_tables(births, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "TABLE_BYTES", 10_000)
    file = tmp_path / "births.csv.gz"
    file.write_bytes(gzip.compress(text_of(births)))
    (block,) = blocks.cut([str(file)], block_bytes=1000)
    assert len(list(blocks.read(block))) > 10
    same(read(file), births)


def test_row_groups_of_a_parquet_file_are_blocks(births, tmp_path):
    file = tmp_path / "births.parquet"
    pq.write_table(births, file, row_group_size=1200)
    assert len(blocks.cut([str(file)])) == 5
    same(read(file), births)


def test_columns_are_found_by_name_and_others_are_left_out(births, tmp_path):
    mixed = births.append_column("state", pa.array(["NC, or so"] * len(births)))
    mixed = mixed.select(sorted(mixed.column_names))
    (tmp_path / "births.csv").write_bytes(text_of(mixed))
    pq.write_table(mixed, tmp_path / "births.parquet")
    same(read(tmp_path / "births.csv"), births)
    same(read(tmp_path / "births.parquet"), births)


def test_whole_numbers_may_be_written_as_pandas_does(births, tmp_path):
    frame = births.to_pandas()  # columns with gaps become floats: 39.0 and NaN
    assert frame["gestation_weeks"].dtype == "float64"
    frame.to_csv(tmp_path / "births.csv", index=False)
    frame.to_parquet(tmp_path / "births.parquet")
    same(read(tmp_path / "births.csv"), births)
    same(read(tmp_path / "births.parquet"), births)


def test_what_is_not_a_number_is_missing(births, tmp_path):
    few = births.slice(0, 3)
    nan = pa.array([39.0, float("nan"), None])
    pq.write_table(
        few.set_column(7, "gestation_weeks", nan).set_column(2, "weight_pounds", nan), tmp_path / "a.parquet"
    )
    found = read(tmp_path / "a.parquet")
    assert found["gestation_weeks"].to_pylist() == [39, None, None]
    assert found["weight_pounds"].to_pylist() == [39.0, None, None]


def test_parquet_columns_may_have_any_type_that_says_the_same(births, tmp_path):
    few = births.slice(0, 100)
    other = few.set_column(0, "year", few["year"].cast(pa.decimal128(19, 0)))
    other = other.set_column(4, "mother_age", few["mother_age"].cast(pa.string()).dictionary_encode())
    other = other.set_column(3, "is_male", few["is_male"].cast(pa.string()))
    other = other.set_column(1, "month", few["month"].cast(pa.large_string()))
    other = other.set_column(8, "mother_married", few["mother_married"].cast(pa.int8()))
    other = other.set_column(2, "weight_pounds", few["weight_pounds"].cast(pa.large_string()))
    pq.write_table(other, tmp_path / "births.parquet")
    same(read(tmp_path / "births.parquet"), few)


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("mother_age", "old", "column mother_age: 'old': expected a whole number"),
        ("mother_age", "26.5", "column mother_age: '26.5': expected a whole number"),
        ("weight_pounds", "7,25", "12 columns, expected 11 ("),
        ("weight_pounds", "heavy", "column weight_pounds: 'heavy': expected a number"),
        ("is_male", "boy", "column is_male: 'boy': expected true or false"),
        ("month", "12th", "column month: '12th': expected a whole number"),
    ],
)
@pytest.mark.parametrize(("block_bytes", "table_bytes"), [(1 << 20, 1 << 20), (700, 1 << 20), (1 << 20, 500)])
def test_a_bad_value_is_named_with_its_line(tmp_path, monkeypatch, column, value, problem, block_bytes, table_bytes):
    monkeypatch.setattr(blocks, "TABLE_BYTES", table_bytes)
    lines = [",".join("" if value is None else str(value) for value in ROW.values())] * 80
    lines[66] = ",".join(value if name == column else str(found or "") for name, found in ROW.items())
    lines[10] = ""
    file = tmp_path / "births.csv"
    file.write_text("\n".join([NAMES, *lines, ""]))
    with pytest.raises(RunError) as failed:
        read(file, block_bytes=block_bytes)
    assert str(failed.value).startswith(f"{file}: line 68: {problem}")


def test_the_line_is_right_wherever_a_block_begins(tmp_path):
    line = ",".join("" if value is None else str(value) for value in ROW.values())
    lines = [line] * 40
    lines[30] = line.replace("26", "26.5")
    file = tmp_path / "births.csv"
    file.write_text("\n".join([NAMES, *lines, ""]))
    for block_bytes in range(600, 600 + len(line) + 1):  # one of which ends where a line does
        with pytest.raises(RunError, match=r"line 32: column mother_age"):
            read(file, block_bytes=block_bytes)


@pytest.mark.parametrize("table_rows", [1 << 17, 3])
def test_a_bad_value_of_a_parquet_file_is_named_with_its_row(tmp_path, monkeypatch, table_rows):
    monkeypatch.setattr(blocks, "TABLE_ROWS", table_rows)
    rows = pa.Table.from_pylist([ROW] * 50)
    ages = pa.array([26.0] * 33 + [26.5] + [26.0] * 16)
    pq.write_table(rows.set_column(4, "mother_age", ages), tmp_path / "births.parquet", row_group_size=20)
    with pytest.raises(RunError, match=r"births.parquet: row 34: column mother_age: '26.5': expected a whole number"):
        read(tmp_path / "births.parquet")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"", "a.csv: is empty; expected a header with the columns year, month"),
        ("a.csv", b"2005,3,7.25,true\n", "a.csv: has none of the columns of raw births; expected a header with year"),
        ("a.csv", b"year,month,weight_pounds\n", "a.csv: lacks the column is_male, mother_age, .*; it has year, month"),
    ],
)
def test_a_file_that_is_not_of_raw_births_is_refused_at_once(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        blocks.cut([str(tmp_path / name)])


def test_a_parquet_file_that_lacks_a_column_or_is_none_is_refused(births, tmp_path):
    pq.write_table(births.drop_columns(["month"]), tmp_path / "few.parquet")
    with pytest.raises(UsageError, match=r"few.parquet: lacks the column month; it has year"):
        blocks.cut([str(tmp_path / "few.parquet")])
    (tmp_path / "not.parquet").write_bytes(b"PAR")
    with pytest.raises(RunError, match=r"not.parquet: not a whole Parquet file"):
        blocks.cut([str(tmp_path / "not.parquet")])


def test_a_header_without_rows_has_none(tmp_path):
    (tmp_path / "births.csv").write_text(NAMES)
    assert read(tmp_path / "births.csv").num_rows == 0


def test_blocks_of_objects_in_a_bucket_are_read_by_ranges(births, gcs):
    paths.write_bytes(f"{gcs}/births.csv", text_of(births))
    sink = io.BytesIO()
    pq.write_table(births, sink, row_group_size=3000)
    paths.write_bytes(f"{gcs}/births.parquet", sink.getvalue())
    same(read(f"{gcs}/births.csv", block_bytes=100_000), births)
    same(read(f"{gcs}/births.parquet"), births)


def test_rows_of_bigquery_are_columns_of_the_same_types(births):
    rows = births.to_pylist()
    same(raw.of_rows(rows), births)
    numeric = [
        {**row, "weight_pounds": Decimal(repr(row["weight_pounds"] or 0)), "year": Decimal(row["year"])} for row in rows
    ]
    found = raw.of_rows(numeric)
    assert found["year"].equals(births["year"].cast(pa.int64()))
    assert found["weight_pounds"].to_pylist() == [row["weight_pounds"] or 0 for row in rows]
    assert raw.of_rows([]).equals(raw.SCHEMA.empty_table())


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("mother_age", Decimal("26.5"), "a row: column mother_age: '26.5': expected a whole number"),
        ("is_male", 1, "a row: column is_male: '1': expected true or false"),
        ("weight_pounds", [7.25], r"a row: column weight_pounds: '\[7.25\]': expected a number"),
    ],
)
def test_a_bad_value_of_bigquery_is_named(column, value, problem):
    with pytest.raises(RunError, match=problem):
        raw.of_rows([ROW, {**ROW, column: value}])
