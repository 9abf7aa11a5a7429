"""The services as one ASGI application: which path is whose, what a body may be, errors as Google sends them.

    app = build([*mlengine.methods(...), *vertex.methods(...)])

A page of a browser can send requests to this machine too, and would have its code run: what has an Origin, or asks for
another host than this one, is refused.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trainer.cloud.emulator.calls import Answer, Call, Method
from trainer.cloud.emulator.errors import CODES, ServiceError
from trainer.errors import RunError


LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 32 << 20
log = logging.getLogger("trainer.cloud.emulator")


def build(methods: Sequence[Method]) -> Starlette:
    """The application. Of two paths that fit the first is taken."""
    routes = [Route(method.path, _endpoint(method), methods=[method.verb]) for method in methods]
    return Starlette(routes=routes, exception_handlers={HTTPException: _unknown, Exception: _internal})


def _endpoint(method: Method) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            _check_origin(request)
            return await run_in_threadpool(_answered, method, request, raw)
        except ServiceError as error:
            return JSONResponse(error.body(), error.code)
        except RunError as error:  # a bucket that does not answer
            return JSONResponse(ServiceError("UNAVAILABLE", str(error)).body(), 503)

    return endpoint


def _answered(method: Method, request: Request, raw: bytes) -> Response:
    body = _parsed(raw) if method.verb == "POST" else {}
    method.check(body)
    path = {str(name): str(value) for name, value in request.path_params.items()}
    found: Any = method.answer(Call(request.url.path, path, dict(request.query_params), body, raw))
    if isinstance(found, Answer):
        return Response(found.content, found.status, media_type=found.media_type)
    return JSONResponse(found)


def _parsed(raw: bytes) -> Any:
    if len(raw) > MOST_BYTES:
        raise ServiceError("INVALID_ARGUMENT", f"The body has {len(raw)} bytes; expected {MOST_BYTES} at most.")
    try:
        return json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ServiceError("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from error


def _check_origin(request: Request) -> None:
    host = request.url.hostname
    if "origin" in request.headers or host not in LOOPBACK:
        raise ServiceError("PERMISSION_DENIED", f"Host {host}: expected a client on this machine, and no web page.")


async def _unknown(request: Request, error: Exception) -> Response:
    """There is no such path, or it takes no such method."""
    assert isinstance(error, HTTPException)
    status = {404: "NOT_FOUND", 405: "UNIMPLEMENTED"}.get(error.status_code, "INVALID_ARGUMENT")
    message = f"{request.method} {request.url.path}: this emulator has no such method."
    return JSONResponse({"error": {"code": error.status_code, "message": message, "status": status}}, error.status_code)


async def _internal(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    message = f"Internal error encountered: {error}"
    code = HTTPStatus(CODES["INTERNAL"])
    return JSONResponse({"error": {"code": code, "message": message, "status": "INTERNAL"}}, code)
