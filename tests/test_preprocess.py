"""`python -m trainer.preprocess` as a user calls it: raw rows in, files that an experiment trains on out."""

import csv
import gzip
import hashlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.preprocessing import ROOT, Terminal, done, parts, run, start
from trainer import pipelines
from trainer.inputs.source import open_source
from trainer.preprocessing import blocks, folder, plan, raw
from trainer.quality import statistics
from trainer.samples import natality_table
from trainer.settings import experiments
from trainer.storage import lease, paths


beam = pytest.importorskip("apache_beam", reason="the extra beam is not installed")
pipeline = importlib.import_module("trainer.preprocessing.pipeline")

RULES = ("year", "weight_pounds", "mother_age", "plurality", "gestation_weeks", "month")


def stats(output):
    """`stats.json` but for what names the files."""
    found = json.loads(paths.read_bytes(paths.join(str(output), folder.STATS)))
    recipe = {key: value for key, value in found.pop("recipe").items() if not key.endswith("_shards")}
    assert sum(file["rows"] for file in found.pop("files").values()) == found["train"]["rows"] + found["eval"]["rows"]
    return json.dumps(found | {"recipe": recipe})


@pytest.fixture(scope="module")
def raw_births(tmp_path_factory):
    """4,000 raw births in three files."""
    directory = tmp_path_factory.mktemp("raw")
    natality_table.write(str(directory), rows=4000, shards=3)
    return directory


@pytest.fixture(scope="module")
def births(raw_births, tmp_path_factory):
    """What the command makes of them, and its last line."""
    output = tmp_path_factory.mktemp("births") / "out"
    return output, done("babyweight", "--input", f"{raw_births}/*.csv", "--output", output)


def test_every_birth_is_written_or_counted_and_the_files_are_named_as_in_2017(raw_births, births):
    output, line = births
    rows = [row for path in sorted(raw_births.iterdir()) for row in csv.DictReader(path.read_text().splitlines())]
    reasons = [next((n for n in RULES if not float(row[n] or 0) > (2000 if n == "year" else 0)), None) for row in rows]
    assert line["births"] == len(rows) == 4000
    assert line["dropped"] == {
        f"{n}: missing or not above {2000 if n == 'year' else 0}": reasons.count(n) for n in RULES
    }
    assert sum(line["rows"].values()) == reasons.count(None)
    assert 0.1 < line["rows"]["eval"] / line["rows"]["train"] < 0.4
    names = [f"eval.csv-0000{n}-of-00002" for n in range(2)] + [f"train.csv-0000{n}-of-00004" for n in range(4)]
    assert paths.list_names(str(output)) == sorted([*names, "stats.json"])
    for part, content in parts(output).items():
        assert content.count(b"\n") == line["rows"][part]
        for text in content.decode().splitlines():
            rest, _, key = text.rpartition(",")
            assert key == hashlib.sha224(rest.encode()).hexdigest()


def test_the_statistics_are_those_of_the_files(births):
    output, _ = births
    found = json.loads((output / folder.STATS).read_text())
    names = experiments.load("babyweight").SPEC.columns
    for part, content in parts(output).items():
        table = pyarrow.csv.read_csv(
            io.BytesIO(content),
            pyarrow.csv.ReadOptions(column_names=names),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={n: pa.string() for n in ("is_male", "mother_married", "cigarette_use", "alcohol_use")}
            ),
        )
        assert found[part] == json.loads(json.dumps(statistics.to_json(statistics.of(table.drop_columns(["key"])))))


def test_the_experiment_reads_every_row(births):
    output, line = births
    spec = experiments.load("babyweight").SPEC
    assert open_source((f"{output}/train.csv*",), spec).count_rows() == line["rows"]["train"]
    source = open_source((f"{output}/eval.csv*",), spec)
    assert sum(len(source.read(unit)["weight_pounds"]) for unit in source.units) == line["rows"]["eval"]


