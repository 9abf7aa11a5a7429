"""A loaded export, called in this process: what every way to predict goes through.

model = load(locate(job_dir))
predict(model, [{"is_male": "True", "mother_age": 26}])       # [{"outputs": 7.26}]
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.saved_model import loader_impl  # what tf.compat.v1.saved_model.load calls, but without a warning

from trainer.errors import RunError
from trainer.serving import protocol
from trainer.serving.protocol import Code, PredictionError, Signature, TensorInfo
from trainer.storage import commit, paths


SCHEMA = ("assets.extra", "schema.json")
OF_THE_LOADER = "__saved_model_init_op"  # in the file it is a signature too
HERE = -1  # the pool of threads that is no pool: operations run in the thread that calls


@dataclass(frozen=True)
class Model:
    """An export in memory, which is free again when this is. `schema` is the content of its `schema.json`, if any."""

    directory: str
    signatures: Mapping[str, Signature]
    schema: Mapping[str, Any] | None
    functions: Mapping[str, Callable[..., Sequence[Any]]]  # the inputs of a signature in its order -> its outputs
    definitions: Mapping[str, Any]  # the SignatureDef of each, as the export has it


def load(directory: str) -> Model:
    """Load the export in `directory`. Raises `PredictionError` of class 0.

    It is loaded and called as TensorFlow Serving does it: the graph in a session. A call of a small model takes a tenth
    of the time that `tf.saved_model.load(...).signatures` takes (docs/decisions/2026-11-23-a-session-serves.md).
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    try:
        with commit.opened(directory) as folder:
            meta_graph = loader_impl.SavedModelLoader(folder).load(session, [tf.saved_model.SERVING])
    except RunError:
        raise  # a bucket's, which says it better
    except Exception as error:  # TensorFlow raises anything from OSError to KeyError for a file that it cannot use
        raise PredictionError(Code.LOAD, f"{directory}: {_cause(error)}") from error
    definitions = {
        name: definition
        for name, definition in sorted(meta_graph.signature_def.items())
        if name != OF_THE_LOADER and definition.outputs
    }
    if not definitions:
        raise PredictionError(Code.LOAD, f"{directory}: no signature; expected one or more, as serving_default")
    signatures = {name: _signature(name, definition) for name, definition in definitions.items()}
    functions = {name: _function(session, definition) for name, definition in definitions.items()}
    return Model(directory, signatures, _schema(directory), functions, definitions)


def predict(model: Model, instances: Any, signature_name: str | None = None, *, first: int = 0) -> list[dict[str, Any]]:
    """One prediction per instance, in order. Errors count the instances from `first`."""
    signature = protocol.choose(model.signatures, signature_name)
    return protocol.rows(call(model, signature, protocol.columns(signature, instances, first=first)))


def call(model: Model, signature: Signature, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of one call of the signature: {name: (B, ...)} -> {alias: (B, ...)}, strings as bytes.

    Threads may call at the same time; the interpreter is free for others during a call.
    """
    given = [
        np.asarray(columns[name], tf.as_dtype(info.dtype).as_numpy_dtype) for name, info in signature.inputs.items()
    ]
    try:
        return dict(zip(signature.outputs, model.functions[signature.name](*given), strict=True))
    except Exception as error:  # whatever a graph raises, it is the model that failed
        raise PredictionError(Code.RUN, _cause(error)) from error


def _function(session: Any, definition: Any) -> Callable[..., Sequence[Any]]:
    """A signature as a call of the session: its inputs in the order of their names to its outputs in theirs."""
    options = config_pb2.CallableOptions(
        feed=[definition.inputs[key].name for key in sorted(definition.inputs)],
        fetch=[definition.outputs[key].name for key in sorted(definition.outputs)],
        run_options=config_pb2.RunOptions(inter_op_thread_pool=HERE),
    )
    call: Callable[..., Sequence[Any]] = session._make_callable_from_options(options)
    return call


def _signature(name: str, definition: Any) -> Signature:
    return Signature(
        name,
        {key: _info(definition.inputs[key]) for key in sorted(definition.inputs)},
        {key: _info(definition.outputs[key]) for key in sorted(definition.outputs)},
    )


def _info(tensor: Any) -> TensorInfo:
    """The dtype and shape of a tensor, as a SignatureDef has them."""
    shape = tf.TensorShape(tensor.tensor_shape)
    return TensorInfo(tf.as_dtype(tensor.dtype).name, None if shape.rank is None else tuple(shape.as_list()))


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
