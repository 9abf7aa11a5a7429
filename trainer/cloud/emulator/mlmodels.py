"""The models of Cloud ML Engine: `ml.v1`'s `projects.models`, their versions, and `projects.predict`.

https://cloud.google.com/ai-platform/prediction/docs/reference/rest/v1/projects.models
"""

import threading
from collections.abc import Mapping
from typing import Any

from trainer.cloud import rules
from trainer.cloud.emulator import deployments, lists, numbers, times
from trainer.cloud.emulator.calls import Call, Method, refused
from trainer.cloud.emulator.deployments import Deployments
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.operations import Operations
from trainer.cloud.emulator.store import Resource, Store
from trainer.cloud.schema import Problem, shown
from trainer.errors import RunError
from trainer.storage import paths


TYPE = "type.googleapis.com/google.cloud.ml.v1"
EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
MODELS = "/v1/projects/{project}/models"
VERSIONS = MODELS + "/{model}/versions"
CREATED = "createTime"  # of a model, which is ours: the service has none
OUTPUT_OF_MODEL = ("name", "defaultVersion")
OUTPUT_OF_VERSION = ("name", "createTime", "lastUseTime", "state", "errorMessage", "isDefault")
DIRECTORY = "Field: version.deployment_uri Error: Deployment directory"


def methods(store: Store, served: Deployments, operations: Operations) -> list[Method]:
    """What can be asked."""
    models = Models(store, served, operations)
    set_default = "GoogleCloudMlV1__SetDefaultVersionRequest"
    return [
        Method("POST", MODELS, models.create, "ml", "GoogleCloudMlV1__Model"),
        Method("GET", MODELS, lambda call: models.find(call, "models")),
        Method("GET", MODELS + "/{model}", lambda call: models.shown(store.get(call.name))),
        Method("DELETE", MODELS + "/{model}", models.delete),
        Method("POST", VERSIONS, models.create_version, "ml", "GoogleCloudMlV1__Version"),
        Method("GET", VERSIONS, lambda call: models.find(call, "versions")),
        Method("GET", VERSIONS + "/{version}", lambda call: store.get(call.name)),
        Method("DELETE", VERSIONS + "/{version}", models.delete_version),
        Method("POST", VERSIONS + "/{version}:setDefault", models.set_default, "ml", set_default),
        Method("POST", MODELS + "/{model}:predict", models.predict),
        Method("POST", VERSIONS + "/{version}:predict", models.predict),
    ]


def recover(store: Store, served: Deployments) -> None:
    """Serve again what was served when the emulator was ended."""
    for name in store.names("projects/*/versions"):
        if "/locations/" in name:
            continue  # of Vertex AI
        version = store.get(name)
        if version["state"] == "READY":
            threading.Thread(target=_serve, args=(store, served, version), name=name, daemon=True).start()
        elif version["state"] == "CREATING":
            store.change(name, state="FAILED", errorMessage="The emulator was ended before the version was ready.")