@pytest.mark.parametrize(("train", "evaluation"), [(1, 1), (7, 3)])
def test_any_number_of_files_has_the_same_bytes_one_after_the_other(raw_births, births, tmp_path, train, evaluation):
    shards = ("--train-shards", train, "--eval_shards", evaluation)  # gcloud writes flags with underscores
    done("babyweight", "--input", f"{raw_births}/*.csv", "--output", tmp_path / "out", *shards)
    assert len(paths.list_names(str(tmp_path / "out"))) == train + evaluation + 1
    assert parts(tmp_path / "out") == parts(births[0])
    assert stats(tmp_path / "out") == stats(births[0])


def test_files_without_a_birth_are_written_too(raw_births, tmp_path):
    file = tmp_path / "few.csv"
    file.write_text("".join((raw_births / "natality-00000-of-00003.csv").read_text().splitlines(keepends=True)[:6]))
    line = done("babyweight", "--input", file, "--output", tmp_path / "out", "--train-shards", 30)
    names = [f"train.csv-{n:05d}-of-00030" for n in range(30)]
    assert set(paths.list_names(str(tmp_path / "out"))) >= set(names)
    assert 0 < line["rows"]["train"] <= 5


def test_the_order_and_the_cut_of_the_input_change_nothing(raw_births, births, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "TABLE_BYTES", 5000)
    monkeypatch.setattr(blocks, "cut", lambda files, cut=blocks.cut: cut(files, block_bytes=20_000)[::-1])
    done("babyweight", "--input", *sorted(raw_births.iterdir(), reverse=True), "--output", tmp_path / "out")
    assert parts(tmp_path / "out") == parts(births[0])
    assert json.loads(stats(tmp_path / "out"))["train"] == json.loads(stats(births[0]))["train"]


def test_parquet_and_compressed_input_and_parquet_output_hold_the_same_rows(raw_births, births, tmp_path):
    table = pa.concat_tables([pyarrow.csv.read_csv(path) for path in sorted(raw_births.iterdir())])
    pq.write_table(table.slice(0, 2500), tmp_path / "births.parquet", row_group_size=700)
    with gzip.open(tmp_path / "births.csv.gz", "wb") as file:
        pyarrow.csv.write_csv(table.slice(2500), file)
    output = tmp_path / "out"
    line = done("babyweight", "--input", f"{tmp_path}/births.*", "--output", output, "--format", "parquet")
    assert line["rows"] == births[1]["rows"]
    for part, content in parts(births[0]).items():
        rows = [row for path in sorted(output.glob(f"{part}.parquet-*")) for row in pq.read_table(path).to_pylist()]
        assert [",".join(map(str, row.values())) for row in rows] == content.decode().splitlines()
    spec = experiments.load("babyweight").SPEC
    for pattern in ("train.csv*", "train.parquet*"):
        where = births[0] if "csv" in pattern else output
        source = open_source((f"{where}/{pattern}",), spec)
        columns = [source.read(unit) for unit in source.units]
        joined = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
        assert joined["weight_pounds"].shape == (line["rows"]["train"],)
        if "csv" in pattern:
            of_csv = joined
    assert all((of_csv[name] == joined[name]).all() for name in joined)


def test_the_counters_of_the_runner_are_those_of_the_tally(raw_births, births, tmp_path, monkeypatch):
    results = []
    ran = pipelines.run
    monkeypatch.setattr(pipelines, "run", lambda *args, **flags: results.append(ran(*args, **flags)))
    line = done("babyweight", "--input", f"{raw_births}/*.csv", "--output", tmp_path / "out")
    counters = results[0].metrics().query(beam.metrics.MetricsFilter().with_namespace(pipeline.NAMESPACE))["counters"]
    found = {counter.key.metric.name: counter.committed for counter in counters}
    assert {name: found.get(f"dropped_{name}", 0) for name in RULES} == {
        reason.partition(":")[0]: count for reason, count in line["dropped"].items()
    }
    assert line["dropped"] == births[1]["dropped"]


# Again


