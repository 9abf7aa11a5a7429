"""TF_CONFIG and CLUSTER_SPEC: every form in which platforms write them, and one line for what is wrong."""

import json
from typing import get_args

import pytest

from trainer.errors import UsageError
from trainer.settings import cluster as clusters
from trainer.settings.cluster import Cluster
from trainer.settings.run import Schedule


GCLOUD = {
    "cluster": {},
    "task": {},
    "environment": "cloud",
    "job": {"job_name": "trainer.task", "args": ["--key=s3cret"]},
}
ONE = {"cluster": {"chief": ["vm:2222"]}, "task": {"type": "chief", "index": 0}}
HOSTS = {"chief": ("a:1",), "worker": ("b:1", "c:1"), "ps": ("d:1",)}
STANDARD_1 = {"master": ["m:2222"], "worker": [f"w{i}:2222" for i in range(4)], "ps": [f"p{i}:2222" for i in range(3)]}
POOLS = {"workerpool0": ["a:1"], "workerpool1": ["b:1", "c:1"], "workerpool2": ["d:1"]}


def read(config):
    return clusters.from_environment({"TF_CONFIG": config if isinstance(config, str) else json.dumps(config)})


def of(kind, index=0, cluster=None, **task):
    hosts = {role: list(addresses) for role, addresses in HOSTS.items()} if cluster is None else cluster
    return {"cluster": hosts, "task": {"type": kind, "index": index, **task}, "environment": "cloud"}


def test_without_a_description_a_process_is_alone():
    assert clusters.from_environment({"PATH": "/bin"}) == Cluster({})


@pytest.mark.parametrize(
    "config",
    [
        "",
        " \n",
        {},
        GCLOUD,
        {"cluster": None, "task": None},
        {"task": {"type": "master", "index": 0}, "environment": "cloud"},
        {"task": {"type": "worker", "index": 0}},
        {"task": {"type": "", "index": ""}},
        {"cluster": {"worker": [], "ps": [""]}},
    ],
)
def test_a_description_without_a_cluster_is_of_one_process(config):
    cluster = read(config)
    assert cluster.size == 0
    assert cluster.is_chief
    assert clusters.facts(cluster) == {}
    assert clusters.schedule_of(cluster, None, "auto") == "train_and_evaluate"
    assert clusters.distribution_of(cluster, "auto") == "auto"


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (ONE, {"type": "chief", "index": 0}),
        (
            {"cluster": {"master": ["vm:2222"], "ps": []}, "task": {"type": "master", "index": "0"}},
            {"type": "chief", "index": 0},
        ),
        ({"cluster": {"worker": ["vm:2222", ""]}}, {"type": None, "index": 0}),
        (
            {"cluster": {"worker": ["vm:2222"], "evaluator": ["e:1"]}, "task": {"type": "worker"}},
            {"type": "worker", "index": 0},
        ),
    ],
)
def test_a_cluster_of_one_task_trains_alone_and_is_recorded(config, task):
    cluster = read(config)
    assert cluster.size == 1
    assert cluster.is_chief
    assert clusters.facts(cluster)["task"] == task
    assert list(clusters.facts(cluster)["cluster"].values()) == [("vm:2222",)]
    assert clusters.schedule_of(cluster, None, "auto") == "train_and_evaluate"
    assert clusters.distribution_of(cluster, "auto") == "auto"


@pytest.mark.parametrize(
    ("config", "role", "index"),
    [
        (of("chief"), "chief", 0),
        (of("master", cluster={"master": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}), "chief", 0),
        (of("master"), "chief", 0),
        (of("worker", 1), "worker", 1),
        (of("worker", "1"), "worker", 1),
        (of("worker", None), "worker", 0),
        (of("ps"), "ps", 0),
        (of("evaluator"), "evaluator", 0),
        (of("evaluator", cluster={**HOSTS, "evaluator": ["e:1"]}), "evaluator", 0),
        (of("worker", 1, cluster={**HOSTS, "evaluator": ["e:1"]}), "worker", 1),
        ({"cluster": HOSTS, "task": {"type": "worker", "index": 1}}, "worker", 1),
    ],
)
def test_both_dialects_say_the_same(config, role, index):
    assert read(config) == Cluster(HOSTS, role, index)


