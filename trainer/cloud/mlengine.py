"""Cloud ML Engine, today AI Platform: `ml.v1`.

service = MlEngine(endpoint=None, project="my-project", poll_every_s=5.0)
service.submit(service.body(config.job), submission="5f0c...")
"""

from collections.abc import Mapping
from typing import Any

from trainer.cloud import client, schema
from trainer.cloud.service import SUBMISSION, Serving, Status, Trial, finished
from trainer.cloud.target import Target
from trainer.cloud.translation import SCHEMAS
from trainer.errors import ConflictError, MissingError, RunError, UsageError


class MlEngine:
    """Its jobs and models in one project, behind a connection."""

    def __init__(self, target: Target) -> None:
        self._projects = client.connect("ml", endpoint=target.endpoint).projects()
        self._parent = f"projects/{target.project}"
        self._poll_every_s = target.poll_every_s

    def submit(self, body: Mapping[str, Any], *, submission: str) -> Status:
        labelled = {**body, "labels": {**body.get("labels", {}), SUBMISSION: submission}}
        schema.check(labelled, api="ml", schema=SCHEMAS["ml"])

        def done() -> dict[str, Any] | None:
            return _of_submission(lambda: self._job(body["jobId"]), submission)

        try:
            create = self._projects.jobs().create(parent=self._parent, body=labelled)
            return _status(client.send_unless_done(create, done))
        except ConflictError as error:
            if found := done():
                return _status(found)
            raise UsageError(
                f"{body['jobId']}: this job id is taken, and none is ever free again; expected another one"
            ) from error

    def status(self, job: str) -> Status:
        return _status(self._job(job))

    def cancel(self, job: str) -> None:
        found = _status(self._job(job))
        if found.is_over:
            raise UsageError(f"{job}: has ended already: {found.state}; expected a job that runs")
        client.send(self._projects.jobs().cancel(name=f"{self._parent}/jobs/{job}", body={}))

    def deploy(self, model: str, version: str, export: str, *, serving: Serving, submission: str) -> str:
        models, name = self._projects.models(), f"{self._parent}/models/{model}"
        try:
            client.send(models.get(name=name))
        except MissingError:
            made = {"name": model} | ({"regions": [serving.region]} if serving.region else {})
            schema.check(made, api="ml", schema="GoogleCloudMlV1__Model")
            create = models.create(parent=self._parent, body=made)
            client.send_unless_done(create, lambda: _found(lambda: client.send(models.get(name=name))))
        wanted = {
            "name": version,
            "deploymentUri": export,
            "framework": "TENSORFLOW",
            "runtimeVersion": serving.runtime_version,
            "pythonVersion": serving.python_version,
            "labels": {SUBMISSION: submission},
        }
        if serving.machine_type:
            wanted["machineType"] = serving.machine_type
        schema.check(wanted, api="ml", schema="GoogleCloudMlV1__Version")
        versions, full = models.versions(), f"{name}/versions/{version}"

        def there() -> dict[str, Any] | None:
            return _of_submission(lambda: client.send(versions.get(name=full)), submission)

        try:
            begun = client.send_unless_done(versions.create(parent=name, body=wanted), there)
        except ConflictError as error:
            raise UsageError(f"--version: {version}: {model} has it already; expected another one") from error
        if "/operations/" in begun.get("name", ""):
            operation = self._projects.operations().get(name=begun["name"])
            finished(lambda: client.send(operation), every_s=self._poll_every_s)
        else:
            self._await_ready(full)
        client.send(versions.setDefault(name=full, body={}))
        return full

    def predict(self, model: str, version: str | None, request: Mapping[str, Any]) -> list[Any]:
        name = f"{self._parent}/models/{model}" + (f"/versions/{version}" if version else "")
        answer = client.send(self._projects.predict(name=name, body=dict(request)))
        if "error" in answer:
            raise RunError(f"{name}: {answer['error']}")
        predictions: list[Any] = answer["predictions"]
        return predictions

    def _job(self, job: str) -> dict[str, Any]:
        return client.send(self._projects.jobs().get(name=f"{self._parent}/jobs/{job}"))

    def _await_ready(self, version: str) -> None:
        """Wait for a version whose operation's name was lost with the answer."""

        def look() -> dict[str, Any]:
            found = client.send(self._projects.models().versions().get(name=version))
            failed = {"error": {"message": found.get("errorMessage")}} if found.get("state") == "FAILED" else {}
            return {"name": version, "done": found.get("state") in ("READY", "FAILED"), **failed}

        finished(look, every_s=self._poll_every_s)


def _found(look: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = look()
        return found
    except MissingError:
        return None


def _of_submission(look: Any, submission: str) -> dict[str, Any] | None:
    """What `look` finds, if it was made by this submission."""
    found = _found(look)
    return found if found and found.get("labels", {}).get(SUBMISSION) == submission else None


def _status(job: Mapping[str, Any]) -> Status:
    return Status(
        job=job["jobId"],
        id=job["jobId"],
        state=job.get("state", "QUEUED"),
        error=job.get("errorMessage", ""),
        created=job.get("createTime", ""),
        started=job.get("startTime", ""),
        ended=job.get("endTime", ""),
        trials=tuple(_trial(trial) for trial in job.get("trainingOutput", {}).get("trials", ())),
    )


def _trial(trial: Mapping[str, Any]) -> Trial:
    final = trial.get("finalMetric", {})
    state = "STOPPED" if trial.get("isTrialStoppedEarly") else trial.get("state", "SUCCEEDED")
    step, value = final.get("trainingStep"), final.get("objectiveValue")
    return Trial(
        trial.get("trialId", ""),
        state,
        trial.get("hyperparameters", {}),
        int(step) if step is not None else None,
        value,
    )
