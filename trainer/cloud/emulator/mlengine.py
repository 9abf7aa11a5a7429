"""The jobs of Cloud ML Engine: `ml.v1`'s `projects.jobs`.

https://cloud.google.com/ai-platform/training/docs/reference/rest/v1/projects.jobs
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.cloud import rules
from trainer.cloud.emulator import lists, replicas, times
from trainer.cloud.emulator.calls import Call, Method, refused
from trainer.cloud.emulator.jobs import Job, Jobs, Phase
from trainer.cloud.emulator.store import Store
from trainer.cloud.emulator.trials import Timed
from trainer.cloud.schema import Problem
from trainer.tuning import objective, search


MOST_REPLICAS = 16
INPUTS = ("jobId", "labels", "trainingInput", "etag")


class Words:
    """The states of a job as they are."""

    def fields(self, phase: Phase, error: str) -> dict[str, Any]:
        return {"state": phase, **({"errorMessage": error} if error else {})}

    def phase(self, resource: Mapping[str, Any]) -> Phase:
        found: Phase = resource["state"]
        return found

    def trials(self, hyperparameters: Mapping[str, Any], trials: Sequence[Timed]) -> dict[str, Any]:
        timed = {each.trial.id: each for each in trials}
        best = search.best_first(hyperparameters, [each.trial for each in trials])
        output = {
            "isHyperparameterTuningJob": True,
            "hyperparameterMetricTag": objective.tag(hyperparameters),
            "completedTrialCount": str(sum(trial.state in search.ENDED for trial in best)),
            "trials": [_trial(timed[trial.id]) for trial in best],
        }
        return {"trainingOutput": output}


WORDS = Words()


def methods(store: Store, jobs: Jobs) -> list[Method]:
    """What can be asked."""

    def create(call: Call) -> Any:
        body, project = call.body, call.path["project"]
        check(body)
        job_id, training = body["jobId"], body["trainingInput"]
        plan = replicas.of_training(training)
        name = f"projects/{project}/jobs/{job_id}"
        resource = {name: body[name] for name in INPUTS if name in body}
        made = store.create(name, resource | {"createTime": times.now(), "state": "QUEUED", "trainingOutput": {}})
        jobs.submit(Job(name, project, job_id, plan, WORDS, training.get("hyperparameters")))
        return made

    def get(call: Call) -> Any:
        return store.get(call.name)

    def find(call: Call) -> Any:
        return lists.newest_first(store, call, "jobs")

    def cancel(call: Call) -> Any:
        jobs.cancel(call.name, WORDS)
        return {}

    return [
        Method("POST", "/v1/projects/{project}/jobs", create, "ml", "GoogleCloudMlV1__Job"),
        Method("GET", "/v1/projects/{project}/jobs", find),
        Method("GET", "/v1/projects/{project}/jobs/{job}", get),
        Method("POST", "/v1/projects/{project}/jobs/{job}:cancel", cancel, "ml", "GoogleCloudMlV1__CancelJobRequest"),
    ]


def _trial(timed: Timed) -> dict[str, Any]:
    """A `HyperparameterOutput`: one that was stopped early has succeeded too."""
    trial = timed.trial
    found: dict[str, Any] = {
        "trialId": trial.id,
        "hyperparameters": {name: str(value) for name, value in trial.values.items()},
        "state": "CANCELLED" if timed.is_cut else "SUCCEEDED" if trial.state == "STOPPED" else trial.state,
        "startTime": timed.began,
    }
    if trial.final:
        found["finalMetric"] = {"trainingStep": str(trial.final.step), "objectiveValue": trial.final.value}
    if trial.state == "STOPPED":
        found["isTrialStoppedEarly"] = True
    return found | ({"endTime": timed.ended} if timed.ended else {})


def recover(store: Store, jobs: Jobs) -> None:
    """Say what became of jobs that ran when the emulator was ended."""
    for name in store.names("projects/*/jobs"):
        jobs.recover(name, WORDS)


def check(body: Mapping[str, Any]) -> None:
    """Raise `ServiceError` for a job that the service, or this machine, refuses."""
    sent = {name: body[name] for name in body if name in (*INPUTS, "predictionInput")}
    sent.pop("etag", None)
    for name in ("jobId", "trainingInput"):
        if name not in sent and "predictionInput" not in sent:
            raise refused([Problem((name,), "not given")])
    refused_by_rules = list(rules.problems(sent))
    if refused_by_rules:
        raise refused(refused_by_rules)
    training = sent["trainingInput"]
    for name in ("packageUris", "pythonModule"):
        if not training.get(name):
            text = "not given; expected what to run: this emulator runs Python packages, and no containers"
            raise refused([Problem(("trainingInput", name), text)])
    too_many(len(replicas.of_training(training).replicas), ("trainingInput",))


def too_many(count: int, path: tuple[str | int, ...]) -> None:
    """Raise `ServiceError` where a job has more replicas than one machine should start."""
    if count > MOST_REPLICAS:
        text = f"{count} replicas: expected {MOST_REPLICAS} at most, on the one machine of this emulator"
        raise refused([Problem(path, text)])
