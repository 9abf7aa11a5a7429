"""Train one experiment.

    python -m trainer.task --experiment babyweight --job-dir jobs/babyweight

Run it again to resume. `python -m trainer.task --experiment NAME --help` lists the experiment's own flags too.
"""

import contextlib
import dataclasses
import gc
import logging
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any, Literal

import trainer
from trainer.errors import RunError, UsageError, refusal
from trainer.quality import options
from trainer.samples import folder
from trainer.settings import cluster as clusters
from trainer.settings import command, experiments, flags, job, logs, places, signals
from trainer.settings import run as runs
from trainer.storage import operations, paths


PROG = "trainer.task"
SAYS = __doc__.splitlines()[0]
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Parse, build the experiment, run its schedule, and say where it ended."""
    before = operations.so_far()
    name = experiments.name_in(argv)
    if name is None:
        experiments.parser(None, prog=PROG, description=SAYS).parse_known_args(argv)  # --help ends here
        raise UsageError(f"--experiment: not given; {experiments.EXPECTED}")
    module = experiments.load(name)
    arguments = experiments.parser(module, prog=PROG, description=SAYS).parse_args(argv)
    logs.start(arguments.verbosity)
    cluster = clusters.from_environment(environ)
    run = runs.from_flags(arguments, getattr(module, "RUN", runs.Run()))
    distribution = clusters.distribution_of(cluster, run.distribution)
    schedule = clusters.schedule_of(cluster, run.schedule, distribution)
    if schedule is None:
        log.info("nothing to do for %s %d: the chief does that alone", cluster.role, cluster.index)
        return 0
    run = job.with_job_dir(run, arguments, environ, trial=cluster.trial)
    where = places.of(run, arguments, environ, trial=cluster.trial)
    config = flags.build(module.Config, arguments)
    experiment = None
    if schedule != "run_std_server":  # which sees no data
        run = job.with_files(run, arguments, module, sample_data=lambda: folder.made(name))
        experiment = module.build(config, run)
    job.make(run)
    places.make(where, run.job_dir)

    interrupted = signals.remembered()
    level: Literal["2", "3"] = "3" if cluster.size > 1 else "2"
    with contextlib.ExitStack() as stack:  # it takes seconds: not before everything above has been checked
        stack.enter_context(command.quiet_tensorflow(level=level))
        if cluster.is_chief and experiment and (spec := options.spec_of(module)):
            from trainer.quality import early  # Arrow, which `--help` does without

            stack.enter_context(early.looking(spec, run.train_files, run.eval_files))
        import keras
        import pyarrow
        import tensorflow as tf

        from trainer.training import schedules
        from trainer.training.outcome import Interrupted

    threads = experiment.intra_op_threads if experiment and not cluster.size else None
    if threads and "TF_NUM_INTRAOP_THREADS" not in environ:
        with contextlib.suppress(RuntimeError):  # where this process has computed before, and it is too late
            tf.config.threading.set_intra_op_parallelism_threads(threads)
    gc.freeze()  # TensorFlow's objects are here to stay; Arrow on Python 3.10 goes through all others at every reading
    pyarrow.enable_signal_handlers(False)  # it would break off the reading of a file with an error of its own
    facts: dict[str, Any] = {}
    if cluster.is_chief:  # who writes them; the others need not list the files for it
        facts = {
            "experiment": name,
            "flags": {**dataclasses.asdict(run), **dataclasses.asdict(config)},
            "train_files": paths.expand(run.train_files),
            "eval_files": paths.expand(run.eval_files),
            "seed": run.seed,
            "versions": {
                "trainer": trainer.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
            "cluster": clusters.facts(cluster),
        }
    try:
        outcome = schedules.perform(
            schedule,
            experiment,
            run,
            facts=facts,
            interrupted=interrupted,
            cluster=cluster,
            distribution=distribution,
            places=where,
        )
    except Interrupted as interruption:
        log.warning("%s; saved, the same command resumes", interruption)
        return interruption.exit_code
    except tf.errors.OpError as error:  # exports and event files are written by TensorFlow itself
        words = refusal(error.message)
        if words is None:
            raise
        raise RunError(f"{run.job_dir}: cannot be written: {words}") from error
    say_done(run.job_dir, outcome, gcs_operations(operations.so_far() - before, outcome.stops))
    return 0


def gcs_operations(made: operations.Operations, stops: int) -> dict[str, float]:
    """The requests to buckets, in all and a stop; nothing where no path was `gs://`."""
    if made == operations.Operations():
        return {}
    counts: dict[str, float] = dataclasses.asdict(made)
    return counts | {f"{name}_a_stop": round(counts[name] / max(1, stops), 1) for name in ("writes", "lists", "reads")}


def say_done(job_dir: str, outcome: Any, requests: Mapping[str, float]) -> None:
    """The last line: where the run ended, as JSON or, on a terminal, as a small table."""
    if not sys.stdout.isatty():
        places = {"job_dir": job_dir, "global_step": outcome.global_step}
        results = {"metrics": dict(outcome.metrics), "exports": list(outcome.exports)}
        counted = {"gcs_operations": requests} if requests else {}
        log.info("done", extra={"fields": {**places, **results, **counted}})
        return
    rows = [("job dir", job_dir), ("global step", f"{outcome.global_step:,}")]
    rows += [(metric, f"{value:.4f}") for metric, value in outcome.metrics.items()]
    rows += [("export", folder) for folder in outcome.exports]
    if requests:
        rows.append(
            ("gs:// operations", ", ".join(f"{count:g} {name.replace('_', ' ')}" for name, count in requests.items()))
        )
    width = max(len(title) for title, _ in rows)
    for title, value in rows:
        log.info("%s  %s", title.ljust(width), value)


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
