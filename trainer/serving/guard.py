"""What surrounds every request: who may ask, whether the server still answers, what is counted and logged of it.

    app = Guard(starlette_app, metrics, token=b"...")

A pure ASGI application: it sees the response go by and holds nothing of it.
"""

import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from trainer.serving.access import AccessLog
from trainer.serving.dialects import TF_SERVING, VERTEX
from trainer.serving.metrics import Metrics


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MODEL = "trainer.model"  # in a scope: the model that was asked
CLOSED = 499  # what nginx logs for a client that went away before the answer
log = logging.getLogger("trainer.serving")


class Guard:
    """The outermost application. `draining` turns new requests away while those before are answered."""

    def __init__(
        self,
        app: App,
        metrics: Metrics,
        access_log: AccessLog | None = None,
        *,
        head_bytes: int,
        token: bytes | None = None,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._head_bytes = head_bytes
        self._token = token
        self._open_paths = open_paths  # that need no token
        self.in_progress = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status, size = CLOSED, 0

        async def observed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        self.in_progress += 1
        self._metrics.in_progress.inc()
        try:
            if self.draining:
                message = "the server is shutting down"
                await respond(observed, 503, error_of(scope["path"], 503, message), (b"connection", b"close"))
            elif _head_size(scope) > self._head_bytes:
                message = f"expected at most {self._head_bytes} bytes of request line and headers"
                await respond(observed, 431, error_of(scope["path"], 431, message))
            elif self._token and scope["path"] not in self._open_paths and not self._knows_token(scope):
                message = "expected the header Authorization: Bearer TOKEN"
                challenge = (b"www-authenticate", b"Bearer")
                await respond(observed, 401, error_of(scope["path"], 401, message), challenge)
            else:
                await self._app(scope, receive, observed)
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if status == CLOSED:
                await respond(observed, 500, error_of(scope["path"], 500, "internal error"))
        finally:
            self.in_progress -= 1
            self._metrics.in_progress.dec()
            seconds = time.perf_counter() - start
            self._metrics.request(scope.get(MODEL, ""), status, seconds)
            if self._access_log:
                self._access_log.add(scope, status, size, seconds)

    def close(self) -> None:
        """Write what is still to be written."""
        if self._access_log:
            self._access_log.flush()

    def _knows_token(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        return hmac.compare_digest(token.strip(), self._token or b"") and scheme.lower() == b"bearer"


def error_of(path: str, status: int, message: str) -> dict[str, Any]:
    """The body of an error, in the form of the service whose path was asked."""
    dialect = VERTEX if path.startswith("/v1/projects/") else TF_SERVING
    return dialect.error(status, message)


async def respond(send: Send, status: int, content: Any, *headers: tuple[bytes, bytes]) -> None:
    """Send a whole JSON response."""
    body = json.dumps(content, allow_nan=False).encode()
    described = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": described})
    await send({"type": "http.response.body", "body": body})


def _head_size(scope: Scope) -> int:
    return len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(n) + len(v) + 4 for n, v in scope["headers"])
