"""TF_CONFIG: what runs, and one line for what does not."""

import json
from typing import get_args

import pytest

from trainer.errors import UsageError
from trainer.settings import cluster as clusters
from trainer.settings.run import Schedule


GCLOUD = {
    "cluster": {},
    "task": {},
    "environment": "cloud",
    "job": {"job_name": "trainer.task", "args": ["--key=s3cret"]},
}
ONE = {"cluster": {"chief": ["vm:2222"]}, "task": {"type": "chief", "index": 0}}


def read(config):
    return clusters.from_environment({"TF_CONFIG": config if isinstance(config, str) else json.dumps(config)})


def test_without_tf_config_a_process_is_alone():
    assert clusters.from_environment({"PATH": "/bin"}) == clusters.Cluster({})


@pytest.mark.parametrize(
    "config",
    [
        "",
        " \n",
        {},
        GCLOUD,
        {"cluster": None, "task": None},
        {"task": {"type": "master", "index": 0}, "environment": "cloud"},
        {"task": {"type": "", "index": ""}},
        {"cluster": {"worker": [], "ps": [""]}},
    ],
)
def test_a_configuration_without_a_cluster_is_of_one_process(config):
    cluster = read(config)
    assert cluster.size == 0
    assert clusters.facts(cluster) == {}


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (ONE, {"type": "chief", "index": 0}),
        (
            {"cluster": {"master": ["vm:2222"], "ps": []}, "task": {"type": "master", "index": "0"}},
            {"type": "master", "index": 0},
        ),
        ({"cluster": {"worker": ["vm:2222", ""]}}, {"type": None, "index": 0}),
    ],
)
def test_a_cluster_of_one_task_runs_and_is_recorded(config, task):
    cluster = read(config)
    assert cluster.size == 1
    assert clusters.facts(cluster)["task"] == task
    assert list(clusters.facts(cluster)["cluster"].values()) == [("vm:2222",)]


def test_a_job_s_arguments_are_never_recorded():
    assert "s3cret" not in str(clusters.facts(read({**GCLOUD, **ONE})))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "'{': expected JSON"),
        ("{'cluster': {}}", "expected JSON"),
        ("x" * 1000, "'" + "x" * 60 + "...': expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "[]: expected a JSON object"),
        ("3", "3: expected a JSON object"),
        ({"cluster": ["a:1"]}, "cluster: expected an object with hosts by task type"),
        ({"cluster": {"worker": "a:1"}}, 'cluster: worker: "a:1": expected a list of host:port'),
        ({"cluster": {"worker": [1]}}, "cluster: worker: [1]: expected a list of host:port"),
        ({"task": "chief"}, '"chief": task: expected an object with type and index'),
        ({"task": {"type": "pz"}}, "task type 'pz' is unknown; use chief, master, worker, ps or evaluator"),
        ({"task": {"type": "chief", "index": -1}}, "task index '-1': expected 0 or more"),
        ({"task": {"type": "chief", "index": "one"}}, "task index 'one': expected 0 or more"),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "ps"}}, "task ps 0 is not in the cluster; expected chief 0"),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 1}}, "task chief 1 is not in the cluster"),
        (
            {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}},
            "a cluster of 1 chief, 2 worker; expected one task",
        ),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "evaluator"}}, "expected one task at most"),
        ({"task": {"type": "evaluator"}}, "expected one task at most"),
    ],
)
def test_anything_else_is_one_line_that_names_tf_config(config, said):
    with pytest.raises(UsageError) as error:
        read(config)
    assert str(error.value).startswith("TF_CONFIG: ")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("config", [{}, GCLOUD, ONE])
@pytest.mark.parametrize("given", [None, *get_args(Schedule)])
def test_one_process_does_any_schedule_that_needs_no_other(config, given):
    if given in ("continuous_eval", "run_std_server"):
        with pytest.raises(
            UsageError, match=f"--schedule: {given}: needs a cluster, and TF_CONFIG has none; expected one"
        ):
            clusters.schedule_of(read(config), given)
    else:
        assert clusters.schedule_of(read(config), given) == (given or "train_and_evaluate")
