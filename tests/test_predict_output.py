"""Batch prediction: the text of predictions, and folders of shards that survive being killed."""

import contextlib
import csv
import gzip
import importlib.util
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_serving_model import SCHEMA, place

from trainer import pipelines, predict
from trainer.errors import ConflictError, RunError, UsageError
from trainer.prediction import lines, parts, recipe, sharded, writing
from trainer.serving import protocol
from trainer.settings import command
from trainer.storage import commit, lease, local, paths


ROOT = Path(__file__).parent.parent
SHARD = 3  # KB


@pytest.fixture
def run(job_dir, capsys):
    """Run the command on the job dir, with the process as it was afterwards; gives its standard output."""
    log = logging.getLogger("trainer")
    handlers, level, propagate = log.handlers, log.level, log.propagate
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments, model_dir=job_dir):
        assert predict.main(["--model-dir", str(model_dir), *map(str, arguments)]) == 0
        return capsys.readouterr().out

    yield call
    log.handlers, log.level, log.propagate = handlers, level, propagate
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def births(tmp_path):
    """A CSV file without a header, of 1,000 rows, which are seven shards of 3 KB."""
    rows = (f"7.5,{('True', 'False', 'é')[n % 3]},{n % 50 / 2 if n % 7 else ''},key {n}\n" for n in range(1000))
    file = tmp_path / "births.csv"
    file.write_text("".join(rows))
    return file


def contents(folder):
    """The text of all shards, one after the other."""
    return "".join(path.read_text() for path in sorted(Path(folder).glob("predictions-*")))


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def messages(out):
    return [json.loads(line) for line in out.splitlines()]


