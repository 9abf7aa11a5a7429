"""Evaluate the checkpoints of a job while other processes train it.

    outcome = Evaluator(experiment, run, interrupted=interrupted).continuous_eval()

Each checkpoint is evaluated at most once, in order; of those that came while one was evaluated, only the newest. It
exports too, as the chief would. It ends when the job's last step is evaluated.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from trainer.experiment import Experiment
from trainer.settings.places import Places, in_job_dir
from trainer.settings.run import Run
from trainer.storage import commit, lease
from trainer.training import checkpoint, ending, evaluation, held, progress, state
from trainer.training.outcome import Interrupted, Outcome


log = logging.getLogger("trainer.training")


class Evaluator:
    """The state of an evaluator: its model, the step it has evaluated, and the journal of its evaluations."""

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        *,
        interrupted: Callable[[], int | None] = lambda: None,
        places: Places | None = None,
    ) -> None:
        self.experiment = experiment
        self.run = run
        self.interrupted = interrupted
        self.step: int | None = None  # of the checkpoint that the model has
        self.stops = 0
        self.places = places or in_job_dir(run.job_dir)
        self.checkpoints = self.places.checkpoints
        self.directory = evaluation.directory(run.job_dir)

    def continuous_eval(self) -> Outcome:
        """Follow the job until it has ended; raises `RunError` when its chief is gone."""
        with self._opened():
            while True:
                # In this order: what was committed before the end is then seen.
                found, newest = self.watch.look(), checkpoint.newest_step(self.checkpoints)
                ended = found == "ended" or (newest is not None and newest >= self.experiment.train_steps)
                if newest is not None and newest != self.step:
                    self._follow(newest, last=ended or found == "gone")
                elif ended:
                    break
                elif found == "gone":
                    raise self.watch.gone()
                else:
                    self._wait()
            metrics = evaluation.among(self.held.journal.last() or {}, self.model)
            if self.step is not None:
                self.evaluations.export(self.step, metrics, final=True)
            self.evaluations.register()
        return Outcome(self.step or 0, metrics, self.evaluations.newest_exports(), self.stops)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Hold the right to evaluate."""
        with held.opened(self.run, self.places, self.directory, acquire=self._acquired) as self.held:
            self._build()
            yield

    def _acquired(self, directory: str) -> lease.Lease:
        return lease.awaited(directory, whose="the chief", between=self._end_if_interrupted)

    def _build(self) -> None:
        self.model = state.build_model(self.experiment.model_fn, self.run)
        self.evaluations = evaluation.Evaluations(
            self.experiment,
            self.run,
            model_dir=self.places.model,
            between=self._end_if_interrupted,
            submit=self.held.uploads.submit,
        )
        state.build_variables(self.model, self.evaluations.input.zeros())
        self.named = state.variables(self.model)
        self.evaluations.open(self.model)
        self.evaluations.prepare()
        self.evaluations.input.check()
        self.held.journal.open()
        self.watch = ending.Watch(self.run.job_dir)

    def _follow(self, newest: int, *, last: bool) -> None:
        """Restore a checkpoint, evaluate it unless that was done before, and export it where that is due.

        Raises `DamagedError` where it is not whole and the `last` one: no newer one will come.
        """
        try:
            checkpoint.restore_variables(self.checkpoints, newest, self.named)
        except commit.DamagedError as damage:  # removed meanwhile, mostly, since a newer one is there
            if last:
                raise
            log.info("checkpoint not evaluated: %s", damage)
            self._wait()
            return
        self.step = newest
        self.held.uploads.catch_up()
        self.held.journal.forget_after(newest)  # more only of a run that went back since
        line = self.held.journal.last()
        if line is None or line["step"] != newest:
            self.stops += 1
            line = {"step": newest, **self.evaluations.metrics(), "time": time.time()}
            self.held.journal.add(line)
            self.held.events.add(line, time.monotonic())
            progress.stop_line(line)
        self.evaluations.export(newest, evaluation.among(line, self.model), final=False)

    def _wait(self) -> None:
        self._end_if_interrupted()
        time.sleep(self.watch.look_every_s)

    def _end_if_interrupted(self) -> None:
        if number := self.interrupted():
            raise Interrupted(number)