@pytest.mark.parametrize(
    ("kind", "index", "role"),
    [
        ("workerpool0", 0, "chief"),
        ("workerpool1", 1, "worker"),
        ("workerpool2", 0, "ps"),
        ("workerpool3", 0, "evaluator"),
    ],
)
def test_vertex_s_pools_are_roles(kind, index, role):
    text = json.dumps(of(kind, index, POOLS, trial="") | {"job": "{}"})
    assert clusters.from_environment({"CLUSTER_SPEC": text}) == Cluster(HOSTS, role, index)
    assert clusters.from_environment({"CLUSTER_SPEC": text, "TF_CONFIG": json.dumps(GCLOUD)}).role == role


def test_of_two_descriptions_tf_config_is_taken():
    both = {"TF_CONFIG": json.dumps(of("worker", 1)), "CLUSTER_SPEC": json.dumps(of("workerpool0", 0, POOLS))}
    assert clusters.from_environment(both).role == "worker"


@pytest.mark.parametrize(
    ("kind", "index", "is_chief", "with_servers", "mirrored"),
    [
        ("master", 0, True, "train_and_evaluate", "train_and_evaluate"),
        ("worker", 0, False, "run_std_server", "train"),
        ("worker", 3, False, "run_std_server", "train"),
        ("ps", 2, False, "run_std_server", "run_std_server"),
        ("evaluator", 0, False, "continuous_eval", "continuous_eval"),
    ],
)
def test_the_role_says_what_a_task_of_standard_1_does(kind, index, is_chief, with_servers, mirrored):
    cluster = read(of(kind, index, STANDARD_1))
    assert cluster.is_chief == is_chief
    assert clusters.schedule_of(cluster, None, "parameter_server") == with_servers
    assert clusters.schedule_of(cluster, None, "multi_worker_mirrored") == mirrored


@pytest.mark.parametrize(
    ("given", "chief", "worker", "ps", "evaluator"),
    [
        ("train", "train", "train", "run_std_server", "continuous_eval"),
        ("train_and_evaluate", "train_and_evaluate", "train", "run_std_server", "continuous_eval"),
        ("test", "test", "train", "run_std_server", "continuous_eval"),
        ("evaluate", "evaluate", None, None, "continuous_eval"),
        ("continuous_eval", "continuous_eval", None, None, "continuous_eval"),
    ],
)
def test_a_schedule_that_all_tasks_are_given_is_the_chief_s(given, chief, worker, ps, evaluator):
    cluster = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}
    found = [
        clusters.schedule_of(read(of(role, 0, cluster)), given, "multi_worker_mirrored")
        for role in ("chief", "worker", "ps", "evaluator")
    ]
    assert found == [chief, worker, ps, evaluator]


def test_a_chief_is_not_told_to_serve():
    with pytest.raises(UsageError, match=r"^--schedule: run_std_server: is not for the chief"):
        clusters.schedule_of(read(of("chief")), "run_std_server", "parameter_server")


WORKERS = {"chief": ["a:1"], "worker": ["b:1"]}
SERVERS = {**WORKERS, "ps": ["c:1"]}


@pytest.mark.parametrize(
    ("config", "given", "expected"),
    [
        ({}, "auto", "auto"),
        ({}, "default", "default"),
        ({}, "mirrored", "mirrored"),
        ({}, "multi_worker_mirrored", "one process; expected auto, default, mirrored"),
        (ONE, "parameter_server", "one process; expected auto, default, mirrored"),
        (of("chief", 0, WORKERS), "auto", "multi_worker_mirrored"),
        (of("chief", 0, WORKERS), "multi_worker_mirrored", "multi_worker_mirrored"),
        (of("chief", 0, WORKERS), "parameter_server", "1 chief, 1 worker; expected multi_worker_mirrored"),
        (of("chief", 0, WORKERS), "default", "1 chief, 1 worker; expected multi_worker_mirrored"),
        (of("ps", 0, SERVERS), "auto", "parameter_server"),
        (of("ps", 0, SERVERS), "multi_worker_mirrored", "multi_worker_mirrored"),
        (of("ps", 0, SERVERS), "mirrored", "1 ps; expected parameter_server, multi_worker_mirrored"),
    ],
)
def test_the_distribution_is_the_one_given_where_it_fits_the_cluster(config, given, expected):
    cluster = read(config)
    if " " not in expected:
        assert clusters.distribution_of(cluster, given) == expected
        return
    with pytest.raises(UsageError, match=f"^--distribution: {given}: does not fit .*{expected}$"):
        clusters.distribution_of(cluster, given)


