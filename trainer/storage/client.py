"""The Google Cloud Storage client of this process: retries, time limits and one-line errors.

    content = client.request(path, lambda: client.bucket("b").blob("x").download_as_bytes(**client.LIMITS))
    client.server_time()             # the clock that dates the objects

Credentials are the application's default ones; an emulator named by STORAGE_EMULATOR_HOST is sent none.
"""

import contextlib
import functools
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
import urllib3
from google.api_core import exceptions as api
from google.api_core.retry import Retry, if_exception_type
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

from trainer.errors import ConflictError, MissingError, RunError, reason
from trainer.storage import credentials, operations


T = TypeVar("T")
SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
CONNECTIONS = 32  # requests at once; the files of a set are sent by as many threads
LONGEST_WAIT_S = 60.0
TRANSIENT = (
    api.TooManyRequests,
    api.ServerError,
    auth.TransportError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,  # where an answer is read as it is stored, without requests
    ConnectionError,
)
TIMEOUT_S = (10.0, 60.0)  # to connect, and from one byte of an answer to the next
LIMITS: dict[str, Any] = {"timeout": TIMEOUT_S, "retry": None}  # of one attempt
OWN_TRACING = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"  # asks for the bucket, which few may look at
ATTEMPTS = 4  # to send or fetch content that arrived with another checksum
log = logging.getLogger("trainer.storage")


def _say_waiting(error: Exception) -> None:
    log.info("waiting for Google Cloud Storage: %s", _problem(error))


# Its waits have jitter.
RETRY = Retry(
    if_exception_type(*TRANSIENT), initial=0.5, maximum=16.0, multiplier=2.0, timeout=120.0, on_error=_say_waiting
)


class _Traffic:
    """What passes over the wire, from any thread."""

    ahead_s = 0.0  # of the server's clock over ours

    def note(self, response: requests.Response, **settings: Any) -> None:
        """A response has come: count its request, set the clock, wait where the server asks for it."""
        del settings
        operations.count(_kind(response.request))
        with contextlib.suppress(ValueError, TypeError, KeyError):  # a proxy may send no date, or none that is one
            self.ahead_s = parsedate_to_datetime(response.headers["Date"]).timestamp() - time.time()
        if response.status_code in (429, 503) and response.headers.get("Retry-After", "").isdecimal():
            time.sleep(min(LONGEST_WAIT_S, float(response.headers["Retry-After"])))


_traffic = _Traffic()


def server_time() -> float:
    """Unix seconds by the server's clock as of its last answer: ours may be wrong, and others' too."""
    return time.time() + _traffic.ahead_s


def bucket(name: str) -> storage.Bucket:
    """A bucket of this process's client, which is made on first use; raises `RunError` without credentials."""
    try:
        return _client(emulator()).bucket(name)
    except auth.GoogleAuthError as error:
        raise RunError(f"gs://{name}: {_problem(error)}") from error


def emulator() -> str:
    """The URL of an emulator, where one is to be used."""
    return os.environ.get("STORAGE_EMULATOR_HOST", "")  # read where Google's own client reads it


@functools.cache
def _client(emulator: str) -> storage.Client:
    """One for all threads: it keeps connections open, and a token."""
    os.environ.setdefault(OWN_TRACING, "true")
    client = storage.Client(
        project=None, credentials=credentials.anonymous() if emulator else credentials.default(SCOPES)
    )
    adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS)
    for scheme in ("http://", "https://"):
        client._http.mount(scheme, adapter)
    client._http.hooks["response"].append(_traffic.note)
    return client


def request(path: str, send: Callable[[], T], *, retry: Retry | None = None) -> T:
    """What `send` returns, called again while the trouble may pass, as `retry` has it or `RETRY`.

    The libraries would do so too, but not where an answer breaks off that says no. What they raise becomes one line
    that names the path, without anything secret in it: `MissingError`, `ConflictError` or another `RunError`.
    """
    try:
        answer: T = (retry or RETRY)(send)()
        return answer
    except api.NotFound as error:
        raise MissingError(f"{path}: no such object, or no such bucket (404)") from _shown(error)
    except api.PreconditionFailed as error:
        raise ConflictError(f"{path}: was changed by another writer (412)") from _shown(error)
    except (api.GoogleAPIError, auth.GoogleAuthError, urllib3.exceptions.HTTPError, OSError) as error:
        raise RunError(f"{path}: {_problem(error)}") from _shown(error)


@contextlib.contextmanager
def passing_over_damage() -> Iterator[None]:
    """Go on after the block where content has arrived with another checksum: to try again, or to look what is there."""
    try:
        yield
    except DataCorruption:
        pass
    except api.BadRequest as error:
        if not re.search("crc32c|md5", str(error), re.IGNORECASE):
            raise


def _shown(error: Exception) -> Exception:
    """What `--debug` may show of an error: where it was raised, and what it says without anything secret in it."""
    return RunError(f"{type(error).__name__}: {credentials.plain(str(error))}").with_traceback(error.__traceback__)


def _problem(error: BaseException) -> str:
    if isinstance(error, api.RetryError) and error.cause:
        return f"{_problem(error.cause)}; tried for {RETRY.timeout:.0f} s"
    if isinstance(error, api.Unauthorized):
        return f"the credentials were refused (401): {_said(error)}; {credentials.LOGIN}"
    if isinstance(error, api.Forbidden):
        return f"permission denied (403): {_said(error)}; expected the role Storage Object User on the bucket"
    if isinstance(error, api.GoogleAPICallError):
        return f"{_said(error)} ({error.code:d})" if error.code else _said(error)
    if isinstance(error, (auth.DefaultCredentialsError, auth.RefreshError)):
        return credentials.problem(error)
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"no answer within {TIMEOUT_S[1]:.0f} s"
    if isinstance(
        error, (requests.RequestException, urllib3.exceptions.HTTPError, auth.GoogleAuthError, ConnectionError)
    ):
        found = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
        return f"no connection: {found[1].lower() if found else 'it was lost'}"
    return reason(error) if isinstance(error, OSError) else credentials.plain(str(error))


def _said(error: api.GoogleAPICallError) -> str:
    """The server's sentence: not the client's, which has the URL in it, and that may hold the right to an upload."""
    try:
        return credentials.plain(error.response.json()["error"]["message"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return (getattr(error.response, "reason", None) or type(error).__name__).lower()


def _kind(request: requests.PreparedRequest) -> str:
    """The name in `Operations` of what a request does."""
    path = str(request.url).partition("?")[0]
    if request.method == "DELETE":
        return "deletes"
    if request.method != "GET":
        return "writes"
    return "reads" if "/o/" in path or not path.endswith("/o") else "lists"
