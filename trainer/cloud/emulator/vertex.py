"""The jobs of Vertex AI: `aiplatform.v1`'s `customJobs` and `hyperparameterTuningJobs`.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.customJobs
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.cloud import rules, translation
from trainer.cloud.emulator import lists, numbers, replicas, times
from trainer.cloud.emulator.calls import Call, Method, refused
from trainer.cloud.emulator.jobs import Job, Jobs, Phase
from trainer.cloud.emulator.mlengine import too_many
from trainer.cloud.emulator.store import Store
from trainer.cloud.emulator.trials import Timed
from trainer.cloud.schema import Path, Problem, shown
from trainer.tuning import objective, space


PREFIX = "JOB_STATE_"
PENDING = {"PREPARING": "PENDING"}
LOCATION = "/v1/projects/{project}/locations/{location}"
CUSTOM, TUNING = "customJobs", "hyperparameterTuningJobs"
INPUTS = {
    CUSTOM: ("displayName", "labels", "jobSpec", "encryptionSpec"),
    TUNING: (
        *("displayName", "labels", "studySpec", "maxTrialCount", "parallelTrialCount", "maxFailedTrialCount"),
        *("trialJobSpec", "encryptionSpec"),
    ),
}
TRIAL_STATES = {"RUNNING": "ACTIVE", "SUCCEEDED": "SUCCEEDED", "STOPPED": "SUCCEEDED", "FAILED": "INFEASIBLE"}
CANCELLED, UNKNOWN = 1, 2  # of google.rpc.Code


class Words:
    """The states of a job, as Vertex AI writes them."""

    def fields(self, phase: Phase, error: str) -> dict[str, Any]:
        code = CANCELLED if phase == "CANCELLED" else UNKNOWN
        found = {"error": {"code": code, "message": error}} if error else {}
        return {"state": PREFIX + PENDING.get(phase, phase), "updateTime": times.now(), **found}

    def phase(self, resource: Mapping[str, Any]) -> Phase:
        state = resource["state"].removeprefix(PREFIX)
        found: Phase = "PREPARING" if state == "PENDING" else state
        return found

    def trials(self, hyperparameters: Mapping[str, Any], trials: Sequence[Timed]) -> dict[str, Any]:
        return {"trials": [_trial(each, objective.tag(hyperparameters)) for each in trials], "updateTime": times.now()}


WORDS = Words()


def methods(store: Store, jobs: Jobs) -> list[Method]:
    """What can be asked."""
    return [
        method
        for kind, schema in ((CUSTOM, "CustomJob"), (TUNING, "HyperparameterTuningJob"))
        for method in _methods(store, jobs, kind, schema)
    ]


def _methods(store: Store, jobs: Jobs, kind: str, schema: str) -> Iterator[Method]:
    def create(call: Call) -> Any:
        body = {name: call.body[name] for name in INPUTS[kind] if name in call.body}
        if problem := next(problems(kind, body), None):
            raise refused([problem])
        number = numbers.fresh()
        name = f"{call.name}/{number}"
        spec = "jobSpec" if kind == CUSTOM else "trialJobSpec"
        plan = replicas.of_job_spec(body[spec])
        too_many(len(plan.replicas), (spec, "workerPoolSpecs"))
        now = times.now()
        made = store.create(name, {"name": name, **body, "createTime": now, **WORDS.fields("QUEUED", "")})
        block = translation.hyperparameters_of(body) if kind == TUNING else None
        jobs.submit(Job(name, call.path["project"], number, plan, WORDS, block))
        return made

    def get(call: Call) -> Any:
        return store.get(call.name)

    def find(call: Call) -> Any:
        return lists.newest_first(store, call, kind)

    def cancel(call: Call) -> Any:
        jobs.cancel(call.name, WORDS)
        return {}

    path, full = f"{LOCATION}/{kind}", f"GoogleCloudAiplatformV1{schema}"
    cancelling = f"GoogleCloudAiplatformV1Cancel{schema}Request"
    yield Method("POST", path, create, "aiplatform", full)
    yield Method("GET", path, find)
    yield Method("GET", f"{path}/{{job}}", get)
    yield Method("POST", f"{path}/{{job}}:cancel", cancel, "aiplatform", cancelling)


def _trial(timed: Timed, metric: str) -> dict[str, Any]:
    """A `Trial`; there is no word for one that was stopped early."""
    trial = timed.trial
    found: dict[str, Any] = {
        "id": trial.id,
        "state": "INFEASIBLE" if timed.is_cut and not trial.final else TRIAL_STATES[trial.state],
        "parameters": [{"parameterId": name, "value": value} for name, value in trial.values.items()],
        "startTime": timed.began,
    }
    if trial.final:
        metrics = [{"metricId": metric, "value": trial.final.value}]
        found["finalMeasurement"] = {"stepCount": str(trial.final.step), "metrics": metrics}
    return found | ({"endTime": timed.ended} if timed.ended else {})


def recover(store: Store, jobs: Jobs) -> None:
    """Say what became of jobs that ran when the emulator was ended."""
    for kind in (CUSTOM, TUNING):
        for name in store.names(f"projects/*/{kind}"):
            jobs.recover(name, WORDS)


def problems(kind: str, body: Mapping[str, Any]) -> Iterator[Problem]:
    """What the service, or this machine, refuses of a body whose fields have the right types."""
    if not body.get("displayName"):
        yield Problem(("displayName",), "not given; expected a name")
    elif len(body["displayName"]) > 128:
        yield Problem(("displayName",), f"{shown(body['displayName'])}: expected at most 128 characters")
    name = "jobSpec" if kind == CUSTOM else "trialJobSpec"
    for problem in _of_spec(body.get(name, {})):
        yield Problem((name, *problem.path), problem.text)
    if kind == TUNING:
        yield from _of_study(body)


def _of_spec(spec: Mapping[str, Any]) -> Iterator[Problem]:
    pools = spec.get("workerPoolSpecs", ())
    if not pools or not pools[0]:
        yield Problem(("workerPoolSpecs",), "expected at least the pool of the primary replica")
        return
    if len(pools) > len(replicas.POOLS):
        yield Problem(("workerPoolSpecs",), f"{len(pools)} pools: expected {len(replicas.POOLS)} at most")
        return
    if int(pools[0].get("replicaCount", 1)) != 1:
        text = f"{pools[0]['replicaCount']}: expected 1, the primary replica"
        yield Problem(("workerPoolSpecs", 0, "replicaCount"), text)
    for position, pool in replicas.pools_of(spec):
        for problem in _of_pool(pool):
            yield Problem(("workerPoolSpecs", position, *problem.path), problem.text)
    output: Path = ("baseOutputDirectory", "outputUriPrefix")
    uri = spec.get("baseOutputDirectory", {}).get("outputUriPrefix")
    if "baseOutputDirectory" in spec and not rules.BUCKET_PATH.fullmatch(uri or ""):
        yield Problem(output, f"{shown(uri)}: expected gs://BUCKET/PATH")


def _of_pool(pool: Mapping[str, Any]) -> Iterator[Problem]:
    if int(pool.get("replicaCount", 1)) < 1:
        yield Problem(("replicaCount",), f"{pool['replicaCount']}: expected 1 or more, or an empty pool")
    if not pool.get("machineSpec", {}).get("machineType"):
        yield Problem(("machineSpec", "machineType"), "not given; expected a machine type, such as n1-standard-4")
    if "containerSpec" in pool:
        text = "this emulator runs no containers; expected pythonPackageSpec"
        yield Problem(("containerSpec",), text)
        return
    package = pool.get("pythonPackageSpec", {})
    for name in ("executorImageUri", "packageUris", "pythonModule"):
        if not package.get(name):
            yield Problem(("pythonPackageSpec", name), "not given; it is required")
    for index, uri in enumerate(package.get("packageUris", ())):
        if not rules.BUCKET_PATH.fullmatch(uri):
            yield Problem(("pythonPackageSpec", "packageUris", index), f"{shown(uri)}: expected gs://BUCKET/PATH")


def _of_study(body: Mapping[str, Any]) -> Iterator[Problem]:
    study = body.get("studySpec", {})
    for name in ("metrics", "parameters"):
        if not study.get(name):
            yield Problem(("studySpec", name), "not given; expected at least one")
            return
    for name in ("maxTrialCount", "parallelTrialCount"):
        if int(body.get(name, 0)) < 1:
            yield Problem((name,), f"{shown(body.get(name, 0))}: expected 1 or more")
            return
    if len(study["metrics"]) > 1:
        yield Problem(("studySpec", "metrics"), f"{len(study['metrics'])} metrics: this emulator seeks one")
        return
    if not {"metricId", "goal"} <= study["metrics"][0].keys():
        yield Problem(("studySpec", "metrics", 0), "expected metricId and goal")
        return
    for problem in space.problems(translation.hyperparameters_of(body)):
        yield Problem(("studySpec", *problem.path), problem.text)
