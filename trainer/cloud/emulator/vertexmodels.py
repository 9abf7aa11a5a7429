"""The model registry of Vertex AI: `aiplatform.v1`'s `models`, each with its versions.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models
"""

import re
from collections.abc import Mapping
from typing import Any

from trainer.cloud import rules
from trainer.cloud.emulator import lists, numbers, times
from trainer.cloud.emulator.calls import Call, Method, refused
from trainer.cloud.emulator.errors import ServiceError, not_found
from trainer.cloud.emulator.operations import Operations
from trainer.cloud.emulator.store import Resource, Store
from trainer.cloud.emulator.vertex import LOCATION
from trainer.cloud.schema import Problem, shown


TYPE = "type.googleapis.com/google.cloud.aiplatform.v1"
MODELS = f"{LOCATION}/models"
EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
VERSIONS = "versions"
DEFAULT = "default"
ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9-]")
MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
OUTPUT = ("name", "versionId", "createTime", "updateTime", "versionCreateTime", "versionUpdateTime", "deployedModels")


def methods(store: Store, operations: Operations) -> list[Method]:
    """What can be asked."""
    models = Models(store, operations)
    upload = "GoogleCloudAiplatformV1UploadModelRequest"
    return [
        Method("POST", f"{MODELS}:upload", models.upload, "aiplatform", upload),
        Method("GET", MODELS, models.find),
        Method("GET", f"{MODELS}/{{model}}:listVersions", models.find_versions),
        Method("GET", f"{MODELS}/{{model}}", lambda call: models.get(call.name)),
        Method("DELETE", f"{MODELS}/{{model}}", models.delete),
    ]


class Models:
    """The models; each version is a resource of its own, below that of its model."""

    def __init__(self, store: Store, operations: Operations) -> None:
        self._store = store
        self._operations = operations

    def upload(self, call: Call) -> Resource:
        """A new model, or a new version of `parentModel`."""
        model = {key: value for key, value in call.body.get("model", {}).items() if key not in OUTPUT}
        if problem := _problem(call.body, model):
            raise refused([problem])
        collection = f"{call.parent}/models"
        if parent := call.body.get("parentModel", "").partition("@")[0]:
            self.get(parent)
            name = parent
        else:
            name = f"{collection}/{call.body.get('modelId') or numbers.fresh()}"
            self._store.create(name, {"createTime": times.now()})
        versions = self._store.below(f"{name}/{VERSIONS}")
        number = str(1 + max((int(each["versionId"]) for each in versions), default=0))
        aliases = list(model.pop("versionAliases", ()))
        if not versions and DEFAULT not in aliases:
            aliases.append(DEFAULT)
        for version in versions:  # an alias is of one version
            left = [alias for alias in version["versionAliases"] if alias not in aliases]
            self._store.change(f"{name}/{VERSIONS}/{version['versionId']}", versionAliases=left)
        now = times.now()
        moments = {"createTime": now, "updateTime": now, "versionCreateTime": now, "versionUpdateTime": now}
        made = {"name": name, "versionId": number, "versionAliases": aliases, **model, **moments}
        self._store.create(f"{name}/{VERSIONS}/{number}", made)
        response = {"@type": f"{TYPE}.UploadModelResponse", "model": name, "modelVersionId": number}
        return self._operations.done(f"{name}/operations/{numbers.fresh()}", metadata("UploadModel"), response)

    def get(self, name: str) -> Resource:
        """The version that a name means: `models/M@2`, `models/M@alias`, or `models/M` for the default one."""
        model, _, wanted = name.partition("@")
        for version in self._store.below(f"{model}/{VERSIONS}"):
            if (wanted or DEFAULT) in (version["versionId"], *version["versionAliases"]):
                return version
        raise not_found(name)

    def find(self, call: Call) -> Any:
        """The default version of each model."""
        return lists.newest_first(self._store, call, "models", shown=lambda name, _: self.get(name))

    def find_versions(self, call: Call) -> Any:
        """All versions of a model."""
        self.get(call.name)
        below = Call(f"/v1/{call.name}/{VERSIONS}", call.path, call.query, call.body)
        found = lists.newest_first(self._store, below, VERSIONS)
        return found | ({"models": found.pop(VERSIONS)} if VERSIONS in found else {})

    def delete(self, call: Call) -> Resource:
        """Forget a model and its versions, unless it is deployed."""
        self.get(call.name)
        for endpoint in self._store.below(f"{call.parent.rpartition('/')[0]}/endpoints"):
            if any(each["model"].partition("@")[0] == call.name for each in endpoint.get("deployedModels", ())):
                text = f"Cannot delete {call.name}: it is deployed to {endpoint['name']}."
                raise ServiceError("FAILED_PRECONDITION", text)
        for version in self._store.names(f"{call.name}/{VERSIONS}"):
            self._store.delete(version)
        self._store.delete(call.name)
        name = f"{call.name}/operations/{numbers.fresh()}"
        return self._operations.done(name, metadata("Delete"), EMPTY)


def metadata(kind: str) -> dict[str, Any]:
    """Of an operation."""
    now = times.now()
    generic = {"createTime": now, "updateTime": now}
    return {"@type": f"{TYPE}.{kind}OperationMetadata", "genericMetadata": generic}


def _problem(body: Mapping[str, Any], model: Mapping[str, Any]) -> Problem | None:
    uri, aliases = model.get("artifactUri", ""), model.get("versionAliases", ())
    if not model.get("displayName"):
        return Problem(("model", "displayName"), "not given; expected a name")
    if not model.get("containerSpec", {}).get("imageUri"):
        return Problem(("model", "containerSpec", "imageUri"), "not given; expected the image of a serving container")
    if not rules.BUCKET_PATH.fullmatch(uri):
        return Problem(("model", "artifactUri"), f"{shown(uri)}: expected gs://BUCKET/PATH")
    for index, alias in enumerate(aliases):
        if not ALIAS.fullmatch(alias):
            text = f"{shown(alias)}: expected letters, digits and -, a small letter first"
            return Problem(("model", "versionAliases", index), text)
    if "modelId" in body and not MODEL_ID.fullmatch(body["modelId"]):
        return Problem(("modelId",), f"{shown(body['modelId'])}: expected small letters, digits, _ and -")
    if "modelId" in body and "parentModel" in body:
        return Problem(("modelId",), f"{shown(body['modelId'])}: unexpected beside parentModel")
    return None
