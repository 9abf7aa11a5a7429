"""The clients that people have, unchanged but for the address: Google's, and plain HTTP as for TensorFlow Serving."""

import contextlib
import json
import urllib.request

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery, errors

from tests.serving import serving
from trainer.serving import model as calling
from trainer.serving.locate import locate


INSTANCES = [
    {
        "is_male": "True",
        "mother_age": 26.0,
        "mother_race": "Asian Indian",
        "plurality": 1.0,
        "gestation_weeks": 39,
        "mother_married": "True",
        "cigarette_use": "False",
        "alcohol_use": "False",
    },
    {
        "is_male": "False",
        "mother_age": 29.0,
        "mother_race": "Asian Indian",
        "plurality": 1.0,
        "gestation_weeks": 38,
        "mother_married": "True",
        "cigarette_use": "False",
        "alcohol_use": "False",
    },
]


@pytest.fixture(scope="module")
def url(babyweight_job, mnist_job):
    with serving(("babyweight", babyweight_job), ("mnist", mnist_job)) as url:
        yield url


@pytest.fixture(scope="module")
def expected(babyweight_job):
    """What the export itself answers: one number a row, called `outputs`."""
    return calling.predict(calling.load(locate(babyweight_job)), INSTANCES)


@pytest.fixture
def api(url):
    """Google's client of one of its services, at another address."""
    with contextlib.ExitStack() as opened:

        def build(name):
            options = {"api_endpoint": url}
            client = discovery.build(
                name, "v1", credentials=AnonymousCredentials(), client_options=options, static_discovery=True
            )
            return opened.enter_context(client)

        yield build


def test_the_client_of_2017_gets_its_predictions(api, expected):
    """The article's own call: `api.projects().predict(body=..., name='projects/…/models/…/versions/…').execute()`."""
    parent = "projects/%s/models/%s/versions/%s" % ("cloud-training-demos", "babyweight", "v1")  # noqa: UP031
    response = api("ml").projects().predict(body={"instances": INSTANCES}, name=parent).execute()
    assert response == {"predictions": expected}
    assert [list(prediction) for prediction in response["predictions"]] == [["outputs"], ["outputs"]]


def test_the_client_of_2017_may_leave_out_the_version(api, expected):
    parent = "projects/p/models/babyweight"
    response = api("ml").projects().predict(body={"instances": INSTANCES[:1]}, name=parent).execute()
    assert response == {"predictions": expected[:1]}


def test_the_client_of_2017_is_told_what_is_wrong(api):
    parent = "projects/p/models/babyweight/versions/v1"
    with pytest.raises(errors.HttpError) as raised:
        api("ml").projects().predict(body={"instances": [{"weight": 1}]}, name=parent).execute()
    assert raised.value.resp.status == 400
    assert json.loads(raised.value.content)["error"] == (
        "Prediction failed: Invalid inputs: Unexpected tensor name: weight (Error code: 1)"
    )


def test_vertex_ais_client_gets_its_predictions(api, expected):
    endpoint = "projects/p/locations/us-central1/endpoints/babyweight"
    endpoints = api("aiplatform").projects().locations().endpoints()
    response = endpoints.predict(endpoint=endpoint, body={"instances": INSTANCES}).execute()
    assert response["predictions"] == expected
    assert response["modelDisplayName"] == "babyweight"


def test_vertex_ais_client_reads_the_error(api):
    endpoint = "projects/p/locations/us-central1/endpoints/nothing"
    with pytest.raises(errors.HttpError, match="not found; expected one of babyweight, mnist") as raised:
        api("aiplatform").projects().locations().endpoints().predict(endpoint=endpoint, body={}).execute()
    assert raised.value.status_code == 404


def test_tensorflow_servings_users_get_their_predictions(url, expected):
    def post(path, body):
        with urllib.request.urlopen(f"{url}{path}", json.dumps(body).encode()) as response:
            return json.load(response)

    body = {"signature_name": "serving_default", "instances": INSTANCES}
    numbers = [prediction["outputs"] for prediction in expected]
    assert post("/v1/models/babyweight:predict", body) == {"predictions": numbers}
    columns = {key: [instance[key] for instance in INSTANCES] for key in INSTANCES[0]}
    assert post("/v1/models/babyweight:predict", {"inputs": columns}) == {"outputs": numbers}


def test_an_image_is_answered_with_its_class_and_probabilities(api):
    body = {"instances": [[0.0] * 784]}
    (answer,) = api("ml").projects().predict(body=body, name="projects/p/models/mnist").execute()["predictions"]
    assert sorted(answer) == ["classes", "probabilities"]
    assert sum(answer["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert answer["classes"] == answer["probabilities"].index(max(answer["probabilities"]))
