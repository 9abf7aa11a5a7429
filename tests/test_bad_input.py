"""Each bad input ends in one line that names it, and leaves every committed checkpoint and export as it was.

The job dirs are trained once; each test hands a copy of one to `trainer.task` with something wrong.
"""

import functools
import gzip
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import tensorflow as tf

from trainer import task
from trainer.samples import mnist
from trainer.settings import command
from trainer.storage import commit


ROW = "7.25,True,26,Asian Indian,1,39,True,False,None,k"
MORE = ("--train-steps", "120", "--train-batch-size", "64", "--eval-every", "30")


@pytest.fixture
def job_dir(babyweight_job, tmp_path):
    """A copy of a trained job."""
    return Path(shutil.copytree(babyweight_job, tmp_path / "job"))


@pytest.fixture
def run(capsys):
    """Run `trainer.task` in this process as the command line does: returns exit code, stdout and stderr."""
    log = logging.getLogger("trainer")
    before = log.handlers, log.level, log.propagate
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words, environ=None):
        capsys.readouterr()
        main = functools.partial(task.main, environ=environ or {})
        return command.run(main, prog=task.PROG, argv=[str(word) for word in words]), *capsys.readouterr()

    yield run
    log.handlers, log.level, log.propagate = before
    for number, handler in signals.items():
        signal.signal(number, handler)


def committed(job_dir):
    """The content of every file of every committed checkpoint and export."""
    parents = [job_dir / "checkpoints", *(job_dir / "export").iterdir()]
    folders = [Path(folder) for parent in parents for folder in commit.committed(str(parent))]
    return {file: file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def assert_refused(run, job_dir, words, code, said):
    """One line that says this, and nothing committed has changed, nor is anything half-written left there."""
    before = committed(job_dir)
    assert len(before) > 10
    exit_code, stdout, stderr = run("--job-dir", job_dir, *words)
    assert stderr.startswith("trainer.task: error: ")
    assert stderr.count("\n") == 1
    for part in said:
        assert part in stderr
    assert exit_code == code
    for line in stdout.splitlines():
        assert {"severity", "message"} <= json.loads(line).keys()
    assert before.items() <= committed(job_dir).items()


def rows(**wrong):
    """A hundred good rows, with others at the line numbers given as `at_42="..."`."""
    lines = [ROW] * 100
    for at, line in wrong.items():
        lines[int(at.removeprefix("at_")) - 1] = line
    return "\n".join(lines) + "\n"


BAD_FILES = {
    "a missing file": (None, 2, ["bad.csv: no such file; expected a path or a glob"]),
    "an empty file": ("", 2, ["bad.csv", "no data; expected at least one row"]),
    "a short row": (rows(at_42="7.25,True,26"), 1, ["bad.csv", "line 42", "3", "expected 10"]),
    "a long row": (rows(at_42=ROW + ",1"), 1, ["bad.csv", "line 42", "11", "expected 10"]),
    "text for a number": (rows(at_42=ROW.replace("26", "old")), 1, ["bad.csv: line 42", "mother_age", "old", "number"]),
    "a header of other names": (rows(at_1="weight,sex,age,race,babies,weeks,married,smokes,drinks,key"), 1,
                                ["bad.csv", "line 1", "weight_pounds"]),
    "a label that is nan": (rows(at_42=ROW.replace("7.25", "nan")), 1, ["bad.csv: line 42", "weight_pounds", "nan"]),
    "a label that is missing": (rows(at_42=ROW.replace("7.25", "")), 1, ["bad.csv", "line 42", "weight_pounds"]),
    "words in another spelling": (rows().replace("True", "true"), 1, ["bad.csv", "is_male", "true", "True"]),
    "no text at all": ("\0\1\2" * 999, 1, ["bad.csv"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "case"),
    [
        *(("--train-files", case) for case in BAD_FILES),
        *(("--eval-files", case) for case in ("a missing file", "an empty file", "text for a number")),
    ],
)
def test_a_bad_csv_file_is_named_with_line_column_and_expectation(case, flag, run, job_dir, births, tmp_path):
    content, code, said = BAD_FILES[case]
    if content is not None:
        (tmp_path / "bad.csv").write_text(content)
    good = {"--train-files": f"{births}/train*", "--eval-files": f"{births}/eval*"}
    words = [word for pair in {**good, flag: tmp_path / "bad.csv"}.items() for word in pair]
    assert_refused(run, job_dir, [*words, "--experiment", "babyweight", *MORE], code, said)


def test_a_parquet_file_without_the_label_is_named(run, job_dir, births, tmp_path):
    table = pyarrow.table({"is_male": ["True"], "mother_age": [26.0]})
    pyarrow.parquet.write_table(table, tmp_path / "bad.parquet")
    words = ["--experiment", "babyweight", "--train-files", tmp_path / "bad.parquet", "--eval-files", f"{births}/eval*"]
    assert_refused(run, job_dir, [*words, *MORE], 2, ["bad.parquet", "weight_pounds"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--experiment", "babywait"], ["--experiment", "'babywait'", "expected babyweight, mnist or the import path"]),
        (["--experiment", "babyweight", "--data-dir", "nowhere"], ["nowhere/train*.csv*: no such file"]),
        (["--experiment", "babyweight", "--train-steps", "many"], ["--train-steps: 'many': expected a whole number"]),
        (["--experiment", "babyweight", "--train-batch-size", "0"], ["--train-batch-size: 0: expected 1 or more"]),
        (
            ["--experiment", "babyweight", "--schedule", "run_std_server"],
            ["--schedule: run_std_server: needs a cluster"],
        ),
    ],
)
def test_a_bad_flag_is_named(words, said, run, job_dir):
    assert_refused(run, job_dir, words, 2, said)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "expected JSON"),
        ('{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}', "task: type: not given, in a cluster of 2"),
        ('{"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "chief"}}', "cluster: has ps but no worker"),
    ],
)
def test_a_tf_config_that_describes_no_cluster_is_named(config, said, run, job_dir, births):
    with_config = functools.partial(run, environ={"TF_CONFIG": config})
    words = ["--experiment", "babyweight", "--data-dir", births, *MORE]
    assert_refused(with_config, job_dir, words, 2, ["TF_CONFIG: ", said])


