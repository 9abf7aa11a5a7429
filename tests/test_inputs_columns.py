"""CSV and Parquet files: whatever the bytes and wherever they are cut, each row is read once, or named as bad."""

import bz2
import gzip
import io
import logging
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import RunError, UsageError
from trainer.inputs import columns
from trainer.inputs.spec import InputSpec, category, concatenate, integer, number, vector
from trainer.storage import paths


SPEC = InputSpec((category("sex", ("True", "False")),), number("weight"), columns=("weight", "sex", "key"))
BAD = b"1,True,a\n2,True,b\nthree,True,c\n4,True,d\nfive,True,e\n"


def read(path, *, unit_bytes=columns.UNIT_BYTES, on_bad_row="error", spec=SPEC):
    units = columns.csv_units(spec, path, unit_bytes)
    parts = [columns.read_csv(spec, unit, on_bad_row=on_bad_row, block_bytes=unit_bytes) for unit in units]
    return concatenate(spec, parts)


def weights(path, **options):
    return read(path, **options)["weight"].tolist()


@pytest.fixture
def put(tmp_path):
    """Write bytes, compressed where the name says so; returns the path."""

    def write(name, content):
        path = str(tmp_path / name)
        paths.write_bytes(path, gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def put_parquet(path, row_group_size=2, **content):
    sink = io.BytesIO()
    pq.write_table(pa.table(content), sink, row_group_size=row_group_size)
    paths.write_bytes(str(path), sink.getvalue())
    return str(path)


def error_of(call, kind=RunError):
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


ROWS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(["", "k", '"a,b"', "k" * 40, "é"])), max_size=12)
SHAPES = st.fixed_dictionaries(
    {
        "end": st.sampled_from(["\n", "\r\n"]),
        "header": st.sampled_from(["", "weight,sex,key", "key,weight,sex"]),
        "bom": st.booleans(),
        "closed": st.booleans(),  # whether the last line has an end
        "blank": st.integers(0, 2),  # empty lines after each row
    }
)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_each_row_is_read_once_wherever_the_file_is_cut(tmp_path_factory, name):
    path = str(tmp_path_factory.mktemp("cut") / name)

    @given(ROWS, SHAPES, st.integers(1, 60))
    def check(rows, shape, unit_bytes):
        order = (shape["header"] or "weight,sex,key").split(",")
        lines = [",".join({"weight": str(n), "sex": "True", "key": key}[column] for column in order) for n, key in rows]
        text = (shape["end"] * (1 + shape["blank"])).join([*filter(None, [shape["header"]]), *lines])
        content = ("\ufeff" * shape["bom"] + text + shape["end"] * shape["closed"]).encode()
        paths.write_bytes(path, gzip.compress(content, 0) if name.endswith(".gz") else content)

        assert weights(path, unit_bytes=unit_bytes) == [n for n, _ in rows]
        if not (shape["bom"] and not text):  # a mark and nothing else is a line of its own
            assert columns.count_csv(SPEC, path) == len(rows)

    check()


def test_a_unit_reads_only_the_lines_that_start_in_it(put):
    path = put("rows.csv", b"10,True,a\n20,True,b\n30,True,c\n")  # 10 bytes a line

    def cut(size):
        units = columns.csv_units(SPEC, path, size)
        return [columns.read_csv(SPEC, unit, on_bad_row="error")["weight"].tolist() for unit in units]

    assert cut(10) == [[10], [20], [30]]
    assert cut(15) == [[10, 20], [30]]
    assert cut(7) == [[10], [20], [30], [], []]
    assert cut(1 << 20) == [[10, 20, 30]]


def test_a_file_with_only_a_header_has_no_rows(put):
    for name in ("rows.csv", "rows.csv.gz"):
        path = put(name, b"weight,sex,key\n")
        assert weights(path) == []
        assert columns.count_csv(SPEC, path) == 0


