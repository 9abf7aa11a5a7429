"""Encoded rows as requests: the way back from what the model was trained on to what its export is asked.

A row of training and a request are encoded alike, so the answer is the one that the text of the row would have got.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.errors import RunError
from trainer.inputs.spec import Columns, Feature
from trainer.serving.protocol import Signature


def of(signature: Signature, features: Sequence[Feature], rows: Columns) -> dict[str, np.ndarray]:
    """The inputs of a signature for encoded rows. Raises `RunError` for one that the rows do not have."""
    known = {feature.name: feature for feature in features}
    if len(known) == len(signature.inputs) == 1:  # whose key may be of 2017
        known = dict(zip(signature.inputs, known.values(), strict=True))
    count = len(next(iter(rows.values())))
    found = {}
    for name, info in signature.inputs.items():
        if name in known:
            found[name] = _decoded(known[name], rows[known[name].name])
        elif info.dtype == "string":  # such as a key, which the response repeats and the model does not get
            found[name] = np.full(count, b"", object)
        else:
            raise RunError(
                f"signature {signature.name}: takes {name}, which the evaluation files do not have; "
                f"expected {', '.join(known)}"
            )
    return found


def example(schema: Mapping[str, Any], signature: Signature | None = None) -> dict[str, Any]:
    """An instance as an export's `schema.json` describes it: defaults, first words, else zeros.

    What the signature takes beside the features is a key, which the response repeats.
    """
    keys = [name for name in (signature.inputs if signature else ()) if name not in schema["features"]]
    return {**dict.fromkeys(keys, "1"), **{name: _value(feature) for name, feature in schema["features"].items()}}


def _value(feature: Mapping[str, Any]) -> Any:
    if feature.get("vocabulary"):
        return feature["vocabulary"][0]
    value: Any = feature.get("default") or (0 if feature["dtype"] == "int64" else 0.0)
    for size in reversed(feature.get("shape") or []):
        value = [value] * size
    return value


def _decoded(feature: Feature, values: np.ndarray) -> np.ndarray:
    """Encoded values (N, ...) as a request has them. An unknown word stays one."""
    if feature.vocabulary:
        words = np.array([*(word.encode() for word in feature.vocabulary), b""], object)
        return np.asarray(words[values])
    if feature.scale is not None:
        return values.astype(np.float32) * np.float32(feature.scale)
    return values
