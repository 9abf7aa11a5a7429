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
        first_bad = tf.constant(-1)
        for i in tf.range(steps):
            logs = model.train_step(_at(data, i))
            # The running mean of the loss turns to NaN or infinity at the very step that brings one.
            bad = tf.logical_not(tf.math.is_finite(logs["loss"])) if "loss" in logs else tf.constant(False)
            first_bad = tf.where(bad & (first_bad < 0), i, first_bad)
        return first_bad

    return train


def _test_loop(model: keras.Model) -> Any:
    def test(data: Any, steps: Any) -> None:
        for i in tf.range(steps):
            model.test_step(_at(data, i))

    return test


def _at(data: Any, i: Any) -> Any:
    return tf.nest.map_structure(lambda values: values[i], data)


def _filled(batches: Batches, room: int) -> Any:
    """The arrays with `room` steps; the loop does not reach those that are added."""
    if batches.steps == room:
        return batches.data

    def filled(values: Any) -> Any:
        return np.concatenate([values, np.zeros((room - batches.steps, *values.shape[1:]), values.dtype)])

    return tf.nest.map_structure(filled, batches.data)