def test_the_same_command_does_nothing_more_and_says_so(raw_births, births, monkeypatch):
    output, line = births
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    monkeypatch.setattr(pipelines, "run", None)
    again = done("babyweight", "--input", f"{raw_births}/*.csv", "--output", f"{output}/")
    assert again == {**line, "message": "nothing to do"}
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--format", "parquet"], "was made with format csv, now parquet"),
        (["--ultrasound"], "was made with columns babyweight, now ultrasound"),
        (["--train-shards", "5"], "was made with train_shards 4, now 5"),
    ],
)
def test_another_command_is_refused_where_the_first_one_wrote(raw_births, births, words, problem):
    code, out, err = run("babyweight", "--input", f"{raw_births}/*.csv", "--output", births[0], *words)
    assert (code, out) == (2, [])
    assert err == [f"trainer.preprocess: error: {births[0]}: {problem}; expected the same, or another folder"]


def test_files_of_another_set_are_in_the_way_by_name(raw_births, tmp_path):
    (tmp_path / "train.csv-00000-of-00009").write_text("")
    code, _, err = run("babyweight", "--input", f"{raw_births}/*.csv", "--output", tmp_path)
    assert code == 2
    expected = f"{tmp_path}/train.csv-00000-of-00009: is of another set; expected a folder without it"
    assert err == [f"trainer.preprocess: error: {expected}"]


def test_a_run_that_fails_leaves_nothing_that_says_it_is_whole_and_the_next_one_mends_it(raw_births, births, tmp_path):
    file = tmp_path / "births.csv"
    text = "".join(
        path.read_text() if n == 0 else path.read_text().partition("\n")[2]
        for n, path in enumerate(sorted(raw_births.iterdir()))
    )
    file.write_text(f"{text}2005,3,7.2,true,old,1,1,39,,,\n")
    code, out, err = run("babyweight", "--input", file, "--output", tmp_path / "out")
    problem = f"DirectRunner: {file}: line 4002: column mother_age: 'old': expected a whole number"
    assert (code, err) == (1, [f"trainer.preprocess: error: {problem}"])
    assert [json.loads(line)["message"] for line in out] == [f"reading {file.stat().st_size:,} bytes in 1 files"]
    assert not paths.exists(str(tmp_path / "out" / folder.STATS))
    file.write_text(text)
    assert done("babyweight", "--input", file, "--output", tmp_path / "out")["message"] == "done"
    assert parts(tmp_path / "out") == parts(births[0])


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_leaves_whole_files_or_none_and_the_next_one_ends_it(tmp_path):
    natality_table.write(str(tmp_path / "raw"), rows=150_000)
    words = ("babyweight", "--input", f"{tmp_path}/raw/*.csv", "--train-shards", 30, "--eval-shards", 9)
    done(*words, "--output", tmp_path / "whole")
    killed = 0
    for attempt in range(12):
        output = tmp_path / f"killed-{attempt}"
        with start(*words, "--output", output) as process:
            while not paths.list_names(str(output)) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(0.1 * attempt)
            process.send_signal(signal.SIGKILL)
        for path in output.glob("*-of-*"):
            assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
        killed += not (output / folder.STATS).exists()
        assert done(*words, "--output", output)["message"] in ("done", "nothing to do")
        assert parts(output) == parts(tmp_path / "whole")
        assert not [name for name in paths.list_names(str(output)) if name.startswith(".") or name == lease.NAME]
    assert killed > 3


# Elsewhere


def test_input_and_output_may_be_in_a_bucket(raw_births, births, gcs):
    for path in raw_births.iterdir():
        paths.write_bytes(f"{gcs}/raw/{path.name}", path.read_bytes())
    line = done("babyweight", "--input", f"{gcs}/raw/natality-*", "--output", f"{gcs}/out")
    assert line == {**births[1], "output": f"{gcs}/out"}
    assert parts(f"{gcs}/out") == parts(births[0])
    assert (
        done("babyweight", "--input", f"{gcs}/raw/natality-*", "--output", f"{gcs}/out")["message"] == "nothing to do"
    )


@pytest.mark.slow
def test_workers_in_other_processes_write_the_same(raw_births, births, gcs):
    for path in raw_births.iterdir():
        paths.write_bytes(f"{gcs}/raw/{path.name}", path.read_bytes())
    flags = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    with start("babyweight", "--input", f"{gcs}/raw/*", "--output", f"{gcs}/out", "--", *flags) as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["rows"] == births[1]["rows"]
    assert parts(f"{gcs}/out") == parts(births[0])


