"""Where the time of a run goes: the seconds of each of its parts, and a trace of one call for TensorBoard.

    with measured(say=True, directory=logs):      # of the process
        with part("input"):                       # anywhere below, in the thread that leads
            ...

A part within another is taken out of it, so that the parts add up to the whole. What is in none is `other`.
"""

import contextlib
import glob
import logging
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Literal, get_args

import tensorflow as tf

from trainer.storage import paths


Part = Literal[
    "start",  # the model, the newest checkpoint, the first rows of the evaluation
    "compile",  # the first call of the train function
    "input",  # waiting for rows, and their layout in batches
    "transfer",  # NumPy arrays to tensors, on the device
    "compute",  # the train steps
    "metrics",  # reading what the metrics say
    "checkpoint",
    "evaluation",
    "export",
    "idle",  # waiting for uploads or for another process
    "other",
]
PARTS: tuple[Part, ...] = get_args(Part)
SETTLED = 2  # calls, after which one is traced
log = logging.getLogger("trainer.training")


class Profile:
    """The seconds of each part so far, and how many times it came."""

    def __init__(self, clock: Callable[[], float], cpu_clock: Callable[[], float]) -> None:
        self.times: Counter[Part] = Counter()
        self._seconds: defaultdict[Part, float] = defaultdict(float)
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._began = self._since = clock()
        self._cpu_began = cpu_clock()
        self._current: Part = "other"
        self._trace_directory: str | None = None  # of a trace that is still to be made
        self._calls = 0

    @property
    def seconds(self) -> dict[Part, float]:
        """Of every part that there was, in the order of `PARTS`."""
        self._enter(self._current)
        return {name: self._seconds[name] for name in PARTS if name in self._seconds}

    @contextlib.contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """What is done in this block is that part of the run; TraceMe's name for it in a trace too."""
        outer = self._current
        self._enter(name)
        self.times[name] += 1
        try:
            with tf.profiler.experimental.Trace(name):
                yield
        finally:
            self._enter(outer)

    def trace(self, directory: str) -> None:
        """Leave a trace of one call of the train function, once calls take their usual time, in `plugins/profile/`."""
        self._trace_directory = directory

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """This block is a call of the train function."""
        self._calls += 1
        if self._trace_directory is None or self._calls <= SETTLED:
            yield
            return
        directory, self._trace_directory = self._trace_directory, None
        with tempfile.TemporaryDirectory() as folder:  # the directory may be in a bucket
            tf.profiler.experimental.start(folder)
            try:
                yield
            finally:
                with self.part("other"):
                    tf.profiler.experimental.stop()
            for file in glob.glob(f"{folder}/**/*.xplane.pb", recursive=True):
                name = paths.join(directory, os.path.relpath(file, folder))
                with open(file, "rb") as content:
                    paths.write_bytes(name, content.read())
                log.info("trace: %s", name, extra={"fields": {"trace": name}})

    def say(self) -> None:
        """Log the parts: a table on a terminal, else a line of JSON."""
        seconds, elapsed = self.seconds, self._since - self._began
        cores = (self._cpu_clock() - self._cpu_began) / elapsed
        if not sys.stdout.isatty():
            rounded = {name: round(value, 3) for name, value in seconds.items()}
            times = {name: self.times[name] for name in seconds if self.times[name]}
            fields = {"seconds": rounded, "times": times, "elapsed": round(elapsed, 3), "cores_busy": round(cores, 2)}
            log.info("profile", extra={"fields": fields})
            return
        log.info("%-10s  %9s  %6s  %7s  %9s", "part", "seconds", "share", "times", "ms each")
        for name, value in seconds.items():
            count = self.times[name]
            each = f"{1000 * value / count:9,.1f}" if count else ""
            log.info("%-10s  %9.2f  %5.1f%%  %7s  %9s", name, value, 100 * value / elapsed, count or "", each)
        log.info("%-10s  %9.2f  with %.2f cores busy", "all", elapsed, cores)

    def _enter(self, name: Part) -> None:
        now = self._clock()
        self._seconds[self._current] += now - self._since
        self._current, self._since = name, now


@contextlib.contextmanager
def measured(
    *,
    say: bool,
    directory: str,
    clock: Callable[[], float] = time.monotonic,
    cpu_clock: Callable[[], float] = time.process_time,
) -> Iterator[Profile]:
    """This block is the run that the process is measured for; to be said, with a trace in a directory, or not.

    `cpu_clock` counts the seconds of all threads.
    """
    global _process  # as tf.profiler's own annotations: who does a part need not know who asks
    _process = Profile(clock, cpu_clock)
    if say:
        _process.trace(directory)
    try:
        yield _process
    finally:
        if say:
            _process.say()


def part(name: Part) -> contextlib.AbstractContextManager[None]:
    """As `Profile.part`, of the process's."""
    return _process.part(name)


def call() -> contextlib.AbstractContextManager[None]:
    """As `Profile.call`, of the process's."""
    return _process.call()


_process = Profile(time.monotonic, time.process_time)
