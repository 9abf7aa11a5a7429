"""When an export is due, and the folders it goes to.

    strategies.check(experiment)                                   # what is wrong, before any training
    strategies.export_due(job_dir, experiment, evaluation, final=False, now=time.time(), write=write)

What is already exported is the record: the newest export's `evaluation.json` says what "best" has to beat and which
step was exported last, so a restart forgets nothing and repeats nothing.
"""

import json
import logging
from collections.abc import Callable

from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy, Goal
from trainer.storage import commit, paths


ASSETS_EXTRA = "assets.extra"
EVALUATION = "evaluation.json"
SCHEMA = "schema.json"
TIME_DIGITS = 10  # unix seconds, as TensorFlow Serving and gcloud expect
log = logging.getLogger("trainer.exporting")


def check(experiment: Experiment) -> None:
    """Raise `UsageError` for what would make an export fail, hours before the first."""
    names = [strategy.name for strategy in experiment.export_strategies]
    for strategy in experiment.export_strategies:
        if not strategy.name or strategy.name.startswith(".") or "/" in strategy.name:
            raise UsageError(f"export strategy {strategy.name!r}: expected the name of a folder")
        if names.count(strategy.name) > 1:
            raise UsageError(f"export strategy {strategy.name!r}: expected a name that no other strategy has")
        if strategy.exports_to_keep is not None and strategy.exports_to_keep < 1:
            raise UsageError(
                f"export strategy {strategy.name}: exports_to_keep {strategy.exports_to_keep}: expected 1 or more"
            )
        check_assets(strategy)
    if experiment.export_strategies:
        experiment.serving_input_fn()  # raises where a key cannot be served


def check_assets(strategy: ExportStrategy) -> None:
    """Raise `UsageError` for a file that `assets_extra` cannot copy, or not to where it says."""
    for name, source in strategy.assets_extra.items():
        asset = f"export strategy {strategy.name}: assets_extra {name!r}"
        if not all(part.strip(".") for part in name.split("/")):
            raise UsageError(f"{asset}: expected a path below {ASSETS_EXTRA}/, without ..")
        if name in (EVALUATION, SCHEMA):
            raise UsageError(f"{asset}: every export has its own; expected another name")
        if not paths.exists(source) or paths.is_directory(source):
            raise UsageError(f"{asset}: {source}: no such file")


def folder_of(job_dir: str, strategy: ExportStrategy) -> str:
    """Where a strategy's exports go."""
    return paths.join(job_dir, "export", strategy.name)


def exports(job_dir: str, strategy: ExportStrategy) -> list[str]:
    """A strategy's committed exports, oldest first; a name that is no unix time of ten digits is not ours."""
    folders = commit.committed(folder_of(job_dir, strategy))
    return [folder for folder in folders if len(paths.name(folder)) == TIME_DIGITS]


def newest_evaluation(job_dir: str, strategy: ExportStrategy) -> Evaluation | None:
    """The evaluation recorded in the newest export that can be read."""
    for folder in reversed(exports(job_dir, strategy)):
        try:
            record = json.loads(paths.read_bytes(paths.join(folder, ASSETS_EXTRA, EVALUATION)))
            metrics = {name: float("nan") if value is None else value for name, value in record["metrics"].items()}
            return Evaluation(record["global_step"], metrics)
        except (RunError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: its evaluation cannot be read: %s", folder, error)
    return None


def is_due(
    strategy: ExportStrategy, evaluation: Evaluation, newest: Evaluation | None, *, metric: str, goal: Goal, final: bool
) -> bool:
    """Whether a strategy wants to export the model with this evaluation, after an export with the `newest`."""
    if newest and newest.global_step == evaluation.global_step:
        return False
    if strategy.when == "best":
        return is_better(evaluation.metrics[metric], newest.metrics.get(metric) if newest else None, goal)
    return final or strategy.when == "every_stop"


def is_better(value: float, record: float | None, goal: Goal) -> bool:
    """Whether a value beats the record. NaN beats nothing, not even no record; anything else beats NaN."""
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
        check_assets(strategy)
        destination = paths.join(folder_of(job_dir, strategy), _next_name(exports(job_dir, strategy), now))
        with commit.staged(destination) as folder:
            write(folder, strategy)
        if strategy.exports_to_keep is not None:
            for old in exports(job_dir, strategy)[: -strategy.exports_to_keep]:
                commit.remove(old)
        written.append(destination)
    return written


def _next_name(before: list[str], now: float) -> str:
    """The unix time, or a second after the last export if the clock went back or that was this very second."""
    following = int(paths.name(before[-1])) + 1 if before else 0
    return f"{max(int(now), following):0{TIME_DIGITS}d}"
