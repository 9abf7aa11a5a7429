"""TensorBoard's event files: in the job dir or another folder, the evaluation's apart in `eval/` there.

To a bucket they are written on a budget: an object cannot grow, so each write is of a whole file, and is billed. What
the budget held back is written at the end of the run.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from trainer.storage import local, paths


class Events:
    """The event files of a run; `every_s` seconds have to pass between two writes to a bucket."""

    def __init__(self, directory: str, *, every_s: float, submit: Callable[[Callable[[], None]], None]) -> None:
        self._directory = directory
        self._every_s = every_s
        self._submit = submit
        self._copy = tempfile.TemporaryDirectory(prefix="trainer-") if paths.is_remote(directory) else None
        self._folder = self._copy.name if self._copy else directory
        self._writers: dict[str, Any] = {}  # made with their first scalar: a chief may have none of evaluation
        self._written: dict[str, int] = {}  # the sizes of files in the bucket, the latest last
        self._last_write_s: float | None = None

    def add(self, line: Mapping[str, Any], now: float) -> None:
        """The scalars of a stop; `now` is any clock's seconds."""
        for name, value in line.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or name in ("step", "time"):
                continue
            of_training = name.startswith("train_") or name == "examples_per_second"
            with self._writer("" if of_training else "eval").as_default():
                tf.summary.scalar(name.removeprefix("train_"), value, step=line["step"])
        for writer in self._writers.values():
            writer.flush()
        if self._copy and (self._last_write_s is None or now - self._last_write_s >= self._every_s):
            for name in self._changed()[:1]:
                self._write(name)
                self._last_write_s = now

    def close(self) -> None:
        """End the files, and write what is not in the bucket yet."""
        for writer in self._writers.values():
            writer.close()
        if self._copy:
            for name in self._changed():
                self._write(name)
            self._copy.cleanup()

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(paths.join(self._folder, *filter(None, [name])))
        return self._writers[name]

    def _changed(self) -> list[str]:
        """The files that have grown since they were written, the one that waits longest first."""
        assert self._copy
        sizes = {name: entry.size for name, entry in local.list_files(self._copy.name).items()}
        order = list(self._written)
        changed = [name for name in sizes if self._written.get(name) != sizes[name]]
        return sorted(changed, key=lambda name: order.index(name) if name in order else -1)

    def _write(self, name: str) -> None:
        assert self._copy
        content = local.read_bytes(os.path.join(self._copy.name, name))  # now, since the file goes on growing
        self._written.pop(name, None)
        self._written[name] = len(content)
        self._submit(partial(paths.write_bytes, paths.join(self._directory, name), content))
