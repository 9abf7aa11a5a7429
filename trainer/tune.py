"""Search for the hyperparameters of an experiment, on this machine.

    python -m trainer.tune --config docs/examples/tuning.yaml -- --experiment babyweight --job-dir jobs/tuned

The search is the `hyperparameters` block of the config, as the services take it. What follows `--` are flags of
`trainer.task`, after the config's own `args`. Run it again to resume.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from trainer.cloud import config as configs
from trainer.cloud.config import TRAINING, Config
from trainer.cloud.schema import Problem, shown
from trainer.errors import UsageError
from trainer.samples import folder
from trainer.settings import command, experiments, flags, job, logs, signals
from trainer.settings import run as runs
from trainer.settings.flags import whole_number
from trainer.settings.run import Run
from trainer.storage import lease, paths
from trainer.tuning import objective, output, process, runner, search, space
from trainer.tuning.search import Trial
from trainer.tuning.study import Study


PROG = "trainer.tune"
TASK = "trainer.task"
BEST = "best_flags.txt"
BLOCK = "hyperparameters"
THE_SEARCHS_OWN = ("job-dir", "output-dir", "experiment", "schedule")
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check everything that can be, run the trials, and say which is best."""
    ours, flags_of_task = command.split(argv)
    arguments, given = parser().parse_args(ours), command.normalized(flags_of_task)
    logs.start(arguments.verbosity)
    config = configs.read(arguments.config)
    task = task_of([*command.normalized(config.training.get("args", [])), *given], job_dir=arguments.job_dir)
    block = block_of(config, task)
    job.make(task.run)
    held = lease.acquire(task.run.job_dir)
    try:
        study = Study(task.run.job_dir, block, flags=task.words, seed=arguments.seed, check=held.check)
        study.open()
        refuse_others(study)
        interrupted = run(study, task, environ)
    finally:
        held.release()
    if interrupted:
        log.warning("interrupted by signal %d; the same command resumes", interrupted)
        return 128 + interrupted
    say_best(study)
    return 0


def parser() -> command.Parser:
    """The flags of the tuner."""
    parser = command.Parser(
        prog=f"python -m {PROG}",
        description=__doc__.splitlines()[0],
        usage=f"%(prog)s [--config FILE] [--job-dir DIR] [--seed N] -- FLAGS OF {TASK}",
    )
    parser.add_argument(
        "--config", metavar="FILE", default="config.yaml", help=f"has {TRAINING}.{BLOCK} (default %(default)s)"
    )
    parser.add_argument("--job-dir", metavar="DIR", default="", help="where the trials go, each in a folder of its own")
    parser.add_argument("--seed", metavar="N", type=whole_number, default=1, help="of the search (default 1)")
    command.add_arguments(parser)
    return parser


@dataclass(frozen=True)
class Task:
    """What each trial trains, but for its own values."""

    words: Sequence[str]  # the flags
    parser: command.Parser
    module: ModuleType
    run: Run
    experiment: objective.Measured


def task_of(words: Sequence[str], *, job_dir: str) -> Task:
    """What `trainer.task` would make of its flags; nothing is trained."""
    name = experiments.name_in(words)
    if name is None:
        raise UsageError(f"--experiment: not given, after -- or in the config's args; {experiments.EXPECTED}")
    module = experiments.load(name)
    parser = experiments.parser(module, prog=TASK, description="")
    parsed = parser.parse_args([*words, *(["--job-dir", job_dir] if job_dir else [])])
    if job_dir and parsed.output_dir:
        raise UsageError(f"--output-dir: {parsed.output_dir}: expected it or --job-dir, not both")
    run = runs.from_flags(parsed, getattr(module, "RUN", Run()))
    run = job.with_job_dir(run, parsed, {})
    run = job.with_files(run, parsed, module, sample_data=lambda: folder.made(name))
    return Task(words, parser, module, run, module.build(flags.build(module.Config, parsed), run))


