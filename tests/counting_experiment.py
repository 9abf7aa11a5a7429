"""An experiment that counts how often each row was trained on: its weights are the counts.

A row, without a header: `17,0.5`: a number of its own, and a label.
"""

from dataclasses import dataclass
from typing import Literal

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.spec import InputSpec, number
from trainer.settings.flags import flag
from trainer.settings.run import Run, train_steps


SPEC = InputSpec(features=(number("row"),), label=number("label"))
RUN = Run(train_batch_size=8, num_epochs=1, export_strategy=("final",))


@dataclass(frozen=True)
class Config:
    """The flags of this experiment."""

    rows: int = flag(0, "rows of the training file, numbered from 0")
    input: Literal["columns", "dataset"] = flag("columns", "our own input, or a tf.data.Dataset")


def build(config: Config, run: Run) -> Experiment:
    """The Experiment for these flags."""
    train, evaluation = (open_source(files, SPEC) for files in (run.train_files, run.eval_files))

    def train_input_fn(shard):
        if config.input == "dataset":
            return dataset(config.rows).batch(run.train_batch_size, drop_remainder=True)
        return TrainBatches(train, batch_size=run.train_batch_size, seed=run.seed, shard=shard)

    def serving_input_fn():
        from trainer.inputs.tensors import serving_input

        return serving_input(SPEC)

    return Experiment(
        model_fn=lambda: model(config.rows),
        train_input_fn=train_input_fn,
        eval_input_fn=lambda shard: EvalBatches(evaluation, batch_size=run.eval_batch_size),
        serving_input_fn=serving_input_fn,
        train_steps=train_steps(run, train.count_rows),
        predictions_fn=lambda outputs: {"outputs": outputs[:, 0]},
        export_strategies=export_strategies(run),
    )


def dataset(rows):
    """The same rows in another order, as tf.data has them: shuffled without a seed of its own."""
    import tensorflow as tf

    numbers = tf.data.Dataset.range(rows).shuffle(rows)
    return numbers.map(lambda row: ({"row": tf.cast(row, tf.float32)[None]}, tf.constant([0.5])))


def model(rows):
    """The compiled model; its weight `counts` (rows,) is how often a train step has seen each row."""
    import keras
    import tensorflow as tf

    class Counting(keras.Model):
        def train_step(self, data):
            features, _ = data
            seen = tf.one_hot(tf.cast(features["row"][:, 0], tf.int32), rows)
            self.get_layer("counts").counts.value.assign_add(tf.reduce_sum(seen, axis=0))
            return super().train_step(data)

    class Counts(keras.layers.Layer):
        def build(self, shape):
            self.counts = self.add_weight(
                name="counts", shape=(rows,), initializer="zeros", trainable=False, aggregation="sum"
            )

        def call(self, inputs):
            return inputs

    inputs = {"row": keras.Input((1,), name="row")}
    counted = Counting(inputs, keras.layers.Dense(1, name="out")(Counts(name="counts")(inputs["row"] / rows)))
    counted.compile(keras.optimizers.SGD(0.01), loss="mse", jit_compile=False)
    return counted
