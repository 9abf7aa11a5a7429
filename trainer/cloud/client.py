"""Google's client of an API: requests that are checked, sent again where that is safe, and fail in one line.

    service = client.connect("aiplatform", endpoint=None, region="us-central1")
    jobs = service.projects().locations().customJobs()
    client.send(jobs.get(name=name))                     # a dict; raises MissingError, ConflictError or RunError

The clients are built from the discovery documents that google-api-python-client ships: no request is needed for one.
"""

import errno
import json
import logging
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import httplib2
from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient import discovery, http
from googleapiclient.errors import HttpError

from trainer.cloud.schema import DOCUMENTS, Api
from trainer.cloud.target import is_local
from trainer.errors import ConflictError, MissingError, RunError, reason
from trainer.storage import credentials


SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
TIMEOUT_S = 60.0
TRANSIENT = (429, 500, 502, 503, 504)
NO_JSON = "the answer is no JSON object; expected the address of a service of Google's, or of an emulator"
log = logging.getLogger("trainer.cloud")


class Outage(RunError):  # noqa: N818 -- an error, but one that may pass
    """The service could not answer this time, and may have done what it was asked or not."""


def _say_waiting(error: Exception) -> None:
    log.info("waiting for the service: %s", error)


RETRY = Retry(
    lambda error: isinstance(error, Outage),
    initial=1.0,
    maximum=16.0,
    multiplier=2.0,
    timeout=60.0,
    on_error=_say_waiting,
)


def connect(api: Api, *, endpoint: str | None, region: str = "") -> Any:
    """A client of an API: Google's own address (of a region, for Vertex AI), or another `endpoint`."""
    name, _, version = DOCUMENTS[api].partition(".")
    address = endpoint or (f"https://{region}-aiplatform.googleapis.com" if api == "aiplatform" else None)
    try:
        found = credentials.anonymous() if is_local(endpoint) else credentials.default(SCOPES)
    except auth.GoogleAuthError as error:
        raise RunError(f"{address or name}: {credentials.problem(error)}") from error
    transport = httplib2.Http(timeout=TIMEOUT_S)
    return discovery.build(
        name,
        version,
        http=transport if is_local(endpoint) else AuthorizedHttp(found, http=transport),
        client_options={"api_endpoint": address} if address else None,
        static_discovery=True,
    )


def send(request: http.HttpRequest) -> dict[str, Any]:
    """The answer to a request that may be sent again while the trouble may pass: one that reads, or repeats itself."""
    answer: dict[str, Any] = _again(lambda: send_once(request))
    return answer


def send_unless_done(request: http.HttpRequest, done: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """As `send` for a request that must not be done twice: `done` says what there is of it, before each repetition."""
    tried = False

    def attempt() -> dict[str, Any]:
        nonlocal tried
        if tried and (found := done()) is not None:
            return found
        tried = True
        return send_once(request)

    answer: dict[str, Any] = _again(attempt)
    return answer


def _again(attempt: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = RETRY(attempt)()
        return answer
    except RetryError as error:
        raise RunError(f"{error.cause}; tried for {RETRY.timeout:g} s") from error


def send_once(request: http.HttpRequest) -> dict[str, Any]:
    """The answer to a request. Raises `Outage` where another attempt may help, or another `RunError`."""
    where = urllib.parse.urlsplit(request.uri)
    place = f"{where.scheme}://{where.netloc}"
    try:
        answer = request.execute()
    except HttpError as error:
        raise _refusal(error, place) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{place}: {NO_JSON}") from error
    except (auth.DefaultCredentialsError, auth.RefreshError) as error:
        raise RunError(f"{place}: {credentials.problem(error)}") from error
    except httplib2.ServerNotFoundError as error:
        raise RunError(f"{place}: no such host, or no network") from error
    except (httplib2.HttpLib2Error, auth.TransportError, OSError) as error:
        said = _lost(error)
        raise (RunError if _is_refused(error) else Outage)(f"{place}: {said}") from error
    if not isinstance(answer, dict):
        raise RunError(f"{place}: {NO_JSON}")
    return answer


def _refusal(error: HttpError, place: str) -> RunError:
    """What the service's answer means, with its own sentence."""
    status, said = int(error.resp.status), _sentence(error)
    if status in TRANSIENT:
        why = "a quota is used up" if status == 429 else "the service is not available"
        return Outage(f"{place}: {why} ({status}): {said}")
    if status == 401:
        return RunError(f"{place}: the credentials were refused (401): {said}; {credentials.LOGIN}")
    if status == 403:
        return RunError(f"{place}: permission denied (403): {said}; expected a role that may do this in the project")
    if status == 404:
        return MissingError(f"{place}: {said} (404)")
    if status == 409:
        return ConflictError(f"{place}: {said} (409)")
    return RunError(f"{place}: {said} ({status})")


def _sentence(error: HttpError) -> str:
    """The service's own sentence, where it sent one as its APIs do."""
    try:
        found = json.loads(error.content)["error"]
        return credentials.plain(found["message"] if isinstance(found, dict) else str(found))
    except (ValueError, KeyError, TypeError):
        return (error.resp.reason or "no reason given").lower() + ", in an answer that is not JSON"


def _is_refused(error: Exception) -> bool:
    """Whether nobody listens there: not worth waiting for."""
    return isinstance(error, ConnectionRefusedError) or getattr(error, "errno", None) == errno.ECONNREFUSED


def _lost(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if _is_refused(error):
        return "nobody listens there; expected the address of a service that runs"
    found = re.search(r"\[Errno -?\d+\] ([\w ]+)", str(error))
    said = found[1].lower() if found else reason(error) if isinstance(error, OSError) else credentials.plain(str(error))
    return f"no connection: {said}"