def test_an_empty_file_has_no_rows(put):
    for name in ("rows.csv", "rows.csv.gz"):
        path = put(name, b"")
        assert weights(path) == []
        assert columns.count_csv(SPEC, path) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"1,True,a\n2,True\n", "line 2: 2 columns, expected 3 (weight,sex,key)"),
        (b"1,True,a\nheavy,True,b\n", "line 2: column weight: 'heavy' is not a number"),
        (b"1,True,a\nNaN,True,b\n", "line 2: column weight: 'NaN' is a missing value, expected a number"),
        (b"weight,sex,key\n1,True,a\ninf,True,b\n", "line 3: column weight: 'inf' is not a finite number"),
        (
            b"Weight,Sex,Key\n1,True,a\n",
            "line 1 (no header, which would name weight, sex, key): column weight: 'Weight' is not a number",
        ),
        (b"1,False,a\r\n\r\n,True,b\r\n", "line 3: column weight: '' is a missing value, expected a number"),
    ],
    ids=["column_count", "text_for_a_number", "nan_label", "infinite_label", "header_of_other_names", "empty_label"],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
@pytest.mark.parametrize("unit_bytes", [9, 1 << 20])
def test_a_bad_row_is_an_error_that_names_the_line(put, name, content, problem, unit_bytes):
    path = put(name, content)

    assert error_of(lambda: weights(path, unit_bytes=unit_bytes)) == (
        f"{path}: {problem} (--on-bad-row skip leaves such rows out)"
    )


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_bad_rows_are_skipped_and_counted_with_the_first_of_them(put, name, caplog):
    path = put(name, BAD)

    with caplog.at_level(logging.WARNING, "trainer"):
        assert weights(path, on_bad_row="skip") == [1, 2, 4]

    assert caplog.messages == [
        f"skipped 2 of 5 rows; the first: {path}: line 3: column weight: 'three' is not a number"
    ]


def test_each_unit_with_bad_rows_counts_its_own(put, caplog):
    path = put("rows.csv", b"weight,sex,key\n" + BAD)

    with caplog.at_level(logging.WARNING, "trainer"):
        assert weights(path, on_bad_row="skip", unit_bytes=16) == [1, 2, 4]

    assert [
        "line 4: column weight: 'three'" in caplog.messages[0],
        "line 6: column weight: 'five'" in caplog.messages[1],
    ]
    assert len(caplog.messages) == 2


def test_a_file_of_bad_rows_has_none(put):
    assert weights(put("rows.csv", b"a,True,b\nc,True,d\n"), on_bad_row="skip") == []


def test_a_label_may_be_a_word_or_an_integer(put):
    path = put("rows.csv", b"1,dog,7\n2,cat,8\n")
    word = InputSpec((number("n"),), category("kind", ("cat", "dog")), columns=("n", "kind", "count"))
    whole = InputSpec((number("n"),), integer("count"), columns=("n", "kind", "count"))

    assert read(path, spec=word)["kind"].tolist() == [1, 0]
    assert read(path, spec=whole)["count"].tolist() == [7, 8]
    cow = put("cow.csv", b"1,dog,7\n2,cow,8\n")
    assert "cow.csv: line 2: column kind: 'cow' is not one of 'cat', 'dog'" in error_of(lambda: read(cow, spec=word))


def test_words_in_another_spelling_than_the_vocabulary_stop_the_run(put):
    path = put("rows.csv", b"1,true,a\n2,false,b\n" * 10)

    assert error_of(lambda: read(path)) == (
        f"{path}: column sex: 20 of 20 values are not in the vocabulary, such as 'true'; "
        "expected one of 'True', 'False'"
    )


def test_a_header_without_the_label_is_refused_before_anything_is_read(put):
    path = put("rows.csv", b"sex,key,age\nTrue,a,3\n")
    spec = InputSpec((category("sex", ("True", "False")), number("age")), number("weight"))

    assert error_of(lambda: columns.csv_units(spec, path), UsageError) == (
        f"{path}: the header lacks the column weight; it has sex, key, age"
    )


def parquet():
    file = io.BytesIO()
    pq.write_table(pa.table({"weight": [1.0], "sex": ["True"], "key": ["a"]}), file)
    return file.getvalue()


def workbook():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (gzip.compress(BAD), "gzip"),
        (bz2.compress(BAD), "bzip2"),
        (parquet(), "Parquet"),
        (workbook(), "zip, or a spreadsheet,"),
        (BAD.decode().encode("utf-16"), "UTF-16 text"),
    ],
    ids=["gzip", "bzip2", "Parquet", "workbook", "UTF-16"],
)
def test_a_file_of_another_format_than_its_name_says_is_refused_by_that(put, content, form):
    path = put("rows.csv", content)
    assert error_of(lambda: columns.csv_units(SPEC, path), UsageError) == (
        f"{path}: begins as {form} does; expected UTF-8 text; a name with .csv.gz or .parquet says what else a file is"
    )


