"""The prediction server as an ASGI application.

    app = build(models, limits=Limits(), counted=Metrics())

The paths and the forms of requests and responses are those of Cloud ML Engine, Vertex AI and TensorFlow Serving, so
that their clients work unchanged but for the address.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from trainer.errors import RunError
from trainer.serving import metrics, page, protocol
from trainer.serving.batching import OverloadedError, SlowError
from trainer.serving.dialects import ML_ENGINE, TF_SERVING, VERTEX, Dialect
from trainer.serving.guard import MODEL, Receive, Scope, Send, error_of, respond
from trainer.serving.options import Limits
from trainer.serving.protocol import Code, PredictionError
from trainer.serving.served import LoadingError, Models, NotServedError, Served, Version


HEALTH = "/healthz"
LARGE_BYTES = 1 << 18  # a body that is parsed in a thread, since that takes a millisecond


class TooLargeError(RunError):
    """A request has more bytes than it may have."""


STATUS: dict[type[Exception], int] = {
    NotServedError: 404,
    TooLargeError: 413,
    OverloadedError: 503,
    LoadingError: 503,
    SlowError: 504,
}
LATER = (b"retry-after", b"1")


class Word(Convertor[str]):
    """A part of a path, without the verb that may follow it."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Predict:
    """The ASGI application of the paths of one dialect that end in `:predict`. `name` is for a path without a model."""

    def __init__(self, dialect: Dialect, models: Models, limits: Limits, name: str | None = None) -> None:
        self._dialect = dialect
        self._models = models
        self._limits = limits
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dialect, parameters = self._dialect, scope["path_params"]
        try:
            body = await _body(scope, receive, self._limits.max_body_bytes)
            if body is None:
                return  # who asked has gone
            name = self._name or parameters["model"]
            _, version = self._models.find(name, parameters.get("version"))
            scope[MODEL] = name
            asked = dialect.request(await _parsed(body))
            if len(asked.instances) > self._limits.max_instances:
                detail = f"{len(asked.instances)} instances: expected at most {self._limits.max_instances}"
                raise PredictionError(Code.INPUTS, detail)
            signature = protocol.choose(version.model.signatures, asked.signature_name)
            seconds = self._limits.timeout_secs
            predictions = await version.batcher.predict(signature, asked.instances, seconds=seconds)
            await respond(send, 200, dialect.response(asked, predictions, name=name, version=version.number))
        except PredictionError as error:
            await respond(send, 400, dialect.failure(400, f"Prediction failed: {error}"))
        except RunError as error:
            status = STATUS[type(error)]
            await respond(send, status, dialect.error(status, str(error)), *[LATER] * (status == 503))


def build(
    models: Models,
    *,
    limits: Limits,
    counted: metrics.Metrics,
    lifespan: Any = None,
    predict_route: str | None = None,
    health_route: str | None = None,
) -> Starlette:
    """The application. `predict_route` and `health_route` are paths of its own that a platform asks besides."""

    def healthz(request: Request) -> Response:
        is_ready = models.are_ready()
        return JSONResponse({"status": "ok" if is_ready else "loading"}, 200 if is_ready else 503)

    def prometheus(request: Request) -> Response:
        return Response(counted.text(), media_type=metrics.CONTENT_TYPE)

    def status(request: Request) -> Response:
        _, version = _found(models, request)
        state = {"version": version.number, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        return JSONResponse({"model_version_status": [state]})

    def metadata(request: Request) -> Response:
        one, version = _found(models, request)
        definitions = {name: _definition(message) for name, message in version.model.definitions.items()}
        return JSONResponse(
            {
                "model_spec": {"name": one.source.name, "signature_name": "", "version": version.number},
                "metadata": {"signature_def": {"signature_def": definitions}},
            }
        )

    register_url_convertor("word", Word())
    ml_engine, vertex, tf_serving = (Predict(dialect, models, limits) for dialect in (ML_ENGINE, VERTEX, TF_SERVING))
    routes: list[BaseRoute] = [
        Route("/v1/models/{model}:predict", tf_serving, methods=["POST"]),
        Route("/v1/models/{model:word}/versions/{version}:predict", tf_serving, methods=["POST"]),
        Route("/v1/projects/{project}/models/{model}:predict", ml_engine, methods=["POST"]),
        Route("/v1/projects/{project}/models/{model}/versions/{version}:predict", ml_engine, methods=["POST"]),
        Route("/v1/projects/{project}/locations/{location}/endpoints/{model}:predict", vertex, methods=["POST"]),
        Route("/v1/models/{model:word}", status),
        Route("/v1/models/{model:word}/versions/{version:word}", status),
        Route("/v1/models/{model:word}/metadata", metadata),
        Route("/v1/models/{model:word}/versions/{version:word}/metadata", metadata),
        Route(HEALTH, healthz),
        Route("/metrics", prometheus),
        *page.routes(lambda: _described(models)),
    ]
    if predict_route:
        first = models.all[0].source.name
        routes.insert(0, Route(predict_route, Predict(VERTEX, models, limits, first), methods=["POST"]))
    if health_route:
        routes.insert(0, Route(health_route, healthz))
    handlers = dict.fromkeys((HTTPException, *STATUS), _error)
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)


async def _body(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """The whole body of a request, or None when its sender is gone. Raises `TooLargeError`."""
    too_large = TooLargeError(f"the body is too large; expected at most {most} bytes")
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(length) > most:
        raise too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(parts)


async def _parsed(body: bytes) -> Any:
    """The JSON value of a body. Raises `PredictionError`."""
    try:
        return json.loads(body) if len(body) < LARGE_BYTES else await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise PredictionError(Code.INPUTS, f"the body is not JSON: {reason}") from error


def _found(models: Models, request: Request) -> tuple[Served, Version]:
    parameters: Mapping[str, str] = request.path_params
    return models.find(parameters["model"], parameters.get("version"))


def _definition(message: Any) -> dict[str, Any]:
    """A SignatureDef as TensorFlow Serving shows it."""
    shown: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return shown


def _described(models: Models) -> list[dict[str, Any]]:
    """What the page needs to know of each model."""
    return [
        {
            "name": one.source.name,
            "version": one.version.number,
            "schema": one.version.model.schema,
            "signatures": {
                name: {
                    "inputs": {key: vars(info) for key, info in signature.inputs.items()},
                    "outputs": {key: vars(info) for key, info in signature.outputs.items()},
                }
                for name, signature in one.version.model.signatures.items()
            },
        }
        for one in models.all
        if one.version
    ]


def _error(request: Request, error: Exception) -> Response:
    """What Starlette or a lookup refuses, in the form of the service that was asked."""
    if isinstance(error, HTTPException):
        content = error_of(request.url.path, error.status_code, error.detail)
        return JSONResponse(content, error.status_code, error.headers)
    status = STATUS[type(error)]
    return JSONResponse(error_of(request.url.path, status, str(error)), status)
