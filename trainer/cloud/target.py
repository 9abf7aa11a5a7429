"""Where requests go: which service, at which address, for which project and region.

target = target_of(api="vertex", endpoint=None, project=None, region="us-central1", environ=os.environ)
"""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainer.errors import UsageError


Api = Literal["vertex", "ml"]
PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
REGION = ("GOOGLE_CLOUD_REGION", "CLOUDSDK_COMPUTE_REGION")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]*")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Target:
    """A service for one project, and for one region where that has a say."""

    api: Api
    project: str
    region: str  # perhaps none for Cloud ML Engine, whose address has none
    endpoint: str | None = None  # None: Google's own address

    @property
    def poll_every_s(self) -> float:
        """Seconds between two looks. Google lets a project read its logs 60 times a minute."""
        return 0.5 if is_local(self.endpoint) else 2.0


def target_of(
    *, api: Api, endpoint: str | None, project: str | None, region: str | None, environ: Mapping[str, str]
) -> Target:
    """The target that flags and environment name. Raises `UsageError`, naming the flag, for what is missing."""
    if endpoint is not None:
        parts = urllib.parse.urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"--api-endpoint: {endpoint}: expected a URL, such as http://127.0.0.1:8600")
    return Target(
        api=api,
        project=_name("--project", project, PROJECT, environ, "the id of a project"),
        region=_name("--region", region, REGION, environ, "a region, such as us-central1", needed=api == "vertex"),
        endpoint=endpoint.rstrip("/") if endpoint else None,
    )


def is_local(endpoint: str | None) -> bool:
    """Whether an endpoint is on this machine, where nobody asks for credentials."""
    return endpoint is not None and urllib.parse.urlsplit(endpoint).hostname in LOOPBACK


def _name(
    flag: str,
    given: str | None,
    variables: tuple[str, ...],
    environ: Mapping[str, str],
    expected: str,
    *,
    needed: bool = True,
) -> str:
    """What a flag says, else a variable."""
    found = given or next((environ[name] for name in variables if environ.get(name)), "")
    if needed and not found:
        raise UsageError(f"{flag}: not given; expected {expected}, here or in {variables[0]}")
    if found and not NAME.fullmatch(found):
        raise UsageError(f"{flag}: {found!r}: expected {expected}")
    return found
