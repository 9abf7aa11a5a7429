"""Files of any format by their globs, as units in order."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.errors import RunError, UsageError
from trainer.experiments import babyweight, mnist
from trainer.inputs import records, source
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, concatenate, number
from trainer.samples.mnist import encode


SHARED = Path(os.environ.get("TRAINER_DATA", Path(__file__).parents[2] / "shared" / "data"))
needs_real_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real data in {SHARED}; set TRAINER_DATA")

SPEC = InputSpec((number("x"),), number("y"))


def rows(opened):
    columns = concatenate(opened.spec, [opened.read(unit) for unit in opened.units])
    return columns["x"].tolist()


def error_of(call, kind):
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("data/train.csv", "csv"),
        ("train.csv-00000-of-00004", "csv"),
        ("train000000000000.csv.gz", "csv"),
        ("idx_ubyte.csv", "csv"),
        ("index.txt", "csv"),
        ("part-0.parquet", "parquet"),
        ("train.tfrecords", "tfrecord"),
        ("tfrecord.csv", "csv"),
        ("x.tfrecord-00000-of-00002.gz", "tfrecord"),
        ("t10k-images-idx3-ubyte.gz", "idx"),
    ],
)
def test_the_name_of_a_file_says_its_format(name, form):
    assert source.format_of(name) == form


def test_files_of_several_formats_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,1\n2,2\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"x,y\n3,3\n"))
    pq.write_table(pa.table({"y": [4.0], "x": [4.0]}), tmp_path / "c.parquet")

    opened = open_source((f"{tmp_path}/*",), SPEC)

    assert rows(opened) == [1, 2, 3, 4]
    assert opened.count_rows() == 4


def test_a_file_that_two_globs_match_is_read_once(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"1,1\n")

    assert rows(open_source((f"{tmp_path}/*", f"{tmp_path}/a.csv"), SPEC)) == [1]


def test_each_file_may_have_its_own_order_of_columns(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"y,x\n0,1\n")
    (tmp_path / "b.csv").write_bytes(b"2,0\n")

    assert rows(open_source((f"{tmp_path}/*.csv",), SPEC)) == [1, 2]


def test_an_empty_file_among_others_does_not_matter(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"2,0\n")

    assert rows(open_source((f"{tmp_path}/*.csv",), SPEC)) == [2]


def test_files_that_are_not_there_are_a_usage_error():
    message = error_of(lambda: open_source(("/nowhere/train*.csv",), SPEC), UsageError)

    assert message == ("/nowhere/train*.csv: no such file; expected a path or a glob that matches at least one file")


def test_empty_files_are_a_usage_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"")

    assert (
        error_of(lambda: open_source((str(path),), SPEC), UsageError) == f"{path}: no data; expected at least one row"
    )


def test_files_with_only_a_header_have_no_rows_to_count(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,y\n")

    message = error_of(open_source((str(path),), SPEC).count_rows, RunError)

    assert message == f"{path}: no rows; expected at least one"


def test_images_without_their_labels_are_a_usage_error(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + bytes(12))

    assert "train-images-idx3-ubyte: no labels file" in error_of(
        lambda: open_source((f"{tmp_path}/*",), mnist.SPEC), UsageError
    )


def test_tfrecords_and_idx_files_are_one_unit_each(tmp_path):
    images, labels = np.zeros((3, 28, 28), np.uint8), np.arange(3, dtype=np.uint8)
    records.write_tfrecord(str(tmp_path / "train.tfrecords"), images, labels)

    opened = open_source((f"{tmp_path}/*",), mnist.SPEC)

    assert [opened.read(unit)["label"].tolist() for unit in opened.units] == [[0, 1, 2]]
    assert opened.count_rows() == 3


def write_csv(folder):
    (folder / "a.csv").write_bytes(b"1,1\n" * 5)
    return "a.csv", SPEC


def write_gzip(folder):
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"1,1\n" * 5, mtime=0))
    return "a.csv.gz", SPEC


def write_parquet(folder):
    pq.write_table(pa.table({"x": [1.0] * 5, "y": [1.0] * 5}), folder / "a.parquet", row_group_size=3)
    return "a.parquet", SPEC


def write_tfrecord(folder):
    records.write_tfrecord(str(folder / "a.tfrecords"), np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.int64))
    return "a.tfrecords", mnist.SPEC


def write_idx(folder):
    (folder / "a-images-idx3-ubyte").write_bytes(encode(np.zeros((3, 28, 28), np.uint8)))
    (folder / "a-labels-idx1-ubyte").write_bytes(encode(np.zeros(3, np.uint8)))
    return "a-images-idx3-ubyte", mnist.SPEC


@pytest.mark.parametrize("write", [write_csv, write_gzip, write_parquet, write_tfrecord, write_idx])
def test_a_file_that_is_written_again_after_its_units_were_made_is_not_read(write, tmp_path):
    name, spec = write(tmp_path)
    opened = open_source((f"{tmp_path}/*",), spec, unit_bytes=8)
    for unit in opened.units:
        opened.read(unit)

    write(tmp_path)  # the same content, but who knows that without reading it
    os.utime(tmp_path / name, ns=(0, 1))

    for unit in opened.units:
        assert error_of(lambda unit=unit: opened.read(unit), RunError) == (
            f"{tmp_path}/{name}: was changed while it was being read; expected the same content all along"
        )


@needs_real_data
def test_the_real_births_have_no_bad_row():
    opened = open_source((str(SHARED / "natality" / "eval.csv*"),), babyweight.SPEC)

    columns = concatenate(opened.spec, [opened.read(unit) for unit in opened.units])

    assert opened.count_rows() == len(columns["weight_pounds"]) == 4976
    assert np.isfinite(columns["weight_pounds"]).all()
    assert set(columns["is_male"]) == {0, 1}


@needs_real_data
def test_the_four_real_files_of_mnist_are_two_inputs():
    opened = open_source((str(SHARED / "mnist" / "t10k-*"),), mnist.SPEC)

    assert opened.count_rows() == 10_000
    assert len(opened.units) == 1
