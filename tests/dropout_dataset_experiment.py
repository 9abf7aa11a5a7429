"""An experiment whose inputs are plain tf.data, with shuffling and dropout: what an exact resume has to get right."""

from dataclasses import dataclass

from trainer.experiment import Experiment, export_strategies
from trainer.inputs.serving import ServingInput
from trainer.settings.flags import flag
from trainer.settings.run import Run


RUN = Run(train_batch_size=16, train_steps=60)
TRAIN_PATTERNS = EVAL_PATTERNS = ("*",)


@dataclass(frozen=True)
class Config:
    dropout: float = flag(0.5, "share of units left out")


def build(config, run):
    import keras
    import tensorflow as tf

    def rows(count):
        x = tf.random.stateless_normal([count, 4], seed=[run.seed, 7])
        return tf.data.Dataset.from_tensor_slices((x, tf.reduce_sum(x, axis=1, keepdims=True)))

    def train(shard):
        return rows(200).shuffle(50, seed=run.seed).repeat().batch(run.train_batch_size).prefetch(2)

    def model():
        inputs = keras.Input((4,), name="x")
        hidden = keras.layers.Dropout(config.dropout)(keras.layers.Dense(8, activation="relu")(inputs))
        made = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        made.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
        return made

    return Experiment(
        model_fn=model,
        train_input_fn=train,
        eval_input_fn=lambda shard: rows(50).batch(16),
        serving_input_fn=lambda: ServingInput({"x": tf.TensorSpec([None, 4])}, lambda request: request["x"]),
        predictions_fn=lambda outputs: {"y": outputs[:, 0]},
        train_steps=run.train_steps,
        export_strategies=export_strategies(run),
    )
