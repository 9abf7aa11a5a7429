"""What a process does in a job, by the name of its schedule.

outcome = perform("train_and_evaluate", experiment, run, facts=facts)
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from trainer.experiment import Experiment
from trainer.settings.cluster import ALONE, Cluster
from trainer.settings.places import Places, in_job_dir
from trainer.settings.run import Distribution, Run, Schedule
from trainer.training import ending, peers, servers, workers
from trainer.training.evaluator import Evaluator
from trainer.training.loop import Trainer
from trainer.training.outcome import Interrupted, Outcome


def perform(
    schedule: Schedule,
    experiment: Experiment | None,
    run: Run,
    *,
    facts: Mapping[str, Any],
    interrupted: Callable[[], int | None] = lambda: None,
    cluster: Cluster = ALONE,
    distribution: Distribution = "auto",
    places: Places | None = None,
) -> Outcome:
    """Do it to the end; `run_std_server` alone needs no experiment.

    Raises `Interrupted` when a signal asks for an earlier end, `RunError` when a peer is gone.
    """
    if (number := interrupted()) is not None:  # while TensorFlow was imported: now, not after a wait for the others
        raise Interrupted(number)
    places = places or in_job_dir(run.job_dir)
    with peers.named(cluster):
        if schedule == "run_std_server" or experiment is None:
            return _serve(run, cluster, interrupted)
        if schedule == "continuous_eval":
            return Evaluator(experiment, run, interrupted=interrupted, places=places).continuous_eval()
        if cluster.size > 1 and not cluster.is_chief:
            return _follow(experiment, run, cluster, checkpoints=places.checkpoints, interrupted=interrupted)
        if schedule == "test":
            run, experiment = dataclasses.replace(run, eval_steps=1), dataclasses.replace(experiment, train_steps=1)
        trainer = Trainer(
            experiment,
            run,
            facts=facts,
            interrupted=interrupted,
            cluster=cluster,
            distribution=distribution,
            places=places,
        )
        if schedule == "evaluate":
            return trainer.evaluate()
        return trainer.train() if schedule == "train" else trainer.train_and_evaluate()


def _follow(
    experiment: Experiment, run: Run, cluster: Cluster, *, checkpoints: str, interrupted: Callable[[], int | None]
) -> Outcome:
    """A worker's part: what the chief says."""
    if ending.is_finished(run.job_dir, experiment.train_steps):
        return Outcome(experiment.train_steps)
    member = workers.Member(experiment, run, cluster)
    step = workers.follow(member, checkpoints, interrupted)
    if (number := interrupted()) is not None:
        raise Interrupted(number)
    return Outcome(step)


def _serve(run: Run, cluster: Cluster, interrupted: Callable[[], int | None]) -> Outcome:
    number = servers.serve(cluster, run.job_dir, interrupted)
    if number is not None:
        raise Interrupted(number)
    ended = ending.read(run.job_dir)
    return Outcome(ended.global_step if ended else 0)
