"""The filters of lists: comparisons that must all hold.

    wanted = filters.parse('resource.labels.job_id="births_1" AND severity>=ERROR')
    filters.holds(wanted, entry)

Of Cloud Logging's language and that of lists (https://google.aip.dev/160), what `trainer.submit` and gcloud send:
fields by dotted names, `=`, `!=`, `<`, `<=`, `>`, `>=` and `:`, joined by AND, blanks or lines.
"""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.cloud.emulator import times
from trainer.cloud.emulator.errors import ServiceError


SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
QUOTED = r'"(?:[^"\\]|\\.)*"'
WORD = r"[^\s\"=!<>:()]+"
PART_OF_FIELD = rf"(?:{QUOTED}|[A-Za-z0-9_][A-Za-z0-9_/-]*)"
COMPARISON = re.compile(rf"\s*({PART_OF_FIELD}(?:\.{PART_OF_FIELD})*)\s*(<=|>=|!=|=|<|>|:)\s*({QUOTED}|{WORD})(?=\s|$)")
AND = re.compile(r"\s+AND\s+|\s+|$")
PART = re.compile(rf"{QUOTED}|[^.\"]+")


@dataclass(frozen=True)
class Comparison:
    """A field beside a value."""

    path: tuple[str, ...]
    operator: str
    value: str


def parse(text: str) -> list[Comparison]:
    """The comparisons of a filter. Raises `ServiceError` for what is none, or is joined in another way."""
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        comparison = COMPARISON.match(text, at)
        if not comparison:
            rest = text[at:]
            raise ServiceError(
                "INVALID_ARGUMENT", f'Unparseable filter at {rest[:60]!r}: expected FIELD="VALUE", joined by AND'
            )
        field, operator, value = comparison.groups()
        found.append(Comparison(tuple(map(_plain, PART.findall(field))), operator, _plain(value)))
        joint = AND.match(text, comparison.end())
        at = joint.end() if joint else comparison.end()
    return found


def holds(comparisons: Sequence[Comparison], resource: Mapping[str, Any]) -> bool:
    """Whether all of the comparisons are true of a resource."""
    return all(_holds(each, resource) for each in comparisons)


def equal_to(comparisons: Sequence[Comparison], *path: str) -> str | None:
    """The value that a field must have, where the filter says it."""
    return next((each.value for each in comparisons if each.path == path and each.operator == "="), None)


def _holds(comparison: Comparison, resource: Mapping[str, Any]) -> bool:
    value: Any = resource
    for part in comparison.path:
        value = value.get(part, value.get(_camel(part))) if isinstance(value, Mapping) else None
    if comparison.operator == ":" and comparison.value == "*":
        return value is not None
    if comparison.path == ("severity",):
        return _compared(_rank(value or "DEFAULT"), comparison.operator, _rank(comparison.value))
    if comparison.path == ("timestamp",):
        written = times.nanoseconds(comparison.value)
        return _compared(times.nanoseconds(value or ""), comparison.operator, written)
    found = value if isinstance(value, str) else "" if value is None else str(value)
    if "*" in comparison.value and comparison.operator in (":", "="):
        return fnmatch.fnmatchcase(found, comparison.value)
    if comparison.operator == ":":
        return comparison.value.lower() in found.lower()
    return _compared(found, comparison.operator, comparison.value)


def _compared(found: Any, operator: str, value: Any) -> bool:
    return bool(
        {
            "=": found == value,
            "!=": found != value,
            "<": found < value,
            "<=": found <= value,
            ">": found > value,
            ">=": found >= value,
        }[operator]
    )


def _rank(severity: str) -> int:
    if severity.upper() not in SEVERITIES:
        raise ServiceError("INVALID_ARGUMENT", f"severity: {severity!r}: expected one of {', '.join(SEVERITIES)}")
    return SEVERITIES.index(severity.upper())


def _plain(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _camel(name: str) -> str:
    """`displayName` for `display_name`: lists take both."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