def state(folder):
    """What would change if a file was written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Path(folder).glob("predictions-*")}


# The text of predictions


def by_protocol(outputs):
    return "".join(json.dumps(row) + "\n" for row in protocol.rows(outputs))


SPECIAL = [0.0, -0.0, 1.0, -2.0, 0.1, 1e-4, 9.9e-5, 1e-5, 1e9, 1.5e9, 123456.789, 1e15, 1e16, 1e17, 1e-30, 3e38]
SPECIAL += [float("nan"), float("inf"), float("-inf"), 5e-324, 7.769718170166016]
WORDS = [
    "",
    "plain",
    "é",
    "日本",
    "😀",
    'a "quoted" word',
    "back\\slash",
    "line\nend",
    "\x00",
    "\x7f",
    "a,b",
    "</script>",
]


@pytest.mark.parametrize(
    "outputs",
    [
        {"outputs": np.array(SPECIAL, np.float32)},
        {"outputs": np.array(SPECIAL, np.float64)},
        {"outputs": np.array([0.5, 1e-4, 65504, np.nan], np.float16)},
        {"outputs": np.array([0.5, 3.140625, 1e30, np.inf], ml_dtypes.bfloat16)},
        *(
            {"n": np.array([0, 1, np.iinfo(kind).max, np.iinfo(kind).min], kind)}
            for kind in ("int8", "int64", "uint64")
        ),
        {"yes": np.array([True, False])},
        {"classes": np.array([1, 2]), "probabilities": np.array([[0.25, np.nan], [1, 1e-7]], np.float32)},
        {"nothing": np.zeros((2, 0), np.float32), "deep": np.arange(12, dtype=np.float32).reshape(2, 2, 3)},
        {"hollow": np.zeros((2, 3, 0), np.int32), "flags": np.array([[[True]], [[False]]])},
        {"words": np.array([word.encode() for word in WORDS], object)},
        {"words": np.array([[b"a", "é".encode()], [b"", b'"']], object)},
        {"data_bytes": np.array([b"\x00\xff", b"", b"abc"], object)},
        {"data_bytes": np.array([[b"\x00\xff"], [b"abc"]], object)},
        {"data_bytes": np.array([b"abc"], object)},
        {'a "name"': np.array([1.5]), "größe": np.array([2]), "b": np.array([b"x"], object)},
        {"total": np.float32(1.5)},
        {"total": b"text", "n": np.int64(3)},
    ],
)
def test_the_json_of_columns_is_that_of_the_protocol(outputs):
    assert lines.as_json(outputs, None).decode() == by_protocol(outputs)


@given(st.lists(st.floats(width=32), min_size=1), st.lists(st.floats(), min_size=1))
def test_any_number_is_written_as_the_protocol_does(narrow, wide):
    for numbers in (np.array(narrow, np.float32), np.array(wide)):
        assert lines.as_json({"y": numbers}, None).decode() == by_protocol({"y": numbers})


def test_numbers_of_every_size_are_written_as_the_protocol_does():
    random = np.random.default_rng(1)
    bits = random.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    even = (10 ** random.uniform(-6, 12, 100_000)).astype(np.float32)
    wide = 10 ** random.uniform(-6, 18, 100_000)
    for numbers in (bits[~np.isnan(bits)], even, np.floor(even), wide):
        assert lines.as_json({"y": numbers}, None).decode() == by_protocol({"y": numbers})


@given(st.lists(st.text(), min_size=1))
def test_any_key_is_written_as_the_protocol_does(keys):
    outputs = {"y": np.arange(len(keys))}
    expected = "".join(json.dumps({"key": key, "y": n}) + "\n" for n, key in enumerate(keys))
    assert lines.as_json(outputs, pa.array(keys)).decode() == expected


def test_a_part_of_the_keys_is_written_alone():
    keys = pa.array(['"', "plain", "words", "é"])
    outputs = {"y": np.arange(2)}
    assert lines.as_json(outputs, keys[1:3]).decode() == '{"key": "plain", "y": 0}\n{"key": "words", "y": 1}\n'
    assert lines.as_json(outputs, keys[2:]).decode() == '{"key": "words", "y": 0}\n{"key": "\\u00e9", "y": 1}\n'


@pytest.mark.parametrize(
    ("outputs", "keys", "words"),
    [
        ({"y": np.zeros(2), "z": np.zeros(1)}, None, "outputs had differing sizes"),
        ({"y": np.zeros(2)}, pa.array(["a"]), "2 predictions for 1 rows; expected one each"),
        ({"y": np.array([b"\xff"], object)}, None, "call the output y_bytes"),
        ({"y": np.array([1j])}, None, "y: dtype complex128: expected numbers, booleans or strings"),
    ],
)
@pytest.mark.parametrize("write", [lines.as_json, lines.as_csv])
def test_outputs_that_have_no_text_are_named(outputs, keys, words, write):
    with pytest.raises(RunError, match=words):
        write(outputs, keys)


def test_csv_cells_read_back_as_they_were():
    outputs = {
        "number": np.array([7.769718, np.nan, -np.inf, 1e-30, *range(8)], np.float32),
        "word": np.array([word.encode() for word in WORDS], object),
        "data_bytes": np.array([b"\x00"] * 12, object),
        "pair": np.array([[0.5, np.nan]] * 12, np.float32),
        "yes": np.array([True] * 12),
    }
    keys = pa.array(WORDS)
    text = lines.csv_header(["key", *outputs]) + lines.as_csv(outputs, keys)
    # Python 3.10's csv refuses to read a NUL, which is there all the same.
    rows = list(csv.DictReader(io.StringIO(text.decode().replace("\0", "NUL"), newline="")))
    assert [row["key"] for row in rows] == [row["word"] for row in rows] == [w.replace("\0", "NUL") for w in WORDS]
    assert [row["number"] for row in rows[:5]] == [
        "7.769718170166016",
        "NaN",
        "-Infinity",
        repr(float(np.float32(1e-30))),
        "0.0",
    ]
    assert {row["data_bytes"] for row in rows} == {"AA=="}
    assert json.loads(rows[0]["pair"]) == [0.5, "NaN"]
    assert {row["yes"] for row in rows} == {"true"}


def test_names_of_columns_are_cells_too():
    assert lines.csv_header(["key", 'a,"b"']) == b'key,"a,""b"""\n'


def test_csv_goes_to_standard_output_under_one_header(run, births):
    rows = list(csv.reader(io.StringIO(run("--csv", births, "--format", "csv", "--batch-size", 300))))
    assert rows[0] == ["key", "outputs"]
    assert len(rows) == 1001
    assert rows[1] == ["key 0", "14.5"]


def test_instances_have_csv_too(run, tmp_path):
    (tmp_path / "f").write_text("[0, 1, 0.5, 0]\n")
    out = run("--json-instances", tmp_path / "f", "--signature-name", "image", "--format", "csv")
    assert out == 'classes,probabilities\n1,"[0.0, 1.0, 0.5, 0.0]"\n'


