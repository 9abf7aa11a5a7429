"""Models of both services, deployed in a real emulator and asked through Google's own clients: real servers."""

import collections
import json
from pathlib import Path

import pytest
from googleapiclient.errors import HttpError

from tests import emulator
from tests.emulator import LOCATION, PROJECT, wait_until
from trainer.storage import paths


BUCKET = "emulated-models"
PARENT = f"projects/{PROJECT}"
INSTANCES = {"instances": [{"is_male": "True", "mother_age": 26.0}, {"is_male": "False", "mother_age": 29}]}
PREDICTIONS = [{"outputs": 14.0}, {"outputs": 16.5}]
RESOURCES = {"dedicatedResources": {"machineSpec": {"machineType": "n1-standard-2"}, "minReplicaCount": 1}}


@pytest.fixture(scope="module")
def export(storage, job_dir):
    """A SavedModel in a bucket."""
    local, target = f"{job_dir}/export/best/1500000000", f"gs://{BUCKET}/export/1500000000"
    for name in paths.list_files(local):
        paths.write_bytes(paths.join(target, name), paths.read_bytes(paths.join(local, name)))
    return target


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Where the emulators of these tests keep what they know."""
    return str(tmp_path_factory.mktemp("cloud") / "state")


@pytest.fixture(scope="module")
def cloud(storage, state):
    """An emulator for most of these tests."""
    with emulator.running(state, storage=storage) as running:
        yield running


def finished(get, operation):
    """An operation when it is done."""
    return wait_until(lambda: found if (found := get(name=operation["name"]).execute()).get("done") else None)


def refusal(request):
    """The error that a request is answered with."""
    with pytest.raises(HttpError) as found:
        request.execute()
    return json.loads(found.value.content)["error"]


def statuses(*requests):
    return [refusal(request)["status"] for request in requests]


class MlEngine:
    """Models of Cloud ML Engine, as a client has them."""

    def __init__(self, cloud):
        self.projects = cloud.ml.projects()
        self.models = self.projects.models()
        self.versions = self.models.versions()

    def create(self, model):
        return self.models.create(parent=PARENT, body={"name": model, "regions": ["us-central1"]})

    def create_version(self, model, version, uri, **fields):
        body = {"name": version, "deploymentUri": uri, "runtimeVersion": "2.21", "pythonVersion": "3.11", **fields}
        return self.versions.create(parent=f"{PARENT}/models/{model}", body=body)

    def version(self, model, version, uri):
        """Create a version, and wait for it."""
        return finished(self.projects.operations().get, self.create_version(model, version, uri).execute())

    def predict(self, name, body=INSTANCES):
        return self.projects.predict(name=f"{PARENT}/models/{name}", body=body)


class Vertex:
    """Models and endpoints of Vertex AI, as a client has them."""

    def __init__(self, cloud):
        self.locations = cloud.vertex.projects().locations()
        self.models = self.locations.models()
        self.endpoints = self.locations.endpoints()

    def upload(self, uri, name, **fields):
        parent = {"parentModel": fields.pop("parentModel")} if "parentModel" in fields else {}
        model = {"displayName": name, "artifactUri": uri, "containerSpec": {"imageUri": "gcr.io/x/serve"}, **fields}
        return self.models.upload(parent=LOCATION, body={"model": model, **parent})

    def uploaded(self, *args, **fields):
        """Upload a model, and return the response of the operation."""
        return finished(self.models.operations().get, self.upload(*args, **fields).execute())["response"]

    def endpoint(self, name, **fields):
        """Make an endpoint, and return its name."""
        made = self.endpoints.create(parent=LOCATION, body={"displayName": name, **fields}).execute()
        return finished(self.endpoints.operations().get, made)["response"]["name"]

    def deploy(self, endpoint, model, split, **fields):
        deployed = {"model": model, **RESOURCES, **fields}
        return self.endpoints.deployModel(endpoint=endpoint, body={"deployedModel": deployed, "trafficSplit": split})

    def deployed(self, *args, **fields):
        """Deploy a model, and return the operation when it is done."""
        return finished(self.endpoints.operations().get, self.deploy(*args, **fields).execute())

    def predict(self, endpoint, body=INSTANCES):
        return self.endpoints.predict(endpoint=endpoint, body=body)


def test_a_model_of_cloud_ml_engine_answers_by_its_default_version(cloud, export):
    ml = MlEngine(cloud)
    model = ml.create("births").execute()
    assert model == {"name": f"{PARENT}/models/births", "regions": ["us-central1"]}
    assert refusal(ml.create("births"))["status"] == "ALREADY_EXISTS"
    assert refusal(ml.predict("births"))["status"] == "FAILED_PRECONDITION"
    operation = ml.version("births", "v1", export)
    assert "error" not in operation
    assert operation["metadata"]["operationType"] == "CREATE_VERSION"
    version = operation["response"]
    assert (version["name"], version["state"]) == (f"{PARENT}/models/births/versions/v1", "READY")
    assert ml.models.get(name=model["name"]).execute()["defaultVersion"]["name"] == version["name"]
    assert ml.predict("births").execute() == {"predictions": PREDICTIONS}
    assert ml.predict("births/versions/v1").execute() == {"predictions": PREDICTIONS}
    assert refusal(ml.create_version("births", "v1", export))["status"] == "ALREADY_EXISTS"
    assert [each["name"] for each in ml.models.list(parent=PARENT).execute()["models"]] == [model["name"]]


def test_what_a_server_refuses_is_passed_on_as_it_is(cloud):
    with pytest.raises(HttpError) as found:
        MlEngine(cloud).predict("births", {"instances": [{"colour": "green"}]}).execute()
    assert found.value.resp.status == 400
    assert json.loads(found.value.content)["error"].startswith("Prediction failed: Invalid inputs")


def test_another_version_of_cloud_ml_engine_can_become_the_default(cloud, export):
    ml = MlEngine(cloud)
    name = f"{PARENT}/models/births/versions"
    assert ml.version("births", "v2", export)["response"]["state"] == "READY"
    listed = ml.versions.list(parent=f"{PARENT}/models/births").execute()["versions"]
    assert [(each["name"], each.get("isDefault", False)) for each in listed] == [
        (f"{name}/v2", False),
        (f"{name}/v1", True),
    ]
    assert refusal(ml.versions.delete(name=f"{name}/v1"))["status"] == "FAILED_PRECONDITION"
    assert ml.versions.setDefault(name=f"{name}/v2", body={}).execute()["isDefault"] is True
    assert ml.versions.delete(name=f"{name}/v1").execute()["done"] is True
    assert refusal(ml.predict("births/versions/v1"))["status"] == "NOT_FOUND"
    assert ml.predict("births").execute() == {"predictions": PREDICTIONS}
    assert refusal(ml.models.delete(name=f"{PARENT}/models/births"))["status"] == "FAILED_PRECONDITION"


def test_a_version_without_a_savedmodel_is_refused_in_the_words_of_the_service(cloud, storage):
    ml, uri = MlEngine(cloud), f"gs://{BUCKET}/nothing/"
    ml.create("nothing").execute()
    operation = ml.version("nothing", "v1", uri)
    words = f"Deployment directory {uri} is expected to contain exactly one of: [saved_model.pb, saved_model.pbtxt]."
    assert operation["error"]["message"] == f"Field: version.deployment_uri Error: {words}"
    version = ml.versions.get(name=f"{PARENT}/models/nothing/versions/v1").execute()
    assert (version["state"], version["errorMessage"]) == ("FAILED", operation["error"]["message"])
    assert statuses(ml.predict("nothing"), ml.versions.setDefault(name=version["name"], body={})) == [
        "FAILED_PRECONDITION",
        "FAILED_PRECONDITION",
    ]


def test_versions_are_refused_with_the_path_of_what_is_wrong(cloud, export):
    ml = MlEngine(cloud)
    for fields, place in [
        ({"framework": "XGBOOST"}, "framework"),
        ({"deploymentUri": "/tmp/model"}, "deploymentUri"),
        ({"runtimeVersion": 2}, "runtimeVersion"),
        ({"name": "1"}, "name"),
    ]:
        error = refusal(ml.create_version("nothing", "v9", export, **fields))
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
        assert place in error["message"]


def test_models_of_vertex_ai_have_versions_with_aliases(cloud, export):
    vertex = Vertex(cloud)
    first = vertex.uploaded(export, "weights", versionAliases=["v1"], labels={"side": "left"})
    second = vertex.uploaded(export, "weights", versionAliases=["v2"], parentModel=first["model"])
    assert (first["modelVersionId"], second["modelVersionId"]) == ("1", "2")
    assert first["model"] == second["model"]

    def aliases(suffix):
        found = vertex.models.get(name=f"{first['model']}{suffix}").execute()
        return found["versionId"], sorted(found["versionAliases"])

    assert aliases("") == aliases("@1") == aliases("@v1") == ("1", ["default", "v1"])
    assert aliases("@v2") == ("2", ["v2"])
    assert refusal(vertex.models.get(name=f"{first['model']}@v3"))["status"] == "NOT_FOUND"
    vertex.uploaded(export, "weights", versionAliases=["v3", "default"], parentModel=first["model"])
    assert aliases("") == ("3", ["default", "v3"])
    assert aliases("@1") == ("1", ["v1"])
    listed = vertex.models.list(parent=LOCATION, filter='displayName="weights"').execute()["models"]
    assert [(each["name"], each["versionId"]) for each in listed] == [(first["model"], "3")]
    versions = vertex.models.listVersions(name=first["model"]).execute()["models"]
    assert [each["versionId"] for each in versions] == ["3", "2", "1"]
    assert vertex.models.delete(name=first["model"]).execute()["done"] is True
    assert refusal(vertex.models.get(name=first["model"]))["status"] == "NOT_FOUND"
    for fields, place in [
        ({"versionAliases": ["V1"]}, "model.versionAliases[0]"),
        ({"containerSpec": {}}, "model.containerSpec.imageUri"),
        ({"artifactUri": "model"}, "model.artifactUri"),
    ]:
        assert place in refusal(vertex.upload(export, "weights", **fields))["message"]


def test_an_endpoint_of_vertex_ai_splits_its_traffic(cloud, export):
    vertex = Vertex(cloud)
    endpoint = vertex.endpoint("births", labels={"side": "left"})
    assert refusal(vertex.predict(endpoint))["message"] == f"Endpoint {endpoint} doesn't have traffic_split."
    model = vertex.uploaded(export, "births")["model"]
    operation = vertex.deployed(endpoint, model, {"0": 100}, displayName="v1")
    assert "error" not in operation
    first = operation["response"]["deployedModel"]
    assert (first["displayName"], first["model"], first["modelVersionId"]) == ("v1", model, "1")
    answer = vertex.predict(endpoint).execute()
    assert answer == {
        "predictions": PREDICTIONS,
        "deployedModelId": first["id"],
        "model": model,
        "modelDisplayName": "births",
        "modelVersionId": "1",
    }
    second = vertex.deployed(endpoint, model, {"0": 75, first["id"]: 25})["response"]["deployedModel"]
    counted = collections.Counter(vertex.predict(endpoint).execute()["deployedModelId"] for _ in range(100))
    assert counted == {second["id"]: 75, first["id"]: 25}
    for wanted in ('displayName="births"', 'display_name="births"', 'labels.side="left"'):
        (listed,) = vertex.endpoints.list(parent=LOCATION, filter=wanted).execute()["endpoints"]
        assert listed["name"] == endpoint
    assert listed["trafficSplit"] == {second["id"]: 75, first["id"]: 25}

    def undeploy(number, **fields):
        return vertex.endpoints.undeployModel(endpoint=endpoint, body={"deployedModelId": number, **fields})

    assert statuses(
        undeploy(second["id"]),
        undeploy("12"),
        vertex.models.delete(name=model),
        vertex.endpoints.delete(name=endpoint),
        vertex.deploy(endpoint, model, {"0": 50}),
        vertex.deploy(endpoint, model, {"0": 50, "12": 50}),
        vertex.deploy(endpoint, f"{model}@7", {"0": 100}),
    ) == [
        "FAILED_PRECONDITION",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
    ]
    finished(vertex.endpoints.operations().get, undeploy(second["id"], trafficSplit={first["id"]: 100}).execute())
    found = vertex.endpoints.get(name=endpoint).execute()
    assert (found["trafficSplit"], [each["id"] for each in found["deployedModels"]]) == (
        {first["id"]: 100},
        [first["id"]],
    )


def test_a_model_without_a_savedmodel_is_not_deployed(cloud):
    vertex, uri = Vertex(cloud), f"gs://{BUCKET}/nothing/"
    endpoint = vertex.endpoint("nothing")
    operation = vertex.deployed(endpoint, vertex.uploaded(uri, "nothing")["model"], {"0": 100})
    words = f"Model directory {uri} is expected to contain exactly one of: [saved_model.pb, saved_model.pbtxt]."
    assert (operation["error"]["code"], operation["error"]["message"]) == (9, words)
    assert "deployedModels" not in vertex.endpoints.get(name=endpoint).execute()
    assert vertex.endpoints.delete(name=endpoint).execute()["done"] is True


def test_a_damaged_model_is_not_deployed_and_its_server_says_why(cloud):
    uri = f"gs://{BUCKET}/damaged"
    paths.write_bytes(f"{uri}/saved_model.pb", b"no model")
    vertex = Vertex(cloud)
    operation = vertex.deployed(vertex.endpoint("damaged"), vertex.uploaded(uri, "damaged")["model"], {"0": 100})
    assert operation["error"]["message"].startswith("Model server terminated unexpectedly: ")
    assert "damaged" in operation["error"]["message"]


def test_what_was_served_is_served_again_and_no_server_is_left(cloud, state, storage):
    endpoint = Vertex(cloud).endpoints.list(parent=LOCATION, filter='displayName="births"').execute()["endpoints"][0]
    assert servers(state)
    assert cloud.end() == 0
    assert servers(state) == []
    with emulator.running(state, storage=storage) as again:
        requests = [MlEngine(again).predict("births"), Vertex(again).predict(endpoint["name"])]
        for request in requests:
            answer = wait_until(lambda request=request: answered(request))
            assert answer["predictions"] == PREDICTIONS
        again.process.kill()
        wait_until(lambda: servers(state) == [])


def answered(request):
    """The answer to a request, or None as long as there is no server yet."""
    try:
        return request.execute()
    except HttpError as error:
        if error.resp.status != 503:
            raise
        return None


def servers(state):
    """The processes that serve for an emulator."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if b"trainer.serve" in words and folder.startswith(state):
            found.append(int(process.name))
    return found
