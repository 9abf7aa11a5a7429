"""The peer: Keras `fit` of our MNIST network in float32, on arrays in memory.

    python -m benchmarks.keras_mnist FOLDER STEPS

Prints a JSON object with the examples per second of STEPS steps of a hundred examples, after twenty.
"""

import json
import sys
import time

import keras
import numpy as np

from trainer.experiments import mnist
from trainer.inputs.source import open_source
from trainer.inputs.spec import concatenate


BATCH = 100
WARM = 20


def main(folder: str, steps: int) -> None:
    """Fit and print."""
    keras.utils.set_random_seed(1)
    source = open_source((f"{folder}/train-*.gz",), mnist.SPEC)
    rows = concatenate(mnist.SPEC, [source.read(unit) for unit in source.units])
    images, labels = (rows["inputs"] / np.float32(255)).astype(np.float32), rows["label"]
    model = mnist.model(mnist.Config(dtype_policy="float32"), train_steps=steps + WARM)
    model.fit(images[: WARM * BATCH], labels[: WARM * BATCH], batch_size=BATCH, verbose=0)
    began = time.monotonic()
    model.fit(images[: steps * BATCH], labels[: steps * BATCH], batch_size=BATCH, verbose=0)
    print(json.dumps({"examples_per_second": steps * BATCH / (time.monotonic() - began)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