def test_csv_whose_columns_change_is_refused(run, tmp_path):
    (tmp_path / "a.csv").write_text("is_male,mother_age,key\nTrue,26,k\n")
    (tmp_path / "b.csv").write_text("is_male,mother_age\nTrue,26\n")
    with pytest.raises(RunError, match="the columns key, outputs are followed by outputs"):
        run("--csv", tmp_path / "*.csv", "--format", "csv", "--output", tmp_path / "out.csv")
    assert names(tmp_path) == ["a.csv", "b.csv"]


# A folder


def test_shards_hold_what_a_single_file_would_in_its_order(run, births, tmp_path):
    out = messages(run("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024))
    run("--csv", births, "--output", tmp_path / "alone.jsonl")
    shards = [name for name in names(tmp_path / "out") if name.startswith("predictions-")]
    assert len(shards) > 5
    assert shards[0] == f"predictions-00000-of-{len(shards):05d}.jsonl"
    assert contents(tmp_path / "out") == (tmp_path / "alone.jsonl").read_text()
    assert names(tmp_path / "out") == sorted([*shards, "run.json", "manifest.json", "COMMITTED"])
    size = (tmp_path / "alone.jsonl").stat().st_size
    done = {"severity": "INFO", "message": "done", "output": str(tmp_path / "out"), "rows": 1000}
    assert out[-1] == {**done, "shards": len(shards), "size": size}
    assert sorted(line["shard"] for line in out[:-1]) == shards
    assert sum(line["rows"] for line in out[:-1]) == 1000


def test_a_whole_folder_is_committed_as_an_export_is(run, births, tmp_path):
    run("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    commit.verify(str(tmp_path / "out"))
    named = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert named["rows"] == 1000
    assert sum(file.get("rows", 0) for file in named["files"].values()) == 1000
    shard = next((tmp_path / "out").glob("predictions-00001*"))
    shard.write_bytes(shard.read_bytes().replace(b"1", b"2"))
    with pytest.raises(commit.DamagedError, match="predictions-00001"):
        commit.verify(str(tmp_path / "out"))


HEADER = "mother_age,key,more,is_male\n"


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"0,True,{n},{n}\n" for n in range(40)),
        "".join(f"0,True,{n},{n}\r\n" for n in range(40)),
        "".join(f"0,True,{n},{n}\n" for n in range(40)).rstrip(),
        HEADER + "".join(f"{n},{n},x,True\n" for n in range(40)),
        "\ufeff" + HEADER + "".join(f"{n},{n},x,True\n" for n in range(40)),
        HEADER + "\n" + "\n\n".join(f"{n},{n},x,True" for n in range(40)),
        HEADER + "".join(f"{n},{n},{'x' * n * 5},True\n" for n in range(40)),
        HEADER + "".join(f'{n},{n},"{"x," * n}",True\n' for n in range(40)),
    ],
    ids=["plain", "CRLF", "no end", "header", "BOM", "empty lines", "long lines", "quotes"],
)
def test_every_row_is_in_one_shard_wherever_a_file_is_cut(run, tmp_path, text):
    (tmp_path / "f.csv").write_text(text, newline="")
    run("--csv", tmp_path / "f.csv", "--output", tmp_path / "out", "--shard-mb", 64 / (1 << 20))
    assert messages(contents(tmp_path / "out")) == [{"key": str(n), "outputs": 1 + n / 2} for n in range(40)]


@pytest.mark.parametrize("text", [b"a\nbc\n\n\r\ndef\n", b"abc", b"\n\n\n", b"a\n" + b"b" * 30 + b"\nc"])
def test_each_line_is_in_the_part_where_it_starts(tmp_path, text):
    path = str(tmp_path / "f")
    paths.write_bytes(path, text)
    for size in range(1, len(text) + 2):
        seen = [(part.start, read(part)) for part in parts.cut(path, paths.stat(path), size)]
        assert b"".join(content for _, content in seen) == text
        places = np.cumsum([0, *(len(content) for _, content in seen)])
        assert all(not content or 0 <= at - start < size for (start, content), at in zip(seen, places, strict=False))


def read(part):
    with parts.opened(part) as text:
        return b"".join(iter(lambda: text.read(3), b""))


