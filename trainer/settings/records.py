"""Log records as people read them: `step 60  rmse 1.0346  (123,048 examples/s)` for a line of JSON.

fields = records.parsed(line)
if fields is not None: print(records.in_words(fields))
"""

import json
from collections.abc import Mapping
from typing import Any


SPEED = "examples_per_second"


def parsed(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is, or None."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def in_words(fields: Mapping[str, Any]) -> str:
    """A log record as text: the message, then its fields; a stop as `trainer.task` shows it on a terminal."""
    if fields.get("message") == "stop":
        metrics = {k: v for k, v in fields.items() if isinstance(v, float) and k not in ("time", SPEED)}
        speed = [f"({shown(fields[SPEED])} examples/s)"] if SPEED in fields else []
        return "  ".join([f"step {fields['global_step']}", *(f"{k} {shown(v)}" for k, v in metrics.items()), *speed])
    rest = {name: value for name, value in fields.items() if name not in ("severity", "message", "time")}
    severity = f"{fields['severity']}: " if fields.get("severity") not in (None, "INFO") else ""
    message = str(fields.get("message", ""))
    said = {word.strip(",:;") for word in message.split()}
    unsaid = [f"{name} {shown(value)}" for name, value in rest.items() if shown(value) and str(value) not in said]
    return "  ".join([f"{severity}{message}", *unsaid])


def shown(value: object) -> str:
    """A value of a field, short."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(each)}" for name, each in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value)
