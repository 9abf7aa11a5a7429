"""The train and test steps of a compiled Keras model, many to a call.

    steps = TrainSteps(model, inputs.zeros())
    first_bad = steps.train(batches)          # batches.steps train steps in one tf.function

The model's own `train_step` and `test_step` run inside a `tf.range` loop; with `jit_compile` the whole loop is one XLA
program. That saves what Keras `fit` spends between two steps, which on a small model is nearly everything. Given a
tf.distribute strategy each train step goes through its `run`: one loop for one device, for several, for many processes.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.inputs.batches import Batches
from trainer.training import profile


CHUNK_BYTES = 8 << 20
MOST_STEPS = 100
STEPS = tf.TensorSpec([], tf.int32)


class TrainSteps:
    """The compiled train steps of one model, for batches like `zeros`: with a strategy, this process's share of each.

    `room` is the most train steps a call can take. XLA compiles for one shape, so a call with fewer is filled up; a
    strategy's replicas talk to one another, which is not for XLA.
    """

    def __init__(self, model: keras.Model, zeros: Any, strategy: Any = None) -> None:
        self.room = _room_for(zeros)
        self._fill = strategy is None and model.jit_compile is True
        loop = _train_loop(model.train_step) if strategy is None else _replicated_loop(model.train_step, strategy)
        self._part: profile.Part = "compile"  # that of the first call
        self.compiled = tf.function(loop, jit_compile=self._fill, input_signature=[_data_like(zeros), STEPS])

    def train(self, batches: Batches) -> int:
        """Run `batches.steps` train steps; return the first whose loss was not finite, or -1."""
        with profile.part("transfer"):
            data = _filled(batches, self.room) if self._fill else batches.data
            tensors = tf.nest.map_structure(tf.convert_to_tensor, data)
        with profile.part(self._part):
            first_bad = int(self.compiled(tensors, batches.steps))
        self._part = "compute"
        return first_bad


class EvalSteps:
    """The compiled test steps of one model, for batches like `zeros`, at most `room` in a call."""

    def __init__(self, model: keras.Model, zeros: Any) -> None:
        self.room = _room_for(zeros)
        # A pass over the evaluation data is over before XLA would have compiled it.
        self._compiled = tf.function(_test_loop(model), jit_compile=False, input_signature=[_data_like(zeros), STEPS])

    def test(self, batches: Batches) -> None:
        """Run `batches.steps` test steps, adding to the model's metrics."""
        self._compiled(batches.data, batches.steps)


def _room_for(zeros: Any) -> int:
    """How many steps a call has place for: many of a small model, few of large batches."""
    batch_bytes: int = sum(array.nbytes for array in tf.nest.flatten(zeros))
    return max(1, min(MOST_STEPS, CHUNK_BYTES // max(1, batch_bytes)))


def _data_like(zeros: Any) -> Any:
    """Any number of steps and rows, so that a short last batch is the same function."""
    return tf.nest.map_structure(lambda array: tf.TensorSpec([None, None, *array.shape[1:]], array.dtype), zeros)


def _train_loop(train_step: Any) -> Any:
    def train(data: Any, steps: Any) -> Any:
        def body(i: Any, first_bad: Any) -> tuple[Any, Any]:
            return i + 1, tf.where(_is_bad(train_step(_at(data, i))) & (first_bad < 0), i, first_bad)

        return _repeat(body, steps, -1)

    return train


def _replicated_loop(train_step: Any, strategy: Any) -> Any:
    """The same with each batch cut up among the replicas of this process; the first bad step is that of any process."""
    here = len(strategy.extended.worker_devices) if strategy.num_replicas_in_sync > 1 else 1

    def step(batch: Any) -> Any:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group % here
        return _is_bad(train_step(tf.nest.map_structure(lambda rows: _share(rows, replica, here), batch)))

    def train(data: Any, steps: Any) -> Any:
        def body(i: Any, first_bad: Any) -> tuple[Any, Any]:
            bad = strategy.experimental_local_results(strategy.run(step, args=(_at(data, i),)))
            return i + 1, tf.where(tf.reduce_any(tf.stack(bad)) & (first_bad < 0), i, first_bad)

        first_bad = _repeat(body, steps, -1)
        if strategy.num_replicas_in_sync == here:
            return first_bad
        never = tf.int32.max
        found = strategy.run(_everyones, args=(tf.where(first_bad < 0, never, first_bad),))
        least = tf.reduce_min(strategy.experimental_local_results(found)[0])
        return tf.where(least == never, -1, least)

    return train


def _everyones(value: Any) -> Any:
    """() -> (replicas,)."""
    return tf.distribute.get_replica_context().all_gather(value[None], axis=0)


def _share(rows: Any, replica: Any, replicas: int) -> Any:
    size = tf.shape(rows)[0] // replicas
    return rows[replica * size : (replica + 1) * size] if replicas > 1 else rows


def _is_bad(logs: Any) -> Any:
    """Whether the running mean of the loss, which turns at the very step that brings one, is NaN or infinity."""
    return tf.logical_not(tf.math.is_finite(logs["loss"])) if "loss" in logs else tf.constant(False)


def _test_loop(model: keras.Model) -> Any:
    def test(data: Any, steps: Any) -> Any:
        def body(i: Any, done: Any) -> tuple[Any, Any]:
            model.test_step(_at(data, i))
            return i + 1, done + 1

        return _repeat(body, steps, 0)

    return test


def _repeat(body: Any, steps: Any, carried: int) -> Any:
    """Call `body(i, carried)` for each step; return what is carried.

    Not `for i in tf.range(steps)`: that bounds the loop by `steps`, which XLA then takes for a constant and compiles
    anew for every number of steps.
    """
    _, carried = tf.while_loop(lambda i, _: i < steps, body, [tf.constant(0), tf.constant(carried)])
    return carried


def _at(data: Any, i: Any) -> Any:
    return tf.nest.map_structure(lambda values: values[i], data)


def _filled(batches: Batches, room: int) -> Any:
    """The arrays with `room` steps; the loop does not reach those that are added."""
    if batches.steps == room:
        return batches.data

    def filled(values: Any) -> Any:
        return np.concatenate([values, np.zeros((room - batches.steps, *values.shape[1:]), values.dtype)])

    return tf.nest.map_structure(filled, batches.data)