def block_of(config: Config, task: Task) -> dict[str, Any]:
    """The config's block, with its tag and goal. Raises `UsageError`, with the line, for what is wrong with it."""
    block: Mapping[str, Any] | None = config.training.get(BLOCK)
    if block is None:
        raise config.error(Problem((TRAINING, BLOCK), "not given; expected the parameters to search"))
    name = task.module.__name__.rpartition(".")[2]
    for problem in (*space.problems(block), *objective.problems(block, task.experiment, name=name)):
        raise config.error(_in_block(problem))
    for problem in unfit(block, task):
        raise config.error(_in_block(problem))
    return objective.filled(block, task.experiment)


def unfit(block: Mapping[str, Any], task: Task) -> Iterator[Problem]:
    """The values that the flags of the task do not take, as far as the ends of each range show it."""
    if block.get("resumePreviousJobId"):
        yield Problem(("resumePreviousJobId",), "is for the services; here the same command resumes")
    for index, param in enumerate(block["params"]):
        name = param["parameterName"]
        if name.replace("_", "-") in THE_SEARCHS_OWN:
            yield Problem(("params", index, "parameterName"), f"{shown(name)}: is the same for all trials")
            continue
        for value in space.extremes(param):
            try:
                parsed = task.parser.parse_args([*task.words, *command.normalized([space.flag(param, value)])])
                runs.from_flags(parsed, getattr(task.module, "RUN", Run()))
            except UsageError as error:
                yield Problem(("params", index), str(error))


def refuse_others(study: Study) -> None:
    """Raise `UsageError` for folders that a trial would resume from, though they are not of this search."""
    known = {trial.id for trial in study.trials}
    for name in paths.list_names(study.folder):
        if name.strip("/").isdecimal() and name.strip("/") not in known:
            path = paths.join(study.folder, name)
            raise UsageError(f"{path}: is there, but of no trial of this search; expected another --job-dir")


def run(study: Study, task: Task, environ: Mapping[str, str]) -> int | None:
    """Run the trials as processes; the signal that broke it off, if one did."""
    asked = _noted(signals.received())
    with tempfile.TemporaryDirectory(prefix="trainer-tune-") as temporary:
        place = process.Place(
            study.folder,
            work_dir=temporary if paths.is_remote(study.folder) else study.folder,
            command=[sys.executable, "-m", TASK, *task.words],
            hyperparameters=study.hyperparameters,
            environ=environ,
        )
        said = output.start(study)
        try:
            return runner.run(study, lambda trial: process.start(trial, place), audience=said, asked=asked)
        finally:
            said.close()


def say_best(study: Study) -> None:
    """Write the winning flags, and the last line: which trial it was."""
    best = search.best_first(study.hyperparameters, study.trials)[0]
    words = flags_of(study, best)
    path, job_dir = paths.join(study.folder, BEST), paths.join(study.folder, best.id)
    paths.write_bytes(path, f"{words}\n".encode())
    metric, final = objective.tag(study.hyperparameters), best.measurements[-1]
    if sys.stdout.isatty():
        log.info("best trial   %s, %s %.4f at step %s, in %s", best.id, metric, final.value, f"{final.step:,}", job_dir)
        log.info("flags        %s", words)
        log.info("also in      %s", path)
        return
    measured = {"global_step": final.step, "metrics": {metric: final.value}}
    fields = {"job_dir": job_dir, "trial": best.id, **measured, "values": best.values, "flags": words}
    log.info("done", extra={"fields": {**fields, "flags_file": path, "trials": len(study.trials)}})


def flags_of(study: Study, trial: Trial) -> str:
    """The values of a trial as words of a command line."""
    params = study.hyperparameters["params"]
    return " ".join(space.flag(param, trial.values[param["parameterName"]]) for param in params)


def _noted(asked: Callable[[], Sequence[int]]) -> Callable[[], Sequence[int]]:
    """The signals so far; of the first it is said what it does."""
    said: list[int] = []

    def found() -> Sequence[int]:
        if asked() and not said:
            said.append(asked()[0])
            log.warning("asked to end: the trials save first; again to end at once")
        return asked()

    return found


def _in_block(problem: Problem) -> Problem:
    return Problem((TRAINING, BLOCK, *problem.path), problem.text)


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
