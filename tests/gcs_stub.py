"""What is said where Google's own servers would answer: one answer to all, a token, or a refusal to give one.

    with answering(403) as stub:
        key = stub.service_account(folder)    # the path of a JSON key whose tokens this server hands out
        ...
        stub.requests                         # [("GET", "/storage/v1/b/...", "Bearer ...")]

Answers say what they were asked with, as servers may that nobody thought of: the token is in them.
"""

import contextlib
import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from trainer.storage import client, paths


TOKEN = "ya29.planted-token-0123456789"
SKEWED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)


@functools.cache
def private_key() -> str:
    """A key of nobody's, as service accounts have one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*form).decode()


class Stub(http.server.ThreadingHTTPServer):
    """Answers `status` to all, and `TOKEN` or `token_error` where a token is asked for. Its clock may be ahead."""

    daemon_threads = True

    def __init__(self, status: int, said: str, token_error: str, ahead_s: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.said, self.token_error, self.ahead_s = status, said, token_error, ahead_s
        self.requests: list[tuple[str, str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def service_account(self, folder: str) -> str:
        """Write a service account's JSON key, and return its path."""
        account = {
            "type": "service_account",
            "project_id": "nobodys",
            "private_key_id": "1",
            "private_key": private_key(),
            "client_email": "trainer@nobodys.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }
        path = paths.join(folder, "key.json")
        paths.write_bytes(path, json.dumps(account).encode())
        return path


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Stub

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = self.headers.get("Authorization", "")
        self.server.requests.append((self.command, self.path, asked))
        said = self.server.said.replace("AUTHORIZATION", asked).replace("TOKEN", asked.removeprefix("Bearer "))
        status, content = self.server.status, {"error": {"code": self.server.status, "message": said}}
        if self.path == "/token" and self.server.token_error:
            status, content = 400, {"error": "invalid_grant", "error_description": self.server.token_error}
        elif self.path == "/token":
            status, content = 200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def date_time_string(self, timestamp: float | None = None) -> str:
        """For the Date header."""
        return super().date_time_string((timestamp or time.time()) + self.server.ahead_s)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextlib.contextmanager
def answering(
    status: int, *, said: str = "Asked as AUTHORIZATION", token_error: str = "", ahead_s: float = 0.0
) -> Iterator[Stub]:
    """A server that gives this answer, until the end of the block."""
    with Stub(status, said, token_error, ahead_s) as stub:
        thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            stub.shutdown()
            thread.join()


def impatient(monkeypatch: pytest.MonkeyPatch, *, within_s: float = 60.0, timeout_s: float = 1.0) -> None:
    """Try again after milliseconds, for `within_s` in all, and wait `timeout_s` for an answer, until the test ends."""
    retry = client.RETRY.with_delay(initial=0.005, maximum=0.05).with_timeout(within_s)
    monkeypatch.setattr(client, "RETRY", retry)
    monkeypatch.setattr(client, "TIMEOUT_S", (timeout_s, timeout_s))
    monkeypatch.setattr(client, "LIMITS", client.LIMITS | {"timeout": (timeout_s, timeout_s)})
