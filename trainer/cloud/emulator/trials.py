"""A tuning job: one cluster a trial, searched as `trainer.tune` does it.

    trials.search(runner, plan, place, prepared, hyperparameters, tell=..., asked=lambda: job.asked)

What a trial has measured is read from the metric file of its primary replica.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainer.cloud.emulator import times
from trainer.cloud.emulator.packages import Prepared
from trainer.cloud.emulator.replicas import Place, Plan
from trainer.cloud.emulator.runs import Asked, Runner, failure
from trainer.tuning import metric_file, objective, runner, space
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import Trial
from trainer.tuning.study import Study


SEED = 1
FAILED = 1  # what a search is told: a trial that refuses its flags does not end the job, as it does not there


@dataclass(frozen=True)
class Timed:
    """A trial and when it ran."""

    trial: Trial
    began: str
    ended: str = ""
    is_cut: bool = False  # it was running when the search was broken off


class Cluster:
    """The replicas of one trial, on a thread of their own."""

    def __init__(self, runner: Runner, plan: Plan, place: Place, prepared: Prepared, tag: str) -> None:
        self._runner = runner
        self._plan = plan
        self._place = place
        self._prepared = prepared
        self._tag = tag
        self._asked: list[int] = []
        self._code: int | None = None
        self._error = ""
        self._thread = threading.Thread(target=self._run, name=f"{place.job_id}/{place.trial}", daemon=True)

    def start(self) -> "Cluster":
        """Start them."""
        self._thread.start()
        return self

    def poll(self) -> int | None:
        """The exit code, once all have ended."""
        return None if self._thread.is_alive() else self._code

    def stop(self) -> None:
        """Ask them to save and end; when called again, end them at once."""
        self._asked.append(signal.SIGTERM)

    def measurements(self) -> Sequence[Measurement]:
        """What the primary has reported so far."""
        return metric_file.read(self._place.metric_file(self._plan.replicas[0]), self._tag)

    def error(self) -> str:
        """Which replica failed, and how."""
        return self._error

    def _run(self) -> None:
        self._code, self._error = FAILED, "could not be started"
        ended = self._runner.run(self._plan, self._place, self._prepared, lambda: self._asked)
        self._error = failure(ended.task, ended.task_code) if ended.task is not None else ""
        self._code = FAILED if ended.task is not None else ended.code


class Audience:
    """Writes what becomes of the trials to the resource and the log of their job."""

    def __init__(self, runner: Runner, place: Place, tell: Callable[[Sequence[Timed]], None]) -> None:
        self._runner = runner
        self._place = place
        self._tell = tell
        self._trials: dict[str, Timed] = {}

    def began(self, trial: Trial) -> None:
        """It was started."""
        self._put(Timed(trial, times.now()))
        self._note(trial, f"Trial {trial.id} is running: {dict(trial.values)}")

    def measured(self, trial: Trial) -> None:
        """It has a new measurement, its last."""
        self._put(replace(self._trials[trial.id], trial=trial))

    def ended(self, trial: Trial, error: str) -> None:
        """It has come to its state."""
        self._put(replace(self._trials[trial.id], trial=trial, ended=times.now()))
        self._note(trial, error or f"Trial {trial.id} ended: {trial.state}.", "ERROR" if error else "INFO")

    def close(self) -> None:
        """The search is over, whatever runs."""
        for timed in [each for each in self._trials.values() if not each.ended]:
            self._put(replace(timed, ended=times.now(), is_cut=True))

    def _put(self, timed: Timed) -> None:
        self._trials[timed.trial.id] = timed
        self._tell(list(self._trials.values()))

    def _note(self, trial: Trial, text: str, severity: str = "INFO") -> None:
        self._runner.entries.note(self._place.project, self._place.job_id, text, severity=severity, trial=trial.id)


def search(
    shared: Runner,
    plan: Plan,
    place: Place,
    prepared: Prepared,
    hyperparameters: Mapping[str, Any],
    *,
    tell: Callable[[Sequence[Timed]], None],
    asked: Asked,
) -> None:
    """Run all trials. Raises `RunError` where too many failed, or none reported its metric."""
    study = Study(place.folder, hyperparameters, seed=SEED)
    params = {param["parameterName"]: param for param in hyperparameters["params"]}

    def start(trial: Trial) -> Cluster:
        flags = tuple(space.flag(params[name], value) for name, value in trial.values.items())
        where = replace(place, folder=os.path.join(place.folder, trial.id), trial=trial.id, flags=flags)
        return Cluster(shared, plan, where, prepared, objective.tag(hyperparameters)).start()

    audience = Audience(shared, place, tell)
    try:
        runner.run(study, start, audience=audience, asked=asked)
    finally:
        audience.close()
