"""Which processes train together, and which of them this one is, as TF_CONFIG or CLUSTER_SPEC says.

    cluster = from_environment(os.environ)
    distribution = distribution_of(cluster, run.distribution)
    schedule = schedule_of(cluster, run.schedule, distribution)

Both dialects of TF_CONFIG are read (`master`, as Cloud ML Engine wrote it up to TensorFlow 1.15, is `chief` here), and
Vertex AI's CLUSTER_SPEC with its numbered pools. An evaluator may be listed in the cluster or not: it trains with
nobody. `environment` is not looked at.

    {"cluster": {"master": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]},
     "task": {"type": "worker", "index": 1, "trial": "3"}, "environment": "cloud"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from trainer.errors import UsageError
from trainer.settings.run import Distribution, Schedule


VARIABLES = ("TF_CONFIG", "CLUSTER_SPEC")
ROLES = ("chief", "worker", "ps", "evaluator")
OTHER_NAMES = {"master": "chief", **{f"workerpool{i}": role for i, role in enumerate(ROLES)}}
EXPECTED = "expected chief, master, worker, ps or evaluator"
NEEDS_CLUSTER = ("run_std_server",)


@dataclass(frozen=True)
class Cluster:
    """The tasks that train together; none for a process that was told of no cluster."""

    addresses: Mapping[str, tuple[str, ...]]  # host:port of each task, by role; evaluators are not among them
    role: str | None = None  # of this process
    index: int = 0  # among those of its role
    trial: str = ""  # of a tuning job

    @property
    def size(self) -> int:
        """How many tasks train together."""
        return sum(map(len, self.addresses.values()))

    @property
    def trainers(self) -> dict[str, tuple[str, ...]]:
        """The tasks that compute train steps where there are no parameter servers: the chief first, then workers."""
        return {role: hosts for role, hosts in self.addresses.items() if role != "ps"}

    @property
    def position(self) -> int:
        """The place of this task among the `trainers`."""
        return self.index + (1 if self.role == "worker" and "chief" in self.addresses else 0)

    def described(self) -> str:
        """The tasks in words: `a cluster of 1 chief, 2 worker`."""
        return "a cluster of " + ", ".join(f"{len(hosts)} {role}" for role, hosts in self.addresses.items())

    @property
    def is_chief(self) -> bool:
        """Whether this process saves and exports: the chief, or the first worker where there is none, or one alone."""
        if self.role == "evaluator":
            return False
        return self.size < 2 or (self.role == ("chief" if "chief" in self.addresses else "worker") and self.index == 0)


ALONE = Cluster({})


def from_environment(environ: Mapping[str, str]) -> Cluster:
    """The cluster that the environment describes; of two descriptions TF_CONFIG's, unless it has no cluster.

    Raises `UsageError`, naming the variable, for what is no description of one.
    """
    described = [_described(name, environ[name]) for name in VARIABLES if environ.get(name, "").strip()]
    of_many = [cluster for cluster in described if cluster.size or cluster.role == "evaluator"]
    return next(iter([*of_many, *described]), ALONE)


def schedule_of(cluster: Cluster, given: Schedule | None, distribution: Distribution) -> Schedule | None:
    """What this process does; None where that is nothing.

    The platforms give all tasks the same flags, so `--schedule` says what the chief does, or a process alone. The
    others do what their role is: workers train with the chief, or serve it and its parameter servers.
    """
    if cluster.role == "evaluator":
        return "continuous_eval"
    if cluster.size < 2:
        if given in NEEDS_CLUSTER:
            others = ", ".join(word for word in get_args(Schedule) if word not in NEEDS_CLUSTER)
            raise UsageError(f"--schedule: {given}: needs a cluster, and TF_CONFIG has none; expected one of {others}")
        return given or "train_and_evaluate"
    if cluster.is_chief:
        if given in NEEDS_CLUSTER:
            raise UsageError(f"--schedule: {given}: is not for the chief; leave the flag out, the role says it")
        return given or "train_and_evaluate"
    if given in ("evaluate", "continuous_eval"):
        return None  # the chief does that alone
    return "train" if cluster.role == "worker" and distribution == "multi_worker_mirrored" else "run_std_server"


def distribution_of(cluster: Cluster, given: Distribution) -> Distribution:
    """How the steps are spread: what `--distribution` says, else what fits; `auto` where the devices are to say it.

    Raises `UsageError`, naming the flag, for what the cluster cannot do.
    """
    fitting: tuple[Distribution, ...] = ("multi_worker_mirrored",)
    if cluster.size < 2:
        fitting = ("auto", "default", "mirrored")
    elif "ps" in cluster.addresses:
        fitting = ("parameter_server", "multi_worker_mirrored")
    if given != "auto" and given not in fitting:
        tasks = cluster.described() if cluster.size > 1 else "one process"
        raise UsageError(f"--distribution: {given}: does not fit {tasks}; expected {', '.join(fitting)}")
    return fitting[0] if given == "auto" else given


def facts(cluster: Cluster) -> dict[str, Any]:
    """What `run.json` says of the cluster; never the variable as it is, which may hold a job's arguments."""
    trial = {"trial": cluster.trial} if cluster.trial else {}
    if not cluster.size:
        return trial
    return {"cluster": dict(cluster.addresses), "task": {"type": cluster.role, "index": cluster.index}, **trial}


