"""The gate that an export has to pass: loaded by a fresh process, it answers the golden rows as the live model does.

    savedmodel.write(folder, model, ...)
    parity.check(folder, model, serving=serving, predictions_fn=predictions_fn, strategy=strategy)

The live model is called eagerly, and not through the functions that were exported: what a trace took for constant, such
as a number of Python, is thus seen to differ. It computes on the CPU, as the fresh process does.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UsageError
from trainer.experiment import ExportStrategy
from trainer.exporting import checker, signatures
from trainer.exporting.savedmodel import computing_in_float32
from trainer.exporting.strategies import RefusedError
from trainer.inputs.serving import ServingInput


def check(
    folder: str,
    model: keras.Model,
    *,
    serving: ServingInput,
    predictions_fn: Callable[[Any], dict[str, Any]],
    strategy: ExportStrategy,
) -> None:
    """Raise `RefusedError` where the export in a local folder does not answer as the model; there are golden rows."""
    expected = answers(model, serving, predictions_fn, legacy_keys=strategy.legacy_keys)
    requests = signatures.requests(serving, legacy_keys=strategy.legacy_keys)
    difference = checker.shared().difference(folder, requests, expected)
    if difference:
        raise RefusedError(f"not exported, since it does not answer as the model: {difference}")


def answers(
    model: keras.Model, serving: ServingInput, predictions_fn: Callable[[Any], dict[str, Any]], *, legacy_keys: bool
) -> dict[str, np.ndarray]:
    """What the live model answers to the golden rows, by response key: (B, ...), strings as bytes.

    Raises `UsageError` for a response of another number of rows: clients would get one another's predictions.
    """
    rows = signatures.golden_rows(serving)
    with computing_in_float32(model), tf.device("CPU:0"):
        request = {name: tf.constant(values) for name, values in rows.items() if name not in serving.forward}
        outputs = predictions_fn(model(serving.features_fn(request), training=False))
        keys = signatures.response_keys(outputs, serving, legacy_keys=legacy_keys)
        live = {key: tf.convert_to_tensor(outputs[name]).numpy() for name, key in keys.items()}
    count = len(next(iter(rows.values())))
    for key, values in live.items():
        if np.shape(values)[:1] != (count,):
            raise UsageError(
                f"predictions_fn: {key}: shape {np.shape(values)} for {count} examples; expected ({count}, ...)"
            )
    return {key: np.asarray(values, object if isinstance(values, bytes) else None) for key, values in live.items()} | {
        name: rows[name] for name in serving.forward
    }
