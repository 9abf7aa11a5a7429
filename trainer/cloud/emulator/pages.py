"""Lists in pages.

page, token = pages.cut(jobs, key=lambda job: job["createTime"], size=20, token="")
"""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trainer.cloud.emulator.errors import ServiceError


T = TypeVar("T")


def cut(
    items: Sequence[T], *, key: Callable[[T], Any], size: int, token: str, descending: bool = False
) -> tuple[list[T], str]:
    """The page that a token begins, the first without one, and the token of the next; "" where that is the last.

    Items are put in order by their keys, which are texts or lists of them. A token is the key of the last item seen,
    so that items which come or go between two pages are neither skipped nor repeated.
    """
    last = _read(token) if token else None
    rest = sorted(items, key=key, reverse=descending)
    if last is not None:
        rest = [item for item in rest if (list(key(item)) < last if descending else list(key(item)) > last)]
    page = rest[:size]
    more = len(rest) > len(page)
    return page, _written(list(key(page[-1]))) if more else ""


def size_of(given: Any, *, default: int, most: int) -> int:
    """How many items a page has. Raises `ServiceError` for what is no count."""
    text = str(given or 0)
    if not text.isdecimal():
        raise ServiceError("INVALID_ARGUMENT", f"pageSize: {text}: expected 0 or more")
    return min(int(text), most) or default


def _written(key: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _read(token: str) -> list[Any]:
    try:
        key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        key = None
    if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
        raise ServiceError("INVALID_ARGUMENT", f"pageToken: {token[:60]!r}: expected a nextPageToken of this list")
    return key
