"""The contract: what an experiment is, and what is known of a model when it is exported.

    def build(config: Config, run: Run) -> Experiment:
        return Experiment(
            model_fn=lambda: compiled_keras_model(config),
            train_input_fn=lambda shard: TrainBatches(...),       # or any tf.data.Dataset of (features, label)
            eval_input_fn=lambda shard: EvalBatches(...),
            serving_input_fn=lambda: serving_input(SPEC),
            train_steps=run.train_steps,
            predictions_fn=lambda outputs: {"outputs": outputs[:, 0]},
            metric="rmse",
            export_strategies=export_strategies(run),
        )

An experiment is one module with a frozen dataclass `Config` (its flags), a `build` like this one, and, if it wants,
`RUN`, its defaults for the flags that every experiment has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from trainer.inputs.batches import Shard
from trainer.inputs.serving import ServingInput
from trainer.settings.run import Run


if TYPE_CHECKING:
    import keras

Goal = Literal["min", "max"]


@dataclass(frozen=True)
class ExportStrategy:
    """When to export, and how: SavedModels go to `<job-dir>/export/<name>/<10-digit unix time>/`."""

    name: str
    when: Literal["every_stop", "best", "final"]
    exports_to_keep: int | None = 5  # None keeps all
    as_text: bool = False  # saved_model.pbtxt in place of saved_model.pb
    assets_extra: Mapping[str, str] = field(default_factory=dict)  # path below assets.extra/ -> file to copy
    legacy_keys: bool = False  # as before TensorFlow 1.2: a single input is `inputs`, a single output `outputs`


@dataclass(frozen=True)
class Evaluation:
    """The metrics of one pass over the evaluation input at a step."""

    global_step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Experiment:
    """What to train. Functions, so that nothing is built before its time or outside a distribution scope."""

    model_fn: "Callable[[], keras.Model]"  # compiled: its optimizer, loss and metrics are the run's
    train_input_fn: Callable[[Shard], Any]  # endless, shuffled by seed and epoch
    eval_input_fn: Callable[[Shard], Any]  # one pass, every example exactly once
    serving_input_fn: Callable[[], ServingInput]
    train_steps: int  # absolute: train until this global step
    predictions_fn: Callable[[Any], dict[str, Any]]  # model output -> response keys, tensors of (B, ...)
    metric: str = "loss"  # of the evaluation: what "best" compares
    goal: Goal = "min"
    export_strategies: tuple[ExportStrategy, ...] = ()
    callbacks: "Callable[[], Sequence[keras.callbacks.Callback]]" = tuple  # each stop counts as an epoch
    intra_op_threads: int | None = None  # of one operation of TensorFlow, in a process alone; None: as TensorFlow likes


def export_strategies(run: Run) -> tuple[ExportStrategy, ...]:
    """The strategies that `--export-strategy` names; `servo` is `final` in the directory of the 2017 jobs."""
    kinds: dict[str, tuple[str, Literal["every_stop", "best", "final"]]] = {
        "latest": ("latest", "every_stop"),
        "best": ("best", "best"),
        "final": ("final", "final"),
        "servo": ("Servo", "final"),
    }
    return tuple(
        ExportStrategy(*kinds[word], exports_to_keep=run.exports_to_keep, as_text=run.export_as_text)
        for word in dict.fromkeys(run.export_strategy)
    )
