"""What a job dir says of its run, from what is committed there: of one that is running too.

    found = job.read("jobs/births")
    found.state                     # "running", "ended" or "interrupted"
    found.lines                     # a stop each: {"step": 1000, "rmse": 1.04, "train_rmse": 1.02, "time": ...}

Nothing is written there, and neither TensorFlow nor the experiment is asked.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.errors import MissingError, RunError, UsageError
from trainer.experiment import Goal
from trainer.settings import places
from trainer.storage import commit, lease, paths
from trainer.training import ending, journal


State = Literal["running", "ended", "interrupted"]
Line = Mapping[str, float]
EVALUATOR = "eval"  # the folder of its journal
log = logging.getLogger("trainer.reporting")


@dataclass(frozen=True)
class Moment:
    """A step that something happened at, and when: the start of a run, or a checkpoint."""

    step: int
    time: float  # unix seconds


@dataclass(frozen=True)
class Job:
    """A run as far as it has come. What an older version did not record is None, or empty."""

    job_dir: str
    experiment: str
    flags: Mapping[str, Any]
    versions: Mapping[str, str]
    cluster: Mapping[str, Any]
    train_files: tuple[str, ...]
    eval_files: tuple[str, ...]
    seed: int | None
    metric: str | None
    goal: Goal | None
    train_steps: int | None
    starts: tuple[Moment, ...]
    lines: tuple[Line, ...]  # in the order of their steps; NaN where a metric was not finite
    checkpoints: tuple[Moment, ...]  # those that are kept
    state: State

    @property
    def step(self) -> int:
        """The newest step that is known of."""
        known = [*(line["step"] for line in self.lines), *(each.step for each in self.checkpoints), 0]
        return int(max(known))


def read(job_dir: str) -> Job:
    """The run of a job dir. Raises `UsageError` where there is none."""
    if not paths.is_directory(job_dir):
        raise UsageError(f"{job_dir}: no such directory; expected the job dir of a run of trainer.task")
    facts = _facts(job_dir)
    starts = tuple(Moment(int(each["step"]), float(each["time"])) for each in _starts(facts))
    lines = _lines(job_dir)
    checkpoints = _checkpoints(str(facts.get("checkpoints") or places.in_job_dir(job_dir).checkpoints))
    newest = max([*(int(line["step"]) for line in lines), *(each.step for each in checkpoints)], default=0)
    goal: Goal | None = facts.get("goal") if facts.get("goal") in ("min", "max") else None
    return Job(
        job_dir=job_dir,
        experiment=str(facts.get("experiment", "")),
        flags=facts.get("flags") or {},
        versions=facts.get("versions") or {},
        cluster=facts.get("cluster") or {},
        train_files=tuple(facts.get("train_files") or ()),
        eval_files=tuple(facts.get("eval_files") or ()),
        seed=facts.get("seed"),
        metric=facts.get("metric"),
        goal=goal,
        train_steps=facts.get("train_steps"),
        starts=starts,
        lines=lines,
        checkpoints=checkpoints,
        state=_state(job_dir, facts, newest),
    )


def _facts(job_dir: str) -> dict[str, Any]:
    path = paths.join(job_dir, journal.FACTS)
    try:
        facts = json.loads(paths.read_bytes(path))
    except MissingError as error:
        raise UsageError(f"{job_dir}: no {journal.FACTS}; expected the job dir of a run of trainer.task") from error
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}; expected what trainer.task writes") from error
    if not isinstance(facts, dict) or "experiment" not in facts:
        raise UsageError(f"{path}: names no experiment; expected what trainer.task writes")
    return facts


def _lines(job_dir: str) -> tuple[Line, ...]:
    """The stops of the chief and, where they have more, the evaluations of an evaluator."""
    found: dict[int, dict[str, float]] = {}
    for directory in (paths.join(job_dir, EVALUATOR), job_dir):
        for line in journal.read_lines(directory):
            if isinstance(line["step"], int):
                found.setdefault(line["step"], {}).update(_numbers(line))
    return tuple(found[step] for step in sorted(found))


def _numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; null is what JSON has for one that is not finite."""
    return {
        name: math.nan if value is None else value
        for name, value in line.items()
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }


def _checkpoints(directory: str) -> tuple[Moment, ...]:
    """The committed ones, by the times of their markers. A run that goes on may remove them meanwhile.

    None where the folder cannot be read: it may be another one than the job dir, and the report stands without them.
    """
    try:
        files = paths.list_files(directory)
    except RunError as error:
        log.warning("the report lacks the checkpoints: %s", error)
        return ()
    marked = {name.split("/")[0]: entry for name, entry in files.items() if name.endswith(f"/{commit.MARKER}")}
    found = [Moment(int(name), entry.modified) for name, entry in marked.items() if name.isdecimal()]
    return tuple(sorted(found, key=lambda each: each.step))


def _state(job_dir: str, facts: Mapping[str, Any], newest: int) -> State:
    """Whether a run holds the lease, else whether the last one came to its end.

    `ENDED` names the lease of the run that did. Where the starts are not recorded, it has to be of the newest step.
    """
    if lease.holder(job_dir) is not None:
        return "running"
    ended = ending.read(job_dir)
    starts = _starts(facts)
    if ended is None or ended.global_step < newest:
        return "interrupted"
    return "ended" if not starts or starts[-1].get("lease") == ended.lease else "interrupted"


def _starts(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The starts that are recorded, in their order; none by an older version."""
    return [
        start
        for start in journal.starts(facts)
        if all(isinstance(start.get(name), (int, float)) for name in ("step", "time"))
    ]


def without_place(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that say how to train, not where: what two runs may have in common."""
    return {name: value for name, value in flags.items() if name not in ("job_dir", "train_files", "eval_files")}


def names(lines: Sequence[Line]) -> list[str]:
    """The metrics that the lines have, of training or of the evaluation, by the evaluation's names."""
    found = dict.fromkeys(name.removeprefix("train_") for line in lines for name in line)
    return [name for name in found if name not in ("step", "time", "examples_per_second")]
