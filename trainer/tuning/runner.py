"""The trials of a search, run side by side until there are no more: measured, stopped early, counted, resumed.

    interrupted = runner.run(study, start, audience=audience, asked=signals.received())

How a trial is started is the caller's: as a process of this machine, or as a cluster of them. A trial of the study that
is RUNNING when this begins was cut off, and is started again with its own values, before any new one.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from trainer.errors import RunError, UsageError
from trainer.tuning import objective, search
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import State, Trial
from trainer.tuning.study import Study


LOOK_EVERY_S = 0.1
FIRST = 3  # trials that all fail: so would the others
USAGE = UsageError.exit_code


class Started(Protocol):
    """A trial that was started."""

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""

    def stop(self) -> None:
        """Ask it to save and end; when called again, end it at once. It may have ended."""

    def measurements(self) -> Sequence[Measurement]:
        """What it has reported so far, in order."""

    def error(self) -> str:
        """What it said last, where it failed; empty where it said nothing."""


class Audience(Protocol):
    """Who is told of what happens to each trial."""

    def began(self, trial: Trial) -> None:
        """It was started, or started again."""

    def measured(self, trial: Trial) -> None:
        """It has a new measurement, its last."""

    def ended(self, trial: Trial, error: str) -> None:
        """It has come to its state; `error` is empty unless it failed."""


def run(
    study: Study, start: Callable[[Trial], Started], *, audience: Audience, asked: Callable[[], Sequence[int]]
) -> int | None:
    """Run the search to its end. Returns the signal that broke it off, or None.

    `asked` returns the signals received so far: the first asks all trials to save and end, the second ends them at
    once. Raises `RunError` where too many trials failed, `UsageError` where one was refused for a mistake.
    """
    trials = _Trials(study, start, audience)
    try:
        while not asked() and not trials.failure and trials.fill():
            time.sleep(LOOK_EVERY_S)
            trials.look()
        trials.end(asked)
    except BaseException:
        trials.kill()
        raise
    if asked():
        return asked()[0]
    if trials.failure:
        raise trials.failure
    if not any(trial.final and trial.state in search.ENDED for trial in study.trials):
        raise RunError(f"no trial has reported {objective.tag(study.hyperparameters)}; the last: {trials.error}")
    return None


class _Trials:
    """Those of a study, and what runs of them."""

    def __init__(self, study: Study, start: Callable[[Trial], Started], audience: Audience) -> None:
        self.failure: RunError | None = None
        self.error = "failed before"  # of the trial that failed last
        self._study = study
        self._start = start
        self._audience = audience
        self._cut_off = [trial for trial in study.trials if trial.state == "RUNNING"]
        self._started: dict[str, Started] = {}
        self._running: dict[str, Trial] = {}  # with what they have measured
        self._behind: set[str] = set()  # asked to end, since they are
        self._cut: set[str] = set()  # asked to end, since all are
        self._ended: list[Trial] = []  # in this run

    def fill(self) -> bool:
        """Start as many trials as may run side by side; whether any runs."""
        while len(self._started) < int(self._study.hyperparameters.get("maxParallelTrials", 1)):
            trial = self._cut_off.pop(0) if self._cut_off else self._next()
            if trial is None:
                break
            self._started[trial.id] = self._start(trial)
            self._running[trial.id] = trial
            self._audience.began(trial)
        return bool(self._started)

    def look(self) -> None:
        """See what the trials have measured, which have ended, and ask those that are behind to end."""
        for name, started in list(self._started.items()):
            code = started.poll()  # before what it has measured, which is all there when it has ended
            trial, measured = self._running[name], tuple(started.measurements())
            if measured and measured != trial.measurements:
                trial = self._running[name] = dataclasses.replace(trial, measurements=measured)
                self._audience.measured(trial)
                if code is None and not self._is_asked(name) and self._is_behind(trial):
                    self._behind.add(name)
                    started.stop()
            if code is not None:
                del self._started[name], self._running[name]
                self._end(trial, started, code)

    def end(self, asked: Callable[[], Sequence[int]]) -> None:
        """Have all that still run save and end; at once, when a second signal says so."""
        for name, started in self._started.items():
            if not self._is_asked(name):
                self._cut.add(name)
                started.stop()
        while self._started:
            if len(asked()) > 1:
                self.kill()
            time.sleep(LOOK_EVERY_S)
            self.look()

    def kill(self) -> None:
        """End all that still run at once."""
        for name, started in self._started.items():
            if not self._is_asked(name):
                self._cut.add(name)
                started.stop()
            started.stop()

    def _next(self) -> Trial | None:
        values = search.next_values(self._study.hyperparameters, self._study.trials, seed=self._study.seed)
        if values is None:
            return None
        trial = Trial(str(len(self._study.trials) + 1), values)
        self._study.put(trial)
        return trial

    def _is_asked(self, name: str) -> bool:
        return name in self._behind or name in self._cut

    def _is_behind(self, trial: Trial) -> bool:
        return search.should_stop(self._study.hyperparameters, self._study.trials, trial)

    def _end(self, trial: Trial, started: Started, code: int) -> None:
        """Record how a trial ended. One that was cut off, or refused, stays RUNNING, to be resumed."""
        error = ""
        if code == 0 and trial.final:
            state: State = "SUCCEEDED"
        elif trial.id in self._behind:
            state = "STOPPED"
        elif trial.id in self._cut:
            return
        elif code == USAGE:
            self.failure = self.failure or UsageError(f"trial {trial.id}: {started.error() or 'bad usage'}")
            return
        else:
            how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            missing = f"reported no {objective.tag(self._study.hyperparameters)}"
            state, error = "FAILED", missing if code == 0 else started.error() or how
        trial = dataclasses.replace(trial, state=state)
        self._study.put(trial)
        self._ended.append(trial)
        self._audience.ended(trial, error)
        if state == "FAILED":
            self.error = error
            self.failure = self.failure or self._too_many(error)

    def _too_many(self, error: str) -> RunError | None:
        """Why no more trials are started after one that failed, if so."""
        most = int(self._study.hyperparameters.get("maxFailedTrials", 0))
        failed = sum(trial.state == "FAILED" for trial in self._study.trials)
        if 0 < most <= failed:
            return RunError(f"{failed} of the trials failed, and maxFailedTrials is {most}; the last: {error}")
        if not most and len(self._ended) == FIRST and all(trial.state == "FAILED" for trial in self._ended):
            return RunError(f"the first {FIRST} trials failed; the last: {error}")
        return None
