"""A whole report, from a job dir to HTML: reads, asks, draws, in the order in which the parts wait for each other."""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainer.errors import RunError
from trainer.exporting.strategies import ASSETS_EXTRA, SCHEMA
from trainer.reporting import exports, job, predictions, requests
from trainer.reporting.exports import Export
from trainer.reporting.predictions import Found, Question
from trainer.serving import protocol
from trainer.storage import paths


log = logging.getLogger("trainer.reporting")


def html(
    job_dir: str,
    *,
    compare: str | None,
    eval_files: Sequence[str] | None,
    evaluate: bool,
    environ: Mapping[str, str],
    now: float,
) -> str:
    """The page.

    Raises `UsageError` for a job dir that is none and for `eval_files` that are not there; whatever else is missing is
    said in the page.
    """
    ours = job.read(job_dir)
    other = job.read(compare) if compare else None
    found = exports.find(job_dir)
    chosen = exports.choose(found) if evaluate else None
    files = tuple(paths.expand(eval_files) if eval_files else ours.eval_files)
    question = Question(ours.experiment, ours.flags, ours.train_files, files, chosen.path if chosen else None)
    with predictions.asked(question, environ) as answer:
        # Matplotlib, and all that is drawn without predictions, while the other process imports TensorFlow.
        from trainer.reporting import comparison, course, evaluation, page

        ran = course.of(ours, found)
        drawn = course.drawn(ran)
        section = comparison.of(ran, course.of(other, exports.find(other.job_dir))) if other else None
        with _progress(chosen) as said:
            known = answer(said)
    for problem in known.problems.values():
        log.warning("the report lacks something: %s", problem)
    return page.render(
        page.Report(
            course=ran,
            charts=drawn,
            eval_files=tuple(known.eval_files or files),
            found=known,
            evaluated=chosen,
            section=evaluation.of(known.predicted) if known.predicted else None,
            request=_request(found, known),
            comparison=section,
            time=now,
        )
    )


@contextlib.contextmanager
def _progress(export: Export | None) -> Iterator[Callable[[int], None]]:
    """On a terminal, a line that says how many rows are predicted."""
    if export is None or not sys.stdout.isatty():
        yield lambda rows: None
        return
    from rich import console  # only a terminal needs it

    words = f"predicting the evaluation files with {export.path}"
    with console.Console().status(words) as status:
        yield lambda rows: status.update(f"{words}: {rows:,} rows")


def _request(found: Sequence[Export], known: Found) -> Any:
    """A request as the schema of the export to look at describes it; None where there is no schema."""
    signature = protocol.choose(known.signatures) if known.signatures else None
    for export in exports.by_preference(list(found))[:1]:
        with contextlib.suppress(RunError, ValueError, KeyError, TypeError, AttributeError):  # not one of ours
            schema = json.loads(paths.read_bytes(paths.join(export.path, ASSETS_EXTRA, SCHEMA)))
            return requests.example(schema, signature)
    return None
