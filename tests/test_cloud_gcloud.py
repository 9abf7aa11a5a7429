"""The gcloud command that sends the same job."""

import json
import shlex

from trainer.cloud import gcloud, translation


TRAINING = {
    "scaleTier": "BASIC",
    "region": "us-central1",
    "runtimeVersion": "2.17",
    "pythonVersion": "3.10",
    "pythonModule": "trainer.task",
    "packageUris": ["gs://bucket/a.tar.gz"],
    "jobDir": "gs://bucket/job",
    "args": ["--name", "it's"],
}
BLOCK = {
    "goal": "MINIMIZE",
    "hyperparameterMetricTag": "rmse",
    "maxTrials": 4,
    "params": [{"parameterName": "a", "type": "INTEGER", "minValue": 1, "maxValue": 3}],
}


def parsed(command):
    """The words of a command, and the configuration that follows it."""
    first, _, rest = command.partition("\n")
    words = shlex.split(first.removesuffix(" <<'END'"))
    return words, json.loads(rest.removesuffix("\nEND"))


def test_cloud_ml_engines_command_has_the_whole_job():
    body = {"jobId": "births_1", "labels": {"a": "b", "c": "d"}, "trainingInput": TRAINING}
    words, config = parsed(gcloud.equivalent(body, project="p", region="us-central1"))
    assert words[:6] == ["gcloud", "ai-platform", "jobs", "submit", "training", "births_1"]
    flags = ["--project=p", "--region=us-central1", "--labels=a=b,c=d", "--module-name=trainer.task"]
    assert words[6:] == [*flags, "--job-dir=gs://bucket/job", "--config=/dev/stdin"]
    assert config == {"trainingInput": TRAINING}


def test_vertex_ais_command_has_the_job_spec():
    body = translation.body({"jobId": "births_1", "trainingInput": TRAINING}, "vertex")
    words, config = parsed(gcloud.equivalent(body, project=None, region="us-central1"))
    assert words == [
        *("gcloud", "ai", "custom-jobs", "create"),
        *("--region=us-central1", "--display-name=births_1", "--config=/dev/stdin"),
    ]
    assert config == body["jobSpec"]


def test_a_tuning_jobs_command_has_its_counts():
    body = translation.body({"jobId": "a", "trainingInput": {**TRAINING, "hyperparameters": BLOCK}}, "vertex")
    words, config = parsed(gcloud.equivalent(body, project="p", region="us-central1"))
    assert words[:4] == ["gcloud", "ai", "hp-tuning-jobs", "create"]
    assert {"--max-trial-count=4", "--parallel-trial-count=1"} <= set(words)
    assert config == {"studySpec": body["studySpec"], "trialJobSpec": body["trialJobSpec"]}
