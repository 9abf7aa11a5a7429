"""The page: everything that is known of a run, as one HTML file that loads nothing and runs nothing.

html = page.render(Report(course=..., found=..., ...))

The templates are the folder `pages`. What is put into them is escaped; only the drawings, which are ours, are not.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import markupsafe

import trainer
from trainer import strictjson
from trainer.reporting import comparison, course, exports, words
from trainer.reporting.charts import Chart
from trainer.reporting.comparison import Comparison
from trainer.reporting.course import Course
from trainer.reporting.evaluation import Classification, Regression
from trainer.reporting.exports import Export
from trainer.reporting.job import Line, without_place
from trainer.reporting.predictions import FileFacts, Found


MOST_FILES = 12
MOST_STOPS = 40


@dataclass(frozen=True)
class Report:
    """What a page says."""

    course: Course
    charts: Sequence[Chart]  # of the course
    eval_files: Sequence[str]
    found: Found
    evaluated: Export | None  # which export was
    section: Regression | Classification | None
    request: Any  # an instance that the export takes
    comparison: Comparison | None
    time: float  # of the report, in unix seconds


@dataclass(frozen=True)
class Flag:
    """A flag of the run; `default` is None where the experiment's are not known."""

    name: str
    value: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class Files:
    """The input files of one kind: the first of them by name, and all of them in sum."""

    title: str
    shown: tuple[tuple[str, FileFacts | None], ...]
    more: int
    size: int | None  # None where that of one is not known
    rows: int | None


def render(report: Report) -> str:
    """The HTML."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.reporting", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(words, name) for name in words.FILTERS} | {"drawing": markupsafe.Markup}
    job, known = report.course.job, report.found.files
    changed, kept = flags(job.flags, report.found)
    return environment.get_template("report.html").render(
        report=report,
        job=job,
        course=report.course,
        section=report.section,
        is_regression=isinstance(report.section, Regression),
        comparison=report.comparison,
        problems=report.found.problems,
        changed=changed,
        kept=kept,
        files=[files("Training", job.train_files, known), files("Evaluation", report.eval_files, known)],
        lanes=course.lanes(report.course),
        stops=stops(report.course),
        speed=comparison.speed(report.course),
        curl=curl(job.experiment, report.request),
        name=job.experiment.rpartition(".")[2],
        preferred=next(iter(exports.by_preference(list(report.course.exports))), None),
        version=trainer.__version__,
    )


def flags(given: Mapping[str, Any], found: Found) -> tuple[list[Flag], list[Flag]]:
    """The flags of a run: those that are not as the experiment has them by default, then the rest."""
    changed: list[Flag] = []
    kept: list[Flag] = []
    for name, value in without_place(given).items():
        default = words.value(found.defaults[name]) if name in found.defaults else None
        flag = Flag(words.flag(name), words.value(value), default, found.meanings.get(name, ""))
        (kept if flag.value == default else changed).append(flag)
    return changed, kept


def files(title: str, paths: Sequence[str], known: Mapping[str, FileFacts]) -> Files:
    """The files and what is known of them."""
    facts = [known.get(path) for path in paths]
    sizes = [each.size for each in facts if each]
    rows = [each.rows for each in facts if each and each.rows is not None]
    return Files(
        title,
        tuple(zip(paths, facts, strict=True))[:MOST_FILES],
        max(0, len(paths) - MOST_FILES),
        sum(sizes) if len(sizes) == len(paths) else None,
        sum(rows) if rows else None,
    )


def stops(found: Course) -> list[tuple[Line, float]]:
    """The stops for a table, with the seconds at work: all where they are few, else some and the last."""
    lines = found.job.lines
    every = -(-len(lines) // MOST_STOPS) or 1
    places = sorted({*range(0, len(lines), every), *range(len(lines))[-1:]})
    return [(lines[i], float(found.seconds[i])) for i in places]


def curl(name: str, instance: Any) -> str:
    """A request of the export once it is served, for a shell."""
    if instance is None:
        return ""
    body = shlex.quote(strictjson.dumps({"instances": [instance]}))
    return f"curl -d {body} http://127.0.0.1:8501/v1/models/{name.rpartition('.')[2]}:predict"
