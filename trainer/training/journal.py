"""What a run leaves for people and programs to read: `run.json`, and `metrics.jsonl` with a line a stop.

An evaluator has a journal of its own, in `eval/`, with a line an evaluation; the chief takes over what it holds.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from trainer import strictjson
from trainer.errors import MissingError
from trainer.storage import paths


NAME = "metrics.jsonl"
FACTS = "run.json"


def write_facts(job_dir: str, facts: Mapping[str, Any]) -> None:
    """Write `run.json`."""
    paths.write_bytes(paths.join(job_dir, FACTS), strictjson.dumps(facts, indent=1).encode() + b"\n")


def read_starts(job_dir: str) -> list[dict[str, Any]]:
    """When the job dir's earlier runs began, and at which step, as `run.json` has it: `{time, step, lease}` each."""
    try:
        found = json.loads(paths.read_bytes(paths.join(job_dir, FACTS)))["starts"]
    except (MissingError, ValueError, KeyError, TypeError):  # no run yet, one of an older version, a damaged file
        return []
    return [start for start in found if isinstance(start, dict)] if isinstance(found, list) else []


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
