"""When an export is due, and the folders it goes to.

What is already exported is the record: the newest export's `evaluation.json` says what "best" has to beat and which
step was exported last, so a restart forgets nothing and repeats nothing.
"""

import json
import logging
from collections.abc import Callable

from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy, Goal
from trainer.storage import commit, paths


log = logging.getLogger("trainer.exporting")


def folder_of(job_dir: str, strategy: ExportStrategy) -> str:
    """Where a strategy's exports go."""
    return paths.join(job_dir, "export", strategy.name)


def exports(job_dir: str, strategy: ExportStrategy) -> list[str]:
    """A strategy's committed exports, oldest first."""
    folders = commit.committed(folder_of(job_dir, strategy))
    return [folder for folder in folders if len(paths.name(folder)) == 10]


def newest_evaluation(job_dir: str, strategy: ExportStrategy) -> Evaluation | None:
    """The evaluation recorded in the newest export that can be read."""
    for folder in reversed(exports(job_dir, strategy)):
        try:
            record = json.loads(paths.read_bytes(paths.join(folder, "assets.extra", "evaluation.json")))
            return Evaluation(record["global_step"], record["metrics"])
        except (RunError, ValueError, KeyError) as error:
            log.warning("%s: its evaluation cannot be read: %s", folder, error)
    return None


def is_due(
    strategy: ExportStrategy, evaluation: Evaluation, newest: Evaluation | None, *, metric: str, goal: Goal, final: bool
) -> bool:
    """Whether a strategy wants to export the model with this evaluation."""
    if newest and newest.global_step == evaluation.global_step:
        return False
    if strategy.when == "best":
        return newest is None or is_better(evaluation.metrics[metric], newest.metrics.get(metric), goal)
    return final or strategy.when == "every_stop"


def is_better(value: float, record: float | None, goal: Goal) -> bool:
    """Whether a value beats the record. NaN beats nothing, and anything else beats NaN."""
    if value != value:
        return False
    if record is None or record != record:
        return True
    return value < record if goal == "min" else value > record


def export_due(
    job_dir: str,
    experiment: Experiment,
    evaluation: Evaluation,
    *,
    final: bool,
    now: float,
    write: Callable[[str, ExportStrategy], None],
) -> list[str]:
    """Export by every strategy that is due, `write(folder, strategy)` making the files; return the new folders."""
    written = []
    for strategy in experiment.export_strategies:
        newest = newest_evaluation(job_dir, strategy)
        if not is_due(strategy, evaluation, newest, metric=experiment.metric, goal=experiment.goal, final=final):
            continue
        done = exports(job_dir, strategy)
        # Later than the one before even if the clock went back or the last export is of this very second.
        stamp = max(int(now), int(paths.name(done[-1])) + 1 if done else 0)
        destination = paths.join(folder_of(job_dir, strategy), f"{stamp:010d}")
        with commit.staged(destination) as folder:
            write(folder, strategy)
        for old in exports_to_remove([*done, destination], strategy.exports_to_keep):
            commit.remove(old)
        written.append(destination)
    return written


def exports_to_remove(folders: list[str], keep: int | None) -> list[str]:
    """All but the newest `keep` of the folders; only names of exactly ten digits count, as TensorFlow Serving's do."""
    stamped = sorted(folder for folder in folders if len(paths.name(folder)) == 10 and paths.name(folder).isdecimal())
    return [] if keep is None else stamped[: max(0, len(stamped) - keep)]


def check(experiment: Experiment) -> None:
    """Raise `UsageError` when two strategies would write to one folder or keep nothing."""
    names = [strategy.name for strategy in experiment.export_strategies]
    for strategy in experiment.export_strategies:
        if not strategy.name or names.count(strategy.name) > 1:
            raise UsageError(f"export strategy {strategy.name!r}: expected a name that no other strategy has")
        if strategy.exports_to_keep is not None and strategy.exports_to_keep < 1:
            raise UsageError(
                f"export strategy {strategy.name}: exports_to_keep {strategy.exports_to_keep}: expected 1 or more"
            )