@pytest.mark.parametrize(
    ("role", "index", "cluster", "position"),
    [
        ("chief", 0, SERVERS, 0),
        ("worker", 0, SERVERS, 1),
        ("worker", 1, {"worker": ["a:1", "b:1"]}, 1),
        ("worker", 0, {"worker": ["a:1", "b:1"]}, 0),
    ],
)
def test_each_task_that_trains_has_a_place(role, index, cluster, position):
    found = read(of(role, index, cluster))
    assert found.position == position
    assert "ps" not in found.trainers


def test_without_a_chief_the_first_worker_is_it():
    workers = {"worker": ["a:1", "b:1"]}
    assert [read(of("worker", index, workers)).is_chief for index in (0, 1)] == [True, False]


@pytest.mark.parametrize(
    ("environ", "trial"),
    [
        ({"TF_CONFIG": {"task": {"trial": "7"}}}, "7"),
        ({"TF_CONFIG": {"task": {"trial": 7}}}, "7"),
        ({"TF_CONFIG": {"task": {"trial": ""}}}, ""),
        ({"TF_CONFIG": {"task": {"trial": None}}}, ""),
        ({"CLUSTER_SPEC": of("workerpool0", 0, {"workerpool0": ["a:1"]}, trial="3")}, "3"),
    ],
)
def test_the_trial_of_a_tuning_job_is_known_and_recorded(environ, trial):
    cluster = clusters.from_environment({name: json.dumps(config) for name, config in environ.items()})
    assert cluster.trial == trial
    assert clusters.facts(cluster).get("trial", "") == trial


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
        ({"cluster": ["a:1"]}, '["a:1"]: cluster: expected an object with hosts by task type'),
        ({"cluster": {"worker": "a:1"}}, 'cluster: worker: "a:1": expected a list of host:port'),
        ({"cluster": {"worker": [1]}}, "cluster: worker: [1]: expected a list of host:port"),
        ({"cluster": {"worker": ["", "a:1"]}}, "cluster: worker: host 0 is empty; expected host:port"),
        (
            {"cluster": {"driver": ["a:1"]}},
            "cluster: 'driver' is unknown; expected chief, master, worker, ps or evaluator",
        ),
        (
            {"cluster": {"chief": ["a:1"], "master": ["b:1"]}},
            "cluster: has both chief and master; expected one of them",
        ),
        (of("chief", cluster={"chief": ["a:1", "b:1"]}), "cluster: 2 hosts for chief; expected one"),
        (of("worker", cluster={"worker": ["a:1"], "ps": ["b:1"]}), "cluster: has ps but no chief; expected a chief"),
        (of("chief", cluster={"chief": ["a:1"], "ps": ["b:1"]}), "cluster: has ps but no worker; expected workers"),
        ({"task": "chief"}, '"chief": task: expected an object with type, index and trial'),
        ({"task": {"type": "pz"}}, "task: type: 'pz' is unknown; expected chief, master, worker, ps or evaluator"),
        ({"task": {"type": ["chief"]}}, "task: type: ['chief'] is unknown"),
        ({"task": {"type": "chief", "index": -1}}, "task: index: '-1': expected 0 or more"),
        ({"task": {"type": "chief", "index": "one"}}, "task: index: 'one': expected 0 or more"),
        (of("worker", 2), "task: worker 2 is not in the cluster; expected chief 0, worker 0 to 1, ps 0"),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "ps"}}, "task: ps 0 is not in the cluster; expected chief 0"),
        (
            {"cluster": HOSTS},
            "task: type: not given, in a cluster of 4; expected chief, master, worker, ps or evaluator",
        ),
        (of("evaluator", 1), "task: evaluator 1: expected evaluator 0, the only one"),
    ],
)
@pytest.mark.parametrize("variable", ["TF_CONFIG", "CLUSTER_SPEC"])
def test_anything_else_is_one_line_that_names_the_variable(variable, config, said):
    with pytest.raises(UsageError) as error:
        clusters.from_environment({variable: config if isinstance(config, str) else json.dumps(config)})
    assert str(error.value).startswith(f"{variable}: {said}" if said[0] != "e" else f"{variable}: ")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("config", [{}, GCLOUD, ONE])
@pytest.mark.parametrize("given", [None, *get_args(Schedule)])
def test_one_process_does_any_schedule_that_needs_no_other(config, given):
    if given == "run_std_server":
        with pytest.raises(
            UsageError, match=f"--schedule: {given}: needs a cluster, and TF_CONFIG has none; expected one"
        ):
            clusters.schedule_of(read(config), given, "auto")
    else:
        assert clusters.schedule_of(read(config), given, "auto") == (given or "train_and_evaluate")
