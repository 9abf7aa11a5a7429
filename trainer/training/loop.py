"""Train until a step, stopping on the way: the run of one experiment in one process.

    outcome = Trainer(experiment, run, facts=facts).train_and_evaluate()

A stop is the one cadence: save, evaluate, report, export, in that order. The steps to train are absolute, so the same
call resumes, and a finished job trains no step but still has its evaluation and its exports made if they are missing.
"""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy
from trainer.exporting import savedmodel, strategies
from trainer.inputs import dataset
from trainer.inputs.batches import Shard
from trainer.settings.run import Run
from trainer.storage import commit, lease, paths, uploads
from trainer.training import callbacks, checkpoint, evaluation, progress, state
from trainer.training.events import Events
from trainer.training.journal import Journal
from trainer.training.steps import Steps


STOPS_A_RUN = 10
SECONDS_A_STOP = 60.0
SECONDS_A_CALL = 1.0
log = logging.getLogger("trainer.training")


class Interrupted(Exception):  # noqa: N818 -- not an error
    """The run was asked to end by a signal and has saved what it had."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.exit_code = 128 + signal_number


@dataclass(frozen=True)
class Outcome:
    """Where a run ended."""

    global_step: int
    metrics: Mapping[str, float]  # of the final evaluation
    exports: tuple[str, ...]  # the newest of each strategy
    stops: int  # of this process


class Trainer:
    """The state of a run: model, input position, step, callbacks and journal.

    `facts` is the content of `run.json`; `interrupted` returns the number of a signal that asks the run to end.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        *,
        facts: Mapping[str, Any],
        interrupted: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.experiment = experiment
        self.run = run
        self.train_steps = experiment.train_steps
        self.facts = facts
        self.interrupted = interrupted
        self.step = 0
        self.saved_step: int | None = None
        self.steps_a_call: int | None = None  # None until the train function is compiled
        self.stops = 0
        self.checkpoints = paths.join(run.job_dir, "checkpoints")

    # The schedules.

    def train_and_evaluate(self) -> Outcome:
        """Train until `train_steps`, evaluating and exporting at every stop."""
        return self._run(evaluate=True)

    def train(self) -> Outcome:
        """Train until `train_steps`, only saving at every stop."""
        return self._run(evaluate=False)

    def evaluate(self) -> Outcome:
        """Evaluate the newest checkpoint, and export it where a strategy wants that."""
        with self._opened():
            restored = self._restore()
            if restored is None:
                raise UsageError(f"{self.checkpoints}: no checkpoint to evaluate; expected a job dir that was trained")
            metrics = self._evaluation()
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            log.info("step %d: %s", self.step, shown, extra={"fields": {"global_step": self.step, **metrics}})
            self._export(metrics, final=self.step >= self.train_steps)
        return self._outcome(metrics)

    # The run, in the order in which it happens.

    def _run(self, *, evaluate: bool) -> Outcome:
        with self._opened():
            restored = self._restore()
            if restored:
                self._say_resumed()
                if restored.facts["train"] is not None:
                    self._finish_stop(restored.facts, evaluate=evaluate)
            elif self.step >= self.train_steps:
                self._stop(evaluate=evaluate)
            self._train(evaluate=evaluate)
            metrics = self._finish(evaluate=evaluate)
        return self._outcome(metrics)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Hold the job dir while the run lasts; all that was submitted is in it after the block."""
        strategies.check(self.experiment)
        job_dir = self.run.job_dir
        paths.make_directory(job_dir)
        with contextlib.ExitStack() as held:
            owned = lease.acquire(job_dir)
            held.callback(owned.release)
            self.uploads = uploads.start(job_dir, check=owned.check)
            held.callback(self.uploads.finish)
            self.exports = strategies.Exports(job_dir, self.experiment, self.uploads.submit)
            self.journal = Journal(job_dir, self.uploads.submit)
            self.events = Events(job_dir, every_s=self.run.events_every_secs, submit=self.uploads.submit)
            held.callback(self.events.close)
            self._build()
            yield

    def _build(self) -> None:
        commit.remove_staging(self.run.job_dir)
        commit.remove_staging(self.checkpoints)
        self.exports.open()
        self.model = state.build_model(self.experiment.model_fn, seed=self.run.seed)
        if self.run.deterministic:
            # After `compile`: Keras takes jit_compile back under this switch, but XLA's programs repeat themselves.
            tf.config.experimental.enable_op_determinism()
        self.train_input = dataset.train_batches(self.experiment.train_input_fn(Shard()))
        self.eval_input = dataset.eval_batches(self.experiment.eval_input_fn(Shard()))
        zeros = self.train_input.zeros()
        state.build_variables(self.model, zeros)
        self.named = state.variables(self.model)
        self.steps = Steps(self.model, zeros)
        self.eval_input.check()  # a bad row is found now, not after the first steps
        self.callbacks = callbacks.start(self.experiment.callbacks(), self.model)
        self.journal.open(self.facts)

    def _restore(self) -> checkpoint.Restored | None:
        with checkpoint.restored_newest(self.checkpoints, self.named) as restored:
            if restored:
                self.step = self.saved_step = restored.step
                self.train_input.restore(restored.folder, restored.facts["input"])
                callbacks.restore(self.callbacks, restored.folder, restored.facts["callbacks"])
        self.journal.forget_after(self.step)
        return restored

    def _train(self, *, evaluate: bool) -> None:
        bar = progress.start(self.step, self.train_steps, time.monotonic())
        try:
            while self.step < self.train_steps and not self.model.stop_training:
                self.callbacks.on_epoch_begin(len(self.journal.lines))
                examples_per_second = self._train_until(self._next_stop(), bar)
                if examples_per_second is None:
                    self._go_back(evaluate=evaluate)
                else:
                    self._stop(evaluate=evaluate, examples_per_second=examples_per_second)
        finally:
            bar.close()

    def _train_until(self, stop: int, bar: progress.Progress) -> float | None:
        """Train until a step, or until the time for a stop has come; return the examples per second.

        None means that the loss is no finite number and that a callback wants the run to end there.
        """
        began = clocked = time.monotonic()
        first, rate = self.step, 0.0
        seconds = self.run.eval_every_secs or (float("inf") if self.run.eval_every else SECONDS_A_STOP)
        while self.step < stop:
            self._end_if_interrupted()  # never at `stop` itself, whose evaluation a resume would then leave out
            called = time.monotonic()
            size = min(self.steps_a_call or 1, stop - self.step)
            for batches in self.train_input.take(size):
                first_bad = self.steps.train(batches)
                self.step += batches.steps
                if first_bad >= 0:
                    self._check_bad_loss(self.step - batches.steps + first_bad + 1)
                    return None
            now = time.monotonic()
            rate = (self.step - first) * self.run.train_batch_size / (now - clocked)
            if self.steps_a_call is None:  # this call compiled, so its time says nothing of those to come
                self.steps_a_call, clocked, first = 1, now, self.step
            else:
                fitting = int(size * SECONDS_A_CALL / max(now - called, 1e-6))
                self.steps_a_call = max(1, min(self.steps.room, fitting))
            bar.update(self.step, rate, now)
            if self.callbacks.callbacks:
                self.callbacks.on_train_batch_end(self.step - 1, self._logs())
            if self.model.stop_training or now - began >= seconds:
                break
        return rate

    def _stop(self, *, evaluate: bool, examples_per_second: float = 0.0) -> None:
        self.stops += 1
        train_logs = self._logs() if self.step else {}
        self.model.reset_metrics()
        self._save(train_logs, examples_per_second)
        self._finish_stop({"train": train_logs, "examples_per_second": examples_per_second}, evaluate=evaluate)

    def _finish_stop(self, facts: Mapping[str, Any], *, evaluate: bool) -> None:
        """What follows the save. After a resume too: a process may have been killed at any line of this."""
        line = self.journal.last()
        if line is None or line["step"] != self.step or (evaluate and self.experiment.metric not in line):
            self.journal.forget_after(self.step - 1)  # a line without an evaluation, of a run that only trained
            metrics = self._evaluation() if evaluate else {}
            train = {f"train_{name}": value for name, value in facts["train"].items()}
            speed = {"examples_per_second": facts["examples_per_second"], "time": time.time()}
            line = {"step": self.step, **metrics, **train, **speed}
            self.journal.add(line)
            self.events.add(line, time.monotonic())
            progress.stop_line(line)
        metrics = self._metrics_of(line)
        validation = {f"val_{name}": value for name, value in metrics.items()}
        self.callbacks.on_epoch_end(len(self.journal.lines) - 1, {**facts["train"], **validation})
        if evaluate:
            self._export(metrics, final=False)

    def _finish(self, *, evaluate: bool) -> dict[str, float]:
        """What follows the last stop: the final export, of the weights that the callbacks leave."""
        before = self.model.get_weights() if self.callbacks.callbacks else []
        self.callbacks.on_train_end()
        metrics = self._metrics_of(self.journal.last() or {})
        if not evaluate:
            return metrics
        after = self.model.get_weights() if before else []
        if any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
            metrics = self._evaluation()  # as EarlyStopping's restore_best_weights does it
        self._export(metrics, final=True)
        return metrics

    # The parts of a stop.

    def _save(self, train_logs: Mapping[str, float] | None, examples_per_second: float) -> None:
        """Commit a checkpoint; `train_logs` is None when the run ends between two stops."""

        def facts(folder: str) -> dict[str, Any]:
            return {
                "train": train_logs,
                "examples_per_second": examples_per_second,
                "input": self.train_input.save(folder),
                "callbacks": callbacks.save(self.callbacks, folder),
            }

        self.uploads.catch_up()
        keep, submit = self.run.keep_checkpoint_max, self.uploads.submit
        checkpoint.save(self.checkpoints, self.step, self.named, facts, keep=keep, submit=submit)
        self.saved_step = self.step

    def _evaluation(self) -> dict[str, float]:
        """The metrics of the model as it is, over the evaluation input."""
        self.model.reset_metrics()
        evaluation.run(self.steps, self.eval_input, self.run.eval_steps, between=self._end_if_interrupted)
        metrics = self._logs()
        self.model.reset_metrics()
        return metrics

    def _export(self, metrics: Mapping[str, float], *, final: bool) -> None:
        experiment, found = self.experiment, Evaluation(self.step, metrics)
        if experiment.metric not in metrics:
            raise UsageError(
                f"metric {experiment.metric!r} is not among the evaluation's: {', '.join(metrics)}; "
                "compile the model with it or name another one in the Experiment"
            )

        def write(folder: str, strategy: ExportStrategy) -> None:
            serving, predictions_fn = experiment.serving_input_fn(), experiment.predictions_fn
            savedmodel.write(
                folder, self.model, serving=serving, predictions_fn=predictions_fn, strategy=strategy, evaluation=found
            )

        for folder in self.exports.export_due(found, final=final, now=time.time(), write=write):
            fields = {"global_step": self.step, "export": folder}
            self.uploads.submit(partial(log.info, "exported %s", folder, extra={"fields": fields}))

    # The small questions.

    def _next_stop(self) -> int:
        every = self.run.eval_every or (
            self.train_steps if self.run.eval_every_secs else max(1, -(-self.train_steps // STOPS_A_RUN))
        )
        return min(self.train_steps, (self.step // every + 1) * every)

    def _logs(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def _metrics_of(self, line: Mapping[str, Any]) -> dict[str, float]:
        found = {name: line[name] for name in self.model.get_metrics_result() if name in line}
        return {name: math.nan if value is None else value for name, value in found.items()}

    def _outcome(self, metrics: Mapping[str, float]) -> Outcome:
        return Outcome(self.step, metrics, self.exports.newest(), self.stops)

    def _end_if_interrupted(self) -> None:
        number = self.interrupted()
        if number is None:
            return
        if self.saved_step != self.step:
            self._save(None, 0.0)
        raise Interrupted(number)

    def _check_bad_loss(self, step: int) -> None:
        """A loss that is not finite is an error, unless a callback, such as TerminateOnNaN, ends the run at it."""
        self.callbacks.on_train_batch_end(step - 1, self._logs())
        if not self.model.stop_training:
            raise RunError(
                f"step {step}: the loss is not a finite number; every checkpoint is as it was. "
                "A lower --learning-rate, or a look at the training data, is the usual remedy"
            )
        log.warning("step %d: the loss is not a finite number; the run ends at the newest checkpoint", step)

    def _go_back(self, *, evaluate: bool) -> None:
        """End the run at the newest checkpoint instead of here."""
        restored = self._restore()
        if restored is None:
            raise RunError("the loss is not a finite number, and there is no checkpoint yet to go back to")
        self.model.stop_training = True
        if restored.facts["train"] is not None:
            self._finish_stop(restored.facts, evaluate=evaluate)

    def _say_resumed(self) -> None:
        left = max(0, self.train_steps - self.step)
        fields = {"global_step": self.step, "train_steps": self.train_steps}
        log.info("resumed at step %d: %d steps to train", self.step, left, extra={"fields": fields})
