"""Two runs side by side: what was set otherwise, how both went, and where each came to.

section = comparison.of(ours, theirs)
"""

import statistics
from dataclasses import dataclass
from typing import Any

from trainer.reporting import charts, curves, job
from trainer.reporting.charts import Chart, Series
from trainer.reporting.course import Course


@dataclass(frozen=True)
class Difference:
    """Something that two runs have otherwise; None where one does not have it."""

    name: str
    ours: Any
    theirs: Any


@dataclass(frozen=True)
class Comparison:
    """The section of a report that compares its run with another."""

    other: Course
    names: tuple[str, str]  # of the two runs, ours first
    settings: tuple[Difference, ...]
    results: tuple[Difference, ...]
    same_examples: bool  # whether both were evaluated on the same files
    charts: tuple[Chart, ...]


def of(ours: Course, theirs: Course) -> Comparison:
    """Compare two runs. They may be of different experiments: then what has the same name is compared."""
    names = _names(ours, theirs)
    metrics = [name for name in ours.metrics if name in theirs.metrics]
    drawn = []
    for draw in (charts.by_step, charts.by_time):
        for name in [*metrics, curves.SPEED]:
            pair = [course.curve(name) for course in (ours, theirs)]
            if all(len(curve) for curve in pair):
                series = [Series(names[style], curve, style) for style, curve in enumerate(pair)]
                drawn.append(draw(f"{charts.words(name)} of both", series))
    return Comparison(
        other=theirs,
        names=names,
        settings=tuple(_settings(ours, theirs)),
        results=tuple(_results(ours, theirs, metrics)),
        same_examples=set(ours.job.eval_files) == set(theirs.job.eval_files),
        charts=tuple(drawn),
    )


def _names(ours: Course, theirs: Course) -> tuple[str, str]:
    """The ends of the paths, as much of them as tells the two apart."""
    mine, other = (course.job.job_dir.rstrip("/").split("/") for course in (ours, theirs))
    length = next(
        (n for n in range(1, max(len(mine), len(other))) if mine[-n:] != other[-n:]), max(len(mine), len(other))
    )
    return "/".join(mine[-length:]), "/".join(other[-length:])


def _settings(ours: Course, theirs: Course) -> list[Difference]:
    mine, other = (
        {
            "training files": list(course.job.train_files),
            "evaluation files": list(course.job.eval_files),
            **job.without_place(course.job.flags),
        }
        for course in (ours, theirs)
    )
    found = [Difference("experiment", ours.job.experiment, theirs.job.experiment)]
    found += [Difference(name, mine.get(name), other.get(name)) for name in dict.fromkeys([*mine, *other])]
    versions = dict.fromkeys([*ours.job.versions, *theirs.job.versions])
    found += [Difference(f"version of {n}", ours.job.versions.get(n), theirs.job.versions.get(n)) for n in versions]
    return [each for each in found if each.ours != each.theirs]


def _results(ours: Course, theirs: Course, metrics: list[str]) -> list[Difference]:
    """The metrics of the best evaluation of each, then what it took."""
    found = [Difference(f"best {name}", _value(ours, name), _value(theirs, name)) for name in metrics]
    found += [Difference(f"last {name}", _last(ours, name), _last(theirs, name)) for name in metrics]
    found += [
        Difference("step of the best evaluation", _value(ours, "step"), _value(theirs, "step")),
        Difference("newest step", float(ours.job.step), float(theirs.job.step)),
        Difference("seconds at work", ours.seconds_at_work, theirs.seconds_at_work),
        Difference("examples a second, median", speed(ours), speed(theirs)),
    ]
    return [each for each in found if each.ours is not None or each.theirs is not None]


def _value(course: Course, name: str) -> float | None:
    return course.best.get(name) if course.best else None


def _last(course: Course, name: str) -> float | None:
    values = course.curve(name).values
    return float(values[-1]) if len(values) else None


def speed(course: Course) -> float | None:
    """The median of the stops' speeds, in examples a second."""
    values = course.curve(curves.SPEED).values
    return statistics.median(values.tolist()) if len(values) else None
