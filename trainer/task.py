"""Train one experiment.

    python -m trainer.task --experiment babyweight --job-dir jobs/babyweight

Run it again to resume. `python -m trainer.task --experiment NAME --help` lists the experiment's own flags too.
"""

import argparse
import dataclasses
import importlib
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pyarrow

import trainer
from trainer.errors import UsageError
from trainer.settings import command, flags
from trainer.settings.run import Run, check
from trainer.storage import paths


SHIPPED = ("babyweight", "mnist")
log = logging.getLogger("trainer.task")


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Parse, build the experiment, run its schedule, and say where it ended."""
    module, name = experiment_module(argv)
    arguments = parser(module).parse_args(argv)
    command.start_logging(arguments.verbosity)
    config = flags.build(module.Config, arguments) if module else None
    if module is None or name is None:
        raise UsageError(f"--experiment: not given; expected {', '.join(SHIPPED)} or an import path")
    run = with_files(with_job_dir(flags.build(Run, arguments), arguments, environ), module, name, arguments)
    check(run)
    experiment = module.build(config, run)
    paths.make_directory(run.job_dir)

    interrupted = catch_signals()
    with command.quiet_tensorflow():  # it takes seconds: not before everything above has been checked
        import tensorflow as tf

        from trainer.training import loop

    facts = run_facts(name, run, config, tf.__version__)
    schedule = run.schedule or "train_and_evaluate"
    if schedule == "test":
        run, experiment = dataclasses.replace(run, eval_steps=1), dataclasses.replace(experiment, train_steps=1)
        schedule = "train_and_evaluate"
    trainer_ = loop.Trainer(experiment, run, facts=facts, interrupted=interrupted)
    schedules: dict[str, Callable[[], loop.Outcome]] = {
        "train_and_evaluate": trainer_.train_and_evaluate,
        "train": trainer_.train,
        "evaluate": trainer_.evaluate,
    }
    if schedule not in schedules:
        raise UsageError(f"--schedule: {schedule} needs a cluster; TF_CONFIG describes none")
    try:
        outcome = schedules[schedule]()
    except loop.Interrupted as interruption:
        log.warning("%s; saved, the same command resumes", interruption)
        return interruption.exit_code
    say_done(run.job_dir, outcome)
    return 0


def experiment_module(argv: list[str]) -> tuple[ModuleType | None, str | None]:
    """The module that `--experiment` names, a shipped one or an import path, and its name."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--experiment")
    name: str | None = first.parse_known_args(argv)[0].experiment
    if name is None:
        return None, None
    path = f"trainer.experiments.{name}" if name in SHIPPED else name
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        if error.name is None or not path.startswith(error.name):
            raise  # the experiment is there, and something that it needs is not
        expected = f"expected {', '.join(SHIPPED)} or the import path of a module"
        raise UsageError(f"--experiment: {name!r} cannot be imported; {expected}") from error
    for needed in ("Config", "build"):
        if not hasattr(module, needed):
            raise UsageError(f"--experiment: {name!r} has no {needed}; expected a module with Config and build")
    return module, name


