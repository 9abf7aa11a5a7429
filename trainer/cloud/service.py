"""What both services can do with jobs and models, in the same words.

service: Service = mlengine.MlEngine(...) or vertex.Vertex(...)
status = service.submit(job, submission="5f0c...")
status = service.status("births_1")              # Status(state="RUNNING", ...)
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trainer.errors import RunError


SUBMISSION = "trainer-submission"
"""The label that tells a request that was sent twice from two requests."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")
OPERATION_S = 3600.0  # a version takes minutes to be served


@dataclass(frozen=True)
class Trial:
    """One of a tuning job."""

    id: str
    state: str
    values: Mapping[str, Any]
    step: int | None = None
    value: float | None = None  # of the metric, at that step


@dataclass(frozen=True)
class Status:
    """A job as the service sees it."""

    job: str  # what the user calls it
    id: str  # what its log is filed under
    state: str  # QUEUED, PREPARING or PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLING, CANCELLED
    error: str = ""
    created: str = ""  # times in RFC 3339
    started: str = ""
    ended: str = ""
    trials: tuple[Trial, ...] = field(default=())

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED


class Service(Protocol):
    """Cloud ML Engine or Vertex AI, for one project."""

    def submit(self, body: Mapping[str, Any], *, submission: str) -> Status:
        """Create the job of a `translation.body`. Raises `UsageError` when its id is taken."""

    def status(self, job: str) -> Status:
        """How a job is. Raises `MissingError` where there is none."""

    def cancel(self, job: str) -> None:
        """Ask a job to end. Raises `UsageError` when it has ended."""

    def deploy(self, model: str, version: str, export: str, *, serving: "Serving", submission: str) -> str:
        """Serve an export as a version of a model, and send all requests to it; returns its name at the service."""

    def predict(self, model: str, version: str | None, request: Mapping[str, Any]) -> list[Any]:
        """The predictions for a request with `instances`."""


@dataclass(frozen=True)
class Serving:
    """On what a version is served."""

    region: str
    machine_type: str = ""
    image: str = ""  # of Vertex AI
    runtime_version: str = ""  # of Cloud ML Engine
    python_version: str = ""


def finished(look: Callable[[], dict[str, Any]], *, every_s: float, clock: Callable[[], float] = time.monotonic) -> Any:
    """The response of a long-running operation, which `look` reads. Raises `RunError` with what went wrong."""
    began = clock()
    while not (operation := look()).get("done"):
        if clock() - began > OPERATION_S:
            raise RunError(f"{operation.get('name')}: not done after {OPERATION_S:.0f} s; it may still be at work")
        time.sleep(every_s)
    if "error" in operation:
        raise RunError(f"{operation.get('name')}: {operation['error'].get('message', 'no reason given')}")
    return operation.get("response", {})