class Models:
    """The models, over the resources of them."""

    def __init__(self, store: Store, served: Deployments, operations: Operations) -> None:
        self._store = store
        self._served = served
        self._operations = operations

    def create(self, call: Call) -> Resource:
        """A model without versions."""
        given = call.body.get("name", "")
        if not rules.JOB_ID.fullmatch(given):
            raise refused([Problem(("name",), f"{shown(given)}: expected letters, digits and _, a letter first")])
        name = f"{call.name}/{given}"
        fields = {key: value for key, value in call.body.items() if key not in OUTPUT_OF_MODEL}
        made = {"name": name, "regions": ["us-central1"], **fields, CREATED: times.now()}
        return self.shown(self._store.create(name, made))

    def find(self, call: Call, kind: str) -> dict[str, Any]:
        """A list of models or versions."""
        if kind == "versions":
            self._store.get(call.parent)
            return lists.newest_first(self._store, call, kind)
        return lists.newest_first(self._store, call, kind, shown=lambda _, model: self.shown(model))

    def shown(self, model: Resource) -> Resource:
        """A model with its default version, as the service shows it."""
        versions = self._store.below(f"{model['name']}/versions")
        default = next((version for version in versions if version.get("isDefault")), None)
        model = {key: value for key, value in model.items() if key != CREATED}
        return model | ({"defaultVersion": default} if default else {})

    def delete(self, call: Call) -> Resource:
        """Forget a model that has no versions."""
        self._store.get(call.name)
        if self._store.names(f"{call.name}/versions"):
            raise ServiceError("FAILED_PRECONDITION", f"Cannot delete {call.name}: it has versions.")
        self._store.delete(call.name)
        return self._operations.done(*self._operation(call, "DELETE_MODEL", call.name), EMPTY)

    def create_version(self, call: Call) -> Resource:
        """Begin to serve a SavedModel as a version; the first becomes the default."""
        model = self._store.get(call.parent)
        _check_version(call.body)
        name = f"{call.name}/{call.body['name']}"
        fields = {key: value for key, value in call.body.items() if key not in OUTPUT_OF_VERSION}
        made = {"name": name, **fields, "createTime": times.now(), "state": "CREATING"}
        version = self._store.create(name, made)

        def work() -> Mapping[str, Any]:
            try:
                _start(self._served, version)
            except (ServiceError, RunError) as error:
                self._store.change(name, state="FAILED", errorMessage=str(error))
                raise
            is_first = "defaultVersion" not in self.shown(model)
            fields = {"isDefault": True} if is_first else {}
            return {"@type": f"{TYPE}.Version", **self._store.change(name, state="READY", **fields)}

        return self._operations.begin(*self._operation(call, "CREATE_VERSION", name), work)

    def delete_version(self, call: Call) -> Resource:
        """Serve a version no more, and forget it."""
        version, versions = self._store.get(call.name), self._store.names(call.parent)
        if version.get("isDefault") and len(versions) > 1:
            text = f"Cannot delete {call.name}: it is the default version; make another one the default first."
            raise ServiceError("FAILED_PRECONDITION", text)
        self._served.stop(call.name)
        self._store.delete(call.name)
        return self._operations.done(*self._operation(call, "DELETE_VERSION", call.name), EMPTY)

    def set_default(self, call: Call) -> Resource:
        """Send the requests that name no version to this one."""
        if self._store.get(call.name)["state"] != "READY":
            raise ServiceError("FAILED_PRECONDITION", f"{call.name}: is not ready; expected a version that is.")
        for name in self._store.names(call.parent):
            if name != call.name:
                self._store.change(name, isDefault=None)
        return self._store.change(call.name, isDefault=True)

    def predict(self, call: Call) -> Any:
        """What the server of a version answers."""
        name = call.name
        if "version" not in call.path:
            model = self.shown(self._store.get(name))
            if "defaultVersion" not in model:
                raise ServiceError("FAILED_PRECONDITION", f"{name}: has no default version that is ready.")
            name = model["defaultVersion"]["name"]
        self._store.get(name)
        return self._served.ask(name, f"/v1/{name}:predict", call.raw)

    def _operation(self, call: Call, kind: str, name: str) -> tuple[str, dict[str, Any]]:
        """The name and the metadata of an operation on a model or version."""
        model = name.partition("/versions")[0]
        metadata = {"@type": f"{TYPE}.OperationMetadata", "operationType": kind, "createTime": times.now()}
        words = [kind.lower(), *name.split("/models/")[1].split("/versions/"), numbers.fresh(13)]
        return f"projects/{call.path['project']}/operations/{'_'.join(words)}", metadata | {"modelName": model}


def _check_version(body: Mapping[str, Any]) -> None:
    problems = []
    name, uri = body.get("name", ""), body.get("deploymentUri", "")
    if not rules.JOB_ID.fullmatch(name):
        problems.append(Problem(("name",), f"{shown(name)}: expected letters, digits and _, a letter first"))
    if "container" in body:
        problems.append(Problem(("container",), "this emulator runs no containers; expected deploymentUri"))
    if not rules.BUCKET_PATH.fullmatch(uri):
        problems.append(Problem(("deploymentUri",), f"{shown(uri)}: expected gs://BUCKET/PATH"))
    if not body.get("runtimeVersion"):
        problems.append(Problem(("runtimeVersion",), 'not given; expected a version, such as "2.21"'))
    if body.get("framework", "TENSORFLOW") not in ("TENSORFLOW", "FRAMEWORK_UNSPECIFIED"):
        problems.append(Problem(("framework",), f"{body['framework']}: this emulator serves TENSORFLOW"))
    if problems:
        raise refused(problems)


def _start(served: Deployments, version: Mapping[str, Any]) -> None:
    uri = version["deploymentUri"]
    deployments.check_artifact(uri, what=DIRECTORY)
    model = paths.name(paths.parent(paths.parent(version["name"])))
    flags = ["--model", f"{model}/{paths.name(version['name'])}={uri}"]
    served.start(version["name"], arguments=flags, environ={}, health="/healthz")


def _serve(store: Store, served: Deployments, version: Mapping[str, Any]) -> None:
    try:
        _start(served, version)
    except (ServiceError, RunError) as error:
        store.change(version["name"], state="FAILED", errorMessage=str(error))
