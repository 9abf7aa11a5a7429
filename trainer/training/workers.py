"""Chief and workers that train the same batches, each its share, under MultiWorkerMirroredStrategy.

    Chief(experiment, run, cluster)                            # replicas.Replicas
    follow(Member(experiment, run, cluster), checkpoints, interrupted)     # what a worker does

The chief leads: before each thing that all have to do together it tells the workers what, through an all-reduce. So
how many steps come next, when to stop and when to end is decided in one place, and nobody waits for a step that another
does not take.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from trainer.errors import RunError
from trainer.experiment import Experiment
from trainer.inputs import dataset
from trainer.inputs.batches import Shard
from trainer.settings.cluster import Cluster
from trainer.settings.run import Run
from trainer.training import checkpoint, peers, state
from trainer.training.replicas import Copy, check_divisible, spread_seeds, train_each
from trainer.training.steps import TrainSteps


REDUCED = (tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.int32, tf.int64)
"""What an all-reduce takes."""


class Order(enum.IntEnum):
    """What the chief tells the workers, each with a number."""

    TRAIN = 1  # so many steps
    PULL = 2
    PUSH = 3
    RESET_METRICS = 4
    SEEK = 5  # in the input, to the checkpoint of this step
    END = 6  # 1 where all steps are done, 0 where the run ends before


class Member:
    """What chief and workers do together: a call of one is a call of all."""

    def __init__(self, experiment: Experiment, run: Run, cluster: Cluster) -> None:
        shard = Shard(cluster.position, sum(map(len, cluster.trainers.values())))
        self._strategy = peers.mirrored(cluster)
        self._model = state.build_model(experiment.model_fn, run, scope=self._strategy.scope)
        self.input = dataset.train_batches(experiment.train_input_fn(shard), shard)
        self.zeros = zeros = self.input.zeros()
        self._here = len(self._strategy.extended.worker_devices)
        check_divisible(zeros, self._here)
        state.build_variables(self._model, zeros, scope=self._strategy.scope)
        self._named = state.variables(self._model)
        self._steps = TrainSteps(self._model, zeros, self._strategy)
        self.room = self._steps.room
        self._sum = tf.function(self._summed)

    def agree(self, order: int, number: int, *, asked: bool) -> tuple[Order, int, bool]:
        """The chief's order, and whether any process was asked to end; the others give 0 as their order."""
        (told,) = self._sum([tf.constant([order, number, asked], tf.int64)])
        return Order(int(told[0])), int(told[1]), bool(told[2] > 0)

    def train(self, steps: int) -> int:
        """Train the next steps; return the first whose loss was not finite for any process, or -1."""
        return train_each(self._steps.train, self.input, steps)

    def values(self) -> dict[str, Any]:
        """What is trained, by name; of metrics the sum over all."""
        return state.values(self._named)

    def receive(self, values: Mapping[str, Any]) -> None:
        """Give what is trained the chief's values; workers give none."""
        given = [values.get(name, tf.zeros(variable.shape, variable.dtype)) for name, variable in self._named.items()]
        summed = self._sum([value if value.dtype in REDUCED else tf.cast(value, tf.int64) for value in given])
        chiefs = dict(zip(self._named, summed, strict=True))
        state.assign(self._named, lambda name: tf.cast(chiefs[name], self._named[name].dtype))
        spread_seeds(self._named, self._strategy)

    def leave(self) -> None:
        """Miss nobody from now on: each process ends when it is done."""
        self._strategy.extended._check_health_thread_should_stop.set()

    def reset_metrics(self) -> None:
        """Begin the metrics anew."""
        self._model.reset_metrics()

    def _summed(self, values: Sequence[Any]) -> list[Any]:
        """The sum over all processes, each of which counts once however many devices it has."""

        def reduced() -> list[Any]:
            context = tf.distribute.get_replica_context()
            once = context.replica_id_in_sync_group % self._here == 0
            return [context.all_reduce("sum", tf.where(once, value, tf.zeros_like(value))) for value in values]

        return [self._strategy.experimental_local_results(value)[0] for value in self._strategy.run(reduced)]


class Chief:
    """The replicas of all workers, led by this process, which trains its share too."""

    def __init__(self, experiment: Experiment, run: Run, cluster: Cluster) -> None:
        self._member = Member(experiment, run, cluster)
        self.input = self._member.input
        self.room = self._member.room
        self._copy = Copy(experiment, run, self._member.zeros)
        self.model = self._copy.model
        self.others_asked = False
        self._ended = False

    def train(self, steps: int) -> int:
        self._tell(Order.TRAIN, steps)
        return self._member.train(steps)

    def pull(self) -> None:
        self._tell(Order.PULL)
        self._copy.take(self._member.values())

    def push(self) -> None:
        self._tell(Order.PUSH)
        self._member.receive(self._copy.give())

    def push_changes(self) -> None:
        if not self._ended and self._copy.has_changed():
            self.push()

    def reset_metrics(self) -> None:
        self._tell(Order.RESET_METRICS)
        self._member.reset_metrics()
        self.model.reset_metrics()

    def seek(self, step: int) -> None:
        self._tell(Order.SEEK, step)

    def end(self, *, finished: bool) -> None:
        if not self._ended:
            self._ended = True
            self._member.leave()
            self._tell(Order.END, int(finished))

    def _tell(self, order: Order, number: int = 0) -> None:
        *_, asked = self._member.agree(order, number, asked=False)
        self.others_asked = self.others_asked or asked


def follow(member: Member, checkpoints: str, interrupted: Callable[[], int | None]) -> int:
    """Do what the chief says until the end; return the step. Raises `RunError` where it is not the last."""
    step = 0
    while True:
        order, number, _ = member.agree(0, 0, asked=interrupted() is not None)
        if order is Order.TRAIN:
            member.train(number)
            step += number
        elif order is Order.PULL:
            member.values()
        elif order is Order.PUSH:
            member.receive({})
        elif order is Order.RESET_METRICS:
            member.reset_metrics()
        elif order is Order.SEEK:
            checkpoint.restore_input(checkpoints, number, member.input)
            step = number
        elif number or interrupted() is not None:
            return step
        else:
            raise RunError("the run was asked to end before its last step, and has saved; the same command resumes")
