"""What the replicas of a job run, and the environment that the services give them: pure functions of the job.

    plan = replicas.of_training(job)                 # of Cloud ML Engine
    plan = replicas.of_job_spec(spec)                # of Vertex AI
    replicas.environ(plan, replica, addresses, place)

https://cloud.google.com/ai-platform/training/docs/distributed-training-details and
https://cloud.google.com/vertex-ai/docs/training/distributed-training say what the variables hold.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.cloud import machines
from trainer.storage import paths


ROLES = {"worker": "worker", "parameterServer": "ps", "evaluator": "evaluator"}
POOLS = ("chief", "worker", "ps", "evaluator")
EVALUATOR = "evaluator"
FIRST_WITH_CHIEF = (2, 1)
METRIC_FILE = "hypertune/output.metrics"


@dataclass(frozen=True)
class Replica:
    """One process of a job."""

    role: str  # in TF_CONFIG
    index: int
    pool: str = ""  # workerpool0, of Vertex AI

    def __str__(self) -> str:
        return f"{self.pool}-{self.index}" if self.pool else f"{self.role} {self.index}"

    @property
    def task_name(self) -> str:
        """In the log."""
        return str(self) if self.pool else f"{self.role}-replica-{self.index}"


@dataclass(frozen=True)
class Package:
    """What a replica runs."""

    uris: tuple[str, ...]
    module: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A job as replicas, the primary first."""

    api: Literal["ml", "vertex"]
    packages: Mapping[Replica, Package]
    description: Mapping[str, Any]  # the job as it was sent, for TF_CONFIG
    output: str = ""  # the job dir, or baseOutputDirectory
    timeout_s: float = float("inf")

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All of them, the primary first."""
        return tuple(self.packages)


@dataclass(frozen=True)
class Place:
    """Which run of a plan this is: of a job, or of a trial of it with its hyperparameters."""

    project: str
    job_id: str
    folder: str
    trial: str = ""
    flags: tuple[str, ...] = ()  # with its hyperparameters

    def of(self, replica: Replica) -> str:
        """The folder of a replica."""
        return paths.join(self.folder, replica.task_name)

    def metric_file(self, replica: Replica) -> str:
        """Where a replica says what it measured."""
        return paths.join(self.of(replica), METRIC_FILE)


def of_training(training: Mapping[str, Any]) -> Plan:
    """The replicas of a `trainingInput`, by its scale tier or its own counts."""
    package = Package(
        tuple(training.get("packageUris", ())), training.get("pythonModule", ""), tuple(training.get("args", ()))
    )
    roles = {"master": primary_of(training), **ROLES}
    return Plan(
        "ml",
        {Replica(roles[pool.role], index): package for pool in machines.pools(training) for index in range(pool.count)},
        training,
        training.get("jobDir", ""),
        seconds(training.get("scheduling", {}).get("maxRunningTime")),
    )


def of_job_spec(spec: Mapping[str, Any]) -> Plan:
    """The replicas of a `CustomJobSpec`, whose pools have their roles by position."""
    packages = {
        Replica(POOLS[position], index, f"workerpool{position}"): _package(pool["pythonPackageSpec"])
        for position, pool in pools_of(spec)
        for index in range(int(pool.get("replicaCount", 1)))
    }
    output = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")
    return Plan("vertex", packages, spec, output, seconds(spec.get("scheduling", {}).get("timeout")))


def pools_of(spec: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The pools that are not skipped, with their positions."""
    return ((position, pool) for position, pool in enumerate(spec["workerPoolSpecs"]) if pool)


def primary_of(training: Mapping[str, Any]) -> str:
    """What TF_CONFIG calls the primary: `chief` from runtime 2.1 on."""
    version = tuple(int(part) for part in training.get("runtimeVersion", "0").split(".")[:2] if part.isdecimal())
    return "chief" if training.get("useChiefInTfConfig") or version >= FIRST_WITH_CHIEF else "master"


def arguments(plan: Plan, package: Package, place: Place) -> list[str]:
    """The words after the module's name: the job's, the trial's values, the job dir."""
    words = [*package.args, *place.flags]
    if plan.api == "ml" and plan.output:
        words += ["--job-dir", _output(plan, place)]
    return words


def environ(plan: Plan, replica: Replica, addresses: Mapping[Replica, str], place: Place) -> dict[str, str]:
    """The variables that a service sets for a replica, and those of the job's own."""
    task = {"type": replica.role, "index": replica.index, **({"trial": place.trial} if place.trial else {})}
    cluster = _by(addresses, lambda other: other.role)
    cluster.pop(EVALUATOR, None)
    config = {"cluster": cluster, "task": {**task, "cloud": place.job_id}, "job": plan.description}
    found = {
        "TF_CONFIG": json.dumps({**config, "environment": "cloud"}),
        "CLOUD_ML_PROJECT_ID": place.project,
        "CLOUD_ML_JOB_ID": place.job_id,
        "CLOUD_ML_HP_METRIC_FILE": place.metric_file(replica),
        "PYTHONUNBUFFERED": "1",
    }
    if place.trial:
        found["CLOUD_ML_TRIAL_ID"] = place.trial
    if plan.api == "vertex":
        pools = {
            "cluster": _by(addresses, lambda other: other.pool),
            "task": {**task, "type": replica.pool},
            "job": json.dumps(plan.description),
        }
        found["CLUSTER_SPEC"] = json.dumps({**pools, "environment": "cloud"})
        found |= _places(_output(plan, place)) if plan.output else {}
    return found | dict(plan.packages[replica].env)


def seconds(duration: str | None) -> float:
    """Of `3600s`; for ever where it is not given."""
    return float(duration.removesuffix("s")) if duration else float("inf")


def _package(spec: Mapping[str, Any]) -> Package:
    env = {each["name"]: each.get("value", "") for each in spec.get("env", ())}
    return Package(tuple(spec.get("packageUris", ())), spec["pythonModule"], tuple(spec.get("args", ())), env)


def _output(plan: Plan, place: Place) -> str:
    """Where a run writes: that of a trial ends in its id."""
    return paths.join(plan.output, place.trial) if place.trial else plan.output


def _places(output: str) -> dict[str, str]:
    names = {"AIP_MODEL_DIR": "model", "AIP_CHECKPOINT_DIR": "checkpoints", "AIP_TENSORBOARD_LOG_DIR": "logs"}
    return {variable: paths.join(output, folder, "") for variable, folder in names.items()}


def _by(addresses: Mapping[Replica, str], kind: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for replica, address in addresses.items():
        found.setdefault(kind(replica), []).append(address)
    return found