# BigQuery


def test_rows_of_bigquery_become_the_files_that_its_csv_would(raw_births, births, tmp_path):
    table = pa.concat_tables([pyarrow.csv.read_csv(path) for path in sorted(raw_births.iterdir())])
    rows = raw.typed(table).to_pylist()  # int, float, bool and None, as Beam's reader gives them
    wanted = plan.Plan("csv", 4, 2)
    output, recipe = str(tmp_path / "out"), {"input": "p.d.t"}
    with folder.begun(output, wanted.names):
        found = pipeline.run(
            output,
            recipe,
            lambda p: pipeline.of_rows(p | beam.Create(rows)),
            wanted,
            layout="babyweight",
            runner="DirectRunner",
            flags=[],
        )
    assert found["dropped"] == births[1]["dropped"]
    assert parts(output) == parts(births[0])


def test_bigquery_is_asked_for_the_columns_and_the_rows_that_are_kept():
    options = beam.options.pipeline_options.PipelineOptions(["--project=p", "--temp_location=gs://b/t"])
    made = beam.Pipeline(options=options)
    pipeline.of_table("publicdata.samples.natality")(made)
    queries = []

    class Visitor(beam.pipeline.PipelineVisitor):
        def enter_composite_transform(self, node):
            if isinstance(node.transform, beam.io.ReadFromBigQuery):
                queries.append(node.transform._kwargs)

    made.visit(Visitor())
    assert queries == [
        {
            "query": "SELECT year, month, weight_pounds, is_male, mother_age, mother_race, plurality, gestation_weeks, "
            "mother_married, cigarette_use, alcohol_use FROM `publicdata.samples.natality` WHERE year > 2000 AND "
            "weight_pounds > 0 AND mother_age > 0 AND plurality > 0 AND gestation_weeks > 0 AND month > 0",
            "use_standard_sql": True,
        }
    ]


# What is wrong


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--input", "none*.csv"], "none*.csv: no such file; expected a path or a glob that matches at least one file"),
        (["--input", "bigquery:natality"], "--input: bigquery:natality: expected bigquery:PROJECT.DATASET.TABLE"),
        (["--input", "bigquery:a.b.c"], "bigquery:a.b.c: its rows come through a bucket; expected -- --temp_location "),
        (["--input", "bigquery:a.b.c", "x.csv"], "--input: bigquery:a.b.c: a table is the only input; 2 were given"),
        (["--input", __file__, "--train-shards", "0"], "--train-shards: 0: expected 1 to 99,999"),
        (["--input", __file__, "--train-shards", "few"], "--train-shards: 'few': expected a whole number; see --help"),
        (["--input", __file__, "--format", "avro"], "--format: invalid choice: 'avro'"),
        (["--input", __file__], f"{__file__}: has none of the columns of raw births; expected a header with year, "),
        (
            ["--input", __file__, "--runner", "DataflowRunner"],
            "out: the workers of DataflowRunner cannot see it; expec",
        ),
        (["--ultrasound"], "the following arguments are required: --input; see --help"),
        (["--input", __file__, "--shards", "3"], "--shards: unexpected; "),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, words, problem):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("babyweight", "--output", "out", *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"trainer.preprocess: error: {problem}")
    assert os.listdir(tmp_path) == []


