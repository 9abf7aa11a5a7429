"""When an export is due, and the folders it goes to.

    strategies.check(experiment)                                   # what is wrong, before any training
    exports = Exports(job_dir, experiment, submit)
    exports.open()
    exports.export_due(evaluation, final=False, now=time.time(), write=write)

What is already exported is the record: the newest export's `evaluation.json` says what "best" has to beat and which
step was exported last, so a restart forgets nothing and repeats nothing. It is read once, at the start of a run, since
only one run writes to a job dir.
"""

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from trainer.errors import MissingError, RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy, Goal
from trainer.inputs.serving import ServingInput
from trainer.storage import commit, paths


ASSETS_EXTRA = "assets.extra"
EVALUATION = "evaluation.json"
SCHEMA = "schema.json"
TIME_DIGITS = 10  # unix seconds, as TensorFlow Serving and gcloud expect
log = logging.getLogger("trainer.exporting")


class RefusedError(RunError):
    """What was written must not be exported; reads as the end of a sentence that begins with its folder."""


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
        check_golden(experiment.serving_input_fn())  # which itself raises where a key cannot be served


def check_golden(serving: ServingInput) -> None:
    """Raise `UsageError` for golden rows, if there are any, that are not requests."""
    if not serving.golden:
        return
    if serving.golden.keys() != serving.request.keys():
        found, expected = (", ".join(sorted(keys)) for keys in (serving.golden, serving.request))
        raise UsageError(f"golden rows: have {found}; expected {expected}, as the request has")
    rows = {name: np.shape(values)[:1] for name, values in serving.golden.items()}
    if len(set(rows.values())) > 1 or not all(all(count) and count for count in rows.values()):
        raise UsageError(f"golden rows: {rows}; expected a row or more, of each input as many")
    for name, spec in serving.request.items():
        values = np.asarray(serving.golden[name])
        try:
            values.astype(spec.dtype.as_numpy_dtype)
        except (ValueError, TypeError) as error:
            raise UsageError(f"golden rows: {name}: {error}; expected {spec.dtype.name}") from error
        if not spec.shape.is_compatible_with(values.shape):
            raise UsageError(f"golden rows: {name}: shape {values.shape}; expected {spec.shape}")


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


class Exports:
    """The exports of a job dir, for the one run that writes there.

    `submit` is given what comes after an export is written here: the way to the job dir.
    """

    def __init__(
        self, job_dir: str, experiment: Experiment, submit: Callable[[Callable[[], None]], None] = commit.at_once
    ) -> None:
        self._job_dir = job_dir
        self._experiment = experiment
        self._submit = submit
        self._folders: dict[str, list[str]] = {}  # of each strategy, oldest first
        self._newest: dict[str, Evaluation | None] = {}

    def open(self) -> None:
        """Read what earlier processes have exported, and remove what they left unfinished on this machine."""
        for strategy in self._experiment.export_strategies:
            directory = folder_of(self._job_dir, strategy)
            commit.remove_staging(directory)
            self._folders[strategy.name] = exports_in(directory)
            self._newest[strategy.name] = newest_evaluation(self._folders[strategy.name])

    def newest(self) -> tuple[str, ...]:
        """The newest export of each strategy that has one."""
        return tuple(folder for folders in self._folders.values() for folder in folders[-1:])

    def by_preference(self) -> list[str]:
        """All exports, the one to serve first: the best, then the final, then those of every stop, newest first."""
        kinds = ("best", "final", "every_stop")
        found = [
            (kinds.index(strategy.when), -int(paths.name(folder)), folder)
            for strategy in self._experiment.export_strategies
            for folder in self._folders[strategy.name]
        ]
        return [folder for *_, folder in sorted(found)]

    def export_due(
        self,
        evaluation: Evaluation,
        *,
        final: bool,
        now: float,
        write: Callable[[str, ExportStrategy], None],
    ) -> list[str]:
        """Export by every strategy that is due, `write(folder, strategy)` making the files; return the new folders.

        What it refuses by a `RefusedError` is not exported, and raises `RunError`; all else stays as it is.
        """
        experiment, written = self._experiment, []
        for strategy in experiment.export_strategies:
            newest = self._newest[strategy.name]
            if not is_due(strategy, evaluation, newest, metric=experiment.metric, goal=experiment.goal, final=final):
                continue
            check_assets(strategy)
            directory, folders = folder_of(self._job_dir, strategy), self._folders[strategy.name]
            destination = paths.join(directory, _next_name(folders, now))
            with commit.staged(destination, self._submit) as folder:
                try:
                    write(folder, strategy)
                except RefusedError as error:
                    raise RunError(f"{destination}: {error}") from error
            folders.append(destination)
            self._newest[strategy.name] = evaluation
            if strategy.exports_to_keep is not None:
                for old in folders[: -strategy.exports_to_keep]:
                    self._submit(partial(commit.remove, old))
                del folders[: -strategy.exports_to_keep]
            written.append(destination)
        return written


def exports_in(directory: str) -> list[str]:
    """The committed exports, oldest first; a name that is no unix time of ten digits is not ours."""
    return [folder for folder in commit.committed(directory) if len(paths.name(folder)) == TIME_DIGITS]


def newest_evaluation(folders: Sequence[str]) -> Evaluation | None:
    """The evaluation recorded in the newest of these exports that can be read."""
    for folder in reversed(folders):
        try:
            record = json.loads(paths.read_bytes(paths.join(folder, ASSETS_EXTRA, EVALUATION)))
            metrics = {name: float("nan") if value is None else value for name, value in record["metrics"].items()}
            return Evaluation(record["global_step"], metrics)
        except (MissingError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: its evaluation cannot be read: %s", folder, error)
    return None


def _next_name(before: list[str], now: float) -> str:
    """The unix time, or a second after the last export if the clock went back or that was this very second."""
    following = int(paths.name(before[-1])) + 1 if before else 0
    return f"{max(int(now), following):0{TIME_DIGITS}d}"
