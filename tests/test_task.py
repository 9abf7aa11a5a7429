"""`python -m trainer.task` as users call it, those of 2017 too."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import trainer
from trainer import task
from trainer.errors import RunError, UsageError
from trainer.experiments import babyweight
from trainer.settings import experiments, logs
from trainer.settings import flags as flag_values
from trainer.settings import run as runs
from trainer.training.loop import Outcome


ROOT = Path(__file__).parent.parent
GCLOUD = {"cluster": {}, "task": {}, "environment": "cloud", "job": {"args": ["--token=s3cret"]}}


@pytest.fixture(scope="module")
def done(births, tmp_path_factory):
    """A run in a process of its own, with the words of a 2017 job and what `gcloud local train` sets."""
    folder = tmp_path_factory.mktemp("done")
    words = "--experiment babyweight --train_steps=8 --train_batch_size 64 --eval_every_secs 600 --hidden-units 8,4"
    words += f" --export_strategy servo --output_dir={folder}/my_job --job-dir {folder}/junk --data_dir {births}"
    environment = os.environ | {"TF_CONFIG": json.dumps(GCLOUD), "API_TOKEN": "s3cret"}
    command = [sys.executable, "-m", "trainer.task", *words.split()]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return types.SimpleNamespace(folder=folder, stdout=done.stdout, stderr=done.stderr)


def test_off_a_terminal_every_line_of_stdout_is_a_json_object_and_stderr_is_empty(done):
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all({"severity", "message"} <= line.keys() for line in lines)
    assert done.stderr == ""


def test_the_last_line_says_where_the_run_ended(done):
    last = json.loads(done.stdout.splitlines()[-1])
    exports = [str(path) for path in (done.folder / "my_job" / "export" / "Servo").iterdir()]
    assert {**last, "metrics": dict.fromkeys(last["metrics"], float)} == {
        "severity": "INFO",
        "message": "done",
        "job_dir": f"{done.folder}/my_job",
        "global_step": 8,
        "metrics": {"loss": float, "rmse": float},
        "exports": exports,
    }


def test_output_dir_is_stronger_than_job_dir(done):
    assert os.listdir(done.folder) == ["my_job"]


def test_the_job_dir_holds_what_is_documented_and_nothing_half_written(done):
    names = {name.split(".tfevents.")[0] for name in os.listdir(done.folder / "my_job")}
    assert names == {"checkpoints", "export", "eval", "events.out", "ENDED", "LEASE", "metrics.jsonl", "run.json"}
    assert not list(done.folder.rglob(".tmp-*"))


def test_run_json_has_flags_versions_files_seed_and_cluster_and_no_secret(done, births):
    text = (done.folder / "my_job" / "run.json").read_text()
    facts = json.loads(text)
    given = {"experiment", "flags", "train_files", "eval_files", "seed", "versions", "cluster"}
    assert facts.keys() == given | {"metric", "goal", "train_steps", "starts"}
    assert (facts["metric"], facts["goal"], facts["train_steps"]) == ("rmse", "min", 8)
    assert facts["experiment"] == "babyweight"
    assert facts["flags"]["job_dir"] == f"{done.folder}/my_job"
    assert (facts["flags"]["train_steps"], facts["flags"]["hidden_units"]) == (8, [8, 4])
    assert facts["train_files"] == [f"{births}/train.csv-0000{i}-of-00004" for i in range(4)]
    assert facts["eval_files"] == [f"{births}/eval.csv-0000{i}-of-00002" for i in range(2)]
    assert facts["seed"] == 1
    assert facts["versions"].keys() == {"trainer", "tensorflow", "keras", "python"}
    assert facts["versions"]["trainer"] == trainer.__version__
    assert facts["cluster"] == {}
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("flags", "threads"),
    [({}, 1), ({"train_batch_size": 16_384}, None), ({"hidden_units": "512,256"}, None), ({"features": "plain"}, 1)],
    ids=str,
)
def test_a_small_model_asks_for_one_thread(flags, threads, births):
    words = ["--train-files", f"{births}/train*", "--eval-files", f"{births}/eval*"]
    for name, value in flags.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    arguments = experiments.parser(babyweight, prog="test", description="").parse_args(words)
    run = runs.from_flags(arguments, babyweight.RUN)
    assert babyweight.build(flag_values.build(babyweight.Config, arguments), run).intra_op_threads == threads


@pytest.mark.slow
@pytest.mark.parametrize(("given", "threads"), [({}, 1), ({"TF_NUM_INTRAOP_THREADS": "2"}, 0)], ids=str)
def test_an_experiment_says_how_many_threads_an_operation_has_unless_the_environment_does(
    given, threads, births, tmp_path
):
    script = "import sys; from trainer import task; task.main(sys.argv[1:]); import tensorflow as tf; "
    script += "print(tf.config.threading.get_intra_op_parallelism_threads())"  # 0: as TensorFlow likes
    words = ["--experiment", "babyweight", "--data-dir", births, "--job-dir", tmp_path, "--schedule", "test"]
    command = [sys.executable, "-c", script, *map(str, words)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | given, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == str(threads)


def test_the_schedule_test_is_one_step_one_batch_and_an_export(train, births, tmp_path):
    last = train("babyweight", data_dir=births, job_dir=tmp_path, schedule="test", train_batch_size=64)[-1]
    assert last["global_step"] == 1
    assert len(last["exports"]) == 2


def test_files_may_be_given_again_or_separated_by_spaces(train, births, tmp_path):
    words = {"eval_files": f"{births}/eval*", "train_steps": 0, "job_dir": tmp_path, "export_strategy": "final"}
    shards = [f"{births}/train.csv-0000{i}-of-00004" for i in range(3)]
    train("babyweight", train_files=(*shards[:2], "--train-files", shards[2], f"{births}/*-00001-of-00004"), **words)
    assert json.loads((tmp_path / "run.json").read_text())["train_files"] == shards


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        ("", {}, "--experiment: not given; expected babyweight, mnist or the import path of a module"),
        ("--job-dir x --learning-rate 3", {}, "--experiment: not given"),
        ("--experiment", {}, "--experiment: expected one argument; see --help"),
        ("--experiment mnist --forward-key", {}, "--forward-key: unexpected"),
        ("--experiment mnist", {}, "--job-dir: not given; expected a folder"),
        ("--experiment mnist --job-dir s3://b/x", {}, "s3://b/x: is neither a local path nor gs://BUCKET/PATH"),
        ("--experiment mnist", {"AIP_MODEL_DIR": "s3://b/x/model/"}, "s3://b/x: is neither a local path nor gs://"),
        ("--experiment mnist --job-dir x --train-files a", {}, "--eval-files: not given; expected both"),
        (
            "--experiment mnist --job-dir x --schedule run_std_server",
            {},
            "--schedule: run_std_server: needs a cluster",
        ),
        (
            "--experiment mnist --job-dir x --distribution parameter_server",
            {},
            "--distribution: parameter_server: does not fit one process; expected auto, default, mirrored",
        ),
        ("--experiment mnist --job-dir x -- --train_steps 3", {}, "unexpected"),
        ("--experiment mnist --job-dir x", {"TF_CONFIG": "no"}, "TF_CONFIG: 'no': expected JSON"),
        ("--experiment tests.iris_experiment --job-dir x", {}, "the experiment has no sample data"),
    ],
)
def test_what_cannot_start_is_refused_before_anything_is_made(words, environ, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as error:
        task.main(words.split(), environ)
    assert said in str(error.value)
    assert os.listdir() == []


def test_a_job_dir_without_a_bucket_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, environ in (("--job-dir gs:///x", {}), ("", {"AIP_MODEL_DIR": "gs:///x/model/"})):
        with pytest.raises(RunError, match=r"^gs:///x: '' is not the name of a bucket; expected gs://BUCKET/PATH$"):
            task.main(["--experiment", "mnist", *words.split()], environ)
    assert os.listdir() == []


def test_help_lists_the_flags_of_the_experiment_that_is_named(capsys):
    texts = []
    for words in (["--help"], ["--experiment", "babyweight", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            task.main(words, {})
        assert stopped.value.code == 0
        texts.append(capsys.readouterr().out)
    assert "--forward-key" not in texts[0]
    assert "--forward-key" in texts[1]
    assert "--train-batch-size N  examples a step, over all workers (default 512)" in texts[1]


@pytest.mark.parametrize(
    ("operations", "more"),
    [({}, []), ({"writes": 12, "writes_a_stop": 2.4}, ["gs:// operations  12 writes, 2.4 writes a stop"])],
)
def test_on_a_terminal_the_end_is_a_small_table(operations, more, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    log = task.log.parent
    monkeypatch.setattr(log, "handlers", log.handlers)
    monkeypatch.setattr(log, "propagate", log.propagate)
    logs.start("INFO")
    outcome = Outcome(1200, {"rmse": 1.0625}, ("jobs/x/export/best/1500000000",), stops=5)
    task.say_done("jobs/x", outcome, operations)
    width = 16 if more else 11
    assert capsys.readouterr().out.splitlines() == [
        f"{'job dir':{width}}  jobs/x",
        f"{'global step':{width}}  1,200",
        f"{'rmse':{width}}  1.0625",
        f"{'export':{width}}  jobs/x/export/best/1500000000",
        *more,
    ]