def test_without_credentials_bigquery_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    words = ("--output", tmp_path / "out", "--", "--temp_location", "gs://bucket/temp")
    code, out, err = run("babyweight", "--input", "bigquery:publicdata.samples.natality", *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("trainer.preprocess: error: bigquery:publicdata.samples.natality: no Google credentials: ")
    assert not (tmp_path / "out").exists()


def test_the_workers_of_dataflow_have_to_see_the_input_too(raw_births):
    runner = ("--output", "gs://bucket/out", "--runner", "DataflowRunner")
    code, _, err = run("babyweight", "--input", f"{raw_births}/*.csv", *runner)
    assert code == 2
    first = f"{raw_births}/natality-00000-of-00003.csv"
    assert err == [
        f"trainer.preprocess: error: {first}: the workers of DataflowRunner cannot see it; expected gs://BUCKET/PATH"
    ]


def test_a_runner_that_there_is_not_is_refused_in_one_line(raw_births, tmp_path):
    code, _, err = run(
        "babyweight", "--input", f"{raw_births}/*.csv", "--output", tmp_path / "out", "--runner", "NoRunner"
    )
    assert code == 1
    assert len(err) == 1
    assert err[0].startswith("trainer.preprocess: error: NoRunner: Unexpected pipeline runner")


def test_a_flag_of_beam_without_its_value_is_one_line_too(raw_births, tmp_path):
    words = ("--output", tmp_path / "out", "--", "--direct_num_workers=many")
    code, _, err = run("babyweight", "--input", f"{raw_births}/*.csv", *words)
    expected = "--direct_num_workers: invalid int value: 'many'; these are flags of Apache Beam"
    assert (code, err) == (2, [f"trainer.preprocess: error: {expected}"])


def test_without_beam_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(pipelines.importlib.util, "find_spec", lambda name: None)
    code, _, err = run("babyweight", "--input", "a", "--output", "b")
    assert code == 2
    expected = f"babyweight: Apache Beam is not installed; expected it, by pip install '{pipelines.PACKAGE}'"
    assert err == [f"trainer.preprocess: error: {expected}"]


def test_help_answers_at_once_and_imports_nothing_heavy():
    heavy = "{'numpy', 'pyarrow', 'pandas', 'tensorflow', 'keras', 'apache_beam'}"
    code = f"import sys, trainer.preprocess as p; p.parser(); print({heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "set()\n"


def test_a_terminal_gets_a_small_table(births, raw_births):
    code, out, _ = run("babyweight", "--input", f"{raw_births}/*.csv", "--output", births[0], stdout=Terminal)
    assert code == 0
    assert out[0] == f"nothing to do: {births[0]}"
    assert out[1].split() == ["births", "4,000"]
    old = births[1]["dropped"]["year: missing or not above 2000"]
    assert out[2].split() == ["dropped,", "year:", "missing", "or", "not", "above", "2000", str(old)]
    assert "month" not in "".join(out)  # for which none was dropped
    assert out[-1].split() == ["rows,", "eval", str(births[1]["rows"]["eval"])]
    assert len({len(line) for line in out[1:]}) == 1


# With and without an ultrasound


@pytest.fixture(scope="module")
def ultrasound(raw_births, tmp_path_factory):
    """Two rows a birth, and the last line."""
    output = tmp_path_factory.mktemp("ultrasound") / "out"
    return output, done("babyweight", "--ultrasound", "--input", f"{raw_births}/*.csv", "--output", output)


def test_with_ultrasound_there_are_two_rows_a_birth_in_the_part_of_its_month(births, ultrasound):
    output, line = ultrasound
    assert line["rows"] == {part: 2 * count for part, count in births[1]["rows"].items()}
    for part, content in parts(output).items():
        rows = [text.split(",") for text in content.decode().splitlines()]
        unseen = [row for row in rows if row[1] == "Unknown"]
        seen = [row for row in rows if row[1] in ("True", "False")]
        assert len(seen) == len(unseen) == births[1]["rows"][part]
        assert {row[3] for row in unseen} == {"Single(1)", "Multiple(2+)"}
        assert {row[3] for row in seen} >= {"Single(1)", "Twins(2)"}
        assert sorted((row[0], row[2], row[4]) for row in seen) == sorted((row[0], row[2], row[4]) for row in unseen)
        of_births = [text.split(",") for text in parts(births[0])[part].decode().splitlines()]
        assert sorted(row[:3] for row in seen) == sorted(row[:3] for row in of_births)


def test_an_experiment_in_one_file_trains_on_it(train, ultrasound, tmp_path):
    job_dir = str(tmp_path / "job")
    flags = {"train_steps": 60, "eval_every": 30, "train_batch_size": 128}
    lines = train("docs.examples.ultrasound", data_dir=str(ultrasound[0]), job_dir=job_dir, **flags)
    assert lines[-1]["global_step"] == 60
    assert lines[-1]["metrics"]["rmse"] < 1.3
