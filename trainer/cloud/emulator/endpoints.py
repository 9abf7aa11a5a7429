"""The endpoints of Vertex AI: `aiplatform.v1`'s `endpoints`, with the models that are deployed to them.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints
"""

import itertools
import json
import threading
from collections.abc import Mapping
from typing import Any

from trainer.cloud.emulator import deployments, lists, numbers, times
from trainer.cloud.emulator.calls import Answer, Call, Method, refused
from trainer.cloud.emulator.deployments import Deployments
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.operations import Operations
from trainer.cloud.emulator.store import Resource, Store
from trainer.cloud.emulator.vertex import LOCATION
from trainer.cloud.emulator.vertexmodels import EMPTY, TYPE, Models, metadata
from trainer.cloud.schema import Problem, shown
from trainer.errors import RunError
from trainer.storage import paths


ENDPOINTS = f"{LOCATION}/endpoints"
INPUTS = ("displayName", "description", "labels", "network", "encryptionSpec")
RESOURCES = ("dedicatedResources", "automaticResources", "sharedResources")
STEP = 37  # has no factor in common with 100: each hundred requests is split as the shares say, well mixed


def methods(store: Store, served: Deployments, operations: Operations) -> list[Method]:
    """What can be asked."""
    endpoints = Endpoints(store, served, operations)
    schema = "GoogleCloudAiplatformV1"
    one = f"{ENDPOINTS}/{{endpoint}}"
    return [
        Method("POST", ENDPOINTS, endpoints.create, "aiplatform", f"{schema}Endpoint"),
        Method("GET", ENDPOINTS, lambda call: lists.newest_first(store, call, "endpoints")),
        Method("GET", one, lambda call: store.get(call.name)),
        Method("DELETE", one, endpoints.delete),
        Method("POST", f"{one}:deployModel", endpoints.deploy, "aiplatform", f"{schema}DeployModelRequest"),
        Method("POST", f"{one}:undeployModel", endpoints.undeploy, "aiplatform", f"{schema}UndeployModelRequest"),
        Method("POST", f"{one}:predict", endpoints.predict, "aiplatform", f"{schema}PredictRequest"),
    ]


def recover(store: Store, served: Deployments) -> None:
    """Serve again what was served when the emulator was ended."""
    models = Models(store, Operations(store))
    for name in store.names("projects/*/endpoints"):
        for deployed in store.get(name).get("deployedModels", ()):
            threading.Thread(target=_serve, args=(models, served, name, deployed), name=name, daemon=True).start()


class Endpoints:
    """The endpoints, over the resources of them."""

    def __init__(self, store: Store, served: Deployments, operations: Operations) -> None:
        self._store = store
        self._served = served
        self._operations = operations
        self._models = Models(store, operations)
        self._requests = itertools.count()

    def create(self, call: Call) -> Resource:
        """An endpoint without models."""
        if not call.body.get("displayName"):
            raise refused([Problem(("displayName",), "not given; expected a name")])
        name = f"{call.name}/{call.query.get('endpointId') or numbers.fresh()}"
        now = times.now()
        fields = {key: value for key, value in call.body.items() if key in INPUTS}
        made = self._store.create(name, {"name": name, **fields, "createTime": now, "updateTime": now})
        return self._done(name, "CreateEndpoint", {"@type": f"{TYPE}.Endpoint", **made})

    def delete(self, call: Call) -> Resource:
        """Forget an endpoint that has no models."""
        if self._store.get(call.name).get("deployedModels"):
            text = f"Cannot delete {call.name}: it has deployed models; undeploy them first."
            raise ServiceError("FAILED_PRECONDITION", text)
        self._store.delete(call.name)
        return self._done(call.name, "Delete", EMPTY)

    def deploy(self, call: Call) -> Resource:
        """Begin to serve a model, with a share of the requests."""
        deployed = dict(call.body.get("deployedModel", {}))
        if not deployed.get("model"):
            raise refused([Problem(("deployedModel", "model"), "not given; expected the name of a model")])
        if not any(name in deployed for name in RESOURCES):
            raise refused([Problem(("deployedModel",), f"expected one of {', '.join(RESOURCES)}")])
        model = self._models.get(deployed["model"])
        number = deployed.get("id") or numbers.fresh()
        split = {number if each == "0" else each: share for each, share in call.body.get("trafficSplit", {}).items()}
        endpoint = self._store.get(call.name)
        _check_split(split, {number, *_ids(endpoint)})
        deployed |= {
            "id": number,
            "model": model["name"],
            "modelVersionId": model["versionId"],
            "displayName": deployed.get("displayName") or model["displayName"],
            "createTime": times.now(),
        }

        def work() -> Mapping[str, Any]:
            _start(self._served, call.name, deployed, model)

            def with_it(found: Resource) -> Resource:
                fields = {"trafficSplit": split} if split else {}
                return found | {"deployedModels": [*found.get("deployedModels", ()), deployed], **fields}

            self._store.update(call.name, with_it)
            self._store.change(call.name, updateTime=times.now())
            return {"@type": f"{TYPE}.DeployModelResponse", "deployedModel": deployed}

        return self._operations.begin(_operation(call.name), metadata("DeployModel"), work)

    def undeploy(self, call: Call) -> Resource:
        """Serve a model no more."""
        number = call.body.get("deployedModelId", "")
        endpoint = self._store.get(call.name)
        left = [each for each in endpoint.get("deployedModels", ()) if each["id"] != number]
        if number not in _ids(endpoint):
            raise ServiceError("NOT_FOUND", f"{call.name}: has no deployed model {shown(number)}.")
        split = call.body.get("trafficSplit") or endpoint.get("trafficSplit", {})
        _check_split(split, {number, *_ids(endpoint)})
        if left and split.get(number):
            text = f"{number}: receives {split[number]} % of the requests; expected a trafficSplit without it"
            raise ServiceError("FAILED_PRECONDITION", text)
        rest = {each: share for each, share in split.items() if each != number} if left else {}

        def work() -> Mapping[str, Any]:
            self._served.stop(f"{call.name}/deployedModels/{number}")
            return {"@type": f"{TYPE}.UndeployModelResponse"}

        fields = {"deployedModels": left or None, "trafficSplit": rest or None}
        self._store.change(call.name, **fields, updateTime=times.now())
        return self._operations.begin(_operation(call.name), metadata("UndeployModel"), work)

    def predict(self, call: Call) -> Answer:
        """What the server of one of the models answers, with which it was."""
        endpoint = self._store.get(call.name)
        split = endpoint.get("trafficSplit", {})
        if not any(split.values()):
            raise ServiceError("FAILED_PRECONDITION", f"Endpoint {call.name} doesn't have traffic_split.")
        number = _choice(split, next(self._requests) * STEP % 100)
        deployed = next(each for each in endpoint["deployedModels"] if each["id"] == number)
        model = self._models.get(f"{deployed['model']}@{deployed['modelVersionId']}")
        predict, _ = _routes(call.name, number, model)
        answer = self._served.ask(f"{call.name}/deployedModels/{number}", predict, call.raw)
        if answer.status != 200:
            return answer
        which = {
            "deployedModelId": number,
            "model": deployed["model"],
            "modelDisplayName": model["displayName"],
            "modelVersionId": deployed["modelVersionId"],
        }
        return Answer(200, json.dumps({**json.loads(answer.content), **which}).encode(), answer.media_type)

    def _done(self, name: str, kind: str, response: Mapping[str, Any]) -> Resource:
        return self._operations.done(_operation(name), metadata(kind), response)


