"""Where a run writes beside its job dir, by what the flags and the platform's variables say."""

import os

import pytest

from trainer.errors import RunError, UsageError
from trainer.settings import experiments, job, places
from trainer.settings import run as runs
from trainer.settings.places import Places, in_job_dir


VERTEX = {
    "AIP_MODEL_DIR": "gs://bucket/base/model/",
    "AIP_CHECKPOINT_DIR": "gs://bucket/base/checkpoints/",
    "AIP_TENSORBOARD_LOG_DIR": "gs://bucket/base/logs/",
}
DISK = {"AIP_MODEL_DIR": "/b/model/", "AIP_CHECKPOINT_DIR": "/c", "AIP_TENSORBOARD_LOG_DIR": "/logs/"}


def of(words, environ, trial=""):
    """The job dir and the places, as `trainer.task` asks for them."""
    arguments = experiments.parser(None, prog="test", description="").parse_args(words.split())
    run = job.with_job_dir(runs.from_flags(arguments, runs.Run()), arguments, environ, trial=trial)
    return run.job_dir, places.of(run, arguments, environ, trial=trial)


@pytest.mark.parametrize(
    ("words", "environ", "trial", "job_dir", "expected"),
    [
        ("--job-dir a", {}, "", "a", Places("a/checkpoints", "a")),
        ("--job-dir /", {}, "", "/", Places("/checkpoints", "/")),
        ("--job-dir gs://bucket/a/", {}, "", "gs://bucket/a", Places("gs://bucket/a/checkpoints", "gs://bucket/a")),
        (
            "",
            VERTEX,
            "",
            "gs://bucket/base",
            Places("gs://bucket/base/checkpoints", "gs://bucket/base/logs", "gs://bucket/base/model"),
        ),
        ("", DISK, "", "/b", Places("/c", "/logs", "/b/model")),
        ("", {"AIP_MODEL_DIR": "/b/model"}, "", "/b", Places("/b/checkpoints", "/b", "/b/model")),
        ("", {**DISK, "AIP_CHECKPOINT_DIR": ""}, "", "/b", Places("/b/checkpoints", "/logs", "/b/model")),
        ("", {**DISK, "AIP_TENSORBOARD_LOG_DIR": ""}, "", "/b", Places("/c", "/b", "/b/model")),
        ("--job-dir a", DISK, "", "a", Places("a/checkpoints", "a", "/b/model")),
        ("--output-dir a", DISK, "", "a", Places("a/checkpoints", "a", "/b/model")),
        ("--job-dir a", {"AIP_MODEL_DIR": ""}, "", "a", Places("a/checkpoints", "a")),
        ("--job-dir a", {"AIP_MODEL_DIR": "a/model"}, "", "a", Places("a/checkpoints", "a", "a/model")),
        ("--job-dir a", {"AIP_MODEL_DIR": "a/m"}, "", "a", Places("a/checkpoints", "a", "a/m")),
        ("--job-dir ab", {"AIP_MODEL_DIR": "a"}, "", "ab", Places("ab/checkpoints", "ab", "a")),
        (
            "--job-dir a",
            {"CLOUD_ML_HP_METRIC_FILE": "/tmp/hypertune/output.metrics"},
            "",
            "a",
            Places("a/checkpoints", "a", None, "/tmp/hypertune/output.metrics", "0"),
        ),
        (
            "--job-dir a",
            {"CLOUD_ML_HP_METRIC_FILE": "m", "CLOUD_ML_TRIAL_ID": "3"},
            "",
            "a",
            Places("a/checkpoints", "a", None, "m", "3"),
        ),
        (
            "--job-dir a",
            {"CLOUD_ML_HP_METRIC_FILE": "m"},
            "4",
            "a/4",
            Places("a/4/checkpoints", "a/4", None, "m", "4"),
        ),
        (
            "--job-dir a/4",
            {"CLOUD_ML_HP_METRIC_FILE": "m", "CLOUD_ML_TRIAL_ID": "3"},
            "4",
            "a/4",
            Places("a/4/checkpoints", "a/4", None, "m", "3"),
        ),
        (
            "",
            {name: folder.replace("base", "base/7") for name, folder in VERTEX.items()},
            "7",
            "gs://bucket/base/7",
            Places(
                "gs://bucket/base/7/checkpoints",
                "gs://bucket/base/7/logs",
                "gs://bucket/base/7/model",
                trial="7",
            ),
        ),
    ],
)
def test_the_platform_s_places_are_taken_unless_the_user_names_a_job_dir(words, environ, trial, job_dir, expected):
    assert of(words, environ, trial) == (job_dir, expected)