def _described(variable: str, text: str) -> Cluster:
    try:
        config = _object(_parsed(text), "expected a JSON object")
        by_name = _object(config.get("cluster") or {}, "cluster: expected an object with hosts by task type")
        task = _object(config.get("task") or {}, "task: expected an object with type, index and trial")
        addresses = _addresses(by_name)
        role = _role(task["type"], "task: type") if task.get("type") else None
        cluster = Cluster(addresses, role, _index(task), str(task.get("trial") or ""))
        _check(cluster)
    except UsageError as error:
        raise UsageError(f"{variable}: {error}") from error
    return cluster


def _addresses(by_name: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The hosts by role, the chief's first, without roles that have none and without evaluators."""
    found: dict[str, tuple[str, ...]] = {}
    for name, hosts in by_name.items():
        role, listed = _role(name, "cluster"), _hosts(name, hosts)
        if role in found and listed:
            raise UsageError("cluster: has both chief and master; expected one of them")
        if listed:
            found[role] = listed
    return {role: found[role] for role in ("chief", "worker", "ps") if role in found}


def _check(cluster: Cluster) -> None:
    role, index, hosts = cluster.role, cluster.index, cluster.addresses
    if len(hosts.get("chief", ())) > 1:
        raise UsageError(f"cluster: {len(hosts['chief'])} hosts for chief; expected one")
    if "ps" in hosts and "chief" not in hosts and cluster.size > 1:
        raise UsageError("cluster: has ps but no chief; expected a chief or master, which gives them work")
    if "ps" in hosts and "worker" not in hosts and cluster.size > 1:
        raise UsageError("cluster: has ps but no worker; expected workers, which compute what the ps keep")
    if role == "evaluator":
        if index:
            raise UsageError(f"task: evaluator {index}: expected evaluator 0, the only one")
        return
    if cluster.size > 1 and role is None:
        raise UsageError(f"task: type: not given, in a cluster of {cluster.size}; {EXPECTED}")
    if cluster.size and role is not None and index >= len(hosts.get(role, ())):
        known = ", ".join(
            f"{name} 0" + (f" to {len(hosts[name]) - 1}" if len(hosts[name]) > 1 else "") for name in hosts
        )
        raise UsageError(f"task: {role} {index} is not in the cluster; expected {known}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if len(text) <= 60 else text[:60] + "..."
        raise UsageError(f"{shown!r}: expected JSON: {error}") from error


def _object(value: Any, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{json.dumps(value)}: {expected}")
    return value


def _role(name: Any, place: str) -> str:
    role = OTHER_NAMES.get(name, name) if isinstance(name, str) else name
    if role not in ROLES:
        raise UsageError(f"{place}: {name!r} is unknown; {EXPECTED}")
    return str(role)


def _hosts(name: str, hosts: Any) -> tuple[str, ...]:
    """The hosts of a task type, without the empty ones that some schedulers write at the end or alone."""
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise UsageError(f"cluster: {name}: {json.dumps(hosts)}: expected a list of host:port")
    while hosts and not hosts[-1]:
        hosts = hosts[:-1]
    if not all(hosts):
        raise UsageError(f"cluster: {name}: host {hosts.index('')} is empty; expected host:port")
    return tuple(hosts)


def _index(task: Mapping[str, Any]) -> int:
    """The index of this process among those of its type; a string in some schedulers' words."""
    text = str(task.get("index") or 0)
    if not text.isdecimal():
        raise UsageError(f"task: index: {text!r}: expected 0 or more")
    return int(text)