def test_a_vector_cannot_come_from_csv(put):
    spec = InputSpec((vector("pixels", 3),), number("weight"))

    assert "pixels is a vector, which no CSV cell holds; expected Parquet" in error_of(
        lambda: columns.csv_units(spec, put("rows.csv", b"1,2\n")), UsageError
    )


@pytest.mark.parametrize("keep", [5, 30, -4], ids=["in_its_header", "in_its_data", "in_its_checksum"])
def test_a_truncated_gzip_file_is_an_error(tmp_path, keep):
    path = str(tmp_path / "rows.csv.gz")
    paths.write_bytes(path, gzip.compress(b"".join(b"%d,True,k\n" % i for i in range(1000)))[:keep])

    assert error_of(lambda: read(path)).startswith(f"{path}: not a whole gzip file: ")
    assert error_of(lambda: columns.count_csv(SPEC, path)).startswith(f"{path}: not a whole gzip file: ")


def test_a_file_that_is_no_gzip_is_an_error(tmp_path):
    path = str(tmp_path / "rows.csv.gz")
    paths.write_bytes(path, b"1,True,a\n")

    assert error_of(lambda: read(path)).startswith(f"{path}: not a whole gzip file: ")


def parquet(path, spec=SPEC, on_bad_row="error"):
    units = columns.parquet_units(spec, path)
    return [columns.read_parquet(spec, unit, on_bad_row=on_bad_row)["weight"].tolist() for unit in units]


def test_a_row_group_of_parquet_is_a_unit(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0, 2.0, 3.0], sex=["True"] * 3, more=[1, 2, 3])

    assert parquet(path) == [[1, 2], [3]]
    assert columns.count_parquet(path) == 3


def test_booleans_in_parquet_are_the_words_of_the_vocabulary(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0, 2.0], sex=[True, False])
    (unit,) = columns.parquet_units(SPEC, path)

    assert columns.read_parquet(SPEC, unit, on_bad_row="error")["sex"].tolist() == [0, 1]


def test_a_vector_comes_from_a_list_column(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0, 2.0], v=[[1.0, 2.0], [3.0, 4.0]])
    spec = InputSpec((vector("v", 2),), number("weight"))
    (unit,) = columns.parquet_units(spec, path)

    assert columns.read_parquet(spec, unit, on_bad_row="error")["v"].tolist() == [[1, 2], [3, 4]]


def test_a_bad_row_in_parquet_is_named_or_skipped(tmp_path, caplog):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0, 2.0, 3.0, None, 5.0], sex=["True"] * 5)
    problem = f"{path}: row 4: column weight: None is a missing value, expected a number"

    assert error_of(lambda: parquet(path)) == f"{problem} (--on-bad-row skip leaves such rows out)"
    assert parquet(path, on_bad_row="skip") == [[1, 2], [3], [5]]
    assert caplog.messages == [f"skipped 1 of 2 rows; the first: {problem}"]


def test_parquet_without_a_column_is_refused(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0], age=[2.0])

    assert error_of(lambda: columns.parquet_units(SPEC, path), UsageError) == (
        f"{path}: lacks the column sex; it has weight, age"
    )


def test_words_in_another_spelling_stop_the_run_for_parquet_too(tmp_path):
    path = put_parquet(tmp_path / "x.parquet", 20, weight=[1.0] * 20, sex=["true"] * 20)

    assert "column sex: 20 of 20 values are not in the vocabulary, such as 'true'" in error_of(lambda: parquet(path))


@pytest.mark.parametrize("cut", [slice(-20), slice(2), slice(20, None)], ids=["no_footer", "two_bytes", "no_beginning"])
def test_parquet_that_is_not_whole_is_an_error(tmp_path, cut):
    path = put_parquet(tmp_path / "x.parquet", weight=[1.0] * 9, sex=["True"] * 9)
    paths.write_bytes(path, paths.read_bytes(path)[cut])

    assert error_of(lambda: parquet(path)).startswith(f"{path}: not a whole Parquet file: ")
