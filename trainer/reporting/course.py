"""How a run went: its curves, its best evaluation, and what happened when.

ours = course.of(job.read("jobs/births"), exports.find("jobs/births"))
ours.best["step"], course.drawn(ours), course.lanes(ours)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.experiment import Goal
from trainer.reporting import charts, curves, job
from trainer.reporting.charts import Chart, Marks, Point, Series
from trainer.reporting.curves import Curve, Session
from trainer.reporting.exports import Export
from trainer.reporting.job import Job, Line


STOPS_DRAWN = 200


@dataclass(frozen=True)
class Course:
    """A run's stops on two scales, steps and the time at work."""

    job: Job
    exports: tuple[Export, ...]  # the newest first
    sessions: tuple[Session, ...]
    seconds: np.ndarray  # at work at each of the job's lines
    metrics: tuple[str, ...]  # the experiment's own first
    metric: str | None  # the experiment's own
    best: Line | None  # the evaluation that is best by it

    @property
    def seconds_at_work(self) -> float:
        """In all, as far as is known."""
        return self.sessions[-1].last_seconds if self.sessions else 0.0

    def curve(self, name: str) -> Curve:
        """A number at the stops that have it."""
        return curves.curve(self.job.lines, self.seconds, name)

    def seconds_of(self, step: float, time: float) -> float:
        """When something was that belongs to a step: its stop's time, else by the clock."""
        for line, seconds in zip(self.job.lines, self.seconds, strict=True):
            if line["step"] == step:
                return float(seconds)
        return curves.seconds_at(time, self.sessions)


@dataclass(frozen=True)
class Event:
    """Something that happened, at a place on a line from 0 to 100; `until` where it lasted."""

    place: float
    words: str
    until: float | None = None


@dataclass(frozen=True)
class Lane:
    """Events of one kind."""

    name: str
    events: tuple[Event, ...]


def of(found: Job, exports: Sequence[Export]) -> Course:
    """The course of a job with its exports.

    Its metric is in `run.json`; where an older version left that out, the best export tells which evaluation was best.
    """
    batch_size = found.flags.get("train_batch_size")
    sessions = curves.sessions(found.lines, found.starts, batch_size if isinstance(batch_size, int) else 0)
    names = job.names(found.lines)
    metric = found.metric if found.metric in names else None
    goal: Goal = found.goal or "min"
    best = curves.best(found.lines, metric, goal) if metric else _of_best_export(found, exports)
    order = sorted(names, key=lambda name: (name != metric, name == "loss"))
    return Course(
        found,
        tuple(exports),
        tuple(sessions),
        curves.at_work(found.lines, sessions),
        tuple(order),
        metric,
        best,
    )


def drawn(course: Course) -> list[Chart]:
    """Every metric and the speed, over the steps and then over the time."""
    found = []
    restarts = tuple(Point(each.step, each.seconds) for each in course.sessions[1:])
    for draw in (charts.by_step, charts.by_time):
        for name in course.metrics:
            if series := _series(course, name):
                found.append(draw(charts.words(name), series, Marks(_best(course, name), restarts)))
        speed = course.curve(curves.SPEED)
        if len(speed):
            found.append(draw(charts.words(curves.SPEED), [Series("training", speed, 1)], Marks(None, restarts)))
    return found


def _best(course: Course, name: str) -> Point | None:
    """A metric at the best evaluation."""
    if not course.best or name not in course.best:
        return None
    step = course.best["step"]
    return Point(step, course.seconds_of(step, course.best.get("time", 0.0)), course.best[name])


def lanes(course: Course) -> list[Lane]:
    """What happened when, on the time at work: runs, stops, checkpoints that are kept, exports."""
    total = course.seconds_at_work
    if not total:
        return []

    def place(seconds: float) -> float:
        return round(100 * min(1.0, max(0.0, seconds / total)), 2)

    runs = [
        Event(
            place(each.seconds),
            f"{'start' if number == 0 else 'restart'} at step {each.step:,}, works until step {each.last_step:,}",
            place(each.last_seconds),
        )
        for number, each in enumerate(course.sessions)
    ]
    known = [(line["step"], seconds) for line, seconds in zip(course.job.lines, course.seconds, strict=True)]
    known = [(step, seconds) for step, seconds in known if np.isfinite(seconds)]
    every = -(-len(known) // STOPS_DRAWN) or 1
    stops = [Event(place(seconds), f"stop at step {step:,}") for step, seconds in known[::every]]
    checkpoints = [
        Event(place(course.seconds_of(each.step, each.time)), f"checkpoint of step {each.step:,}")
        for each in course.job.checkpoints
    ]
    found = [Lane("runs", tuple(runs)), Lane("stops", tuple(stops)), Lane("checkpoints kept", tuple(checkpoints))]
    for strategy in dict.fromkeys(export.strategy for export in course.exports):
        own = [export for export in course.exports if export.strategy == strategy]
        events = [
            Event(
                place(course.seconds_of(e.evaluation.global_step if e.evaluation else -1, e.time)),
                f"export of step {e.evaluation.global_step:,}" if e.evaluation else "export",
            )
            for e in own
        ]
        found.append(Lane(f"exports, {strategy}", tuple(events)))
    return [lane for lane in found if lane.events]


def _series(course: Course, name: str) -> list[Series]:
    pairs = [("evaluation", course.curve(name), 0), ("training", course.curve(f"train_{name}"), 1)]
    return [Series(word, curve, style) for word, curve, style in pairs if len(curve)]


def _of_best_export(found: Job, exports: Sequence[Export]) -> Line | None:
    steps = [e.evaluation.global_step for e in exports if e.strategy == "best" and e.evaluation]
    return next((line for line in found.lines if steps and line["step"] == steps[0]), None)