def _operation(endpoint: str) -> str:
    return f"{endpoint}/operations/{numbers.fresh()}"


def _ids(endpoint: Mapping[str, Any]) -> list[str]:
    return [each["id"] for each in endpoint.get("deployedModels", ())]


def _check_split(split: Mapping[str, int], known: set[str]) -> None:
    for number in split:
        if number not in known:
            raise refused([Problem(("trafficSplit", number), "there is no such deployed model")])
    if split and sum(int(share) for share in split.values()) != 100:
        raise refused([Problem(("trafficSplit",), f"{shown(dict(split))}: expected shares that add up to 100")])


def _choice(split: Mapping[str, int], place: int) -> str:
    """The model at a place from 0 to 99 of all requests."""
    for number, share in split.items():
        if place < share:
            return number
        place -= share
    return next(number for number, share in split.items() if share)


def _routes(endpoint: str, number: str, model: Mapping[str, Any]) -> tuple[str, str]:
    """Where a container is asked for predictions, and for its health."""
    own = f"/v1/endpoints/{paths.name(endpoint)}/deployedModels/{number}"
    spec = model["containerSpec"]
    return spec.get("predictRoute") or f"{own}:predict", spec.get("healthRoute") or own


def _start(served: Deployments, endpoint: str, deployed: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Serve a model as Vertex AI starts a container: all that it is told is in variables."""
    uri, number = model["artifactUri"], deployed["id"]
    deployments.check_artifact(uri, what="Model directory")
    predict, health = _routes(endpoint, number, model)
    _, project, _, location, *_ = endpoint.split("/")
    variables = {
        "AIP_STORAGE_URI": uri,
        "AIP_PREDICT_ROUTE": predict,
        "AIP_HEALTH_ROUTE": health,
        "AIP_MODE": "PREDICTION",
        "AIP_ENDPOINT_ID": paths.name(endpoint),
        "AIP_DEPLOYED_MODEL_ID": number,
        "AIP_PROJECT_NUMBER": project,
        "AIP_LOCATION": location,
    }
    env = {each["name"]: each.get("value", "") for each in model["containerSpec"].get("env", ())}
    served.start(f"{endpoint}/deployedModels/{number}", arguments=(), environ={**env, **variables}, health=health)


def _serve(models: Models, served: Deployments, endpoint: str, deployed: Mapping[str, Any]) -> None:
    try:
        _start(served, endpoint, deployed, models.get(f"{deployed['model']}@{deployed['modelVersionId']}"))
    except (ServiceError, RunError) as error:
        deployments.log.error("%s: %s", endpoint, error)
