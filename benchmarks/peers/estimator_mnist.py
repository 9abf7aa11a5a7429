"""The peer: `tf.estimator` 2.15 on MNIST, the convolutional network of cloudml-dist-mnist-example in float32.

    python benchmarks/peers/estimator_mnist.py FOLDER STEPS

Prints a JSON object with the examples per second of STEPS steps, after twenty that compile.
"""

import gzip
import json
import os
import sys
import tempfile
import time


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf


BATCH = 100
WARM = 20


def images(folder):
    """The training images (N, 784) in 0 to 1 and labels (N,)."""
    with gzip.open(f"{folder}/train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(f"{folder}/train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return (pixels / 255).astype(np.float32), labels.astype(np.int32)


def model_fn(features, labels, mode):
    """The network and its train step."""
    layers = tf.compat.v1.layers
    hidden = tf.reshape(features, [-1, 28, 28, 1])
    for filters in (32, 64):
        hidden = layers.conv2d(hidden, filters, 5, padding="same", activation=tf.nn.relu)
        hidden = layers.max_pooling2d(hidden, 2, 2)
    hidden = layers.dense(layers.flatten(hidden), 1024, activation=tf.nn.relu)
    hidden = layers.dropout(hidden, 0.4, training=mode == tf.estimator.ModeKeys.TRAIN)
    logits = layers.dense(hidden, 10)
    loss = tf.compat.v1.losses.sparse_softmax_cross_entropy(labels, logits)
    step = tf.compat.v1.train.get_or_create_global_step()
    train_op = tf.compat.v1.train.AdamOptimizer(1e-3).minimize(loss, step)
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)


class Clock(tf.estimator.SessionRunHook):
    """The times at which steps ended."""

    def __init__(self):
        self.count, self.began, self.ended = 0, 0.0, 0.0

    def after_run(self, run_context, run_values):
        self.count += 1
        if self.count == WARM:
            self.began = time.monotonic()
        self.ended = time.monotonic()


def main(folder, steps):
    """Train and print."""
    tf.get_logger().setLevel("ERROR")
    pixels, labels = images(folder)
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        config = tf.estimator.RunConfig(directory, save_checkpoints_steps=10**9, log_step_count_steps=10**9)
        tf.estimator.Estimator(model_fn, config=config).train(
            lambda: tf.data.Dataset.from_tensor_slices((pixels, labels)).shuffle(10_000).repeat().batch(BATCH),
            steps=WARM + steps,
            hooks=[clock],
        )
    print(json.dumps({"examples_per_second": (clock.count - WARM) * BATCH / (clock.ended - clock.began)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
