"""The evaluation of a model, every example once, and the exports that are due for its metrics.

Chief and evaluator have the same. Only one of them may be at it at a time: whoever holds the lease of `eval/`.
"""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras

from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy
from trainer.exporting import checker, parity, registration, savedmodel, strategies
from trainer.inputs import dataset
from trainer.inputs.batches import Shard
from trainer.settings.run import Run
from trainer.storage import paths
from trainer.training import profile
from trainer.training.steps import EvalSteps


log = logging.getLogger("trainer.training")


def directory(job_dir: str) -> str:
    """Where the evaluation's lease, event files and, of an evaluator, journal are."""
    return paths.join(job_dir, "eval")


class Evaluations:
    """The evaluation input and the exports of one job, for a model in this process.

    `model_dir` is where a platform wants the model, if it does; `between` is called between two calls of the model, and
    may raise to end a pass; `submit` is as `Exports` takes it.
    """

    def __init__(
        self,
        experiment: Experiment,
        run: Run,
        *,
        model_dir: str | None,
        between: Callable[[], None],
        submit: Callable[[Callable[[], None]], None],
    ) -> None:
        self.input = dataset.eval_batches(experiment.eval_input_fn(Shard()))
        self._experiment = experiment
        self._eval_steps = run.eval_steps
        self._model_dir = model_dir
        self._between = between
        self._submit = submit
        self._exports = strategies.Exports(run.job_dir, experiment, submit)
        self._said_unchecked = False

    def open(self, model: keras.Model) -> None:
        """Take the model, and read what has been exported before. Raises `UsageError` for what cannot be exported.

        Every variable of the model has to be there: only then are its metrics known.
        """
        strategies.check(self._experiment)  # not before: it makes tensors, and a cluster has to be formed first
        if self._model_dir:
            registration.check(self._model_dir)
        exports = bool(self._experiment.export_strategies)
        self._is_checked = exports and bool(self._experiment.serving_input_fn().golden)
        self.model = model
        self._check_metric(model.get_metrics_result())
        self._steps = EvalSteps(model, self.input.zeros())
        self.refresh()

    def prepare(self) -> None:
        """See that what checks the exports is there when the first is written; who does not export need not call it."""
        if self._is_checked:
            checker.shared().prepare()

    def refresh(self) -> None:
        """Read what has been exported, by another process too."""
        self._exports.open()

    def metrics(self) -> dict[str, float]:
        """The metrics of the model as it is, over the evaluation input or its first `--eval-steps` batches."""
        self.prepare()  # an export may follow
        self.model.reset_metrics()
        with profile.part("evaluation"):
            self._pass()
        found = metrics_of(self.model)
        self.model.reset_metrics()
        return found

    def export(self, global_step: int, metrics: Mapping[str, float], *, final: bool) -> None:
        """Export the model by every strategy that is due."""
        experiment, found = self._experiment, Evaluation(global_step, metrics)
        self._check_metric(metrics)

        def write(folder: str, strategy: ExportStrategy) -> None:
            serving, predictions_fn = experiment.serving_input_fn(), experiment.predictions_fn
            savedmodel.write(
                folder, self.model, serving=serving, predictions_fn=predictions_fn, strategy=strategy, evaluation=found
            )
            if serving.golden:
                parity.check(folder, self.model, serving=serving, predictions_fn=predictions_fn, strategy=strategy)
            elif not self._said_unchecked:
                self._said_unchecked = True
                log.warning(
                    "exports are not checked against the model: give the ServingInput `golden` rows to call both with"
                )

        with profile.part("export"):
            exported = self._exports.export_due(found, final=final, now=time.time(), write=write)
        for folder in exported:
            fields = {"global_step": global_step, "export": folder}
            self._submit(partial(log.info, "exported %s", folder, extra={"fields": fields}))

    def register(self) -> None:
        """See that the best export, else the final or the newest, is where a platform wants the model."""
        if not self._model_dir:
            return
        exports = self._exports.by_preference()
        if exports:
            self._submit(partial(registration.ensure, self._model_dir, exports))
        else:
            log.warning("%s: nothing is exported that could be copied there", self._model_dir)

    def newest_exports(self) -> tuple[str, ...]:
        """The newest export of each strategy that has one."""
        return self._exports.newest()

    def _check_metric(self, metrics: Mapping[str, Any]) -> None:
        """Raise `UsageError` where the metric that "best" compares is not among some."""
        if self._experiment.metric not in metrics:
            raise UsageError(
                f"metric {self._experiment.metric!r} is not among the evaluation's: {', '.join(metrics)}; "
                "compile the model with it or name another one in the Experiment"
            )

    def _pass(self) -> None:
        left = self._eval_steps
        empty = True
        for batches in self.input.passes(self._steps.room):
            taken = batches if left is None else batches.part(0, min(left, batches.steps))
            self._steps.test(taken)
            empty = False
            if left is not None:
                left -= taken.steps
                if left == 0:
                    return
            self._between()
        if empty:
            raise RunError("the evaluation input has no examples; expected at least one")


def metrics_of(model: keras.Model) -> dict[str, float]:
    """What the model's metrics say of all they were given since their last reset."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def among(line: Mapping[str, Any], model: keras.Model) -> dict[str, float]:
    """The metrics of a model that a journal's line has; there NaN is null."""
    found = {name: line[name] for name in model.get_metrics_result() if name in line}
    return {name: float("nan") if value is None else value for name, value in found.items()}
