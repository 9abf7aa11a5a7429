"""The train and test steps of a compiled Keras model, many to a call.

    steps = Steps(model, inputs.zeros())
    first_bad = steps.train(batches)          # batches.steps train steps in one tf.function

The model's own `train_step` and `test_step` run inside a `tf.range` loop; with `jit_compile` the whole loop is one XLA
program. That saves what Keras `fit` spends between two steps, which on a small model is nearly everything.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.inputs.batches import Batches


CHUNK_BYTES = 8 << 20
MOST_STEPS = 100
STEPS = tf.TensorSpec([], tf.int32)


class Steps:
    """The compiled functions of one model, for batches like `zeros`.

    `room` is the most train steps a call can take. XLA compiles for one shape, so a call with fewer is filled up.
    """

    def __init__(self, model: keras.Model, zeros: Any) -> None:
        self.room = room_for(sum(array.nbytes for array in tf.nest.flatten(zeros)))
        self._fill = model.jit_compile is True
        # Any number of steps and rows, so that a short last batch is the same function.
        data = tf.nest.map_structure(lambda array: tf.TensorSpec([None, None, *array.shape[1:]], array.dtype), zeros)
        self._train = tf.function(_train_loop(model), jit_compile=self._fill, input_signature=[data, STEPS])
        # A pass over the evaluation data is over before XLA would have compiled it.
        self._test = tf.function(_test_loop(model), jit_compile=False, input_signature=[data, STEPS])

    def train(self, batches: Batches) -> int:
        """Run `batches.steps` train steps; return the first whose loss was not finite, or -1."""
        data = _filled(batches, self.room) if self._fill else batches.data
        return int(self._train(data, batches.steps))

    def test(self, batches: Batches) -> None:
        """Run `batches.steps` test steps, adding to the model's metrics."""
        self._test(batches.data, batches.steps)


def room_for(batch_bytes: int) -> int:
    """How many steps a call has place for: many of a small model, few of large batches."""
    return max(1, min(MOST_STEPS, CHUNK_BYTES // max(1, batch_bytes)))


def _train_loop(model: keras.Model) -> Any:
    def train(data: Any, steps: Any) -> Any:
        def body(i: Any, first_bad: Any) -> tuple[Any, Any]:
            logs = model.train_step(_at(data, i))
            # The running mean of the loss turns to NaN or infinity at the very step that brings one.
            bad = tf.logical_not(tf.math.is_finite(logs["loss"])) if "loss" in logs else tf.constant(False)
            return i + 1, tf.where(bad & (first_bad < 0), i, first_bad)

        return _repeat(body, steps, -1)

    return train


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
