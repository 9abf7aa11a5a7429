"""What a run leaves for people and programs to read: `run.json`, and `metrics.jsonl` with a line a stop."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from trainer import strictjson
from trainer.errors import MissingError
from trainer.storage import paths


class Journal:
    """The records of one job dir. Lines of `metrics.jsonl` are in the order of their steps, each step once."""

    def __init__(self, job_dir: str, submit: Callable[[Callable[[], None]], None]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._facts = paths.join(job_dir, "run.json")
        self._path = paths.join(job_dir, "metrics.jsonl")
        self._submit = submit

    def open(self, facts: Mapping[str, Any]) -> None:
        """Write `run.json`, and read the lines of earlier processes."""
        paths.write_bytes(self._facts, strictjson.dumps(facts, indent=1).encode() + b"\n")
        self.lines = read_lines(self._path)

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

    def _write(self) -> None:
        content = b"".join(strictjson.dumps(each).encode() + b"\n" for each in self.lines)
        self._submit(partial(paths.write_bytes, self._path, content))


def read_lines(path: str) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, up to one that is damaged; none where there is no such file."""
    lines = []
    try:
        content = paths.read_bytes(path)
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
