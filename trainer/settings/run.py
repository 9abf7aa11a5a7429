"""The flags that every experiment has.

An experiment gives its own defaults for them as `RUN = Run(train_batch_size=512, num_epochs=20)`.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trainer.errors import UsageError
from trainer.settings import flags
from trainer.settings.flags import flag


Strategy = Literal["latest", "best", "final", "servo"]
Schedule = Literal["train_and_evaluate", "train", "evaluate", "continuous_eval", "run_std_server", "test"]
Distribution = Literal["auto", "default", "mirrored", "multi_worker_mirrored", "parameter_server"]


@dataclass(frozen=True)
class Run:
    """How to train, whatever the experiment."""

    job_dir: str = flag("", "where checkpoints, exports and logs go; run again to resume", metavar="DIR")
    train_files: tuple[str, ...] = flag((), "training files: CSV, CSV.gz, Parquet, TFRecord or IDX", metavar="GLOB")
    eval_files: tuple[str, ...] = flag((), "evaluation files, in the same forms", metavar="GLOB")
    train_steps: int | None = flag(None, "train until this global step; 0 only evaluates and exports")
    num_epochs: float | None = flag(None, "passes over the training files, where no steps are given")
    train_batch_size: int = flag(128, "examples a step, over all workers")
    eval_batch_size: int = flag(1024, "examples an evaluation step")
    eval_steps: int | None = flag(None, "batches an evaluation; all of the evaluation files when left out")
    eval_every: int | None = flag(None, "steps between stops (save, evaluate, report, export)")
    eval_every_secs: float | None = flag(None, "seconds between stops (60 where neither is given)")
    events_every_secs: float = flag(60.0, "seconds between writes of TensorBoard's event files to gs://")
    keep_checkpoint_max: int = flag(5, "checkpoints to keep")
    exports_to_keep: int = flag(5, "exports to keep, of each strategy")
    export_strategy: tuple[Strategy, ...] = flag(("best", "final"), "when to export")
    export_as_text: bool = flag(False, "write saved_model.pbtxt in place of saved_model.pb")
    seed: int = flag(1, "seed of the weights, of dropout and of the order of examples")
    deterministic: bool = flag(False, "repeat a run bit for bit, at some cost in speed")
    profile: bool = flag(False, "say where the time went, and leave a trace of some steps for TensorBoard's profiler")
    on_bad_row: Literal["error", "skip"] = flag("error", "what to do with a row that cannot be read")
    schedule: Schedule | None = flag(
        None, "what this process does (train_and_evaluate unless TF_CONFIG says otherwise)"
    )
    distribution: Distribution = flag(
        "auto", "tf.distribute's strategy; auto: by the cluster of TF_CONFIG, mirrored where there are several GPUs"
    )


LEAST = {
    "train_steps": 0,
    "train_batch_size": 1,
    "eval_batch_size": 1,
    "eval_steps": 1,
    "eval_every": 1,
    "keep_checkpoint_max": 1,
    "exports_to_keep": 1,
    "seed": 0,
}
MOST = {"seed": 2**32 - 1}  # NumPy's
ALTERNATIVES = (("train_steps", "num_epochs"), ("eval_every", "eval_every_secs"))


def from_flags(namespace: argparse.Namespace, defaults: Run) -> Run:
    """The run that the parsed flags describe. One flag of two alternatives also takes back the default of the other."""
    run = flags.build(Run, namespace, defaults)
    for pair in ALTERNATIVES:
        given = [name for name in pair if name in namespace]
        if len(given) == 1:
            without: dict[str, Any] = {name: None for name in pair if name not in given}
            run = dataclasses.replace(run, **without)
    check(run)
    return run


def check(run: Run) -> None:
    """Raise `UsageError` for the first value that makes no sense, naming its flag."""
    for name, least in LEAST.items():
        value, most = getattr(run, name), MOST.get(name)
        if value is not None and (value < least or (most is not None and value > most)):
            expected = f"{least} or more" if most is None else f"{least} to {most}"
            raise UsageError(f"--{name.replace('_', '-')}: {value}: expected {expected}")
    for name in ("num_epochs", "eval_every_secs", "events_every_secs"):
        value = getattr(run, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"--{name.replace('_', '-')}: {value:g}: expected more than 0")


def train_steps(run: Run, count_rows: Callable[[], int]) -> int:
    """The step to train until: `--train-steps`, or as many as make `--num-epochs` passes over the rows."""
    if run.train_steps is not None:
        return run.train_steps
    if run.num_epochs is None:
        raise UsageError("--train-steps or --num-epochs: neither is given and the experiment has no default")
    return max(1, math.ceil(run.num_epochs * count_rows() / run.train_batch_size))
