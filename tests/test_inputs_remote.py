"""Files in a bucket give the same columns as on a disk, in few requests, whatever the network does."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fault_proxy import KINDS, FaultProxy, is_download
from tests.gcs_stub import impatient
from trainer.errors import RunError
from trainer.experiments import babyweight, mnist
from trainer.inputs import records
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, concatenate, number
from trainer.storage import paths


UNIT_BYTES = 70_000
# Wrong bytes on the way down are TLS's affair: of a part of an object there is no checksum.
FAULTS = tuple(kind for kind in KINDS if kind not in ("hang", "wrong_bytes_down"))
CHANGED = "was changed while it was being read; expected the same content all along"


def rows_of(births):
    """The lines of all births to train on."""
    files = sorted(Path(births).glob("train*"))
    return b"".join(file.read_bytes() for file in files).splitlines()


def write_csv(folder, births):
    lines = rows_of(births)
    for shard, part in enumerate((slice(1200), slice(1200, 1400), slice(1400, None))):
        Path(folder, f"train.csv-0000{shard}-of-00003").write_bytes(b"\n".join(lines[part]) + b"\n" * (shard > 0))


def write_csv_with_headers(folder, births):
    names, lines = list(babyweight.SPEC.columns), rows_of(births)
    Path(folder, "train-1.csv").write_bytes(b"\r\n".join([",".join(names).encode(), *lines[:900]]))
    turned = [b",".join(reversed(line.split(b","))) for line in lines[900:]]  # another order of columns
    Path(folder, "train-2.csv").write_bytes(b"\n".join([",".join(reversed(names)).encode(), *turned, b""]))


def write_gzip(folder, births):
    header, lines = ",".join(babyweight.SPEC.columns).encode(), rows_of(births)
    Path(folder, "train-1.csv.gz").write_bytes(gzip.compress(b"\n".join(lines[:900])))
    Path(folder, "train-2.csv.gz").write_bytes(gzip.compress(b"\n".join([header, *lines[900:]])))


def write_parquet(folder, births):
    rows = (line.decode().split(",") for line in rows_of(births))
    columns = dict(zip(babyweight.SPEC.columns, zip(*rows, strict=True), strict=True))
    numbers = {feature.name for feature in babyweight.SPEC.read if not feature.vocabulary}
    table = pa.table({
        name: pa.array([float(value) if value else None for value in values] if name in numbers else values)
        for name, values in columns.items()
    })  # fmt: skip
    pq.write_table(table.slice(0, 900), f"{folder}/train-1.parquet", row_group_size=250)
    pq.write_table(table.slice(900), f"{folder}/train-2.parquet")


def write_tfrecord(folder, digits):
    images, labels = (records.read_idx(f"{digits}/{name}") for name in mnist_files(digits))
    records.write_tfrecord(f"{folder}/train-1.tfrecord", images[:100], labels[:100])
    records.write_tfrecord(f"{folder}/train-2.tfrecords.gz", images[100:], labels[100:])


def write_idx(folder, digits):
    for name in mnist_files(digits):
        content = Path(digits, name).read_bytes()
        Path(folder, name.removesuffix(".gz")).write_bytes(
            gzip.decompress(content) if name.endswith(".gz") else content
        )


def mnist_files(digits):
    """The names of the images and the labels to train on."""
    return sorted(name for name in os.listdir(digits) if name.startswith("train"))


FORMATS = {
    "csv": (write_csv, "births", babyweight.SPEC),
    "csv with headers": (write_csv_with_headers, "births", babyweight.SPEC),
    "gzip": (write_gzip, "births", babyweight.SPEC),
    "parquet": (write_parquet, "births", babyweight.SPEC),
    "tfrecord": (write_tfrecord, "digits", mnist.SPEC),
    "idx": (write_idx, "digits", mnist.SPEC),
}


@pytest.fixture(params=FORMATS)
def twins(request, gcs, tmp_path):
    """The same files on a disk and in a bucket, as two sources to be opened."""
    write, data, spec = FORMATS[request.param]
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, request.getfixturevalue(data))
    copy(folder, f"{gcs}/data")
    return [lambda place=place: open_source((f"{place}/train*",), spec, unit_bytes=UNIT_BYTES)
            for place in (folder, f"{gcs}/data")]  # fmt: skip


def copy(folder, place):
    for name in os.listdir(folder):
        paths.write_bytes(f"{place}/{name}", Path(folder, name).read_bytes())


def columns_of(source):
    return concatenate(source.spec, [source.read(unit) for unit in source.units])


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def test_the_columns_are_the_same_as_from_a_disk(twins):
    on_disk, in_bucket = (make() for make in twins)
    assert [paths.name(file) for file in in_bucket.files] == [paths.name(file) for file in on_disk.files]
    assert [(unit.start, unit.stop, unit.size) for unit in in_bucket.units] == [
        (unit.start, unit.stop, unit.size) for unit in on_disk.units
    ]
    columns = columns_of(on_disk)
    assert_same(columns_of(in_bucket), columns)
    assert in_bucket.count_rows() == on_disk.count_rows() == len(columns[on_disk.spec.label.name]) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_the_columns_are_the_same_whatever_the_network_does(twins, seed, gcs_port, monkeypatch):
    on_disk, in_bucket = twins
    impatient(monkeypatch)
    with FaultProxy(gcs_port, seed=seed, rate=0.2, kinds=FAULTS, retry_after_s=0) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        rows = 0
        while not any(request.fault for request in proxy.requests) or not rows:
            columns = columns_of(in_bucket())
            rows = in_bucket().count_rows()
    assert_same(columns, columns_of(on_disk()))
    assert rows == on_disk().count_rows()


@pytest.mark.parametrize("change", ["written", "removed"])
def test_a_file_that_changes_under_a_run_is_one_line(twins, change):
    source = twins[1]()
    path = source.units[-1].path
    if change == "written":
        paths.write_bytes(path, paths.read_bytes(path))
    else:
        paths.remove(path)
    with pytest.raises(RunError) as error:
        source.read(source.units[-1])
    assert str(error.value) == f"{path}: {CHANGED}"


@pytest.mark.parametrize("twins", ["idx"], indirect=True)
def test_labels_that_change_under_a_run_are_one_line_too(twins):
    source = twins[1]()
    path = next(file for file in source.files if "labels" in file)
    paths.write_bytes(path, paths.read_bytes(path))
    with pytest.raises(RunError) as error:
        source.read(source.units[0])
    assert str(error.value) == f"{path}: {CHANGED}"


def requests_of(call, gcs_port, monkeypatch):
    with FaultProxy(gcs_port) as proxy, monkeypatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        call()
        return proxy.requests


@pytest.mark.parametrize("twins", ["csv", "csv with headers", "gzip"], indirect=True)
def test_a_unit_of_csv_is_one_request(twins, gcs_port, monkeypatch):
    source = twins[1]()
    assert len(source.units) > 1
    for unit in source.units:
        (request,) = requests_of(lambda unit=unit: source.read(unit), gcs_port, monkeypatch)
        assert is_download(request)


def test_a_large_unit_of_csv_is_one_request_too(births, gcs, gcs_port, monkeypatch):
    paths.write_bytes(f"{gcs}/train.csv", b"\n".join(rows_of(births) * 25))
    source = open_source((f"{gcs}/train.csv",), babyweight.SPEC, unit_bytes=2 << 20)
    assert [unit.size for unit in source.units][:-1] == [2 << 20, 2 << 20]
    for unit in source.units:
        assert len(requests_of(lambda unit=unit: source.read(unit), gcs_port, monkeypatch)) == 1


@pytest.mark.parametrize("twins", ["csv", "csv with headers", "gzip"], indirect=True)
def test_opening_is_a_listing_and_two_requests_a_file(twins, gcs_port, monkeypatch):
    made = requests_of(twins[1], gcs_port, monkeypatch)
    assert len(made) == 1 + 2 * len(twins[0]().files)


@pytest.mark.parametrize("twins", ["idx"], indirect=True)
def test_an_idx_file_is_read_in_one_request_after_its_entry(twins, gcs_port, monkeypatch):
    source = twins[1]()
    (unit,) = source.units
    downloads = [each for each in requests_of(lambda: source.read(unit), gcs_port, monkeypatch) if is_download(each)]
    assert len(downloads) == 2  # images, labels


def test_the_columns_of_a_row_group_come_together(gcs, gcs_port, tmp_path, monkeypatch):
    names = [f"x{i}" for i in range(5)]
    table = pa.table({name: np.random.default_rng(1).random(400_000) for name in [*names, "y"]})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=200_000)  # 1.6 MB a column
    copy(tmp_path, f"{gcs}/data")
    spec = InputSpec(tuple(number(name) for name in names), number("y"))
    source = open_source((f"{gcs}/data/*",), spec)
    assert len(source.units) == 2
    for unit in source.units:
        made = requests_of(lambda unit=unit: source.read(unit), gcs_port, monkeypatch)
        assert len(made) <= 4  # the footer, and all columns
