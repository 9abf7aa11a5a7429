"""The signatures of an export: their keys, and the golden rows as each of them takes them.

    requests(serving, legacy_keys=False)["serving_default"]     # {"is_male": (B,) bytes, "mother_age": (B,), ...}

`serving_default` takes the request keys of the serving input; `serving_examples` takes the same requests as serialized
`tf.Example`s, for tools that stream those.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import UsageError
from trainer.inputs.serving import ServingInput


DEFAULT = "serving_default"
EXAMPLES = "serving_examples"


def request_keys(serving: ServingInput, *, legacy_keys: bool) -> dict[str, str]:
    """The key under which each input is served: its own, but `inputs` for legacy clients of a model with one."""
    if legacy_keys and len(serving.request) == 1:
        return dict.fromkeys(serving.request, "inputs")
    return {name: name for name in serving.request}


def examples_key(*, legacy_keys: bool) -> str:
    """The key under which `serving_examples` takes its examples."""
    return "inputs" if legacy_keys else "examples"


def response_keys(outputs: Any, serving: ServingInput, *, legacy_keys: bool) -> dict[str, str]:
    """The key under which each output is served. Raises `UsageError` where there is none, or it is forwarded too."""
    if not isinstance(outputs, Mapping) or not outputs or not all(isinstance(name, str) for name in outputs):
        raise UsageError(f"predictions_fn: returned {outputs!r}; expected a dict of tensors by response key")
    keys = dict.fromkeys(outputs, "outputs") if legacy_keys and len(outputs) == 1 else {name: name for name in outputs}
    clash = sorted(set(keys.values()) & set(serving.forward))
    if clash:
        raise UsageError(
            f"predictions_fn: response key {clash[0]!r} is also forwarded from the request; expected another name"
        )
    return keys


def has_examples(serving: ServingInput) -> bool:
    """Whether there is a `serving_examples`: a tf.Example holds values of fixed sizes only."""
    return all(spec.shape[1:].is_fully_defined() for spec in serving.request.values())


def wire_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype that a tf.Example has for values of this one."""
    if dtype == tf.string:
        return dtype
    return tf.float32 if dtype.is_floating else tf.int64


def golden_rows(serving: ServingInput) -> dict[str, np.ndarray]:
    """The golden rows by the inputs' names, in the dtypes of the request, strings as bytes: (B, ...)."""
    return {name: tf.constant(serving.golden[name], spec.dtype).numpy() for name, spec in serving.request.items()}


def requests(serving: ServingInput, *, legacy_keys: bool) -> dict[str, dict[str, np.ndarray]]:
    """The golden rows as each signature takes them: {signature: {key: (B, ...)}}."""
    rows = golden_rows(serving)
    keys = request_keys(serving, legacy_keys=legacy_keys)
    found = {DEFAULT: {keys[name]: values for name, values in rows.items()}}
    if has_examples(serving):
        found[EXAMPLES] = {examples_key(legacy_keys=legacy_keys): _examples(rows)}
    return found


def one_by_one(requests: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The same as requests of one row each: (signature, {key: (1, ...)}), all signatures of a row together."""
    rows = max(len(values) for columns in requests.values() for values in columns.values())
    for row in range(rows):
        for name, columns in requests.items():
            yield name, {key: values[row : row + 1] for key, values in columns.items()}


def _examples(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """The same rows as serialized tf.Examples (B,)."""
    count = len(next(iter(rows.values())))
    examples = [{name: _feature(values[row]) for name, values in rows.items()} for row in range(count)]
    serialized = [tf.train.Example(features=tf.train.Features(feature=each)).SerializeToString() for each in examples]
    return np.array(serialized, object)


def _feature(values: Any) -> tf.train.Feature:
    """The values of one input in one row."""
    flat = np.ravel(np.array(values, object) if isinstance(values, bytes) else values)
    dtype = wire_dtype(tf.as_dtype(flat.dtype))
    if dtype == tf.string:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=flat))
    if dtype == tf.float32:
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat.astype(np.float32)))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=flat.astype(np.int64)))
