"""What a run leaves for people and programs to read: `run.json`, and `metrics.jsonl` with a line a stop.

An evaluator has a journal of its own, in `eval/`, with a line an evaluation; the chief takes over what it holds.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from trainer import strictjson
from trainer.errors import MissingError
from trainer.settings.run import Run
from trainer.storage import paths


NAME = "metrics.jsonl"
FACTS = "run.json"
SHAPING = {"train_batch_size", "seed"}  # of the flags that every experiment has; all of its own do


def write_facts(job_dir: str, facts: Mapping[str, Any]) -> None:
    """Write `run.json`."""
    paths.write_bytes(paths.join(job_dir, FACTS), strictjson.dumps(facts, indent=1).encode() + b"\n")


def read_facts(job_dir: str) -> dict[str, Any]:
    """What `run.json` says; nothing where there is none or it is damaged."""
    try:
        found = json.loads(paths.read_bytes(paths.join(job_dir, FACTS)))
    except (MissingError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def starts(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """When the job dir's earlier runs began, and at which step, by its facts: `{time, step, lease}` each."""
    found = facts.get("starts")
    return [start for start in found if isinstance(start, dict)] if isinstance(found, list) else []


def changed_flags(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The flags that shape what is trained and are not as they were, by their names: (before, now)."""
    old, new = (json.loads(strictjson.dumps(facts.get("flags"))) for facts in (before, now))
    if not isinstance(old, dict) or not isinstance(new, dict):
        return {}
    others = {field.name for field in dataclasses.fields(Run)} - SHAPING
    return {name: (old[name], new[name]) for name in new if name in old.keys() - others and old[name] != new[name]}


class Journal:
    """The `metrics.jsonl` of a directory. Its lines are in the order of their steps, each step once.

    `report`, where there is one, is given all lines when they are read and when they have changed.
    """

    def __init__(
        self,
        directory: str,
        submit: Callable[[Callable[[], None]], None],
        report: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
    ) -> None:
        self.lines: list[dict[str, Any]] = []
        self._directory = directory
        self._submit = submit
        self._report = report

    def open(self) -> None:
        """Read the lines of earlier processes."""
        self.lines = read_lines(self._directory)
        if self._report:
            self._report(self.lines)

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that are not trained any more, since the run goes on from `step`."""
        kept = [line for line in self.lines if line["step"] <= step]
        if kept != self.lines:
            self.lines = kept
            self._write()

    def last(self) -> dict[str, Any] | None:
        """The line of the newest stop."""
        return self.lines[-1] if self.lines else None

    def add(self, line: dict[str, Any]) -> None:
        """Write the line of a stop, after those before it."""
        self.lines.append(line)
        self._write()

    def fill(self, others: Iterable[Mapping[str, Any]]) -> None:
        """Take over what lines of the same steps in another journal have more."""
        more = {line["step"]: line for line in others}
        filled = [{**more.get(line["step"], {}), **line} for line in self.lines]
        if filled != self.lines:
            self.lines = filled
            self._write()

    def _write(self) -> None:
        content = b"".join(strictjson.dumps(each).encode() + b"\n" for each in self.lines)
        self._submit(partial(paths.write_bytes, paths.join(self._directory, NAME), content))
        if self._report:
            self._report(self.lines)


def read_lines(directory: str) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, up to one that is damaged; none where there is no such file."""
    lines = []
    try:
        content = paths.read_bytes(paths.join(directory, NAME))
    except MissingError:
        return []
    for text in content.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict) or "step" not in line:
            break
        lines.append(line)
    return lines
