"""Which processes train together, and which of them this one is, as TF_CONFIG says.

    cluster = from_environment(os.environ)
    schedule = schedule_of(cluster, run.schedule)

This version trains in one process: without TF_CONFIG, with one that has no cluster, as `gcloud local train` sets it,
or with a cluster of one task.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from trainer.errors import UsageError
from trainer.settings.run import Schedule


TASK_TYPES = ("chief", "master", "worker", "ps", "evaluator")
NEEDS_CLUSTER = ("continuous_eval", "run_std_server")


@dataclass(frozen=True)
class Cluster:
    """The tasks of a run; none for a process that was told of no cluster."""

    addresses: Mapping[str, tuple[str, ...]]  # host:port of each task, by task type
    task_type: str | None = None  # what this process is
    task_index: int = 0

    @property
    def size(self) -> int:
        """How many tasks train together."""
        return sum(map(len, self.addresses.values()))


def from_environment(environ: Mapping[str, str]) -> Cluster:
    """The cluster that TF_CONFIG describes. Raises `UsageError` for what is no description, or not of one process."""
    config = _object(_parsed(environ.get("TF_CONFIG", "").strip() or "{}"), "expected a JSON object")
    hosts_by_type = _object(config.get("cluster") or {}, "cluster: expected an object with hosts by task type")
    task = _object(config.get("task") or {}, "task: expected an object with type and index")
    addresses = {kind: _hosts(kind, hosts) for kind, hosts in hosts_by_type.items()}
    cluster = Cluster(
        {kind: hosts for kind, hosts in addresses.items() if hosts}, task.get("type") or None, _index(task)
    )
    _check(cluster)
    return cluster


def schedule_of(cluster: Cluster, given: Schedule | None) -> Schedule:
    """What this process does: what `--schedule` says, else what a process alone does."""
    if given in NEEDS_CLUSTER and cluster.size < 2:
        others = ", ".join(word for word in get_args(Schedule) if word not in NEEDS_CLUSTER)
        raise UsageError(f"--schedule: {given}: needs a cluster, and TF_CONFIG has none; expected one of {others}")
    return given or "train_and_evaluate"


def facts(cluster: Cluster) -> dict[str, Any]:
    """What `run.json` says of the cluster; never TF_CONFIG as it is, which may hold a job's arguments."""
    if not cluster.size:
        return {}
    return {"cluster": dict(cluster.addresses), "task": {"type": cluster.task_type, "index": cluster.task_index}}


def _check(cluster: Cluster) -> None:
    kind, index = cluster.task_type, cluster.task_index
    if kind is not None and kind not in TASK_TYPES:
        raise UsageError(f"TF_CONFIG: task type {kind!r} is unknown; use {', '.join(TASK_TYPES[:-1])} or evaluator")
    if cluster.size > 1 or kind == "evaluator":
        tasks = ", ".join(f"{len(hosts)} {kind}" for kind, hosts in cluster.addresses.items())
        raise UsageError(
            f"TF_CONFIG: describes a cluster of {tasks or 'more than this evaluator'}; expected one task at most, "
            "since this version trains in one process"
        )
    if cluster.size and kind is not None and index >= len(cluster.addresses.get(kind, ())):
        raise UsageError(f"TF_CONFIG: task {kind} {index} is not in the cluster; expected {min(cluster.addresses)} 0")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise UsageError(f"TF_CONFIG: {shown!r}: expected JSON: {error}") from error


def _object(value: Any, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"TF_CONFIG: {json.dumps(value)}: {expected}")
    return value


def _hosts(kind: str, hosts: Any) -> tuple[str, ...]:
    """The hosts of a task type, without the empty ones that some schedulers write."""
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise UsageError(f"TF_CONFIG: cluster: {kind}: {json.dumps(hosts)}: expected a list of host:port")
    return tuple(host for host in hosts if host)


def _index(task: Mapping[str, Any]) -> int:
    """The index of this process among those of its type; a string in some schedulers' words."""
    text = str(task.get("index") or 0)
    if not text.isdecimal():
        raise UsageError(f"TF_CONFIG: task index {text!r}: expected 0 or more")
    return int(text)
