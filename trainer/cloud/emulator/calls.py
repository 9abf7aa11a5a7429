"""A request to one of the services: its method, what its path and query say, its body.

Method("POST", "/v1/projects/{project}/jobs", create, "ml", "GoogleCloudMlV1__Job")
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.cloud import schema
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.schema import Api, Problem


@dataclass(frozen=True)
class Call:
    """One request."""

    url_path: str
    path: Mapping[str, str]  # the names in it
    query: Mapping[str, str]
    body: Any
    raw: bytes = b""  # the body as it came

    @property
    def name(self) -> str:
        """Of the resource that is asked for: `projects/p/jobs/births_1`."""
        return self.url_path.removeprefix("/v1/").partition(":")[0]

    @property
    def parent(self) -> str:
        """Of the collection that is asked for."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True)
class Answer:
    """A response that is passed on as it is."""

    status: int
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Method:
    """What a service can be asked, and the schema of the body."""

    verb: str
    path: str
    answer: Callable[[Call], Any]
    api: Api | None = None
    schema: str = ""

    def check(self, body: Any) -> None:
        """Raise `ServiceError` for a body that the published schema does not take."""
        if self.api and (problems := schema.problems(body, api=self.api, schema=self.schema)):
            raise refused(problems)


def refused(problems: Sequence[Problem]) -> ServiceError:
    """A body that is wrong at these places."""
    shown = "; ".join(str(problem) for problem in problems[:5])
    return ServiceError("INVALID_ARGUMENT", f"Invalid value at {shown}")
