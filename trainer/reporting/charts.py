"""The charts of a report, each with the words that say what is to be seen in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from trainer.reporting import curves, drawing
from trainer.reporting.classification import Reliability
from trainer.reporting.curves import Curve
from trainer.reporting.intervals import Interval
from trainer.reporting.regression import Group, Histogram


LOGARITHMIC_FROM = 30
"""A positive metric that falls by this factor is drawn on a logarithmic scale."""
ENGINEERED_FROM = 10_000  # on, numbers are 20k and 3M
MOST_LETTERS = 22  # of a name in a legend
FEW = 40  # points that are marked one by one
DASHES = ("solid", (0, (4, 2)))
MARKERS = ("o", "s")


@dataclass(frozen=True)
class Chart:
    """A drawing, and what it shows in words: `label` for who does not see it, `caption` for all."""

    title: str
    svg: str
    label: str
    caption: str


@dataclass(frozen=True)
class Series:
    """A named curve; `style`, 0 or 1, tells it from another by colour, dashes and markers."""

    name: str
    curve: Curve
    style: int


@dataclass(frozen=True)
class Point:
    """A place in a run's course."""

    step: float
    seconds: float
    value: float = math.nan


@dataclass(frozen=True)
class Marks:
    """What is pointed out in a course: the best evaluation, and where processes began again."""

    best: Point | None = None
    restarts: tuple[Point, ...] = ()


def by_step(name: str, series: Sequence[Series], marks: Marks = Marks()) -> Chart:
    """A number over the steps."""
    return _course(name, series, marks, _Scale("step", "step", 1.0))


def by_time(name: str, series: Sequence[Series], marks: Marks = Marks()) -> Chart:
    """A number over the time at work."""
    known = (each.curve.seconds[np.isfinite(each.curve.seconds)] for each in series)  # a line may have no time
    longest = max(seconds.max(initial=0.0) for seconds in known)
    units = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
    unit, size = next((unit, size) for unit, size in units if longest >= 2 * size or size == 1.0)
    return _course(name, series, marks, _Scale("time", f"{unit} at work", size))


@dataclass(frozen=True)
class _Scale:
    """What a course is drawn over."""

    noun: str
    words: str
    size: float  # of its unit, in steps or seconds

    def of(self, found: Curve | Point) -> Any:
        if isinstance(found, Curve):
            return (found.steps if self.noun == "step" else found.seconds) / self.size
        return (found.step if self.noun == "step" else found.seconds) / self.size


def _course(name: str, series: Sequence[Series], marks: Marks, scale: _Scale) -> Chart:
    said = []
    values = np.concatenate([each.curve.values[np.isfinite(each.curve.values)] for each in series])
    logarithmic = bool(len(values)) and values.min() > 0 and values.max() / values.min() >= LOGARITHMIC_FROM
    with drawing.figure() as (figure, axes):
        for each in series:
            few = curves.envelope(each.curve)
            finite = each.curve.values[np.isfinite(each.curve.values)]
            color, few_points = drawing.SERIES[each.style], len(each.curve) <= FEW
            line = axes.plot(scale.of(few.middle), few.middle.values, color=color, label=_cut(each.name))[0]
            line.set(linestyle=DASHES[each.style], marker=MARKERS[each.style] if few_points else "")
            if len(few.least) < len(each.curve):
                axes.fill_between(scale.of(few.middle), few.least, few.greatest, color=color, alpha=0.22, linewidth=0)
            if len(finite):
                said.append(f"{each.name} from {shown(finite[0])} to {shown(finite[-1])}")
        if marks.best:
            ring = axes.plot([scale.of(marks.best)], [marks.best.value], "o", color=drawing.INK, label="best")
            ring[0].set(markersize=8, markerfacecolor="none", markeredgewidth=1.2)
            said.append(f"the best {shown(marks.best.value)} at step {marks.best.step:,.0f}")
        for number, restart in enumerate(marks.restarts):
            label = "restart" if number == 0 else None
            axes.axvline(scale.of(restart), color=drawing.SOFT, linestyle=(0, (1, 2)), linewidth=1, label=label)
        if logarithmic:
            axes.set_yscale("log")
            _plain_logarithms(axes)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
            if len(values) and values.max() >= ENGINEERED_FROM:
                axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=scale.noun == "step"))
        if scale.noun == "step":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel(scale.words)
        drawing.legend(axes)
        title = f"{name} by {scale.noun}"
        svg = drawing.svg(figure, _id(title))
    if any(len(each.curve) > curves.MOST_POINTS for each in series):
        said.append("lines are medians, bands reach from the least to the greatest")
    label = "; ".join(said) or "no finite value"
    caption = label if scale.noun == "step" else f"the same over {scale.words}"
    return Chart(title, svg, f"{title}: {label}", caption + ("; on a logarithmic scale" if logarithmic else ""))


