"""What is around every Apache Beam pipeline of ours: whether it can run, and what it says when it cannot.

pipelines.check_installed("--runner")
pipelines.check_visible("DataflowRunner", [output, *inputs])
result = pipelines.run(build, runner="DataflowRunner", flags=["--project", "p"])
"""

import contextlib
import importlib.util
import io
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trainer.errors import RunError, UsageError
from trainer.storage import paths


PACKAGE = "apache-beam[gcp]>=2.70,<3"  # as in the extra beam
REMOTE_ONLY = ("DataflowRunner",)  # whose workers see no disk of ours
LOCAL = "DirectRunner"
OF_LOCAL = "FnApiRunner"
"""What Beam's DirectRunner comes to for a pipeline like ours, but not before it has tried to fetch another runner's
program from GitHub."""
OF_BEAM = "apache_beam.runners.common"  # logs a page of what we say in a line


def check_installed(flag: str) -> None:
    """Raise `UsageError` where Beam is not installed; `flag` is what asks for it."""
    if not importlib.util.find_spec("apache_beam"):
        raise UsageError(f"{flag}: Apache Beam is not installed; expected it, by pip install '{PACKAGE}'")


def check_visible(runner: str, places: Iterable[str]) -> None:
    """Raise `UsageError` for a path that the workers of a runner cannot see."""
    for path in places:
        if runner in REMOTE_ONLY and not paths.is_remote(path):
            raise UsageError(f"{path}: the workers of {runner} cannot see it; expected gs://BUCKET/PATH")


def run(build: Callable[[Any], None], *, runner: str, flags: Sequence[str]) -> Any:
    """Run the pipeline that `build` builds to its end, and return its result. `flags` are the pipeline's own.

    Whatever a runner raises, with the trace of a worker in its text, is a `RunError` of one line.
    """
    import apache_beam as beam

    logging.getLogger(OF_BEAM).setLevel(logging.CRITICAL)
    options = _options([*flags, "--runner", OF_LOCAL if runner == LOCAL else runner])
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:
        raise RunError(f"{runner}: {_cause(error)}") from error
    return result


def _options(flags: Sequence[str]) -> Any:
    """A pipeline's options. For a flag without its value Beam would print its usage and end the process."""
    from apache_beam.options.pipeline_options import PipelineOptions

    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            options = PipelineOptions(list(flags))
            options.get_all_options()
        except SystemExit as error:
            problem = said.getvalue().strip().rpartition("error: ")[2].removeprefix("argument ")
            raise UsageError(f"{problem}; these are flags of Apache Beam") from error
    return options


def _cause(error: Exception) -> str:
    """What went wrong in a worker, on one line."""
    said = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return re.sub(r" *\[while running '.*'\]$", "", said)
