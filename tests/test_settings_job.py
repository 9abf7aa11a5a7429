"""Where a job reads and writes."""

import argparse
import types

import pytest

from trainer.errors import RunError, UsageError
from trainer.experiments import babyweight
from trainer.settings import command, job
from trainer.settings.run import Run


NAMED = types.SimpleNamespace(__name__="acme.iris", TRAIN_PATTERNS=("train*.csv*",), EVAL_PATTERNS=("test*", "eval*"))
NAMELESS = types.SimpleNamespace(__name__="acme.iris")


def parse(*words):
    parser = command.Parser(prog="test")
    job.add_arguments(parser)
    return parser.parse_args(command.normalized(words))


@pytest.mark.parametrize(
    ("run", "words", "environ", "job_dir"),
    [
        (Run(job_dir="a"), "", {}, "a"),
        (Run(job_dir="a/"), "", {}, "a"),
        (Run(job_dir="/"), "", {}, "/"),
        (Run(job_dir="a"), "--output_dir b", {}, "b"),
        (Run(), "--output-dir=b_c/", {}, "b_c"),
        (Run(), "", {"AIP_MODEL_DIR": "jobs/7/model/"}, "jobs/7"),
        (Run(job_dir="a"), "", {"AIP_MODEL_DIR": "jobs/7/model/"}, "a"),
        (Run(job_dir="gs://bucket/a/"), "", {}, "gs://bucket/a"),
        (Run(job_dir="a"), "--output-dir gs://bucket", {}, "gs://bucket"),
        (Run(), "", {"AIP_MODEL_DIR": "gs://bucket/jobs/7/model/"}, "gs://bucket/jobs/7"),
    ],
)
def test_the_job_dir_is_output_dir_s_then_job_dir_s_then_the_cloud_s(run, words, environ, job_dir):
    assert job.with_job_dir(run, parse(*words.split()), environ).job_dir == job_dir


@pytest.mark.parametrize("environ", [{}, {"AIP_MODEL_DIR": ""}])
def test_no_job_dir_at_all_is_bad_usage(environ):
    with pytest.raises(UsageError, match="--job-dir: not given; expected a folder"):
        job.with_job_dir(Run(), parse(), environ)


@pytest.mark.parametrize(
    ("job_dir", "error", "said"),
    [
        ("gs:/bucket/job", UsageError, "is neither a local path nor gs://BUCKET/PATH"),
        ("s3://bucket/job", UsageError, "is neither a local path nor gs://BUCKET/PATH"),
        ("gs://", RunError, "'' is not the name of a bucket; expected gs://BUCKET/PATH"),
        ("gs:///job", RunError, "'' is not the name of a bucket; expected gs://BUCKET/PATH"),
    ],
)
def test_a_url_that_cannot_be_a_job_dir_is_refused_and_no_folder_of_its_name_is_made(
    job_dir, error, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as raised:
        job.with_job_dir(Run(), parse("--output-dir", job_dir), {})
    assert str(raised.value) == f"{job_dir}: {said}"
    with pytest.raises(error, match=r" gs://BUCKET/PATH$"):
        job.make(Run(job_dir=job_dir))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "/job", "/job/deep"])
def test_a_job_dir_that_cannot_be_made_is_named(below, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=f"--job-dir: {tmp_path}/file{below}: .*; expected a folder that can be written to"
    ):
        job.make(Run(job_dir=f"{tmp_path}/file{below}"))


def files(run, *words, module=NAMED, sample_data=pytest.fail):
    made = job.with_files(run, argparse.Namespace(**vars(parse(*words))), module, sample_data=sample_data)
    return made.train_files, made.eval_files


def test_files_that_are_given_are_stronger_than_a_folder():
    run = Run(train_files=("a", "b"), eval_files=("c",))
    assert files(run, "--data-dir", "d") == (("a", "b"), ("c",))


def test_half_of_the_files_is_bad_usage():
    for run, absent in ((Run(train_files=("a",)), "--eval-files"), (Run(eval_files=("a",)), "--train-files")):
        with pytest.raises(UsageError, match=f"{absent}: not given; expected both"):
            files(run)


def test_a_data_dir_has_the_files_by_their_usual_names(tmp_path):
    (tmp_path / "eval.csv").write_text("")
    train, evaluation = files(Run(), "--data_dir", str(tmp_path))
    assert train == (f"{tmp_path}/train*.csv*",)  # there is none, which reading them will say
    assert evaluation == (f"{tmp_path}/eval*",)


def test_births_of_a_data_dir_may_be_parquet(tmp_path):
    for part in ("train", "eval"):
        (tmp_path / f"{part}.parquet-00000-of-00001").touch()
    run = job.with_files(Run(), parse("--data-dir", str(tmp_path)), babyweight, sample_data=lambda: "")
    assert run.train_files == (f"{tmp_path}/train*.parquet*",)
    assert run.eval_files == (f"{tmp_path}/eval*.parquet*",)


def test_a_pattern_takes_those_with_it_in_their_names(tmp_path):
    assert files(Run(), "--data-dir", str(tmp_path), "--pattern", "00001-of-", module=NAMELESS) == (
        (f"{tmp_path}/train*00001-of-*",),
        (f"{tmp_path}/eval*00001-of-*",),
    )


@pytest.mark.parametrize(("words", "pattern"), [((), "of"), (("--pattern", "00001-of-"), "00001-of-")])
@pytest.mark.parametrize("scheme", ["", "gs://"])
def test_a_bucket_has_them_where_the_preprocessing_of_2017_put_them(scheme, words, pattern, gcs):
    assert files(Run(), "--bucket", scheme + gcs.removeprefix("gs://"), *words) == (
        (f"{gcs}/iris/preproc/train*{pattern}*",),
        (f"{gcs}/iris/preproc/eval*{pattern}*",),
    )


def test_without_any_flag_the_sample_data_is_used(tmp_path):
    assert files(Run(), sample_data=lambda: str(tmp_path))[0] == (f"{tmp_path}/train*.csv*",)


def test_an_experiment_that_does_not_name_its_files_needs_the_flags(tmp_path):
    with pytest.raises(UsageError, match="has no TRAIN_PATTERNS and EVAL_PATTERNS, the globs to look for in"):
        files(Run(), "--data-dir", str(tmp_path), module=NAMELESS)


@pytest.mark.parametrize(
    ("job_dir", "trial", "expected"),
    [
        ("jobs/x", "7", "jobs/x/7"),
        ("jobs/x/7", "7", "jobs/x/7"),
        ("jobs/x/7/", "7", "jobs/x/7"),
        ("jobs/x/17", "7", "jobs/x/17/7"),
        ("gs://bucket/x", "7", "gs://bucket/x/7"),
        ("jobs/x", "", "jobs/x"),
    ],
)
def test_the_job_dir_of_a_trial_ends_in_its_id_once(job_dir, trial, expected):
    assert job.with_job_dir(Run(), parse("--output-dir", job_dir), {}, trial=trial).job_dir == expected


def test_a_trial_of_vertex_s_has_its_folder_already():
    environ = {"AIP_MODEL_DIR": "gs://bucket/x/7/model/"}
    assert job.with_job_dir(Run(), parse(), environ, trial="7").job_dir == "gs://bucket/x/7"
