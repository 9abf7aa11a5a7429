"""The three forms of one prediction request: Cloud ML Engine's, Vertex AI's and TensorFlow Serving's.

    asked = VERTEX.request(json.loads(body))
    body = VERTEX.response(asked, predictions, name="babyweight", version="1500000000")

All share `instances` and its rules (`serving/protocol.py`); they differ in what stands around the predictions and in
the form of an error.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from trainer.serving import protocol, values
from trainer.serving.protocol import Code, PredictionError, Request


Predictions = list[dict[str, Any]]
STATUS = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "INVALID_ARGUMENT",
    HTTPStatus.REQUEST_TIMEOUT: "DEADLINE_EXCEEDED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "INVALID_ARGUMENT",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "INVALID_ARGUMENT",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}
"""The names of https://cloud.google.com/apis/design/errors for what HTTP says in numbers."""


@dataclass(frozen=True)
class Dialect:
    """How one of the services is spoken to."""

    name: str
    request: Callable[[Any], Request]  # of a parsed body; raises PredictionError
    response: Callable[..., dict[str, Any]]  # (request, predictions, *, name, version) -> body
    error: Callable[[int, str], dict[str, Any]]  # (status, message) -> body
    failure: Callable[[int, str], dict[str, Any]]  # the same for a prediction that failed


def _predictions(request: Request, predictions: Predictions, *, name: str, version: str) -> dict[str, Any]:
    del request, name, version
    return {"predictions": predictions}


def _of_endpoint(request: Request, predictions: Predictions, *, name: str, version: str) -> dict[str, Any]:
    return {
        **_predictions(request, predictions, name=name, version=version),
        "deployedModelId": version,
        "model": f"projects/-/locations/-/models/{name}",
        "modelDisplayName": name,
        "modelVersionId": version,
    }


def _of_tensorflow(request: Request, predictions: Predictions, *, name: str, version: str) -> dict[str, Any]:
    """A response of TensorFlow Serving, which leaves out the name of an only output."""
    del name, version
    aliases = list(predictions[0]) if predictions else []
    if request.columnar:
        columns = {alias: [row[alias] for row in predictions] for alias in aliases}
        return {"outputs": columns[aliases[0]] if len(aliases) == 1 else columns}
    if len(aliases) == 1:
        return {"predictions": [row[aliases[0]] for row in predictions]}
    return {"predictions": predictions}


def _request_of_endpoint(body: Any) -> Request:
    """A request to Vertex AI; its `parameters` may name the signature too."""
    parameters = body.get("parameters") if isinstance(body, dict) else None
    if isinstance(parameters, dict) and "signature_name" in parameters:
        body = {"signature_name": parameters["signature_name"], **body}
    return protocol.request(body)


def _request_of_tensorflow(body: Any) -> Request:
    """A request to TensorFlow Serving: rows as `instances`, or columns as `inputs`."""
    if not isinstance(body, dict) or "inputs" not in body:
        return protocol.request(body)
    if "instances" in body:
        raise PredictionError(Code.INPUTS, 'request: expected "instances" or "inputs", not both')
    rows = _rows(body["inputs"])
    found = protocol.request({"instances": rows, "signature_name": body.get("signature_name")})
    return Request(found.instances, found.signature_name, columnar=True)


def _rows(inputs: Any) -> list[Any]:
    """The instances in columns: `{"a": [1, 2]}` is `[{"a": 1}, {"a": 2}]`; a list is of an only input."""
    if isinstance(inputs, list):
        return inputs
    if not isinstance(inputs, dict) or not inputs or not all(isinstance(column, list) for column in inputs.values()):
        raise PredictionError(Code.INPUTS, f"inputs: {values.shown(inputs)}: expected a list of values for each input")
    if len({len(column) for column in inputs.values()}) != 1:
        lengths = ", ".join(f"{name} {len(column)}" for name, column in inputs.items())
        raise PredictionError(Code.INPUTS, f"inputs: {lengths}: expected as many values for each")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]


def _sentence(status: int, message: str) -> dict[str, Any]:
    del status
    return {"error": message}


def _status(status: int, message: str) -> dict[str, Any]:
    """An error as Google's APIs send it."""
    name = STATUS.get(HTTPStatus(status), "UNKNOWN")
    return {"error": {"code": int(status), "message": message, "status": name}}


ML_ENGINE = Dialect("ml_engine", protocol.request, _predictions, _status, _sentence)
VERTEX = Dialect("vertex", _request_of_endpoint, _of_endpoint, _status, _status)
TF_SERVING = Dialect("tf_serving", _request_of_tensorflow, _of_tensorflow, _sentence, _sentence)
