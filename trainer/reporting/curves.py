"""The course of a run as arrays: what a metric was at which step, and how long the run had been at work by then.

steps, values = curves.series(job.lines, "rmse")
kept = curves.decimated(values, 400)            # places of few points that look like all of them
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.experiment import Goal
from trainer.reporting.job import Line, Moment


MOST_POINTS = 400
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
        before = first["step"] * batch_size / first[SPEED] if first.get(SPEED) else 0.0
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


def decimated(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """The places of at most `most` of the values (S,): of each of many intervals the first, least, greatest and last.

    What is drawn of them looks like all of them, since no extreme is lost (Jugel et al., M4, VLDB 2014).
    """
    if len(values) <= most:
        return np.arange(len(values))
    kept: set[int] = set()
    for part in np.array_split(np.arange(len(values)), most // 4):
        finite = part[np.isfinite(values[part])]
        extremes = [finite[np.argmin(values[finite])], finite[np.argmax(values[finite])]] if len(finite) else []
        kept.update(int(place) for place in (part[0], *extremes, part[-1]))
    return np.array(sorted(kept))


def best(lines: Sequence[Line], metric: str, goal: Goal) -> Line | None:
    """The first line with the best value of a metric of the evaluation."""
    having = [line for line in lines if np.isfinite(line.get(metric, np.nan))]
    choose = min if goal == "min" else max
    return choose(having, key=lambda line: line[metric], default=None)