def parser(module: ModuleType | None) -> argparse.ArgumentParser:
    """The flags of every experiment and, where one is named, its own."""
    parser = argparse.ArgumentParser(prog="trainer.task", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--experiment", metavar="NAME", help=f"{', '.join(SHIPPED)}, or the import path of a module")
    flags.add(parser, Run, title="every experiment", defaults=getattr(module, "RUN", None))
    names = parser.add_argument_group("other names for the above, as in the samples of 2017")
    names.add_argument("--output-dir", metavar="DIR", help="--job-dir, and stronger than it")
    names.add_argument("--data-dir", metavar="DIR", help="training and evaluation files by their usual names in here")
    names.add_argument("--bucket", metavar="B", help="training and evaluation files in gs://B/<experiment>/preproc")
    names.add_argument("--pattern", metavar="P", default="of", help="part of the file names in the bucket (default of)")
    if module:
        flags.add(parser, module.Config, title=module.__name__.rpartition(".")[2])
    command.add_arguments(parser)
    return parser


def with_job_dir(run: Run, arguments: argparse.Namespace, environ: Mapping[str, str]) -> Run:
    """The run with its job dir: the flag's, else the folder above the one where Vertex AI wants the model."""
    model_dir = environ.get("AIP_MODEL_DIR", "")
    job_dir = arguments.output_dir or run.job_dir or (paths.parent(model_dir) if model_dir else "")
    if not job_dir:
        raise UsageError("--job-dir: not given; expected a folder for checkpoints, exports and logs")
    return dataclasses.replace(run, job_dir=job_dir.rstrip("/"))


def with_files(run: Run, module: ModuleType, name: str, arguments: argparse.Namespace) -> Run:
    """The run with its files: the flags', those of a data dir or bucket, else the experiment's sample data."""
    if run.train_files and run.eval_files:
        return run
    if run.train_files or run.eval_files:
        absent = "--eval-files" if run.train_files else "--train-files"
        raise UsageError(f"{absent}: not given; expected both --train-files and --eval-files, or neither")
    if arguments.bucket:
        folder = paths.join(f"gs://{arguments.bucket.removeprefix('gs://')}", name, "preproc")
        train, evaluation = ((f"{word}*{arguments.pattern}*",) for word in ("train", "eval"))
    else:
        if not hasattr(module, "TRAIN_PATTERNS"):
            raise UsageError("--train-files: not given, and the experiment does not name its files")
        train, evaluation = module.TRAIN_PATTERNS, module.EVAL_PATTERNS
        folder = arguments.data_dir or sample_data(name)
    return dataclasses.replace(run, train_files=_present(folder, train), eval_files=_present(folder, evaluation))


def sample_data(name: str) -> str:
    """The folder of the experiment's sample data, made first if it is not there."""
    folder = paths.join("data", name)
    if name not in SHIPPED:
        raise UsageError("--train-files: not given, and the experiment has no sample data")
    sample = importlib.import_module(f"trainer.samples.{name}")
    if not sample.is_written(folder):
        log.info("making sample data in %s", folder)
        sample.write(folder)
    return folder


def catch_signals() -> Callable[[], int | None]:
    """From now on SIGTERM and Ctrl-C are remembered, for the loop to ask; a second one ends the process at once."""
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, remember)
    pyarrow.enable_signal_handlers(False)  # it would break off the reading of a file with an error of its own
    return lambda: received[0] if received else None


def run_facts(name: str, run: Run, config: Any, tensorflow_version: str) -> dict[str, Any]:
    """The content of `run.json`."""
    return {
        "experiment": name,
        "flags": {**dataclasses.asdict(run), **dataclasses.asdict(config)},
        "train_files": paths.expand(run.train_files),
        "eval_files": paths.expand(run.eval_files),
        "seed": run.seed,
        "versions": {
            "trainer": trainer.__version__,
            "tensorflow": tensorflow_version,
            "python": platform.python_version(),
        },
        "cluster": {},
    }


def say_done(job_dir: str, outcome: Any) -> None:
    """The last line: where the run ended, as JSON or, on a terminal, as a small table."""
    facts = {
        "job_dir": job_dir,
        "global_step": outcome.global_step,
        "metrics": dict(outcome.metrics),
        "exports": list(outcome.exports),
    }
    if not sys.stdout.isatty():
        log.info("done", extra={"fields": facts})
        return
    rows = [("job dir", job_dir), ("global step", f"{outcome.global_step:,}")]
    rows += [(metric, f"{value:.4f}") for metric, value in outcome.metrics.items()]
    rows += [("export", folder) for folder in outcome.exports]
    width = max(len(title) for title, _ in rows)
    for title, value in rows:
        log.info("%s  %s", title.ljust(width), value)


def _present(folder: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The globs in a folder, without those that match nothing as long as one does."""
    if folder.startswith(paths.GS):
        return tuple(paths.join(folder, pattern) for pattern in patterns)
    globs = tuple(paths.join(folder, pattern) for pattern in patterns)
    return tuple(glob for glob in globs if paths.matches(glob)) or globs[:1]


if __name__ == "__main__":
    sys.exit(command.run(main, prog="trainer.task"))
