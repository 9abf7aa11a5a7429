"""What a run says of its data at its start: a few rows are looked at, and nothing stops."""

import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainer.experiments import babyweight, mnist
from trainer.quality import early, recorded, statistics
from trainer.storage import operations, paths


FEW_STEPS = {"train_steps": 2, "train_batch_size": 64, "export_strategy": "final"}
AGE = babyweight.SPEC.columns.index("mother_age")


@pytest.fixture(scope="module")
def lines(births):
    """All lines of the sample births to train on."""
    return [line for path in sorted(Path(births).glob("train*")) for line in path.read_text().splitlines()]


def looked(*patterns, data="train", spec=babyweight.SPEC):
    return early.look(data, [str(pattern) for pattern in patterns], spec)


def written(folder, lines, name="train.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / name


def older(line, years=12):
    cells = line.split(",")
    cells[AGE] = str(int(cells[AGE]) + years)
    return ",".join(cells)


def statistics_of(lines, folder):
    """Write what `trainer.preprocess` leaves beside its files."""
    path = written(folder, lines, "all.csv")
    table = pa.concat_tables([pa.table({"mother_age": [float(line.split(",")[AGE]) for line in lines]})])
    path.unlink()
    content = {"train": statistics.to_json(statistics.of(table)), "eval": statistics.to_json(statistics.of(table))}
    (folder / recorded.NAME).write_text(json.dumps(content))


def test_nothing_is_said_of_the_sample_data(births):
    found = looked(f"{births}/train*")
    assert found.findings == ()
    assert found.rows.rows == 1600


def test_what_is_odd_about_some_rows_is_found(lines, tmp_path):
    odd = [line.replace(",White,", ",Martian,").replace(",1,", ",40,") for line in lines]
    found = looked(written(tmp_path, odd))
    assert [(finding.check, finding.thing) for finding in found.findings] == [
        ("vocabulary", "column mother_race"),
        ("range", "column plurality"),
    ]


def test_of_a_large_file_rows_from_four_places_are_looked_at(lines, tmp_path):
    many = [older(line, years=100 * (i // 5000)) for i, line in enumerate(lines * 13)]  # about 2 MB
    found = looked(written(tmp_path, many)).rows
    assert 1200 < found.rows < 4000
    hundreds = {int(age) // 100 for age in found.columns["mother_age"].counts}
    assert hundreds == {0, 1, 2, 3}


def test_of_many_files_the_beginnings_of_four_spread_over_all_are_looked_at(lines, tmp_path):
    for i in range(9):
        written(tmp_path, [older(line, years=100 * i) for line in lines[:200]], f"train.csv-{i}")
    ages = looked(tmp_path / "train*").rows.columns["mother_age"].counts
    assert {int(age) // 100 for age in ages} == {0, 2, 4, 6}


@pytest.mark.parametrize("form", ["gzip", "parquet", "header"])
def test_other_forms_are_looked_at_by_their_first_rows(lines, tmp_path, form):
    many = lines * 10
    names = babyweight.SPEC.columns
    if form == "gzip":
        (tmp_path / "train.csv.gz").write_bytes(gzip.compress("\n".join(many).encode()))
    elif form == "parquet":
        columns = zip(*(line.split(",") for line in many), strict=True)
        pq.write_table(pa.table(dict(zip(names, columns, strict=True))), tmp_path / "train.parquet")
    else:
        written(tmp_path, [",".join(names), *many])
    found = looked(tmp_path / "train*")
    assert 400 < found.rows.rows < 4000
    assert found.findings == ()


@pytest.mark.parametrize(
    "content", ["1,2\n", "", "x,True,26,White,1,39.0,True,False,None,k\n" * 300], ids=["short", "empty", "bad"]
)
def test_files_that_training_will_stop_at_are_left_to_it(tmp_path, content):
    (tmp_path / "train.csv").write_text(content)
    assert looked(tmp_path / "train.csv").findings == ()
    assert looked(tmp_path / "no such file").findings == ()


def test_an_empty_file_does_not_keep_from_looking_at_others(lines, tmp_path):
    written(tmp_path, [], "train.csv-0")
    written(tmp_path, lines[:300], "train.csv-1")
    assert looked(tmp_path / "train*").rows.rows == 300


def test_a_few_rows_say_nothing(lines, tmp_path):
    assert looked(written(tmp_path, lines[:1] * 99)).findings == ()
    assert looked(written(tmp_path, lines[:1] * 100)).findings != ()


def test_records_are_not_looked_at(lines, tmp_path):
    assert looked(written(tmp_path, lines, "train.tfrecords")).rows.rows == 0


def test_images_are_not_looked_at(digits):
    found = looked(f"{digits}/train*", spec=mnist.SPEC)
    assert (found.rows.rows, found.findings) == (0, ())


def test_rows_unlike_the_statistics_beside_them_are_found(lines, tmp_path):
    statistics_of(lines, tmp_path)
    assert looked(written(tmp_path, lines)).findings == ()
    (finding,) = looked(written(tmp_path, map(older, lines))).findings
    assert (finding.check, finding.data, finding.thing) == ("drift", "stats.json, train", "column mother_age")
    assert "mean 27.38 in stats.json, mean 39.38 in train" in finding.value


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"train": 3}', '{"train": {"rows": 1}}', '{"epochs": 12}'])
def test_another_file_of_that_name_is_let_be(lines, tmp_path, content):
    (tmp_path / "stats.json").write_text(content)
    odd = [line.replace(",White,", ",Martian,") for line in lines]
    assert [finding.check for finding in looked(written(tmp_path, odd)).findings] == ["vocabulary"]


def test_a_run_warns_of_drift_by_column_value_and_expectation_and_goes_on(train, lines, births, tmp_path):
    for path in Path(births).glob("eval*"):
        shutil.copy(path, tmp_path)
    statistics_of(lines, tmp_path)
    written(tmp_path, map(older, lines))
    said = train("babyweight", data_dir=str(tmp_path), job_dir=str(tmp_path / "job"), **FEW_STEPS)
    (warning,) = [line for line in said if line["severity"] == "WARNING"]
    assert warning["message"].startswith(
        "data of stats.json, train, 2,000 rows looked at: column mother_age: mean 27.38"
    )
    assert warning["check"] == "drift"
    assert warning["thing"] == "column mother_age"
    assert "mean 39.38 in train" in warning["value"]
    assert warning["expected"] == "a population stability index below 0.1"
    assert said[-1]["message"] == "done"
    assert said[-1]["global_step"] == 2


def test_what_both_sides_have_is_said_once(lines, tmp_path, caplog):
    same = [",".join([*line.split(",")[:3], "White", *line.split(",")[4:]]) for line in lines]
    written(tmp_path, same)
    with early.looking(babyweight.SPEC, [f"{tmp_path}/train.csv"], [f"{tmp_path}/train.csv"]):
        pass
    (record,) = caplog.records
    assert record.getMessage() == (
        "data of train, eval, 3,200 rows looked at: column mother_race: 'White' in all rows; "
        "expected values that differ"
    )


def test_of_a_bucket_a_few_ranges_are_read(gcs, lines, tmp_path):
    many = "".join(f"{line}\n" for line in lines * 40).encode()
    paths.write_bytes(f"{gcs}/train.csv", many)
    before = operations.so_far()
    found = looked(f"{gcs}/train.csv")
    made = operations.so_far() - before
    assert 1200 < found.rows.rows < 4000
    assert (made.writes, made.lists, made.deletes) == (0, 0, 0)
    assert made.reads <= 3 + early.PLACES + 1  # that it is there, its size, its header, the places, and no stats.json
