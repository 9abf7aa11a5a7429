"""Where a job reads and writes, from flags of 2017 as of today.

run = job.with_job_dir(run, arguments, os.environ)
run = job.with_files(run, arguments, module, sample_data=lambda: "data/babyweight")
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType

from trainer.errors import RunError, UsageError
from trainer.settings.run import Run
from trainer.storage import paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the 2017 samples that say the same in other words."""
    names = parser.add_argument_group("other names for the above, as in the samples of 2017")
    names.add_argument("--output-dir", metavar="DIR", help="--job-dir, and stronger than it")
    names.add_argument("--data-dir", metavar="DIR", help="training and evaluation files by their usual names in here")
    names.add_argument("--bucket", metavar="B", help="training and evaluation files in gs://B/<experiment>/preproc")
    names.add_argument(
        "--pattern", metavar="P", help="only the files with this in their names (default of, in a bucket)"
    )


def with_job_dir(run: Run, arguments: argparse.Namespace, environ: Mapping[str, str], *, trial: str = "") -> Run:
    """The run with its job dir: the flag's, else the folder above the one where Vertex AI wants the model.

    That of a tuning trial ends in the trial's id, once: the services add it to what they pass on, or do not.
    """
    model_dir = environ.get("AIP_MODEL_DIR", "")
    job_dir = arguments.output_dir or run.job_dir or (paths.parent(model_dir) if model_dir else "")
    if not job_dir:
        raise UsageError("--job-dir: not given; expected a folder for checkpoints, exports and logs")
    paths.is_remote(job_dir)  # raises for a URL that cannot be used, before anything is made or read
    job_dir = job_dir.rstrip("/") or "/"
    if trial and paths.name(job_dir) != trial:
        job_dir = paths.join(job_dir, trial)
    return dataclasses.replace(run, job_dir=job_dir)


def make(run: Run) -> None:
    """Make the job dir, and prove that it can be written to, before hours are spent on what goes there."""
    try:
        paths.make_directory(run.job_dir)
    except RunError as error:
        if paths.is_remote(run.job_dir):
            raise  # a server's refusal, not a wrong flag
        raise UsageError(f"--job-dir: {error}") from error


def with_files(
    run: Run, arguments: argparse.Namespace, experiment: ModuleType, *, sample_data: Callable[[], str]
) -> Run:
    """The run with its files: the flags', those of a bucket or data dir, else the experiment's sample data."""
    if run.train_files and run.eval_files:
        return run
    if run.train_files or run.eval_files:
        absent = "--eval-files" if run.train_files else "--train-files"
        raise UsageError(f"{absent}: not given; expected both --train-files and --eval-files, or neither")
    if arguments.bucket:
        name = experiment.__name__.rpartition(".")[2]
        folder = paths.join(f"{paths.GS}{arguments.bucket.removeprefix(paths.GS)}", name, "preproc")
    else:
        folder = arguments.data_dir or sample_data()
    pattern = arguments.pattern or ("of" if arguments.bucket else None)
    if pattern:
        train, evaluation = ((f"{word}*{pattern}*",) for word in ("train", "eval"))
    elif hasattr(experiment, "TRAIN_PATTERNS") and hasattr(experiment, "EVAL_PATTERNS"):
        train, evaluation = experiment.TRAIN_PATTERNS, experiment.EVAL_PATTERNS
    else:
        raise UsageError(
            f"--train-files: not given, and {experiment.__name__} has no TRAIN_PATTERNS and EVAL_PATTERNS, "
            f"the globs to look for in {folder}"
        )
    return dataclasses.replace(run, train_files=_present(folder, train), eval_files=_present(folder, evaluation))


def _present(folder: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The globs in a folder, without those that match nothing as long as one does."""
    globs = tuple(paths.join(folder, pattern) for pattern in patterns)
    return tuple(glob for glob in globs if paths.matches(glob)) or globs[:1]
