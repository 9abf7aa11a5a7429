"""What the replicas of a job are, and what they are told: pure functions. Sizes by tier, environments by API."""

import collections
import json

import pytest

from tests.emulator import pool, training
from trainer.cloud.emulator import replicas
from trainer.cloud.emulator.replicas import Place, Replica


PLACE = Place("p", "births_1", "/runs/births_1")
TRIAL = Place("p", "births_1", "/runs/births_1/3", "3", ("--rate=0.1",))


def sizes(plan):
    return dict(collections.Counter(replica.role for replica in plan.replicas))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"chief": 1}),
        ({"runtimeVersion": "1.15"}, {"master": 1}),
        ({"runtimeVersion": "1.15", "useChiefInTfConfig": True}, {"chief": 1}),
        ({"runtimeVersion": "2.1"}, {"chief": 1}),
        ({"runtimeVersion": "2.10"}, {"chief": 1}),
        ({"scaleTier": "BASIC_GPU"}, {"chief": 1}),
        ({"scaleTier": "STANDARD_1"}, {"chief": 1, "worker": 4, "ps": 3}),
        (
            {
                **{"scaleTier": "CUSTOM", "masterType": "a", "workerType": "a", "evaluatorType": "a"},
                **{"workerCount": "2", "evaluatorCount": 1},
            },
            {"chief": 1, "worker": 2, "evaluator": 1},
        ),
    ],
)
def test_the_replicas_of_a_training_input(fields, expected):
    plan = replicas.of_training(training(["gs://b/a.tar.gz"]) | fields)
    assert sizes(plan) == expected
    assert plan.replicas[0].role in ("chief", "master")


def test_the_replicas_of_a_job_spec_have_their_roles_by_position():
    pools = [pool(["gs://b/a"]), {}, pool(["gs://b/a"], count=2), pool(["gs://b/a"])]
    plan = replicas.of_job_spec({"workerPoolSpecs": pools})
    assert [(replica.role, str(replica)) for replica in plan.replicas] == [
        ("chief", "workerpool0-0"),
        ("ps", "workerpool2-0"),
        ("ps", "workerpool2-1"),
        ("evaluator", "workerpool3-0"),
    ]


@pytest.mark.parametrize(
    ("replica", "words", "task_name"),
    [
        (Replica("master", 0), "master 0", "master-replica-0"),
        (Replica("ps", 2), "ps 2", "ps-replica-2"),
        (Replica("worker", 1, "workerpool1"), "workerpool1-1", "workerpool1-1"),
    ],
)
def test_replicas_are_named_as_the_services_name_them(replica, words, task_name):
    assert (str(replica), replica.task_name) == (words, task_name)


def test_a_trial_has_its_own_places_flags_and_variables():
    plan = replicas.of_training(training(["gs://b/a"], "--x", jobDir="gs://b/job/"))
    (primary,) = plan.replicas
    assert replicas.arguments(plan, plan.packages[primary], PLACE) == ["--x", "--job-dir", "gs://b/job/"]
    words = replicas.arguments(plan, plan.packages[primary], TRIAL)
    assert words == ["--x", "--rate=0.1", "--job-dir", "gs://b/job/3"]
    environ = replicas.environ(plan, primary, {primary: "127.0.0.1:1"}, TRIAL)
    assert environ["CLOUD_ML_TRIAL_ID"] == "3"
    assert environ["CLOUD_ML_HP_METRIC_FILE"] == "/runs/births_1/3/chief-replica-0/hypertune/output.metrics"
    assert json.loads(environ["TF_CONFIG"])["task"]["trial"] == "3"
    assert "CLUSTER_SPEC" not in environ


def test_a_trial_of_vertex_ai_writes_below_its_id_and_gets_no_job_dir():
    spec = {"workerPoolSpecs": [pool(["gs://b/a"], "--x")], "baseOutputDirectory": {"outputUriPrefix": "gs://b/out"}}
    plan = replicas.of_job_spec(spec)
    (primary,) = plan.replicas
    assert replicas.arguments(plan, plan.packages[primary], TRIAL) == ["--x", "--rate=0.1"]
    environ = replicas.environ(plan, primary, {primary: "127.0.0.1:1"}, TRIAL)
    assert environ["AIP_CHECKPOINT_DIR"] == "gs://b/out/3/checkpoints/"
    assert json.loads(environ["CLUSTER_SPEC"])["task"] == {"type": "workerpool0", "index": 0, "trial": "3"}


def test_a_job_without_an_output_is_told_of_none():
    plan = replicas.of_job_spec({"workerPoolSpecs": [pool(["gs://b/a"])]})
    environ = replicas.environ(plan, plan.replicas[0], {plan.replicas[0]: "127.0.0.1:1"}, PLACE)
    assert not [name for name in environ if name.startswith("AIP_")]


@pytest.mark.parametrize(("written", "expected"), [("3600s", 3600.0), ("0.5s", 0.5), (None, float("inf"))])
def test_durations_are_read(written, expected):
    assert replicas.seconds(written) == expected


def test_our_trainer_reads_what_the_replicas_are_told():
    from trainer.settings import cluster

    plan = replicas.of_job_spec({"workerPoolSpecs": [pool(["a"]), pool(["a"], count=2), {}, pool(["a"])]})
    addresses = {replica: f"127.0.0.1:{port}" for port, replica in enumerate(plan.replicas, 5000)}
    for name in ("TF_CONFIG", "CLUSTER_SPEC"):
        for replica in plan.replicas:
            environ = replicas.environ(plan, replica, addresses, TRIAL)
            found = cluster.from_environment({name: environ[name]})
            assert (found.role, found.index, found.trial, found.size) == (replica.role, replica.index, "3", 3)
