"""The paths of the server, asked over HTTP."""

import asyncio
import json
import logging
import re

import pytest
from test_serving_model import SCHEMA, place, write_model

from tests.serving import ask, ask_on, connect, serving
from trainer.serving import app
from trainer.serving import model as calling
from trainer.serving.locate import locate
from trainer.serving.metrics import Metrics
from trainer.serving.options import Limits, Source
from trainer.serving.served import Models, Served


TRUE, FALSE = {"is_male": "True", "mother_age": 26}, {"is_male": "False", "mother_age": 29.0}
ML = "/v1/projects/p/models/toy:predict"
VERTEX = "/v1/projects/p/locations/us-central1/endpoints/toy:predict"
TF = "/v1/models/toy:predict"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A folder with the export 1500000000 of the model whose answers are easy to compute."""
    folder = tmp_path_factory.mktemp("toy")
    write_model(str(folder / "model"))
    place(str(folder / "model"), folder / "exports" / "1500000000")
    return str(folder / "exports")


@pytest.fixture(scope="module")
def url(exports, babyweight_job):
    """The address of a server with three models, one of them in two versions."""
    models = ("toy", exports), ("toy", exports, "v2"), ("babyweight", babyweight_job)
    with serving(
        *models, predict_route="/predict", health_route="/health", limits=Limits(max_body_bytes=100_000)
    ) as url:
        yield url


def test_cloud_ml_engine_answers_with_a_dict_a_row(url):
    answer = ask(url, ML, {"instances": [TRUE, FALSE]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == {"predictions": [{"outputs": 14.0}, {"outputs": 16.5}]}


def test_vertex_names_the_model_that_answered(url):
    assert ask(url, VERTEX, {"instances": [TRUE]}).content == {
        "predictions": [{"outputs": 14.0}],
        "deployedModelId": "1500000000",
        "model": "projects/-/locations/-/models/toy",
        "modelDisplayName": "toy",
        "modelVersionId": "1500000000",
    }


def test_tensorflow_serving_leaves_out_the_name_of_an_only_output(url):
    assert ask(url, TF, {"instances": [TRUE, FALSE]}).content == {"predictions": [14.0, 16.5]}


def test_tensorflow_serving_keeps_the_names_of_several_outputs(url):
    answer = ask(url, TF, {"signature_name": "image", "instances": [[0, 1, 0, 0]]})
    assert answer.content == {"predictions": [{"classes": 1, "probabilities": [0.0, 1.0, 0.0, 0.0]}]}


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ({"inputs": {"is_male": ["True", "False"], "mother_age": [26, 29]}}, [14.0, 16.5]),
        ({"inputs": [[1.5], [2]], "signature_name": "column"}, [[3.0], [4.0]]),
        ({"inputs": {"x": [[1.5], [2]]}, "signature_name": "column"}, [[3.0], [4.0]]),
        (
            {"inputs": [[0, 1, 0, 0]], "signature_name": "image"},
            {"classes": [1], "probabilities": [[0.0, 1.0, 0.0, 0.0]]},
        ),
    ],
)
def test_tensorflow_serving_answers_columns_with_columns(url, body, outputs):
    assert ask(url, TF, body).content == {"outputs": outputs}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": [1], "instances": [1]}, 'expected "instances" or "inputs", not both'),
        ({"inputs": 3}, "inputs: 3: expected a list of values for each input"),
        ({"inputs": {"is_male": ["True"], "mother_age": [1, 2]}}, "is_male 1, mother_age 2: expected as many values"),
        ({"inputs": []}, "expected a list with at least one instance"),
    ],
)
def test_columns_that_make_no_sense_are_refused(url, body, words):
    answer = ask(url, TF, body)
    assert answer.status == 400
    assert words in answer.content["error"]


@pytest.mark.parametrize("path", [ML, VERTEX, TF])
def test_each_dialect_takes_the_name_of_a_signature(url, path):
    answer = ask(url, path, {"instances": [[1.5]], "signature_name": "column"})
    assert answer.content["predictions"][0] in ({"predictions": [3.0]}, [3.0])


def test_vertex_takes_the_name_of_a_signature_as_a_parameter(url):
    body = {"instances": [[1.5]], "parameters": {"signature_name": "column"}}
    assert ask(url, VERTEX, body).content["predictions"] == [{"predictions": [3.0]}]


def test_bytes_are_base64_in_both_directions(url):
    body = {"instances": [{"text": {"b64": "w6k="}}], "signature_name": "echo"}
    assert ask(url, ML, body).content == {"predictions": [{"echo": "é", "echo_bytes": {"b64": "w6k="}}]}


def test_the_served_prediction_is_the_models(url, babyweight_job):
    with open("docs/examples/babyweight.json") as file:
        instances = [json.loads(line) for line in file]
    expected = calling.predict(calling.load(locate(babyweight_job)), instances)
    assert ask(url, "/v1/projects/p/models/babyweight:predict", {"instances": instances}).content == {
        "predictions": expected
    }


@pytest.mark.parametrize("version", ["v1", "v2", "1500000000"])
def test_a_version_has_a_name_and_a_number(url, version):
    path = f"/v1/projects/p/models/toy/versions/{version}:predict"
    assert ask(url, path, {"instances": [TRUE]}).content == {"predictions": [{"outputs": 14.0}]}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects/p/models/nothing:predict",
        "/v1/projects/p/models/toy/versions/v3:predict",
        "/v1/projects/p/locations/l/endpoints/nothing:predict",
    ],
)
def test_what_is_not_there_is_googles_not_found(url, path):
    answer = ask(url, path, {"instances": [TRUE]})
    assert answer.status == 404
    assert answer.content["error"]["code"] == 404
    assert answer.content["error"]["status"] == "NOT_FOUND"
    assert re.search(
        r"expected one of toy, babyweight|expected v1 or 1500000000 or v2", answer.content["error"]["message"]
    )


@pytest.mark.parametrize("path", ["/v1/models/nothing", "/v1/models/nothing:predict", "/v1/models/toy/versions/7"])
def test_what_is_not_there_is_a_sentence_to_tensorflow_serving(url, path):
    answer = ask(url, path, {"instances": [1]} if "predict" in path else None)
    assert answer.status == 404
    assert "not found; expected" in answer.content["error"]


@pytest.mark.parametrize(
    "name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "../toy", "toy%00", "/etc", "toy/../toy", "TOY", "%E2%80%AE"]
)
def test_a_name_does_not_leave_the_models(url, name):
    for path in (f"/v1/models/{name}", f"/v1/models/{name}:predict", f"/v1/projects/p/models/{name}:predict"):
        answer = ask(url, path, None if path.endswith(name) else {"instances": [TRUE]})
        assert answer.status in (400, 404), path
        assert "/tmp" not in str(answer.content)


def test_another_path_or_method_is_said_in_json(url):
    assert ask(url, "/v2/models").status == 404
    assert ask(url, "/v1/projects/p/models").content["error"]["status"] == "NOT_FOUND"
    answer = ask(url, TF)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.content == {"error": "Method Not Allowed"}


def test_the_status_is_tensorflow_servings(url):
    state = {"version": "1500000000", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/toy", "/v1/models/toy/versions/1500000000"):
        assert ask(url, path).content == {"model_version_status": [state]}


def test_the_metadata_is_tensorflow_servings(url):
    content = ask(url, "/v1/models/toy/metadata").content
    assert content["model_spec"] == {"name": "toy", "signature_name": "", "version": "1500000000"}
    signatures = content["metadata"]["signature_def"]["signature_def"]
    assert signatures["image"]["inputs"] == {
        "inputs": {
            "dtype": "DT_FLOAT",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "4", "name": ""}],
                "unknown_rank": False,
            },
            "name": "image_inputs:0",
        }
    }
    assert signatures["image"]["method_name"] == "tensorflow/serving/predict"
    assert sorted(signatures["serving_default"]["outputs"]) == ["outputs"]
    assert not [name for name in signatures if name.startswith("__")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is not JSON"),
        (b"\xff\xfe{", "the body is not JSON"),
        (b"", "the body is not JSON"),
        (b"[" * 50_000, "the body is not JSON: nested too deeply"),
        (b'{"instances": [' + b"9" * 5000 + b"]}", "the body is not JSON"),
        (b"[]", 'expected an object with the key "instances"'),
        (b'{"instances": 3}', "instances: 3: expected a list with at least one instance"),
        (b'{"instances": []}', "instances: []: expected a list with at least one instance"),
        (b'{"instances": [1], "signature_name": "x"}', "No signature found for signature key x"),
        (b'{"instances": [{"a": 1}]}', "Unexpected tensor name: a"),
        (b'{"instances": [{"is_male": "True"}]}', "Input mother_age was missing in at least one input instance."),
        (
            b'{"instances": [{"is_male": true, "mother_age": 1}]}',
            'instances[0].is_male: true: expected a string, as "True"',
        ),
        (b'{"instances": [1.0], "signature_name": "broken"}', "Failed to run the provided model"),
        (b'{"instances": [1, 2], "signature_name": "uneven"}', "outputs had differing sizes in the batch"),
        (b'{"instances": [{"b64": "/w=="}], "signature_name": "echo"}', "call the output echo_bytes"),
    ],
)
@pytest.mark.parametrize("path", [ML, VERTEX, TF])
def test_a_bad_request_is_one_clear_line(url, path, body, words):
    answer = ask(url, path, body)
    assert answer.status == 400
    message = answer.content["error"] if path != VERTEX else answer.content["error"]["message"]
    assert message.startswith("Prediction failed: ")
    assert words in message
    assert "\n" not in message
    assert not re.search(r"Traceback|File |\.py|/tmp|/work|/usr", message)


def test_vertex_says_what_kind_of_error_it_is(url):
    answer = ask(url, VERTEX, {"instances": []})
    assert (answer.content["error"]["code"], answer.content["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_413(url, chunked):
    body = json.dumps({"instances": ["x" * 100_000]}).encode()
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    connection = connect(url)
    sent = iter([body]) if chunked else body
    connection.request("POST", ML, sent, headers, encode_chunked=chunked)
    response = connection.getresponse()
    assert response.status == 413
    assert "expected at most 100000 bytes" in json.loads(response.read())["error"]["message"]
    assert ask_on(connection, ML, {"instances": [TRUE]}).status == 200  # and the connection goes on
    connection.close()


def test_too_many_instances_are_refused_by_number(exports):
    with serving(("toy", exports), limits=Limits(max_instances=2)) as url:
        assert ask(url, ML, {"instances": [TRUE, FALSE]}).status == 200
        answer = ask(url, ML, {"instances": [TRUE] * 3})
        assert answer.status == 400
        assert "3 instances: expected at most 2" in answer.content["error"]


def test_a_platforms_own_routes_lead_to_the_first_model(url):
    answer = ask(url, "/predict", {"instances": [TRUE], "parameters": {}})
    assert answer.content["predictions"] == [{"outputs": 14.0}]
    assert ask(url, "/health").content == {"status": "ok"}


def test_prometheus_reads_counts_by_model(url):
    name = 'trainer_requests_total{code="200",model="toy"} '

    def count():
        text = ask(url, "/metrics").content.decode()
        return float(next((line.split()[-1] for line in text.splitlines() if line.startswith(name)), 0))

    before = count()
    ask(url, ML, {"instances": [TRUE]})
    assert count() == before + 1
    text = ask(url, "/metrics").content.decode()
    assert 'trainer_model_version{model="toy"} 1.5e+09' in text
    assert 'trainer_call_instances_bucket{le="1.0",model="toy"}' in text
    assert "process_resident_memory_bytes" in text


def test_a_name_that_is_no_model_is_not_counted_as_one(url):
    ask(url, "/v1/models/made-up:predict", {"instances": [1]})
    assert "made-up" not in ask(url, "/metrics").content.decode()


def test_each_request_is_a_line_as_cloud_logging_shows_it(exports, capsys):
    logging.getLogger("trainer").setLevel("INFO")
    with serving(("toy", exports)) as url:
        ask(url, '/v1/models/to"y\\?x=1')
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    line = next(line for line in lines if "/v1/models/to" in line["message"])
    assert line["severity"] == "INFO"
    assert line["message"] == 'GET /v1/models/to"y\\ 404'
    request = line["httpRequest"]
    assert re.fullmatch(r"0\.\d{6}s", request.pop("latency"))
    assert int(request.pop("responseSize")) > 10
    assert request == {
        "requestMethod": "GET",
        "requestUrl": '/v1/models/to"y\\',
        "status": 404,
        "remoteIp": "127.0.0.1",
    }


def test_a_token_is_asked_for_everywhere_but_at_the_health_check(exports):
    with serving(("toy", exports), token=b"secret") as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}, {"X": "secret"}):
            for path in (ML, TF, "/metrics", "/v1/models/toy", "/page/models.json"):
                answer = ask(url, path, {"instances": [TRUE]} if "predict" in path else None, headers=headers)
                assert answer.status == 401, (path, headers)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert ask(url, ML, {"instances": [TRUE]}, headers={"Authorization": "Bearer secret"}).status == 200
        assert ask(url, "/healthz").status == 200
        assert ask(url, "/").status == 200


def asgi(application, path):
    """The status of an ASGI application for a GET."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": [],
        "query_string": b"",
    }
    asyncio.run(application({**scope, "root_path": "", "scheme": "http", "server": ("h", 1)}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_server_is_not_healthy_before_its_models_are_warm(exports):
    models = Models([Served(Source("toy", exports))])
    application = app.build(models, limits=Limits(), counted=Metrics())
    assert asgi(application, "/healthz") == (503, {"status": "loading"})
    assert asgi(application, "/v1/models/toy") == (503, {"error": "model toy: is being loaded"})
    models.all[0].version = object()
    assert asgi(application, "/healthz") == (200, {"status": "ok"})


def test_the_page_is_told_of_each_model(url):
    models = ask(url, "/page/models.json").content
    assert [model["name"] for model in models] == ["toy", "toy", "babyweight"]
    assert models[0]["schema"] == SCHEMA
    assert models[0]["signatures"]["image"]["inputs"] == {"inputs": {"dtype": "float32", "shape": [None, 4]}}
