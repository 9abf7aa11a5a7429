"""A request body beside the schema that Google publishes for it.

    schema.check(body, api="ml", schema="GoogleCloudMlV1__Job")  # UsageError: trainingInput.args[0]: 3: expected text
    schema.problems(body, api="aiplatform", schema="GoogleCloudAiplatformV1CustomJob")

The schemas are those of the discovery documents that google-api-python-client ships. They are not JSON Schema: a whole
number of 64 bits is text there, or a number, and an object takes no field that is not listed
(https://developers.google.com/discovery/v1/type-format).
"""

import base64
import binascii
import difflib
import functools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from trainer.errors import UsageError


Api = Literal["ml", "aiplatform", "logging"]
Path = tuple[str | int, ...]
DOCUMENTS = {"ml": "ml.v1", "aiplatform": "aiplatform.v1", "logging": "logging.v2"}
BITS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Problem:
    """What is wrong at a place in a body."""

    path: Path
    text: str

    def __str__(self) -> str:
        place = dotted(self.path)
        return f"{place}: {self.text}" if place else self.text


def dotted(path: Path) -> str:
    """`trainingInput.args[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def check(body: Any, *, api: Api, schema: str) -> None:
    """Raise `UsageError`, naming the path, for the first thing in a body that the published schema does not take."""
    for problem in problems(body, api=api, schema=schema):
        raise UsageError(str(problem))


def problems(body: Any, *, api: Api, schema: str) -> list[Problem]:
    """All that the published schema does not take in a body, in its order."""
    return list(_problems(body, {"$ref": schema}, schemas(api), ()))


@functools.cache
def schemas(api: Api) -> Mapping[str, Any]:
    """The published schemas of an API by their names."""
    folder = resources.files("googleapiclient.discovery_cache.documents")
    found: dict[str, Any] = json.loads((folder / f"{DOCUMENTS[api]}.json").read_bytes())["schemas"]
    return found


def shown(value: Any) -> str:
    """A value as an error shows it: as JSON, in short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _problems(value: Any, schema: Mapping[str, Any], named: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    schema = named[schema["$ref"]] if "$ref" in schema else schema
    kind = schema.get("type")
    if kind == "object":
        yield from _of_object(value, schema, named, path)
    elif kind == "array":
        if not isinstance(value, list):
            yield Problem(path, f"{shown(value)}: expected a list")
            return
        for index, each in enumerate(value):
            yield from _problems(each, schema["items"], named, (*path, index))
    elif kind != "any" and (expected := _expected(value, schema)):
        yield Problem(path, f"{shown(value)}: expected {expected}")


def _of_object(value: Any, schema: Mapping[str, Any], named: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"{shown(value)}: expected an object")
        return
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, each in value.items():
        inner = fields.get(name, others)
        if not isinstance(name, str):
            yield Problem((*path, str(name)), "expected text as the name of a field")
        elif inner:
            yield from _problems(each, inner, named, (*path, name))
        else:
            meant = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {meant[0]}?" if meant else f"expected one of {', '.join(fields) or 'none'}"
            yield Problem((*path, name), f"unknown field; {hint}")


def _expected(value: Any, schema: Mapping[str, Any]) -> str:
    """What a scalar should be, in words, where it is not."""
    kind, form, words = schema.get("type"), schema.get("format", ""), schema.get("enum")
    if kind == "boolean":
        return "" if isinstance(value, bool) else "true or false"
    if kind == "number":
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return "" if fits else "a number"
    if kind == "integer" or form in BITS:
        return _expected_whole(value, *BITS[form or "int32"])
    if words:
        return (
            "" if value in words else f"one of {', '.join(word for word in words if not word.endswith('UNSPECIFIED'))}"
        )
    if not isinstance(value, str):
        return "text, in quotes" if isinstance(value, (int, float)) else "text"
    if form == "google-duration":
        return "" if DURATION.fullmatch(value) else "a duration in seconds, such as 3600s"
    if form == "google-datetime":
        return "" if DATETIME.fullmatch(value) else "a time, such as 2026-01-31T12:00:00Z"
    if form == "byte":
        return "" if _is_base64(value) else "base64"
    return ""


def _expected_whole(value: Any, least: int, most: int) -> str:
    """A whole number may be written as text, as those of 64 bits are in JSON."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return "a whole number"
    return "" if least <= value <= most else f"a whole number from {least} to {most}"


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, altchars=b"-_" if set("-_") & set(text) else None, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
