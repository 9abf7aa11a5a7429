"""The peer: Keras `fit` as an expert would make it for babyweight, on columns that we encoded before the clock starts.

    python -m benchmarks.keras_expert 'data/train.csv*' 'data/eval.csv*' EPOCHS

Batches are cut beforehand and only their order is shuffled; a hundred steps an execution. Prints a JSON object with the
examples per second of each epoch and the RMSE on the evaluation rows.
"""

import json
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from trainer.experiments import babyweight
from trainer.inputs.source import open_source
from trainer.inputs.spec import concatenate


STEPS_AN_EXECUTION = 100


def columns(pattern: str) -> dict[str, np.ndarray]:
    """All rows, encoded."""
    source = open_source((pattern,), babyweight.SPEC)
    return concatenate(babyweight.SPEC, [source.read(unit) for unit in source.units])


def main(train: str, evaluation: str, epochs: int) -> None:
    """Fit, evaluate, print."""
    keras.utils.set_random_seed(1)
    batch_size, label = babyweight.RUN.train_batch_size, babyweight.SPEC.label.name
    rows = columns(train)
    steps = len(rows[label]) // batch_size // STEPS_AN_EXECUTION * STEPS_AN_EXECUTION

    def cut(name: str) -> np.ndarray:
        return rows[name][: steps * batch_size].reshape(steps, batch_size, 1)

    features = {feature.name: cut(feature.name) for feature in babyweight.SPEC.features}
    data = tf.data.Dataset.from_tensor_slices((features, cut(label))).cache().shuffle(steps, seed=1)
    data = data.prefetch(tf.data.AUTOTUNE)
    model = babyweight.model(babyweight.Config(), train_steps=steps * (epochs + 1))
    model.compile(
        model.optimizer,
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
        steps_per_execution=STEPS_AN_EXECUTION,
        jit_compile=False,  # with it, it is slower
    )
    model.fit(data, epochs=1, verbose=0)  # compiles
    speeds = []
    for _ in range(epochs):
        began = time.monotonic()
        model.fit(data, epochs=1, verbose=0)
        speeds.append(steps * batch_size / (time.monotonic() - began))
    held = columns(evaluation)
    asked = {feature.name: held[feature.name][:, None] for feature in babyweight.SPEC.features}
    found = model.predict(asked, batch_size=16_384, verbose=0)[:, 0]
    rmse = float(np.sqrt(np.mean((found - held[label]) ** 2)))
    print(json.dumps({"examples_per_second": speeds, "rmse": rmse}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
