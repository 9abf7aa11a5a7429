"""A trial as a process of this machine: the trainer with the trial's values, and what the services would tell it.

    place = Place(job_dir, command=[sys.executable, "-m", "trainer.task", *flags], environ=os.environ, ...)
    started = start(trial, place)

What it prints goes to `trial.log` in its job dir, `<job-dir>/<id>`, and is not looked at unless it fails.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer import processes
from trainer.settings import places
from trainer.storage import paths
from trainer.tuning import metric_file, objective, space
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import Trial


LOG = "trial.log"
METRICS = "output.metrics"  # the name that cloudml-hypertune gives it
ERROR = ": error: "
ONE_JOBS = ("CLUSTER_SPEC", places.MODEL_DIR, places.CHECKPOINT_DIR, places.TENSORBOARD_LOG_DIR)  # not for many trials


@dataclass(frozen=True)
class Place:
    """What the trials of a search have in common."""

    job_dir: str  # each trial has a folder in it, by its id
    work_dir: str  # the same, or a local one where the job dir is in a bucket
    command: Sequence[str]  # the trainer, with the flags of all trials
    hyperparameters: Mapping[str, Any]
    environ: Mapping[str, str]


def start(trial: Trial, place: Place) -> "Process":
    """Start a trial, or start it again, to resume."""
    work_dir = paths.join(place.work_dir, trial.id)
    paths.make_directory(work_dir)
    metrics, log = paths.join(work_dir, METRICS), paths.join(work_dir, LOG)
    values = [space.flag(p, trial.values[p["parameterName"]]) for p in place.hyperparameters["params"]]
    environ = {name: value for name, value in place.environ.items() if name not in ONE_JOBS}
    environ["TF_CONFIG"] = json.dumps({"task": {"trial": trial.id}, "environment": "cloud"})
    environ |= {places.TRIAL_ID: trial.id, places.METRIC_FILE: metrics}
    with open(log, "ab") as file:
        before = file.tell()
        process = subprocess.Popen(
            [*place.command, *values, "--job-dir", place.job_dir],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for the tuner, to be passed on
            preexec_fn=processes.dying_with_parent(),
        )
    kept = paths.join(place.job_dir, trial.id, LOG) if place.work_dir != place.job_dir else None
    return Process(process, log, before, metrics=metrics, tag=objective.tag(place.hyperparameters), kept=kept)


class Process:
    """A `runner.Started`."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", log: str, before: int, *, metrics: str, tag: str, kept: str | None
    ) -> None:
        self._process = process
        self._log = log
        self._before = before  # bytes that earlier processes of the trial had written
        self._metrics = metrics
        self._tag = tag
        self._kept = kept  # where the log is copied to
        self._asked = 0.0

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        if self._process.returncode is None and self._process.poll() is not None:
            processes.kill_session(self._process)  # its children
            if self._kept:
                paths.write_bytes(self._kept, paths.read_bytes(self._log))
        if self._asked and time.monotonic() - self._asked > processes.PATIENCE.asked_s:
            processes.kill_session(self._process)
        return self._process.returncode

    def stop(self) -> None:
        if self._asked:
            processes.kill_session(self._process)
            self._process.wait()
        elif self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
        self._asked = self._asked or time.monotonic()

    def measurements(self) -> list[Measurement]:
        return metric_file.read(self._metrics, self._tag)

    def error(self) -> str:
        """The last line of this process that is no log record; of an error of ours what it says."""
        lines = paths.read_bytes(self._log)[self._before :].decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not line.startswith("{")]
        errors = [line.partition(ERROR)[2] for line in said if ERROR in line]
        return next(iter([*errors[-1:], *said[-1:]]), "")
