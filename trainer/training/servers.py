"""Training with parameter servers: the coordinator that gives out the steps, and the tasks that serve it.

    ParameterServers(experiment, run, cluster)       # replicas.Replicas, for the chief
    serve(cluster, run.job_dir, interrupted)         # what a parameter server does, and a worker

The coordinator reads the input, so every example is used once an epoch however many workers there are, and it counts
the steps where they are given out: by the optimizer's own count, updates that overtake one another would be lost.
"""

import time
from collections.abc import Callable

import tensorflow as tf

from trainer.experiment import Experiment
from trainer.inputs import dataset
from trainer.inputs.batches import Batches, Shard
from trainer.settings.cluster import Cluster
from trainer.settings.run import Run
from trainer.training import ending, peers, profile, state
from trainer.training.replicas import Copy, train_each
from trainer.training.steps import TrainSteps


PIECES_A_WORKER = 2  # of a call, so that no worker waits long for the slowest
ASKED_S = 20.0
COUNT = "/iteration"  # how the name of an optimizer's own count ends


class ParameterServers:
    """The variables on parameter servers; workers take steps as they come, each on a whole batch."""

    others_asked = False

    def __init__(self, experiment: Experiment, run: Run, cluster: Cluster, leave: Callable[[str], None]) -> None:
        servers = peers.of(cluster, roles=("ps", "worker"))
        peers.await_all(servers)
        strategy = tf.distribute.ParameterServerStrategy(peers.resolver(cluster.addresses, cluster))
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        peers.watch(servers, leave)
        self._trained = state.build_model(experiment.model_fn, run, scope=strategy.scope)
        self.input = dataset.train_batches(experiment.train_input_fn(Shard()))
        zeros = self.input.zeros()
        state.build_variables(self._trained, zeros, scope=strategy.scope)
        self._named = state.variables(self._trained)
        self._steps = TrainSteps(self._trained, zeros, strategy)
        self._copy = Copy(experiment, run, zeros)
        self.model = self._copy.model
        self._workers = len(cluster.addresses["worker"])
        self.room = self._steps.room * self._workers

    def train(self, steps: int) -> int:
        counts = {name: variable for name, variable in self._named.items() if name.endswith(COUNT)}
        before = state.values(counts)
        first_bad = train_each(self._train, self.input, steps)
        state.assign(counts, lambda name: before[name] + steps)
        return first_bad

    def _train(self, batches: Batches) -> int:
        """Give the steps out in pieces and wait for all of them."""
        size = min(self._steps.room, -(-batches.steps // (self._workers * PIECES_A_WORKER)))
        starts = range(0, batches.steps, size)
        pieces = [batches.part(start, min(start + size, batches.steps)) for start in starts]
        with profile.part("compute"):
            results = [
                self._coordinator.schedule(self._steps.compiled, args=(piece.data, tf.constant(piece.steps)))
                for piece in pieces
            ]
            self._coordinator.join()
        found = [(start, int(result.fetch())) for start, result in zip(starts, results, strict=True)]
        return min((start + bad for start, bad in found if bad >= 0), default=-1)

    def pull(self) -> None:
        self._copy.take(state.values(self._named))

    def push(self) -> None:
        state.assign(self._named, self._copy.give().__getitem__)

    def push_changes(self) -> None:
        if self._copy.has_changed():
            self.push()

    def reset_metrics(self) -> None:
        self._trained.reset_metrics()
        self.model.reset_metrics()

    def seek(self, step: int) -> None:
        """The workers have no input."""

    def end(self, *, finished: bool) -> None:
        """The others look for the end themselves, in the job dir."""


def serve(cluster: Cluster, job_dir: str, interrupted: Callable[[], int | None]) -> int | None:
    """Serve the chief until the job has ended; return the number of a signal that asked for it before.

    The chief is mostly asked at the same time, and what it has to save is here: it is served until it has ended, for
    `ASKED_S` seconds at most. Raises `RunError` when it is gone.
    """
    server = tf.distribute.Server(
        tf.train.ClusterSpec(dict(cluster.addresses)),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
    )
    del server  # it goes on until the process ends
    watch = ending.Watch(job_dir)
    asked = None
    while (found := watch.look()) != "ended":
        if found == "gone":
            raise watch.gone()
        if number := interrupted():
            asked = asked or time.monotonic()
            if found != "running" or time.monotonic() - asked > ASKED_S:
                return number
        time.sleep(watch.look_every_s)
    return None