def test_files_are_read_in_the_thread_that_predicts(run, births, tmp_path, monkeypatch):
    """One of Arrow's own would abort a process that ends while it reads (SIGABRT, "terminate called ...")."""
    really, threads = parts.opened, set()

    @contextlib.contextmanager
    def opened(part):
        with really(part) as text:
            yield Text(text)

    class Text:
        closed = False

        def __init__(self, text):
            self.text = text

        def read(self, size):
            threads.add(threading.get_ident())
            return self.text.read(size)

    monkeypatch.setattr(parts, "opened", opened)
    run("--csv", births, "--output", tmp_path / "out.jsonl")
    assert threads == {threading.get_ident()}


def test_files_of_any_kind_are_shards_in_their_order(run, tmp_path):
    (tmp_path / "f.csv-0").write_text("0,True,26,k0\n")
    (tmp_path / "f.csv-1.gz").write_bytes(gzip.compress("".join(f"0,True,{n},k{n}\n" for n in range(1, 9)).encode()))
    (tmp_path / "f.csv-2").write_text("key,is_male,mother_age\nk9,False,2\n")
    (tmp_path / "f.csv-3").write_text("key,is_male,mother_age\n")
    run("--csv", tmp_path / "f.csv-*", "--output", tmp_path / "out", "--shard-mb", 20 / (1 << 20))
    assert [row["key"] for row in messages(contents(tmp_path / "out"))] == [f"k{n}" for n in range(10)]
    assert len([name for name in names(tmp_path / "out") if name.startswith("pred")]) == 1 + 1 + 2 + 2


def test_every_shard_of_csv_has_a_header_though_it_has_no_row(run, tmp_path):
    (tmp_path / "f.csv").write_text("key,is_male,mother_age\n" + f"{'k' * 100},True,26\n" * 3)
    run("--csv", tmp_path / "f.csv", "--output", tmp_path / "out", "--shard-mb", 40.5 / (1 << 20), "--format", "csv")
    shards = sorted((tmp_path / "out").glob("predictions-*.csv"))
    tables = [shard.read_text().splitlines() for shard in shards]
    assert {table[0] for table in tables} == {"key,outputs"}
    assert [len(table) - 1 for table in tables].count(0) > 3
    assert [row for table in tables for row in table[1:]] == [f"{'k' * 100},14.0"] * 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [("old,k,x,True", 'row 150: column mother_age: "old": expected a number'), ("1,2", "Row #150: Expected 4 columns")],
)
def test_a_bad_row_is_counted_from_the_start_of_the_file(run, tmp_path, bad, words):
    rows = [f"{n},{n},x,True" for n in range(2, 200)]
    rows[148] = bad  # under the header, which is the first
    (tmp_path / "f.csv").write_text(HEADER + "\n" + "\n".join(rows))
    with pytest.raises(RunError) as error:
        run("--csv", tmp_path / "f.csv", "--output", tmp_path / "out", "--shard-mb", 64 / (1 << 20))
    assert str(error.value).startswith(f"{tmp_path}/f.csv: ")
    assert words in str(error.value)


def test_a_failure_leaves_what_is_committed_and_no_marker(run, births, tmp_path):
    (tmp_path / "births.csv-bad").write_text("0,True,old,k\n")
    with pytest.raises(RunError, match='column mother_age: "old"'):
        run("--csv", tmp_path / "births.csv*", "--output", tmp_path / "out")
    assert set(names(tmp_path / "out")) <= {"LEASE", "run.json", "predictions-00000-of-00002.jsonl", "progress"}
    with pytest.raises(RunError, match='column mother_age: "old"'):  # not: done
        run("--csv", tmp_path / "births.csv*", "--output", tmp_path / "out")


def test_files_without_a_row_are_an_error_and_no_whole_output(run, tmp_path):
    (tmp_path / "f.csv").write_text("is_male,mother_age\n")
    with pytest.raises(RunError, match=r"f\.csv: no rows; expected at least one"):
        run("--csv", tmp_path / "f.csv", "--output", tmp_path / "out")
    assert "COMMITTED" not in names(tmp_path / "out")


