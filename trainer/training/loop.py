"""Train until a step, stopping on the way: the run of one experiment, in one process or led by this one.

    outcome = Trainer(experiment, run, facts=facts).train_and_evaluate()

The steps to train are absolute, so the same call resumes, and a finished job trains no step but still has its
evaluation and its exports made if they are missing.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from trainer.errors import ConflictError, RunError, UsageError
from trainer.experiment import Experiment
from trainer.settings.cluster import ALONE, Cluster
from trainer.settings.places import Places, in_job_dir
from trainer.settings.run import Distribution, Run
from trainer.storage import commit, lease, paths
from trainer.training import (
    callbacks,
    checkpoint,
    ending,
    evaluation,
    held,
    journal,
    profile,
    progress,
    state,
    strategy,
    trial,
)
from trainer.training.outcome import Interrupted, Outcome
from trainer.training.pace import Pace
from trainer.training.stops import Stops


log = logging.getLogger("trainer.training")


class Trainer:
    """The state of a run: model, input position, step, callbacks and journal.

    `facts` is the content of `run.json`; `interrupted` returns the number of a signal that asks the run to end. In a
    cluster this is the chief's, which leads the others.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        *,
        facts: Mapping[str, Any],
        interrupted: Callable[[], int | None] = lambda: None,
        cluster: Cluster = ALONE,
        distribution: Distribution = "auto",
        places: Places | None = None,
    ) -> None:
        self.experiment = experiment
        self.run = run
        self.train_steps = experiment.train_steps
        self.facts = facts
        self.interrupted = interrupted
        self.cluster = cluster
        self.distribution: Distribution = distribution
        self.step = 0
        self.places = places or in_job_dir(run.job_dir)
        self.checkpoints = self.places.checkpoints
        self.eval_dir = evaluation.directory(run.job_dir)

    # The schedules.

    def train_and_evaluate(self) -> Outcome:
        """Train until `train_steps`, evaluating and exporting at every stop, unless an evaluator does that."""
        return self._run(evaluate=True)

    def train(self) -> Outcome:
        """Train until `train_steps`, only saving at every stop."""
        return self._run(evaluate=False)

    def evaluate(self) -> Outcome:
        """Evaluate the newest checkpoint, and export it where a strategy wants that."""
        self.distribution = "default"
        with self._opened(), self.stops.right(lease.acquire) as ours:
            if not ours:
                raise ConflictError(f"{self.run.job_dir}: an evaluator is at work; expected one evaluation at a time")
            if self._restore() is None:
                raise UsageError(f"{self.checkpoints}: no checkpoint to evaluate; expected a job dir that was trained")
            metrics = self.evaluations.metrics()
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            log.info("step %d: %s", self.step, shown, extra={"fields": {"global_step": self.step, **metrics}})
            self.evaluations.export(self.step, metrics, final=self.step >= self.train_steps)
            self.evaluations.register()
        return self._outcome(metrics)

    # The run, in the order in which it happens.

    def _run(self, *, evaluate: bool) -> Outcome:
        with self._opened():
            restored = self._restore()
            before = journal.read_facts(self.run.job_dir)
            self._write_facts(journal.starts(before))
            if evaluate and not self.cluster.size and self.step < self.train_steps:
                self.evaluations.prepare()  # beside the first steps
            self.replicas.push()
            if restored:
                self.replicas.seek(self.step)
                self._say_resumed(before)
                if restored.facts["train"] is not None:
                    self.stops.complete(self.step, restored.facts, evaluate=evaluate)
            elif self.step >= self.train_steps:
                self.stops.stop(self.step, evaluate=evaluate)
            self._train(evaluate=evaluate)
            self._say_ended()
            metrics = self.stops.finish(self.step, evaluate=evaluate)
        return self._outcome(metrics)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Hold the job dir while the run lasts; without a cluster, the right to evaluate too."""
        writing = held.opened(
            self.run,
            self.places,
            self.run.job_dir,
            acquire=self._acquired,
            report=trial.reporter(self.places, self.experiment.metric) if self.places.metric_file else None,
        )
        measured = profile.measured(say=self.run.profile, directory=self.places.events)
        with measured, writing as self.held, contextlib.ExitStack() as stack:
            paths.make_directory(self.eval_dir)
            if not self.cluster.size:
                stack.callback(lease.acquire(self.eval_dir).release)
            with profile.part("start"):
                self._build()
            yield

    def _acquired(self, directory: str) -> lease.Lease:
        """A lease, waited for in a cluster, whose platform starts a killed chief again before its lease is void."""
        if not self.cluster.size:
            return lease.acquire(directory)
        return lease.awaited(
            directory, whose="the run before", between=self._raise_if_interrupted, most_s=2 * lease.LASTS_S
        )

    def _build(self) -> None:
        commit.remove_staging(self.run.job_dir)
        commit.remove_staging(self.checkpoints)
        if ending.is_finished(self.run.job_dir, self.train_steps):
            self.distribution = "default"  # the others have nothing to do, and may not come
        self.replicas = strategy.build(self.experiment, self.run, self.cluster, self.distribution)
        self.model = self.replicas.model
        self.named = state.variables(self.model)
        self.pace = Pace(self.run, train_steps=self.train_steps, room=self.replicas.room)
        self.evaluations = evaluation.Evaluations(
            self.experiment,
            self.run,
            model_dir=self.places.model,
            between=self._end_if_interrupted,
            submit=self.held.uploads.submit,
        )
        self.evaluations.open(self.model)
        self.evaluations.input.check()  # a bad row is found now, not after the first steps
        self.callbacks = callbacks.start(self.experiment.callbacks(), self.model)
        self.held.journal.open()
        self.stops = Stops(
            self.experiment,
            self.run,
            cluster=self.cluster,
            checkpoints=self.checkpoints,
            held=self.held,
            replicas=self.replicas,
            named=self.named,
            evaluations=self.evaluations,
            callbacks=self.callbacks,
            between=self._raise_if_interrupted,
        )

    def _write_facts(self, starts: Sequence[Mapping[str, Any]]) -> None:
        """Write `run.json`, with what tells of the run's course to who only reads: `starts` are the earlier runs'."""
        experiment = self.experiment
        course: dict[str, Any] = {"metric": experiment.metric, "goal": experiment.goal, "train_steps": self.train_steps}
        if self.checkpoints != in_job_dir(self.run.job_dir).checkpoints:  # else a job dir that is moved tells the truth
            course["checkpoints"] = self.checkpoints
        start = {"time": time.time(), "step": self.step, "lease": self.held.lease.holder}
        journal.write_facts(self.run.job_dir, {**self.facts, **course, "starts": [*starts, start]})

    def _restore(self) -> checkpoint.Restored | None:
        with checkpoint.restored_newest(self.checkpoints, self.named) as restored:
            if restored:
                self.step = self.stops.saved_step = restored.step
                self.replicas.input.restore(restored.folder, restored.facts["input"])
                callbacks.restore(self.callbacks, restored.folder, restored.facts["callbacks"])
        self.held.journal.forget_after(self.step)
        return restored

    def _train(self, *, evaluate: bool) -> None:
        bar = progress.start(self.step, self.train_steps, time.monotonic())
        try:
            while self.step < self.train_steps and not self.model.stop_training:
                self.callbacks.on_epoch_begin(len(self.held.journal.lines))
                self.replicas.push_changes()
                if self._train_until(self.pace.next_stop(self.step), bar):
                    self.stops.stop(self.step, evaluate=evaluate, examples_per_second=self.pace.examples_per_second)
                else:
                    self._go_back(evaluate=evaluate)
        finally:
            bar.close()

    def _train_until(self, stop: int, bar: progress.Progress) -> bool:
        """Train until a step, or until the time for a stop has come.

        False means that the loss is no finite number and that a callback wants the run to end there.
        """
        self.pace.begin(time.monotonic())
        while self.step < stop:
            self._end_if_interrupted()  # never at `stop` itself, whose evaluation a resume would then leave out
            size = self.pace.call(stop - self.step, time.monotonic())
            with profile.call():
                first_bad = self.replicas.train(size)
            if first_bad >= 0:
                self._check_bad_loss(self.step + first_bad + 1)
                return False
            self.step += size
            now = time.monotonic()
            self.pace.called(size, now)
            bar.update(self.step, self.pace.examples_per_second, now)
            if self.callbacks.callbacks:
                self.replicas.pull()
                self.callbacks.on_train_batch_end(self.step - 1, evaluation.metrics_of(self.model))
                self.replicas.push_changes()
            if self.model.stop_training or self.pace.is_time(now):
                break
        return True

    def _say_resumed(self, before: Mapping[str, Any]) -> None:
        left = max(0, self.train_steps - self.step)
        fields = {"global_step": self.step, "train_steps": self.train_steps}
        log.info("resumed at step %d: %d steps to train", self.step, left, extra={"fields": fields})
        changed = journal.changed_flags(before, self.facts)
        if changed:
            words = (f"--{name.replace('_', '-')} was {old}, is {new} now" for name, (old, new) in changed.items())
            kept = "what a checkpoint holds stays, such as a learning rate that has no schedule"
            log.warning("%s; %s", "; ".join(words), kept)

    def _say_ended(self) -> None:
        """Say that all steps are trained and committed, and let the others go: none of them has to come again."""
        self.held.uploads.submit(partial(ending.write, self.run.job_dir, self.held.lease, global_step=self.step))
        with profile.part("idle"):
            self.held.uploads.catch_up()
        self.replicas.end(finished=True)

    def _outcome(self, metrics: Mapping[str, float]) -> Outcome:
        return Outcome(self.step, metrics, self.evaluations.newest_exports(), self.stops.count)

    # Ends that nobody planned.

    def _raise_if_interrupted(self) -> None:
        number = self.interrupted()
        if number is not None:
            raise Interrupted(number)

    def _end_if_interrupted(self) -> None:
        """End the run, saved and together with the others, if this process or another was asked to."""
        number = self.interrupted() or (signal.SIGTERM if self.replicas.others_asked else None)
        if number is None:
            return
        if self.stops.saved_step != self.step:
            self.replicas.pull()
            self.stops.save(self.step, None, 0.0)
        self.replicas.end(finished=False)
        raise Interrupted(number)

    def _check_bad_loss(self, step: int) -> None:
        """A loss that is not finite is an error, unless a callback, such as TerminateOnNaN, ends the run at it."""
        self.replicas.pull()
        self.callbacks.on_train_batch_end(step - 1, evaluation.metrics_of(self.model))
        if not self.model.stop_training:
            raise RunError(
                f"step {step}: the loss is not a finite number; every checkpoint is as it was. "
                "A lower --learning-rate, or a look at the training data, is the usual remedy"
            )
        log.warning("step %d: the loss is not a finite number; the run ends at the newest checkpoint", step)

    def _go_back(self, *, evaluate: bool) -> None:
        """End the run at the newest checkpoint instead of here."""
        self.held.uploads.catch_up()
        restored = self._restore()
        if restored is None:
            raise RunError("the loss is not a finite number, and there is no checkpoint yet to go back to")
        self.model.stop_training = True
        if restored.facts["train"] is not None:
            self.stops.complete(self.step, restored.facts, evaluate=evaluate)
