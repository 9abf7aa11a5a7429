"""How far a folder of predictions is: a bar on a terminal, a JSON line a shard elsewhere."""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Protocol


log = logging.getLogger("trainer.serving")


class Progress(Protocol):
    """Told of every call of the model, from any thread."""

    def update(self, rows: int) -> None:
        """So many rows more are predicted."""

    def commit(self, name: str, rows: int, input_bytes: int) -> None:
        """A shard is committed."""

    def close(self) -> None:
        """The run has ended or is about to end."""


def start(clock: Callable[[], float], *, input_bytes: int, shards: int) -> Progress:
    """The form that fits where stdout goes."""
    return Bar(clock, input_bytes) if sys.stdout.isatty() else Lines(clock, shards)


class Lines:
    """A log line a shard."""

    def __init__(self, clock: Callable[[], float], shards: int) -> None:
        self._clock = clock
        self._began = clock()
        self._left = shards
        self._rows = 0
        self._lock = threading.Lock()

    def update(self, rows: int) -> None:
        with self._lock:
            self._rows += rows

    def commit(self, name: str, rows: int, input_bytes: int) -> None:
        del input_bytes
        with self._lock:
            self._left -= 1
            rate = round(self._rows / max(1e-9, self._clock() - self._began))
            fields = {"shard": name, "rows": rows, "shards_left": self._left, "rows_per_second": rate}
            log.info("committed %s", name, extra={"fields": fields})

    def close(self) -> None:
        """Nothing to take down."""


class Bar:
    """A progress bar with rows, rows per second and the time left, by the bytes of input; log lines scroll by above."""

    def __init__(self, clock: Callable[[], float], input_bytes: int) -> None:
        from rich import progress  # only a terminal needs it

        self._clock = clock
        self._began = clock()
        self._rows = 0
        self._lock = threading.Lock()
        self._bar = progress.Progress(
            progress.TextColumn("{task.fields[rows]} rows"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[rate]} rows/s"),
            progress.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("predict", total=input_bytes, rows="0", rate="")
        self._bar.start()

    def update(self, rows: int) -> None:
        with self._lock:
            self._rows += rows
            rate = self._rows / max(1e-9, self._clock() - self._began)
            self._bar.update(self._task, rows=f"{self._rows:,}", rate=f"{rate:,.0f}")

    def commit(self, name: str, rows: int, input_bytes: int) -> None:
        del name, rows
        self._bar.advance(self._task, input_bytes)

    def close(self) -> None:
        self._bar.stop()