@pytest.mark.parametrize(
    "variable", ["AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR", "CLOUD_ML_HP_METRIC_FILE"]
)
@pytest.mark.parametrize("path", ["s3://b/x", "gs:///x"])
def test_a_url_that_cannot_be_used_is_bad_usage_of_its_variable(variable, path):
    with pytest.raises(UsageError, match=f"^{variable}: {path}: .* gs://BUCKET/PATH$"):
        of("--job-dir a", {variable: path})


@pytest.mark.parametrize(
    ("words", "environ", "kept"),
    [
        ("--job-dir a/b", {"AIP_MODEL_DIR": "a"}, "a/b"),
        ("--job-dir a", {"AIP_MODEL_DIR": "a/"}, "a"),
        ("--job-dir a", {"AIP_MODEL_DIR": "a/checkpoints"}, "a/checkpoints"),
        ("", {"AIP_MODEL_DIR": "gs://bucket/"}, "gs://bucket"),
        ("", {"AIP_MODEL_DIR": "b/m", "AIP_CHECKPOINT_DIR": "b/m/checkpoints/"}, "b/m/checkpoints"),
        ("", {"AIP_MODEL_DIR": "b/m", "AIP_TENSORBOARD_LOG_DIR": "b/m/logs"}, "b/m/logs"),
    ],
)
def test_a_model_that_would_replace_more_is_bad_usage(words, environ, kept):
    with pytest.raises(
        UsageError, match=f"^AIP_MODEL_DIR: .*: {kept} is in it; expected a folder for the model alone$"
    ):
        of(words, environ)


def test_the_folders_are_made(tmp_path):
    where = Places(f"{tmp_path}/c", f"{tmp_path}/e/f", f"{tmp_path}/m/model", f"{tmp_path}/h/metrics")
    places.make(where, f"{tmp_path}/job")
    assert sorted(os.listdir(tmp_path)) == ["c", "e", "h", "m"]
    assert os.listdir(tmp_path / "m") == os.listdir(tmp_path / "h") == []


def test_of_a_job_dir_there_is_nothing_more_to_make(tmp_path):
    places.make(in_job_dir(f"{tmp_path}/job"), f"{tmp_path}/job")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("changed", "variable", "below"),
    [
        ({"checkpoints": "{}/c"}, "AIP_CHECKPOINT_DIR", "/c"),
        ({"events": "{}/e"}, "AIP_TENSORBOARD_LOG_DIR", "/e"),
        ({"model": "{}/m"}, "AIP_MODEL_DIR", ""),
        ({"metric_file": "{}/metrics"}, "CLOUD_ML_HP_METRIC_FILE", ""),
    ],
)
def test_a_folder_that_cannot_be_made_is_named_with_its_variable(changed, variable, below, tmp_path):
    (tmp_path / "file").write_text("")
    own = in_job_dir("job")
    fields = {"checkpoints": own.checkpoints, "events": own.events}
    where = Places(**{**fields, **{name: text.format(tmp_path / "file") for name, text in changed.items()}})
    with pytest.raises(UsageError, match=f"^{variable}: {tmp_path}/file{below}: .*; expected a folder that can be"):
        places.make(where, "job")


def test_a_bucket_that_is_not_there_is_a_server_s_refusal(gcs):
    with pytest.raises(RunError, match=f"^AIP_TENSORBOARD_LOG_DIR: {gcs}-no/logs: no such bucket") as raised:
        places.make(Places("job/checkpoints", f"{gcs}-no/logs"), "job")
    assert not isinstance(raised.value, UsageError)