def test_a_finished_run_again_does_nothing_and_says_so(run, births, tmp_path):
    command = ("--csv", births, "--output", tmp_path / "out")
    (done,) = messages(run(*command))[-1:]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert messages(run(*command)) == [{**done, "message": "nothing to do"}]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_what_is_missing_of_a_finished_run_is_named_and_not_taken_for_done(run, births, tmp_path):
    command = ("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    run(*command)
    whole = contents(tmp_path / "out")
    gone = next((tmp_path / "out").glob("predictions-00002*"))
    gone.unlink()
    with pytest.raises(commit.DamagedError, match=f"{gone.name}: missing, expected .* remove COMMITTED there"):
        run(*command)
    (tmp_path / "out" / "COMMITTED").unlink()
    run(*command)
    assert contents(tmp_path / "out") == whole


def test_only_the_shards_that_are_missing_are_written(run, births, tmp_path):
    command = ("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    run(*command)
    whole, files = contents(tmp_path / "out"), names(tmp_path / "out")
    for name in ("COMMITTED", "manifest.json"):
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / "progress").mkdir()
    kept = sorted((tmp_path / "out").glob("predictions-*"))
    for index in (0, 3):
        text = kept[index].read_bytes()
        record = f"{index:05d}-{len(text.splitlines())}-{len(text)}-{local.checksum(str(kept[index]))}"
        (tmp_path / "out" / "progress" / record).touch()
    other = kept[5].read_bytes()
    (tmp_path / "out" / "progress" / f"00005-1-{len(other) + 1}-00000000").touch()  # of another writing of it
    before = state(tmp_path / "out")
    (tmp_path / "out" / ".tmp-0123456789abcdef").write_text("what a killed writer leaves")
    out = messages(run(*command))
    assert {line["shard"] for line in out[:-1]} == {path.name for path in kept} - {kept[0].name, kept[3].name}
    after = state(tmp_path / "out")
    assert {name for name in after if after[name] == before[name]} == {kept[0].name, kept[3].name}
    assert contents(tmp_path / "out") == whole
    assert names(tmp_path / "out") == files


def test_what_a_writer_left_that_was_killed_after_the_marker_is_removed(run, births, tmp_path):
    command = ("--csv", births, "--output", tmp_path / "out")
    run(*command)
    files = names(tmp_path / "out")
    (tmp_path / "out" / "progress").mkdir()
    (tmp_path / "out" / "progress" / "00000-1-1-00000000").touch()
    (tmp_path / "out" / "LEASE").touch()
    assert messages(run(*command))[-1]["message"] == "nothing to do"
    assert names(tmp_path / "out") == files


@pytest.mark.parametrize("finished", ["begun", "finished"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("export", "was begun with the export .*1500000000, now the export .*1500000001"),
        ("signature", "was begun with the signature by default, now the signature serving_default"),
        ("format", "was begun with the format json, now the format csv"),
        ("shards", "was begun with shards of 67108864 bytes, now shards of 1048576 bytes"),
        ("content", r"births\.csv was changed since this was begun"),
        ("more", "was begun with 1 files, now 2"),
        ("another", r"was begun with the file .*births\.csv, where now is .*aaa\.csv"),
    ],
)
def test_a_folder_of_other_predictions_is_refused_by_what_differs(
    run, births, tmp_path, job_dir, finished, change, words
):
    shutil.copytree(job_dir, tmp_path / "job")
    command = ["--csv", tmp_path / "*.csv*", "--output", tmp_path / "out"]
    run(*command, model_dir=tmp_path / "job")
    if finished == "begun":
        (tmp_path / "out" / "COMMITTED").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    if change == "export":
        (tmp_path / "job" / "model" / "assets.extra" / "schema.json").write_text(json.dumps(SCHEMA | {"new": True}))
        place(str(tmp_path / "job" / "model"), tmp_path / "job" / "export" / "best" / "1500000001")
    if change == "content":
        births.write_text(births.read_text().replace("True", "Talse"))
    if change == "more":
        (tmp_path / "births.csv.more").write_text("0,True,1,k\n")
    if change == "another":
        (tmp_path / "aaa.csv").write_text("0,True,1,k\n")
    flags = {
        "signature": ["--signature-name", "serving_default"],
        "format": ["--format", "csv"],
        "shards": ["--shard-mb", "1"],
    }
    with pytest.raises(UsageError, match=f"out: .*{words}; expected the same as before, or another folder"):
        run(*command, *flags.get(change, []), model_dir=tmp_path / "job")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_copy_of_the_export_elsewhere_is_the_same_one(run, births, tmp_path, job_dir):
    run("--csv", births, "--output", tmp_path / "out")
    copy = place(f"{job_dir}/model", tmp_path / "copy")
    out = run("--csv", births, "--output", tmp_path / "out", model_dir=copy)
    assert messages(out)[-1]["message"] == "nothing to do"


def test_an_export_without_our_marker_is_known_by_its_content(run, births, tmp_path, job_dir):
    shutil.copytree(f"{job_dir}/model", tmp_path / "model")
    run("--csv", births, "--output", tmp_path / "out", model_dir=tmp_path / "model")
    with open(tmp_path / "model" / "assets.extra" / "schema.json", "a") as file:
        file.write(" ")
    with pytest.raises(UsageError, match="was begun with the export"):
        run("--csv", births, "--output", tmp_path / "out", model_dir=tmp_path / "model")


def test_a_folder_with_other_files_is_left_alone(run, births, tmp_path, job_dir):
    with pytest.raises(UsageError, match=r"holds births\.csv and no run\.json; expected a folder of predictions"):
        run("--csv", births, "--output", tmp_path)
    assert names(tmp_path) == ["births.csv"]
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "run.json").write_text('{"experiment": "babyweight", "flags": {}}')
    with pytest.raises(UsageError, match=r"run\.json: is not of predictions"):
        run("--csv", births, "--output", tmp_path / "job")
    assert names(tmp_path / "job") == ["run.json"]


