"""The peer: `tf.estimator` 2.15 on babyweight, as the April 2017 trainer wrote it, with the 2018 buckets.

    python benchmarks/peers/estimator_babyweight.py 'data/train.csv*' 'data/eval.csv*' STEPS

Lines are shuffled, batched and decoded by tf.data; the words are looked up by feature columns. Prints a JSON object
with the examples per second of one epoch of STEPS steps, after a hundred that compile, and the RMSE.
"""

import json
import math
import os
import sys
import tempfile
import time


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


BATCH = 512
WARM = 100
COLUMNS = (
    *("weight_pounds", "is_male", "mother_age", "mother_race", "plurality", "gestation_weeks"),
    *("mother_married", "cigarette_use", "alcohol_use", "key"),
)
DEFAULTS = [[0.0], ["null"], [27.0], ["null"], [1.0], [39.0], ["null"], ["null"], ["null"], ["nokey"]]
WORDS = {
    "is_male": ["True", "False"],
    "mother_race": [
        *("White", "Black", "American Indian", "Chinese", "Japanese", "Hawaiian", "Filipino", "Unknown"),
        *("Asian Indian", "Korean", "Samaon", "Vietnamese"),
    ],
    "mother_married": ["True", "False"],
    "cigarette_use": ["True", "False", "None"],
    "alcohol_use": ["True", "False", "None"],
}
BOUNDARIES = {"mother_age": list(range(15, 45)), "gestation_weeks": list(range(17, 47))}


def dataset(pattern, *, train):
    """Batches of raw columns and the label."""

    def decode(lines):
        features = dict(zip(COLUMNS, tf.io.decode_csv(lines, DEFAULTS, na_value="None"), strict=True))
        features.pop("key")
        return features, features.pop("weight_pounds")

    files = tf.data.Dataset.list_files(pattern, seed=1)
    lines = files.interleave(tf.data.TextLineDataset, num_parallel_calls=tf.data.AUTOTUNE)
    lines = lines.shuffle(10 * BATCH, seed=1).repeat() if train else lines
    return lines.batch(BATCH).map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def estimator(directory):
    """Wide & deep with the columns of our default layout."""
    column = tf.feature_column
    words = {n: column.categorical_column_with_vocabulary_list(n, w) for n, w in WORDS.items()}
    buckets = [column.bucketized_column(column.numeric_column(n), b) for n, b in BOUNDARIES.items()]
    numbers = [column.numeric_column(name) for name in ("mother_age", "gestation_weeks", "plurality")]
    deep = [column.indicator_column(words[name]) for name in words if name != "mother_race"]
    deep += [column.embedding_column(words["mother_race"], 3), *numbers, *buckets]
    return tf.estimator.DNNLinearCombinedRegressor(
        model_dir=directory,
        linear_feature_columns=[*words.values(), *buckets],
        dnn_feature_columns=deep,
        dnn_hidden_units=[64, 32],
        loss_reduction=tf.keras.losses.Reduction.SUM_OVER_BATCH_SIZE,
        config=tf.estimator.RunConfig(save_checkpoints_steps=10**9, log_step_count_steps=10**9, tf_random_seed=1),
    )


class Clock(tf.estimator.SessionRunHook):
    """The times at which steps ended."""

    def __init__(self):
        self.count, self.began, self.ended = 0, 0.0, 0.0

    def after_run(self, run_context, run_values):
        self.count += 1
        if self.count == WARM:
            self.began = time.monotonic()
        self.ended = time.monotonic()


def main(train, evaluation, steps):
    """Train, evaluate, print."""
    tf.get_logger().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as directory:
        fitted, clock = estimator(directory), Clock()
        fitted.train(lambda: dataset(train, train=True), steps=WARM + steps, hooks=[clock])
        found = fitted.evaluate(lambda: dataset(evaluation, train=False))
    speed = (clock.count - WARM) * BATCH / (clock.ended - clock.began)
    print(json.dumps({"examples_per_second": speed, "rmse": math.sqrt(found["average_loss"])}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
