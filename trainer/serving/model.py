"""A loaded export, called in this process: what every way to predict goes through.

model = load(locate(job_dir))
predict(model, [{"is_male": "True", "mother_age": 26}])       # [{"outputs": 7.26}]
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.errors import RunError
from trainer.serving import protocol
from trainer.serving.protocol import Code, PredictionError, Signature, TensorInfo
from trainer.storage import commit, paths


SCHEMA = ("assets.extra", "schema.json")


@dataclass(frozen=True)
class Model:
    """An export in memory. `schema` is the content of its `schema.json`, where it has one."""

    directory: str
    signatures: Mapping[str, Signature]
    schema: Mapping[str, Any] | None
    functions: Mapping[str, Any]
    loaded: Any  # owns the variables and tables; the functions hold them only weakly


def load(directory: str) -> Model:
    """Load the export in `directory`. Raises `PredictionError` of class 0."""
    try:
        with commit.opened(directory) as folder:
            loaded = tf.saved_model.load(folder)
    except RunError:
        raise  # a bucket's, which says it better
    except Exception as error:  # TensorFlow raises anything from OSError to KeyError for a file that it cannot use
        raise PredictionError(Code.LOAD, f"{directory}: {_cause(error)}") from error
    functions = dict(getattr(loaded, "signatures", {}))
    if not functions:
        raise PredictionError(Code.LOAD, f"{directory}: no signature; expected one or more, as serving_default")
    signatures = {name: _signature(name, function) for name, function in functions.items()}
    return Model(directory, signatures, _schema(directory), functions, loaded)


def predict(model: Model, instances: Any, signature_name: str | None = None, *, first: int = 0) -> list[dict[str, Any]]:
    """One prediction per instance, in order. Errors count the instances from `first`."""
    signature = protocol.choose(model.signatures, signature_name)
    return protocol.rows(call(model, signature, protocol.columns(signature, instances, first=first)))


def call(model: Model, signature: Signature, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of one call of the signature: {name: (B, ...)} -> {alias: (B, ...)}, strings as bytes."""
    tensors = {name: tf.constant(values, signature.inputs[name].dtype) for name, values in columns.items()}
    try:
        outputs = model.functions[signature.name](**tensors)
        return {alias: outputs[alias].numpy() for alias in signature.outputs}
    except Exception as error:  # whatever a graph raises, it is the model that failed
        raise PredictionError(Code.RUN, _cause(error)) from error


def _signature(name: str, function: Any) -> Signature:
    inputs = function.structured_input_signature[1]
    return Signature(
        name,
        {key: _info(inputs[key]) for key in sorted(inputs)},
        {key: _info(tensor) for key, tensor in sorted(function.structured_outputs.items())},
    )


def _info(tensor: Any) -> TensorInfo:
    """The dtype and shape of a tensor, or of the spec of one."""
    return TensorInfo(tensor.dtype.name, None if tensor.shape.rank is None else tuple(tensor.shape.as_list()))


def _schema(directory: str) -> Mapping[str, Any] | None:
    path = paths.join(directory, *SCHEMA)
    if not paths.exists(path):
        return None
    try:
        schema: dict[str, Any] = json.loads(paths.read_bytes(path))
    except ValueError as error:
        raise PredictionError(Code.LOAD, f"{path}: not JSON: {error}") from error
    return schema


def _cause(error: Exception) -> str:
    """TensorFlow's sentence without the traces and node names around it, on one line."""
    sentence = str(error).split("<stack traces unavailable>")[-1].split("[[{{node")[0]
    return " ".join(sentence.split()) or type(error).__name__
