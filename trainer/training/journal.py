"""What a run leaves for people: `run.json`, `metrics.jsonl` (a line a stop) and TensorBoard's event files."""

import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from trainer import strictjson
from trainer.storage import paths


class Journal:
    """The records of one job dir. Lines of `metrics.jsonl` are in the order of their steps, each step once."""

    def __init__(self, job_dir: str) -> None:
        self.job_dir = job_dir
        self.path = paths.join(job_dir, "metrics.jsonl")
        self.lines: list[dict[str, Any]] = []
        self._train_events: Any = None
        self._eval_events: Any = None

    def open(self, facts: Mapping[str, Any]) -> None:
        """Write `run.json`, read the lines of earlier processes and begin new event files."""
        paths.write_bytes(paths.join(self.job_dir, "run.json"), strictjson.dumps(facts, indent=1).encode() + b"\n")
        self.lines = read_lines(self.path)
        self._train_events = tf.summary.create_file_writer(self.job_dir)
        self._eval_events = tf.summary.create_file_writer(paths.join(self.job_dir, "eval"))

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that are not trained any more, since the run goes on from `step`."""
        kept = [line for line in self.lines if line["step"] <= step]
        if kept != self.lines or paths.exists(self.path):
            self.lines = kept  # written anew even if all are kept: a killed process may have left half a line
            paths.write_bytes(self.path, b"".join(_text(line) for line in kept))

    def last(self) -> dict[str, Any] | None:
        """The line of the newest stop."""
        return self.lines[-1] if self.lines else None

    def add(self, line: dict[str, Any]) -> None:
        """Append the line of a stop, and its scalars to the event files."""
        self.lines.append(line)
        paths.append_bytes(self.path, _text(line))
        for name, value in line.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or name in ("step", "time"):
                continue
            of_training = name.startswith("train_") or name == "examples_per_second"
            with (self._train_events if of_training else self._eval_events).as_default():
                tf.summary.scalar(name.removeprefix("train_"), value, step=line["step"])
        self._train_events.flush()
        self._eval_events.flush()

    def close(self) -> None:
        """End the event files."""
        for events in (self._train_events, self._eval_events):
            if events is not None:
                events.close()


def read_lines(path: str) -> list[dict[str, Any]]:
    """The whole lines of a `metrics.jsonl`; a last line that was cut short by a kill is left out."""
    if not paths.exists(path):
        return []
    lines = []
    for text in paths.read_bytes(path).splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _text(line: Mapping[str, Any]) -> bytes:
    return strictjson.dumps(line).encode() + b"\n"
