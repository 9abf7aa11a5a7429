"""The peer: Keras `fit` of the babyweight model on the same CSV files, as its guides write it.

    python -m benchmarks.keras_fit 'data/train.csv*' 'data/eval.csv*' EPOCHS STEPS

Lines are shuffled, batched and decoded by tf.data; the words are looked up inside the model. Prints a JSON object with
the examples per second of each epoch and the RMSE on the evaluation rows. What compiles is compiled beforehand.
"""

import json
import sys
import time

import keras
import tensorflow as tf

from trainer.experiments import babyweight


def dataset(pattern: str, batch_size: int) -> tf.data.Dataset:
    """Batches of raw columns: strings and float32, (B,) each, and the label."""
    columns = {f.name: f for f in babyweight.SPEC.read}
    defaults = [
        [""] if name not in columns or columns[name].vocabulary else [columns[name].default or 0.0]
        for name in babyweight.SPEC.columns
    ]

    def decode(lines: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        cells = dict(zip(babyweight.SPEC.columns, tf.io.decode_csv(lines, defaults, na_value="None"), strict=True))
        return {f.name: cells[f.name] for f in babyweight.SPEC.features}, cells[babyweight.SPEC.label.name]

    files = tf.data.Dataset.list_files(pattern, seed=1)
    lines = files.interleave(tf.data.TextLineDataset, num_parallel_calls=tf.data.AUTOTUNE)
    batches = lines.shuffle(10 * batch_size, seed=1).batch(batch_size, drop_remainder=True)
    return batches.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def model(steps: int) -> keras.Model:
    """Our model, with the look-up of its words in front."""
    ours = babyweight.model(babyweight.Config(), train_steps=steps)
    inputs, encoded = {}, {}
    for feature in babyweight.SPEC.features:
        dtype = "string" if feature.vocabulary else "float32"
        inputs[feature.name] = keras.Input((1,), dtype=dtype, name=feature.name)
        encoded[feature.name] = inputs[feature.name]
        if feature.vocabulary:
            # Unknown words are 0 here and len(vocabulary) in ours; one-hot, both are all zeros after this.
            lookup = keras.layers.StringLookup(vocabulary=list(feature.vocabulary), num_oov_indices=1)
            encoded[feature.name] = keras.ops.cast(lookup(inputs[feature.name]), "int32") - 1
    made = keras.Model(inputs, ours(encoded))
    made.compile(ours.optimizer, loss="mse", metrics=[keras.metrics.RootMeanSquaredError(name="rmse")])
    return made


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start."""
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Stop."""
        self.seconds.append(time.monotonic() - self.began)


def main(pattern: str, held: str, epochs: int, steps: int) -> None:
    """Fit, evaluate, and print."""
    keras.utils.set_random_seed(1)
    batch_size = babyweight.RUN.train_batch_size
    data = dataset(pattern, batch_size)
    fitted = model(steps * epochs)
    fitted.fit(data.take(2), verbose=0)
    clock = Clock()
    fitted.fit(data, epochs=epochs, callbacks=[clock], verbose=0)
    speeds = [steps * batch_size / seconds for seconds in clock.seconds]
    found = fitted.evaluate(dataset(held, batch_size), verbose=0, return_dict=True)
    print(json.dumps({"examples_per_second": speeds, "rmse": found["rmse"]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