def test_a_second_writer_is_refused_and_changes_nothing(run, births, tmp_path):
    (tmp_path / "out").mkdir()
    held = lease.acquire(str(tmp_path / "out"))
    with pytest.raises(ConflictError, match=f"process {os.getpid()} holds the lease to write here"):
        run("--csv", births, "--output", tmp_path / "out")
    assert names(tmp_path / "out") == ["LEASE"]
    held.release()
    run("--csv", births, "--output", tmp_path / "out")
    assert "COMMITTED" in names(tmp_path / "out")


def test_a_lost_lease_ends_the_run_before_a_commit(tmp_path):
    shard = sharded.Shard(0, "predictions-00000-of-00001.jsonl", None)

    def lost():
        raise RunError("was taken over")

    with pytest.raises(RunError, match="was taken over"):
        sharded.write(str(tmp_path), shard, [(1, b"{}\n")], before_commit=lost)
    assert names(tmp_path) == []


def test_a_lease_that_is_lost_after_the_last_shard_leaves_the_folder_unsealed(births, tmp_path, job_dir):
    output, checks = str(tmp_path / "out"), []
    made_of = recipe.of(f"{job_dir}/model", [str(births)], signature_name=None, form="json", shard_bytes=9999)
    shards = len(sharded.shards(made_of))

    def lost_in_the_end():
        checks.append(1)
        if len(checks) > shards:
            raise RunError("was taken over")

    with sharded.begun(output, made_of), pytest.raises(RunError, match="was taken over"):
        writing.run(output, made_of, batch_size=99, check=lost_in_the_end, interrupted=lambda: None)
    assert len(sharded.committed(output, made_of)) == shards
    assert not commit.is_committed(output)


def test_who_comes_when_all_is_done_by_another_writes_nothing(run, births, tmp_path):
    run("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    made_of, before = recipe.load(str(tmp_path / "out")), state(tmp_path / "out")
    with sharded.begun(str(tmp_path / "out"), made_of):
        assert sharded.missing(str(tmp_path / "out"), made_of) == []
        assert sharded.seal(str(tmp_path / "out"), made_of).rows == 1000
    assert state(tmp_path / "out") == before


def test_a_folder_is_not_sealed_while_a_shard_is_missing(births, tmp_path, job_dir):
    output = str(tmp_path / "out")
    made_of = recipe.of(f"{job_dir}/model", [str(births)], signature_name=None, form="json", shard_bytes=3000)
    with sharded.begun(output, made_of) as held:
        for shard in sharded.missing(output, made_of)[1:]:
            sharded.write(output, shard, [(1, b"{}\n")], before_commit=held.check)
        with pytest.raises(RunError, match=r"predictions-00000-of-00007\.jsonl: is missing"):
            sharded.seal(output, made_of)
    assert not commit.is_committed(output)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("out/", "folder"),
        ("out", "folder"),
        ("there.v1", "folder"),
        ("out.v1/", "folder"),
        ("out.json", "file"),
        ("out.jsonl", "file"),
        ("file", "file"),
        ("new/out.csv", "file"),
    ],
)
def test_a_folder_is_told_from_a_file_by_its_name_or_by_what_is_there(run, births, tmp_path, output, kind):
    (tmp_path / "there.v1").mkdir()
    (tmp_path / "file").write_text("before")
    run("--csv", births, "--output", f"{tmp_path}/{output}")
    assert (tmp_path / output).is_dir() == (kind == "folder")


