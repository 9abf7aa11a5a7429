"""Vertex AI: `aiplatform.v1`.

    service = Vertex(target)
    service.submit(translation.body(config.job, "vertex"), submission="5f0c...")

Its resources have numbers for names. What a user calls them is their display name, which the service lets many share;
here a job's is its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.cloud import client, schema
from trainer.cloud.service import SUBMISSION, Serving, Status, Trial, finished
from trainer.cloud.target import Target
from trainer.cloud.translation import SCHEMAS, Kind
from trainer.errors import MissingError, UsageError


KINDS: tuple[Kind, ...] = ("customJobs", "hyperparameterTuningJobs")
PREDICTION_IMAGE = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
MACHINE = "n1-standard-2"


class Vertex:
    """Its jobs, models and endpoints in one project and region, behind a connection."""

    def __init__(self, target: Target) -> None:
        connection = client.connect("aiplatform", endpoint=target.endpoint, region=target.region)
        self._locations = connection.projects().locations()
        self._parent = f"projects/{target.project}/locations/{target.region}"
        self._poll_every_s = target.poll_every_s

    def submit(self, body: Mapping[str, Any], *, submission: str) -> Status:
        kind: Kind = "customJobs" if "jobSpec" in body else "hyperparameterTuningJobs"
        labelled = {**body, "labels": {**body.get("labels", {}), SUBMISSION: submission}}
        schema.check(labelled, api="aiplatform", schema=SCHEMAS[kind])
        jobs, name = getattr(self._locations, kind)(), body["displayName"]
        if any(self._named(name)):
            raise UsageError(f"{name}: this job id is taken; expected another one")
        create = jobs.create(parent=self._parent, body=labelled)
        made = client.send_unless_done(
            create, lambda: next(self._list(jobs, f'labels.{SUBMISSION}="{submission}"', kind), None)
        )
        return _status(made)

    def status(self, job: str) -> Status:
        return _status(self._job(job))

    def cancel(self, job: str) -> None:
        found = self._job(job)
        status = _status(found)
        if status.is_over:
            raise UsageError(f"{job}: has ended already: {status.state}; expected a job that runs")
        kind = found["name"].split("/")[-2]
        client.send(getattr(self._locations, kind)().cancel(name=found["name"], body={}))

    def deploy(self, model: str, version: str, export: str, *, serving: Serving, submission: str) -> str:
        uploaded = self._upload(model, version, export, serving, submission)
        endpoint = self._endpoint(model) or self._made_endpoint(model, submission)
        deployed = {
            "deployedModel": {
                "model": uploaded,
                "displayName": version,
                "dedicatedResources": {
                    "machineSpec": {"machineType": serving.machine_type or MACHINE},
                    "minReplicaCount": 1,
                    "maxReplicaCount": 1,
                },
            },
            "trafficSplit": {"0": 100},
        }
        schema.check(deployed, api="aiplatform", schema="GoogleCloudAiplatformV1DeployModelRequest")
        endpoints = self._locations.endpoints()

        def is_deployed() -> dict[str, Any] | None:
            there = client.send(endpoints.get(name=endpoint["name"])).get("deployedModels", ())
            return {"done": True} if any(each.get("displayName") == version for each in there) else None

        self._wait(
            client.send_unless_done(endpoints.deployModel(endpoint=endpoint["name"], body=deployed), is_deployed)
        )
        return str(endpoint["name"])

    def predict(self, model: str, version: str | None, request: Mapping[str, Any]) -> list[Any]:
        endpoint = self._endpoint(model)
        if not endpoint:
            raise MissingError(f"{model}: no such endpoint in {self._parent}; expected a model that was deployed")
        serving = [each for each in endpoint.get("deployedModels", ()) if endpoint["trafficSplit"].get(each["id"])]
        names = [each.get("displayName", "") for each in serving]
        if version and names != [version]:
            raise UsageError(f"--version: {version}: {model} sends its requests to {', '.join(names) or 'none'}")
        found = client.send(self._locations.endpoints().predict(endpoint=endpoint["name"], body=_values(request)))
        predictions: list[Any] = found["predictions"]
        return predictions

    def _upload(self, model: str, version: str, export: str, serving: Serving, submission: str) -> str:
        """The name of a new version of a model in the registry, which may be its first."""
        models = self._locations.models()
        before = next(self._list(models, f'displayName="{model}"', "models"), None)
        name = before["name"].partition("@")[0] if before else None
        if name and _found(models.get(name=f"{name}@{version}")):
            raise UsageError(f"--version: {version}: {model} has it already; expected another one")
        wanted: dict[str, Any] = {
            "model": {
                "displayName": model,
                "artifactUri": export,
                "versionAliases": [version],
                "containerSpec": {"imageUri": serving.image or PREDICTION_IMAGE},
                "labels": {SUBMISSION: submission},
            }
        }
        if name:
            wanted["parentModel"] = name
        schema.check(wanted, api="aiplatform", schema="GoogleCloudAiplatformV1UploadModelRequest")

        def is_uploaded() -> dict[str, Any] | None:
            """A list of models shows their default versions alone, so a later one is asked for by its alias."""
            labelled = self._list(models, f'labels.{SUBMISSION}="{submission}"', "models")
            found = _found(models.get(name=f"{name}@{version}")) if name else next(labelled, None)
            there = {"model": found["name"], "modelVersionId": found.get("versionId")} if found else {}
            return {"done": True, "response": there} if there else None

        upload = models.upload(parent=self._parent, body=wanted)
        response = self._wait(client.send_unless_done(upload, is_uploaded))
        return f"{response['model'].partition('@')[0]}@{response.get('modelVersionId') or version}"

    def _endpoint(self, model: str) -> dict[str, Any] | None:
        return next(self._list(self._locations.endpoints(), f'displayName="{model}"', "endpoints"), None)

    def _made_endpoint(self, model: str, submission: str) -> dict[str, Any]:
        wanted = {"displayName": model, "labels": {SUBMISSION: submission}}
        schema.check(wanted, api="aiplatform", schema="GoogleCloudAiplatformV1Endpoint")

        def is_made() -> dict[str, Any] | None:
            found = self._endpoint(model)
            return {"done": True, "response": found} if found else None

        create = self._locations.endpoints().create(parent=self._parent, body=wanted)
        made: dict[str, Any] = self._wait(client.send_unless_done(create, is_made))
        return made

    def _wait(self, operation: dict[str, Any]) -> Any:
        """What an operation made, which may be done already."""
        if operation.get("done"):
            return finished(lambda: operation, every_s=0.0)
        owner = operation["name"].split("/")[-4]  # projects/P/locations/L/endpoints/E/operations/O, or without an owner
        of = getattr(self._locations, owner)() if owner in ("models", "endpoints") else self._locations
        look = of.operations().get(name=operation["name"])
        return finished(lambda: client.send(look), every_s=self._poll_every_s)

    def _job(self, job: str) -> dict[str, Any]:
        """The newest job of a display name, or the one with a number; a name begins with a letter."""
        if job.isdecimal():
            requests = (getattr(self._locations, kind)().get(name=f"{self._parent}/{kind}/{job}") for kind in KINDS)
            found = next(filter(None, map(_found, requests)), None)
        else:
            found = max(self._named(job), key=lambda each: each.get("createTime", ""), default=None)
        if found is None:
            raise MissingError(f"{job}: no such job in {self._parent}")
        return found

    def _named(self, job: str) -> Iterator[dict[str, Any]]:
        for kind in KINDS:
            yield from self._list(getattr(self._locations, kind)(), f'displayName="{job}"', kind)

    def _list(self, collection: Any, filtered: str, key: str) -> Iterator[dict[str, Any]]:
        request = collection.list(parent=self._parent, filter=filtered)
        while request is not None:
            answer = client.send(request)
            yield from answer.get(key, ())
            request = collection.list_next(request, answer)


def _found(request: Any) -> dict[str, Any] | None:
    """What is there, if anything."""
    try:
        return client.send(request)
    except MissingError:
        return None


def _values(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a prediction: the signature's name is a parameter here."""
    found = {"instances": request["instances"]}
    if "signature_name" in request:
        found["parameters"] = {"signature_name": request["signature_name"]}
    return found


def _status(job: Mapping[str, Any]) -> Status:
    return Status(
        job=job["displayName"],
        id=job["name"].rpartition("/")[2],
        state=job.get("state", "JOB_STATE_QUEUED").removeprefix("JOB_STATE_"),
        error=job.get("error", {}).get("message", ""),
        created=job.get("createTime", ""),
        started=job.get("startTime", ""),
        ended=job.get("endTime", ""),
        trials=tuple(_trial(trial) for trial in job.get("trials", ())),
    )


def _trial(trial: Mapping[str, Any]) -> Trial:
    final = trial.get("finalMeasurement", {})
    step, metrics = final.get("stepCount"), final.get("metrics", ())
    return Trial(
        trial.get("id", ""),
        trial.get("state", ""),
        {each["parameterId"]: each["value"] for each in trial.get("parameters", ())},
        int(step) if step is not None else None,
        metrics[0].get("value") if metrics else None,
    )
