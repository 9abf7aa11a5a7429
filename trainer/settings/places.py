"""Where the parts of a run go that the platform has places for, and what it wants to be told.

    where = places.of(run, arguments, os.environ, trial=cluster.trial)
    places.make(where, run.job_dir)

Vertex AI names folders for checkpoints, event files and the model; both services name a file for the metric of a tuning
trial. A job dir that the user names keeps the layout of `in_job_dir`; the model is wanted all the same.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trainer.errors import RunError, UsageError
from trainer.settings.run import Run
from trainer.storage import paths


CHECKPOINT_DIR = "AIP_CHECKPOINT_DIR"
TENSORBOARD_LOG_DIR = "AIP_TENSORBOARD_LOG_DIR"
MODEL_DIR = "AIP_MODEL_DIR"
METRIC_FILE = "CLOUD_ML_HP_METRIC_FILE"
TRIAL_ID = "CLOUD_ML_TRIAL_ID"


@dataclass(frozen=True)
class Places:
    """Where a run writes, beside its job dir."""

    checkpoints: str
    events: str  # TensorBoard's event files; those of the evaluation in `eval/` there
    model: str | None = None  # a copy of the best export, as it is
    metric_file: str | None = None  # the experiment's metric of each evaluation
    trial: str = "0"  # what is said in that file


def in_job_dir(job_dir: str) -> Places:
    """The layout of a job dir."""
    return Places(checkpoints=paths.join(job_dir, "checkpoints"), events=job_dir)


def of(run: Run, arguments: argparse.Namespace, environ: Mapping[str, str], *, trial: str = "") -> Places:
    """The places of a run whose job dir is known, as the flags and the platform say.

    Raises `UsageError`, naming the variable, for a path that cannot be used, and for a model that would replace more.
    """
    named = {name: _path(name, environ.get(name, "")) for name in (CHECKPOINT_DIR, TENSORBOARD_LOG_DIR, MODEL_DIR)}
    own = in_job_dir(run.job_dir)
    checkpoints, events = named[CHECKPOINT_DIR] or own.checkpoints, named[TENSORBOARD_LOG_DIR] or own.events
    if arguments.output_dir or getattr(arguments, "job_dir", ""):
        checkpoints, events = own.checkpoints, own.events
    model = named[MODEL_DIR] or None
    if model:
        for kept in (run.job_dir, checkpoints, events):
            if paths.join(kept, "").startswith(paths.join(model, "")):
                raise UsageError(f"{MODEL_DIR}: {model}: {kept} is in it; expected a folder for the model alone")
    return Places(
        checkpoints=checkpoints,
        events=events,
        model=model,
        metric_file=_path(METRIC_FILE, environ.get(METRIC_FILE, "")) or None,
        trial=environ.get(TRIAL_ID, "") or trial or "0",
    )


def make(places: Places, job_dir: str) -> None:
    """Make the folders that are not the job dir's, and prove that they can be written to, as `job.make` does."""
    for variable, folder in _folders(places, job_dir):
        try:
            paths.make_directory(folder)
        except RunError as error:
            kind = RunError if paths.is_remote(folder) else UsageError  # a server's refusal, not a wrong setting
            raise kind(f"{variable}: {error}") from error


def _folders(places: Places, job_dir: str) -> Iterator[tuple[str, str]]:
    """The folders that others have named, by who did."""
    own = in_job_dir(job_dir)
    if places.checkpoints != own.checkpoints:
        yield CHECKPOINT_DIR, places.checkpoints
    if places.events != own.events:
        yield TENSORBOARD_LOG_DIR, places.events
    if places.model and paths.parent(places.model) != job_dir:
        yield MODEL_DIR, paths.parent(places.model)
    if places.metric_file:
        yield METRIC_FILE, paths.parent(places.metric_file)


def _path(variable: str, path: str) -> str:
    """The path that a variable has, without a slash at its end."""
    try:
        paths.is_remote(path)
    except RunError as error:
        raise UsageError(f"{variable}: {error}") from error
    return path.rstrip("/") or path