def test_instances_never_go_to_a_folder(run, tmp_path):
    (tmp_path / "f").write_text('{"is_male": "True", "mother_age": 26}\n')
    run("--json-instances", tmp_path / "f", "--output", tmp_path / "out")
    assert (tmp_path / "out").read_text() == '{"outputs": 14.0}\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--csv", "-", "--output", "out/"], "--csv -: only to a file or standard output; out/ is a folder"),
        (["--csv", "a", "--output", "out/", "--format", "table"], "--format table: only to a file"),
        (["--csv", "a", "--shard-mb", "1"], "--shard-mb: only with --csv and a folder as --output"),
        (["--csv", "a", "--runner", "DirectRunner"], "--runner: only with --csv and a folder as --output"),
        (["--json-instances", "a", "--output", "out/", "--runner", "x"], "--runner: only with --csv"),
        (["--csv", "a", "--output", "out/", "--", "--project", "p"], "--project: unexpected; only with --runner"),
        (["--csv", "a", "--", "--project", "p"], "--project: unexpected; only with --runner"),
        (["--csv", "a", "--output", "out/", "--shard-mb", "0"], "'0': expected a number greater than 0"),
        (["--csv", "a", "--output", "out/", "--shard-mb", "many"], "'many': expected a number greater than 0"),
        (["--csv", "a", "--output", "out/", "--shard-mb", "nan"], "'nan': expected a number greater than 0"),
    ],
)
def test_flags_that_do_not_go_together_are_refused_by_name(arguments, words):
    with pytest.raises(UsageError, match=words):
        predict.main(["--model-dir", "d", *arguments])


def test_a_runner_without_beam_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"Apache Beam is not installed; .*pip install 'apache-beam\[gcp\]>="):
        predict.main(["--model-dir", "d", "--csv", "a", "--output", "out/", "--runner", "DirectRunner"])


def test_the_version_of_beam_that_is_asked_for_is_that_of_the_package():
    assert pipelines.PACKAGE in (ROOT / "setup.py").read_text()