def _plain_logarithms(axes: Axes) -> None:
    """Numbers such as 0.05 on a logarithmic axis, not powers of ten."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def residuals(found: Histogram, unit: str) -> Chart:
    """How the residuals are distributed."""
    with drawing.figure() as (figure, axes):
        axes.stairs(found.counts, found.edges, fill=True, color=drawing.SERIES[0], alpha=0.35)
        axes.stairs(found.counts, found.edges, color=drawing.SERIES[0], linewidth=1)
        axes.axvline(0, color=drawing.SOFT, linewidth=1, linestyle=(0, (4, 2)))
        axes.set_xlabel(f"prediction − label{unit}")
        axes.set_ylabel("examples")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        total = int(found.counts.sum())
        middle = int(found.counts[len(found.counts) // 4 : -(len(found.counts) // 4)].sum())
        beyond = found.below + found.above
        caption = "How far predictions are off" + (f"; {beyond:,} examples lie beyond the edges" if beyond else "")
        label = (
            f"Histogram of {total:,} residuals from {shown(found.edges[0])} to {shown(found.edges[-1])}{unit}; "
            f"{middle / max(1, total):.0%} lie in the middle half of that range"
        )
        return Chart("Residuals", drawing.svg(figure, "residuals"), label, caption)


def calibration(groups: Sequence[Group], unit: str) -> Chart:
    """What was observed where something was predicted, by decile."""
    with drawing.figure() as (figure, axes):
        predicted = np.array([group.predicted for group in groups])
        observed = np.array([group.observed.value for group in groups])
        _diagonal(axes, min(predicted.min(), observed.min()), max(predicted.max(), observed.max()))
        _whiskers(axes, predicted, [group.observed for group in groups])
        axes.set_xlabel(f"mean prediction{unit}")
        axes.set_ylabel(f"mean label{unit}")
        drawing.legend(axes)
        off = float(np.max(np.abs(predicted - observed)))
        label = (
            f"Mean label by mean prediction in {len(groups)} groups, from {shown(predicted[0])} to "
            f"{shown(predicted[-1])}{unit}; the two differ by {shown(off)} at most"
        )
        caption = f"Mean label in each of {len(groups)} groups of equal size by prediction, with 95 % intervals"
        return Chart("Calibration", drawing.svg(figure, "calibration"), label, caption)


def reliability(found: Reliability) -> Chart:
    """How often predictions of a confidence are right."""
    with drawing.figure() as (figure, axes):
        _diagonal(axes, 0.0, 1.0)
        confidence = np.array([each.confidence for each in found.bins])
        _whiskers(axes, confidence, [each.accuracy for each in found.bins])
        axes.set_xlabel("mean probability of the predicted class")
        axes.set_ylabel("share that is right")
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.03)
        drawing.legend(axes)
        label = (
            f"Share of right predictions by their probability, in {len(found.bins)} ranges; the expected calibration "
            f"error is {found.error:.4f}"
        )
        caption = "How often predictions of a given probability are right, with Wilson's 95 % intervals"
        return Chart("Reliability", drawing.svg(figure, "reliability"), label, caption)


def _diagonal(axes: Axes, least: float, most: float) -> None:
    axes.plot([least, most], [least, most], color=drawing.SOFT, linewidth=1, linestyle=(0, (4, 2)), label="ideal")


def _whiskers(axes: Axes, x: np.ndarray, found: Sequence[Interval]) -> None:
    """Points with intervals; those that have no interval are points alone."""
    value, low, high = (np.array([getattr(each, name) for each in found]) for name in ("value", "low", "high"))
    low, high = np.where(np.isfinite(low), low, value), np.where(np.isfinite(high), high, value)
    color = drawing.SERIES[0]
    axes.vlines(x, low, high, color=color, linewidth=1.2)
    axes.plot(x, value, "o", color=color, markersize=4, label="observed")


def shown(value: float) -> str:
    """A number in words: four digits, and all digits of a great one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def words(name: str) -> str:
    """The name of a number of `metrics.jsonl`, as a reader has it."""
    return "examples a second" if name == curves.SPEED else name


def _cut(name: str) -> str:
    """A name that fits above a chart: the end of it, where it is long."""
    return name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"


def _id(title: str) -> str:
    """A title as a part of an id, of another title another one."""
    return "".join(c if c.isascii() and c.isalnum() else "-" if c == " " else f"_{ord(c):x}_" for c in title)
