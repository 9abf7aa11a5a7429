"""The model as it is trained, wherever tf.distribute keeps it, together with the input that it is trained on.

    replicas = Here(experiment, run)      # or Mirrored; `strategy.build` knows which
    replicas.push()                       # what is trained <- replicas.model
    first_bad = replicas.train(100)       # steps
    replicas.pull()                       # replicas.model <- what is trained

`replicas.model` is a plain Keras model in this process: the one that is saved, evaluated, exported and that callbacks
see. One device trains that very model. For several devices or processes tf.distribute keeps another, built the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UsageError
from trainer.experiment import Experiment
from trainer.inputs import dataset
from trainer.inputs.batches import Batches, Shard
from trainer.settings.run import Run
from trainer.training import profile, state
from trainer.training.steps import TrainSteps


SEED = "seed_generator_state"  # Keras's name for the variable of a SeedGenerator
SEEDS_APART = 1_000_003


class Replicas(Protocol):
    """What is trained, for the process that leads the training."""

    model: keras.Model
    input: Any
    room: int  # the most steps that `train` takes
    others_asked: bool  # whether another process was asked to end

    def train(self, steps: int) -> int:
        """Train the next `steps` steps; return the first whose loss was not finite, counted from 0, or -1."""

    def pull(self) -> None:
        """Give the model the values that were trained."""

    def push(self) -> None:
        """Give what is trained the values of the model."""

    def push_changes(self) -> None:
        """The same if the model is not as it was pulled or pushed, since a callback has changed it."""

    def reset_metrics(self) -> None:
        """Begin the metrics of training anew, the model's too."""

    def seek(self, step: int) -> None:
        """The input was put to where the checkpoint of this step was taken."""

    def end(self, *, finished: bool) -> None:
        """No more steps will come: all are done, or the run is to end before."""


class Here:
    """One device, or what TensorFlow makes of several by itself: the model is trained where it is."""

    others_asked = False

    def __init__(self, experiment: Experiment, run: Run) -> None:
        self.model = state.build_model(experiment.model_fn, run)
        self.input = dataset.train_batches(experiment.train_input_fn(Shard()))
        state.build_variables(self.model, self.input.zeros())
        self._steps = TrainSteps(self.model, self.input.zeros())
        self.room = self._steps.room

    def train(self, steps: int) -> int:
        return train_each(self._steps.train, self.input, steps)

    def pull(self) -> None:
        """It is there."""

    def push(self) -> None:
        """It is there."""

    def push_changes(self) -> None:
        """They are there."""

    def reset_metrics(self) -> None:
        self.model.reset_metrics()

    def seek(self, step: int) -> None:
        """There is no other process."""

    def end(self, *, finished: bool) -> None:
        """There is no other process."""


class Mirrored:
    """A copy of the model on each device of this process, all with the same values, each with its share of a batch."""

    others_asked = False

    def __init__(self, experiment: Experiment, run: Run, strategy: Any) -> None:
        trained = state.build_model(experiment.model_fn, run, scope=strategy.scope)
        self.input = dataset.train_batches(experiment.train_input_fn(Shard()))
        zeros = self.input.zeros()
        check_divisible(zeros, len(strategy.extended.worker_devices))
        state.build_variables(trained, zeros, scope=strategy.scope)
        self._trained = trained
        self._named = state.variables(trained)
        self._strategy = strategy
        self._steps = TrainSteps(trained, zeros, strategy)
        self._copy = Copy(experiment, run, zeros)
        self.model = self._copy.model
        self.room = self._steps.room

    def train(self, steps: int) -> int:
        return train_each(self._steps.train, self.input, steps)

    def pull(self) -> None:
        self._copy.take(state.values(self._named))

    def push(self) -> None:
        state.assign(self._named, self._copy.give().__getitem__)
        spread_seeds(self._named, self._strategy)

    def push_changes(self) -> None:
        if self._copy.has_changed():
            self.push()

    def reset_metrics(self) -> None:
        self._trained.reset_metrics()
        self.model.reset_metrics()

    def seek(self, step: int) -> None:
        """There is no other process."""

    def end(self, *, finished: bool) -> None:
        """There is no other process."""


class Copy:
    """The plain model in this process, of one that is trained elsewhere."""

    def __init__(self, experiment: Experiment, run: Run, zeros: Any) -> None:
        self.model = state.build_model(experiment.model_fn, run)
        state.build_variables(self.model, zeros)
        self._named = state.variables(self.model)
        self._trained: Mapping[str, Any] = {}  # the values of the one that is trained

    def give(self) -> Mapping[str, Any]:
        """The value of each variable, by name, for the trained one to be as this."""
        self._trained = state.values(self._named)
        return self._trained

    def take(self, values: Mapping[str, Any]) -> None:
        """Be as the trained one."""
        state.assign(self._named, values.__getitem__)
        self._trained = values

    def has_changed(self) -> bool:
        """Whether anything but the metrics is not as it was given or taken."""
        names = [name for name in self._trained if not name.startswith(state.METRICS)]
        return any(not np.array_equal(self._trained[name], self._named[name]) for name in names)


def train_each(train: Callable[[Batches], int], train_input: Any, steps: int) -> int:
    """Train on the next `steps` batches of an input; return the first whose loss was not finite, or -1."""
    done = 0
    with profile.part("input"):
        taken = train_input.take(steps)
    for batches in taken:
        first_bad = train(batches)
        if first_bad >= 0:
            return done + first_bad
        done += batches.steps
    return -1


def check_divisible(zeros: Any, replicas: int) -> None:
    """Raise `UsageError` for a batch that the devices of a process cannot share equally."""
    size = len(tf.nest.flatten(zeros)[0])
    if size % replicas:
        raise UsageError(f"--train-batch-size: {size} examples for {replicas} devices; expected a multiple of them")


def spread_seeds(named: Mapping[str, Any], strategy: Any) -> None:
    """Give each replica random numbers of its own, so that dropout does not leave out the same units everywhere."""
    seeds = [variable for name, variable in named.items() if name.endswith(SEED)]

    def apart() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for seed in seeds:
            seed.assign(seed + tf.stack([tf.cast(replica * SEEDS_APART, seed.dtype), tf.cast(0, seed.dtype)]))

    if seeds:
        tf.function(lambda: strategy.run(apart))()
