"""The same encoding as in training, as tensors: for the serving graph.

serving = serving_input(spec)              # request keys and shapes, and the encoder behind them
features = serving.features_fn({"is_male": tf.constant(["True"]), ...})
"""

from typing import Any

import numpy as np
import tensorflow as tf

from trainer.inputs.serving import ServingInput
from trainer.inputs.spec import MISSING, Feature, InputSpec


class Encoder(tf.Module):  # type: ignore[misc]
    """Request tensors, (B,) or (B, *shape) by name, to what the model gets. A module, so that its tables are saved."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(name="encoder")
        self.features = spec.features
        self.tables = {
            f.name: tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(list(f.vocabulary), tf.range(len(f.vocabulary))),
                default_value=len(f.vocabulary),
            )
            for f in spec.features
            if f.vocabulary
        }

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        return {f.name: self._encode(f, request[f.name]) for f in self.features}

    def _encode(self, feature: Feature, values: Any) -> Any:
        if feature.vocabulary:
            values = self.tables[feature.name].lookup(values)
        elif feature.dtype == "int64":
            values = tf.saturate_cast(values, tf.int32)  # a plain cast would turn 2**32 into 0
        elif feature.default is not None:
            values = tf.where(tf.math.is_nan(values), tf.constant(feature.default, tf.float32), values)
        return values if feature.shape else tf.expand_dims(values, -1)


def serving_input(spec: InputSpec, *, forward: tuple[str, ...] = ()) -> ServingInput:
    """Requests with the spec's features: a bare scalar an example for a scalar, a list for a vector.

    `forward` names columns that are no features, such as the key: strings that the response repeats.
    """
    request = {f.name: tf.TensorSpec([None, *f.shape], f.dtype, name=f.name) for f in spec.features}
    request |= {name: tf.TensorSpec([None], tf.string, name=name) for name in forward}
    return ServingInput(
        request=request, features_fn=Encoder(spec), forward=forward, schema=spec.schema(), golden=golden(spec, forward)
    )


def golden(spec: InputSpec, forward: tuple[str, ...] = (), *, rows: int | None = None) -> dict[str, np.ndarray]:
    """Made-up request rows that use every word, an unknown one, and numbers of both signs: for warm-up and checks.

    The last row lacks what may be missing. `rows` is as many as that takes, at least five.
    """
    count = rows or max(5, *(len(f.vocabulary) + 2 for f in spec.features))
    random = np.random.default_rng(0)
    request: dict[str, np.ndarray] = {}
    for feature in spec.features:
        if feature.vocabulary:
            words = (*feature.vocabulary, "?", MISSING[0])  # one that no file has, and what files have for none
            request[feature.name] = np.array([*(words[i % len(words)] for i in range(count - 1)), MISSING[0]], object)
        elif feature.dtype == "int64":
            request[feature.name] = np.arange(count, dtype=np.int64) - 1
        else:
            scale = feature.default or 1.0
            values = (scale * random.uniform(0.5, 1.0, (count, *feature.shape))).astype(np.float32)
            values[1:3] *= np.array([0.0, -1.0], np.float32).reshape(-1, *[1] * len(feature.shape))[: count - 1]
            if feature.default is not None:
                values[-1] = np.nan
            request[feature.name] = values
    return request | {name: np.array([f"{name}-{i}" for i in range(count)], object) for name in forward}