def test_a_loss_that_is_no_number_names_the_step_and_the_flag(run, job_dir, births):
    words = ["--experiment", "babyweight", "--data-dir", births, "--learning-rate", "1e30", *MORE]
    assert_refused(run, job_dir, words, 1, ["step 6", "the loss is not a finite number", "--learning-rate"])


def test_another_model_than_the_job_dir_s_is_named(run, job_dir, births):
    words = ["--experiment", "babyweight", "--data-dir", births, "--hidden-units", "7", *MORE]
    assert_refused(run, job_dir, words, 2, ["checkpoints/60: the checkpoint is of another model", "a new --job-dir"])


@pytest.fixture
def digits_job(mnist_job, tmp_path):
    return Path(shutil.copytree(mnist_job, tmp_path / "job"))


def refuse_digits(run, digits_job, train, evaluation, said):
    words = ["--experiment", "mnist", "--train-steps", "40", "--train-batch-size", "20"]
    assert_refused(run, digits_job, [*words, "--train-files", train, "--eval-files", evaluation], 1, said)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_an_image_file_cut_short_is_named(part, run, digits_job, digits, tmp_path):
    for name in mnist.TRAIN:
        content = Path(digits, name).read_bytes()
        (tmp_path / name).write_bytes(content[:-100] if part in name else content)
    refuse_digits(run, digits_job, tmp_path / "train-*", f"{digits}/t10k-*", [f"train-{part}", "bytes"])


def test_a_compressed_image_file_cut_short_is_named(run, digits_job, digits, tmp_path):
    for name in mnist.TRAIN:
        content = gzip.compress(Path(digits, name).read_bytes())
        (tmp_path / f"{name}.gz").write_bytes(content[: len(content) * 2 // 3] if "images" in name else content)
    refuse_digits(run, digits_job, tmp_path / "train-*", f"{digits}/t10k-*", ["train-images-idx3-ubyte.gz"])


@pytest.mark.parametrize("part", ["length", "data"])
def test_a_record_with_a_wrong_checksum_is_named(part, run, digits_job, tmp_path):
    for name in ("train", "test"):
        with tf.io.TFRecordWriter(f"{tmp_path}/{name}.tfrecords") as writer:
            for label in range(10):
                features = tf.train.Features(
                    feature={
                        "image_raw": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(784)])),
                        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
                    }
                )
                writer.write(tf.train.Example(features=features).SerializeToString())
    content = bytearray((tmp_path / "train.tfrecords").read_bytes())
    size = len(content) // 10
    content[3 * size + (9 if part == "length" else 300)] ^= 1
    (tmp_path / "train.tfrecords").write_bytes(content)
    refuse_digits(
        run, digits_job, tmp_path / "train.tfrecords", tmp_path / "test.tfrecords", ["train.tfrecords", "checksum"]
    )


@pytest.mark.parametrize("below", ["", "/job"])
def test_a_job_dir_that_cannot_be_written_to_is_named(below, run, births, tmp_path):
    (tmp_path / "file").write_text("")
    words = ["--experiment", "babyweight", "--data-dir", births, "--job-dir", f"{tmp_path}/file{below}"]
    line = f"--job-dir: {tmp_path}/file{below}: not a directory; expected a folder that can be written to"
    assert run(*words) == (2, "", f"trainer.task: error: {line}\n")


def refuse_full(run, job_dir, births, said):
    words = ["--experiment", "babyweight", "--data-dir", births, *MORE]
    assert_refused(run, job_dir, words, 1, [f"{job_dir}{said}"])
    for folder in commit.committed(str(job_dir / "checkpoints")):
        commit.verify(folder)


def run_with_file_size(size):
    """Like `run`, but in a process of its own, none of whose files may grow larger than this."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    code = f"{limit}; import sys; from trainer import task; from trainer.settings import command; "
    code += "sys.exit(command.run(task.main, prog=task.PROG))"

    def run(*words):
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize(
    ("size", "said"),
    [(200, "/run.json: file too large"), (20_000, "/checkpoints/90: cannot be written: file too large")],
)
def test_a_file_that_may_not_grow_ends_the_run_in_one_line(size, said, job_dir, births):
    refuse_full(run_with_file_size(size), job_dir, births, said)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of ten megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder)]
    mount = subprocess.run(words, capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("free_kb", "said"),
    [
        (0, "/run.json: no space left on device"),
        (60, "/checkpoints/90: cannot be written: no space left on device"),
        (220, ""),  # in the export
    ],
)
def test_a_full_disk_ends_the_run_in_one_line(free_kb, said, run, babyweight_job, births, small_disk):
    job_dir = Path(shutil.copytree(babyweight_job, small_disk / "job"))
    with open(small_disk / "filler", "wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free - free_kb * 1024))
    refuse_full(run, job_dir, births, said)
