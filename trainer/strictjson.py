"""JSON that every reader takes: Python's own writes NaN and Infinity, which are no JSON."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, *, indent: int | None = None) -> str:
    """The text of a value, with null for a number that is not finite and words for what JSON has no form for."""
    return json.dumps(_plain(value), default=str, allow_nan=False, indent=indent)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
