"""A stop of training: save, evaluate, report, export, in that order.

    stops = Stops(experiment, run, cluster=cluster, ...)
    stops.stop(step, evaluate=True, examples_per_second=speed)
    metrics = stops.finish(step, evaluate=True)      # after the last

Chief and evaluator may be two processes. Whoever holds the lease of `eval/` evaluates, and the chief takes it over.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import ConflictError
from trainer.experiment import Experiment
from trainer.settings.cluster import Cluster
from trainer.settings.run import Run
from trainer.storage import lease
from trainer.training import callbacks, checkpoint, evaluation, journal, profile, progress
from trainer.training.evaluation import Evaluations
from trainer.training.held import Held
from trainer.training.replicas import Replicas


@dataclass
class Stops:
    """The stops of a run, and what they work with; `between` is called while this waits, and may raise."""

    experiment: Experiment
    run: Run
    _: KW_ONLY
    cluster: Cluster
    checkpoints: str  # the directory
    held: Held
    replicas: Replicas
    named: Mapping[str, tf.Variable]
    evaluations: Evaluations
    callbacks: keras.callbacks.CallbackList
    between: Callable[[], None]
    count: int = 0
    saved_step: int | None = None  # of the newest checkpoint

    def stop(self, step: int, *, evaluate: bool, examples_per_second: float = 0.0) -> None:
        """Stop at a step that has just been trained."""
        self.count += 1
        with profile.part("metrics"):
            self.replicas.pull()
            train_logs = evaluation.metrics_of(self.replicas.model) if step else {}
            self.replicas.reset_metrics()
        self.save(step, train_logs, examples_per_second)
        facts = {"train": train_logs, "examples_per_second": examples_per_second}
        self.complete(step, facts, evaluate=evaluate)

    def save(self, step: int, train_logs: Mapping[str, float] | None, examples_per_second: float) -> None:
        """Commit a checkpoint; `train_logs` is None when the run ends between two stops."""

        def facts(folder: str) -> dict[str, Any]:
            return {
                "train": train_logs,
                "examples_per_second": examples_per_second,
                "input": self.replicas.input.save(folder),
                "callbacks": callbacks.save(self.callbacks, folder),
            }

        with profile.part("idle"):
            self.held.uploads.catch_up()
        keep, submit = self.run.keep_checkpoint_max, self.held.uploads.submit
        with profile.part("checkpoint"):
            checkpoint.save(self.checkpoints, step, self.named, facts, keep=keep, submit=submit)
        self.saved_step = step

    def complete(self, step: int, facts: Mapping[str, Any], *, evaluate: bool) -> None:
        """What follows the save. After a resume too: a process may have been killed at any line of this."""
        with self.right(lease.acquire) if evaluate else contextlib.nullcontext(enter_result=False) as ours:
            line = self.held.journal.last()
            if line is None or line["step"] != step or (ours and self.experiment.metric not in line):
                self.held.journal.forget_after(step - 1)  # a line without an evaluation, of a run that only trained
                metrics = self.evaluations.metrics() if ours else {}
                train = {f"train_{name}": value for name, value in facts["train"].items()}
                speed = {"examples_per_second": facts["examples_per_second"], "time": time.time()}
                line = {"step": step, **metrics, **train, **speed}
                self.held.journal.add(line)
                self.held.events.add(line, time.monotonic())
                progress.stop_line(line)
            metrics = evaluation.among(line, self.replicas.model)
            validation = {f"val_{name}": value for name, value in metrics.items()}
            self.callbacks.on_epoch_end(len(self.held.journal.lines) - 1, {**facts["train"], **validation})
            self.replicas.push_changes()
            if ours:
                self.evaluations.export(step, metrics, final=False)

    def finish(self, step: int, *, evaluate: bool) -> dict[str, float]:
        """What follows the last stop: the final export, of the weights that the callbacks leave."""
        model, written = self.replicas.model, self.held.journal
        before = model.get_weights() if self.callbacks.callbacks else []
        self.callbacks.on_train_end()
        if not evaluate:
            return evaluation.among(written.last() or {}, model)
        with self.right(self._awaited):  # an evaluator first does what it has to
            metrics = evaluation.among(written.last() or {}, model)
            after = model.get_weights() if before else []
            if any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
                metrics = self.evaluations.metrics()  # as EarlyStopping's restore_best_weights does it
            elif self.experiment.metric not in metrics:  # of an evaluator that is gone
                metrics = self.evaluations.metrics()
                written.fill([{"step": step, **metrics}])
                self.held.events.add({"step": step, **metrics}, time.monotonic())
            self.evaluations.export(step, metrics, final=True)
            self.evaluations.register()
        return metrics

    @contextlib.contextmanager
    def right(self, acquire: Callable[[str], lease.Lease]) -> Iterator[bool]:
        """Whether this process evaluates: not where an evaluator is at work, whose results are then taken over."""
        if not self.cluster.size:
            yield True  # and holds the lease all the time
            return
        directory = evaluation.directory(self.run.job_dir)
        right = None
        with contextlib.suppress(ConflictError):
            right = acquire(directory)
        self.held.journal.fill(journal.read_lines(directory))
        if right is None:
            yield False
            return
        try:
            self.evaluations.refresh()
            yield True
            self.held.uploads.catch_up()
        finally:
            right.release()

    def _awaited(self, directory: str) -> lease.Lease:
        with profile.part("idle"):
            return lease.awaited(directory, whose="the evaluator", between=self.between)