def test_a_terminal_gets_a_bar_and_a_sentence(run, births, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = run("--csv", births, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    assert "1,000 rows" in out
    assert "rows/s" in out
    assert f"done: {tmp_path}/out has 1,000 predictions in 7 shards" in " ".join(out.split())


# Killed


@pytest.fixture
def long(tmp_path):
    """A CSV file of 300 shards of 3 KB."""
    file = tmp_path / "long.csv"
    file.write_text("".join(f"7.5,True,{n % 50},key {n:06d}\n" for n in range(45_000)))
    return file


def start(job_dir, *arguments):
    """A real process of the command, which waits when it has said a page of lines that nobody has read."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    words = [sys.executable, "-m", "trainer.predict", "--model-dir", job_dir, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": 4096}
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, **pipes)


def until_committed(process, shards):
    """Wait until so many shards are committed."""
    for _ in range(shards):
        assert "committed" in process.stdout.readline()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=lambda value: str(value),
)
def test_a_killed_run_goes_on_where_it_was_and_ends_as_if_it_was_not(run, long, tmp_path, job_dir, number, code):
    command = ("--csv", long, "--output", tmp_path / "out", "--shard-mb", SHARD / 1024)
    with start(job_dir, *command) as process:
        until_committed(process, 20)
        process.send_signal(number)
        _, errors = process.communicate()
    assert (process.returncode, errors) == (code, "")
    made_of = recipe.load(str(tmp_path / "out"))
    before = state(tmp_path / "out")
    kept = sharded.committed(str(tmp_path / "out"), made_of)
    assert 20 <= len(kept) < 200, "it was not killed in the middle"
    if number != signal.SIGKILL:
        assert {name for name in names(tmp_path / "out") if name.startswith(".tmp-")} == set()
    out = messages(run(*command))
    after = state(tmp_path / "out")
    assert [name for name in kept if after[name] != before[name]] == []
    assert len(out) - 1 == len(after) - len(kept)
    run("--csv", long, "--output", tmp_path / "alone.jsonl")
    assert contents(tmp_path / "out") == (tmp_path / "alone.jsonl").read_text()
    assert not [name for name in names(tmp_path / "out") if name.startswith((".tmp-", "progress", "LEASE"))]
    commit.verify(str(tmp_path / "out"))


# In a bucket


def copied(source, destination):
    for path in Path(source).rglob("*"):
        if path.is_file():
            paths.write_bytes(f"{destination}/{path.relative_to(source)}", path.read_bytes())


def test_a_bucket_holds_the_same_folder_as_a_disk(run, births, tmp_path, job_dir, gcs):
    copied(f"{job_dir}/export", f"{gcs}/job/export")
    paths.write_bytes(f"{gcs}/in/births.csv", births.read_bytes())
    small = ("--shard-mb", SHARD / 1024)
    run("--csv", births, "--output", tmp_path / "out", *small)
    there = f"{gcs}/predictions"
    command = ("--csv", f"{gcs}/in/*.csv", "--output", there, *small)
    done = messages(run(*command, model_dir=f"{gcs}/job"))[-1]
    assert (done["rows"], done["output"]) == (1000, there)
    files = paths.list_names(there)
    assert files == names(tmp_path / "out")
    for name in files:
        if name.startswith("predictions-"):
            assert paths.read_bytes(f"{there}/{name}") == (tmp_path / "out" / name).read_bytes()
    commit.verify(there)
    assert messages(run(*command, model_dir=f"{gcs}/job"))[-1] == {**done, "message": "nothing to do"}
    paths.write_bytes(f"{gcs}/in/births.csv", births.read_bytes())  # the same content, but another generation
    with pytest.raises(UsageError, match=r"births\.csv was changed since this was begun"):
        run(*command, model_dir=f"{gcs}/job")


def test_a_run_that_was_killed_in_a_bucket_goes_on(run, births, job_dir, gcs):
    output = f"{gcs}/out"
    made_of = recipe.of(
        f"{job_dir}/export/best/1500000000", [str(births)], signature_name=None, form="json", shard_bytes=3 << 10
    )
    with sharded.begun(output, made_of) as held:
        first, second, third, *_ = sharded.missing(output, made_of)
        sharded.write(output, first, [(1, b'{"kept": true}\n')], before_commit=held.check)
        sharded.write(output, second, [(1, b'{"kept": true}\n')], before_commit=held.check)
        paths.write_bytes(paths.join(output, third.name), b"without a record")
    paths.write_bytes(paths.join(output, second.name), b'{"kept": trua}\n')  # as long, but another content
    out = messages(run("--csv", births, "--output", output, "--shard-mb", SHARD / 1024))
    assert paths.read_bytes(paths.join(output, first.name)) == b'{"kept": true}\n'
    assert {second.name, third.name} <= {line.get("shard") for line in out}
    assert b"kept" not in paths.read_bytes(paths.join(output, second.name))
    commit.verify(output)


def test_two_processes_write_a_folder_one_after_the_other(run, births, gcs):
    held = lease.acquire(f"{gcs}/out")
    with pytest.raises(ConflictError, match="holds the lease"):
        run("--csv", births, "--output", f"{gcs}/out")
    held.release()
    run("--csv", births, "--output", f"{gcs}/out")
    assert commit.is_committed(f"{gcs}/out")


def test_errors_of_a_folder_are_one_line(births, tmp_path, job_dir, capsys):
    (tmp_path / "bad.csv").write_text("0,True,old,k\n")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    argv = ["--model_dir", job_dir, "--csv", str(tmp_path / "bad.csv"), "--output", str(tmp_path / "out")]
    assert command.run(predict.main, prog="trainer.predict", argv=argv) == 1
    for number, handler in handlers.items():
        signal.signal(number, handler)
    expected = f'trainer.predict: error: {tmp_path}/bad.csv: row 1: column mother_age: "old": expected a number\n'
    assert capsys.readouterr().err == expected
