"""The course of a run as arrays: what a metric was at which step, and how long the run had been at work by then.

known = curves.sessions(job.lines, job.starts, batch_size)
rmse = curves.curve(job.lines, curves.at_work(job.lines, known), "rmse")
curves.envelope(rmse)                           # few points that look like all of them
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.experiment import Goal
from trainer.reporting.job import Line, Moment


MOST_POINTS = 120
SPEED = "examples_per_second"


@dataclass(frozen=True)
class Curve:
    """One number at some stops, (S,) each."""

    steps: np.ndarray
    seconds: np.ndarray  # at work
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Envelope:
    """A curve of few points: the median of each interval, and the least and the greatest value in it, (P,) each."""

    middle: Curve
    least: np.ndarray
    greatest: np.ndarray


@dataclass(frozen=True)
class Session:
    """A run of one process: when it began, and its last sign of life."""

    step: int
    time: float  # unix seconds
    seconds: float  # at work before it
    last_step: int
    last_seconds: float  # at work when it was last heard of


def curve(lines: Sequence[Line], seconds: np.ndarray, name: str) -> Curve:
    """The stops that have a number of this name; `seconds` as `at_work` has them."""
    places = [place for place, line in enumerate(lines) if name in line]
    steps, values = ([lines[place][key] for place in places] for key in ("step", name))
    return Curve(np.array(steps, float), seconds[places], np.array(values, float))


def sessions(lines: Sequence[Line], starts: Sequence[Moment], batch_size: int) -> list[Session]:
    """The processes of a run, one after the other.

    Of the time between two of them nothing counts: a process works from its start to its last stop, as far as is known.
    Where no start is recorded there is one, as long before the first stop as that one's speed says.
    """
    timed = [line for line in lines if "time" in line]
    if not starts and timed:
        first = timed[0]
        speed = first.get(SPEED, 0.0)
        before = first["step"] * batch_size / speed if speed > 0 else 0.0  # NaN is not
        starts = [Moment(0, first["time"] - before)]
    found: list[Session] = []
    worked = 0.0
    for place, start in enumerate(starts):
        end = starts[place + 1].time if place + 1 < len(starts) else np.inf
        own = [line for line in timed if start.time <= line["time"] < end]
        last = max(own, key=lambda line: line["time"]) if own else {"step": start.step, "time": start.time}
        after = worked + last["time"] - start.time
        found.append(Session(start.step, start.time, worked, int(last["step"]), after))
        worked = after
    return found


def at_work(lines: Sequence[Line], known: Sequence[Session]) -> np.ndarray:
    """How many seconds the run had been at work at each line, (S,)."""
    return np.array([seconds_at(line.get("time", np.nan), known) for line in lines])


def seconds_at(time: float, known: Sequence[Session]) -> float:
    """How many seconds the run had been at work at a time."""
    of = next((each for each in reversed(known) if each.time <= time), None)
    if of is None:
        return 0.0 if time == time else np.nan
    return min(of.seconds + time - of.time, max(of.last_seconds, of.seconds))


def envelope(found: Curve, most: int = MOST_POINTS) -> Envelope:
    """A curve by `most` intervals of about as many stops each, or stop by stop where it has no more than that.

    No extreme is lost, however long the run. An interval without any finite value is NaN.
    """
    parts = np.array_split(np.arange(len(found)), min(most, len(found))) if len(found) else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of intervals that are NaN alone
        finite = [np.where(np.isfinite(found.values[part]), found.values[part], np.nan) for part in parts]
        middle, least, greatest = (
            np.array([rule(values) for values in finite]) for rule in (np.nanmedian, np.nanmin, np.nanmax)
        )
    steps, seconds = (np.array([np.median(given[part]) for part in parts]) for given in (found.steps, found.seconds))
    return Envelope(Curve(steps, seconds, middle), least, greatest)


def best(lines: Sequence[Line], metric: str, goal: Goal) -> Line | None:
    """The first line with the best value of a metric of the evaluation."""
    having = [line for line in lines if np.isfinite(line.get(metric, np.nan))]
    choose = min if goal == "min" else max
    return choose(having, key=lambda line: line[metric], default=None)
