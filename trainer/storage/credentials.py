"""Google's credentials of this process: where they come from, and what may be said of them.

client = storage.Client(credentials=credentials.default(SCOPES))
credentials.plain(text)             # one line, without tokens and keys
"""

import os
import re
from collections.abc import Sequence
from typing import Any

import google.auth
from google.auth import exceptions
from google.auth.credentials import AnonymousCredentials


LOGIN = "expected credentials: run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
SECRETS = ("token", "refresh_token", "client_secret")
_in_use: list[Any] = []  # whose secrets no message may show


def default(scopes: Sequence[str]) -> Any:
    """The application's default credentials; raises `google.auth.exceptions.GoogleAuthError` where there are none."""
    found = google.auth.default(scopes=scopes)[0]
    _in_use.append(found)
    return found


def anonymous() -> Any:
    """Credentials of nobody's, for a server on this machine."""
    return AnonymousCredentials()


def problem(error: exceptions.GoogleAuthError) -> str:
    """What is wrong with the credentials, in one line that says how to get others."""
    if isinstance(error, exceptions.DefaultCredentialsError):
        said = plain(str(error.args[0])) if "GOOGLE_APPLICATION_CREDENTIALS" in os.environ else "there are none"
        return f"no Google credentials: {said.rstrip('.')}; {LOGIN}"
    return f"the credentials could not be renewed: {plain(str(error.args[0]))}; {LOGIN}, and a clock that is right"


def plain(text: str) -> str:
    """A text in one line, without addresses, tokens and keys."""
    for secret in filter(None, (getattr(credentials, name, None) for credentials in _in_use for name in SECRETS)):
        text = text.replace(secret, "[secret]")
    text = re.sub(r"(?i)(bearer\s+|upload_id=|access_token=)[^\s&'\"]+", r"\1[secret]", text)
    return " ".join(text.split())[:300]
