"""Warm-up requests, which a server replays when it loads a model: the first clients then wait no longer than others.

    write(path, [("serving_default", {"mother_age": np.array([26.0], np.float32)}), ...])
    for signature_name, columns in read(path): ...

The file is TensorFlow Serving's: a TFRecord of `PredictionLog`s. The messages are declared here, as far as they are
used, since the package that has their classes, tensorflow-serving-api, brings a second TensorFlow with it.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format
from tensorflow.core.framework import tensor_pb2

from trainer.errors import RunError
from trainer.inputs import records
from trainer.serving.protocol import DEFAULT_SIGNATURE
from trainer.storage import paths


NAME = "tf_serving_warmup_requests"  # below assets.extra/
MOST = 1000  # records, or TensorFlow Serving does not load the model

# A tensor is bytes here and a TensorProto there, which is the same on the wire.
PROTO = """
name: "trainer/warmup.proto" package: "tensorflow.serving" syntax: "proto3"
message_type { name: "PredictionLog"
  field { name: "predict_log" number: 6 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "PredictLog" } }
message_type { name: "PredictLog"
  field { name: "request" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "PredictRequest" } }
message_type { name: "PredictRequest"
  field { name: "model_spec" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: "ModelSpec" }
  field { name: "inputs" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: "InputsEntry" }
  nested_type { name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES } } }
message_type { name: "ModelSpec"
  field { name: "signature_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING } }
"""


def write(path: str, requests: Iterable[tuple[str, Mapping[str, np.ndarray]]]) -> None:
    """Write requests, each a signature and its inputs {key: (B, ...)}, to a local file: the first thousand."""
    with tf.io.TFRecordWriter(path) as file:
        for signature_name, columns in itertools.islice(requests, MOST):
            log = _prediction_log()()
            request = log.predict_log.request
            request.model_spec.signature_name = signature_name
            for key, values in columns.items():
                request.inputs[key] = tf.make_tensor_proto(values).SerializeToString(deterministic=True)
            file.write(log.SerializeToString(deterministic=True))


def read(path: str) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The requests in a file. Raises `RunError` for one that is damaged, or holds anything else."""
    with paths.open_input(path) as file:
        return [_request(data, f"{path}: record {i}") for i, data in enumerate(records.framed(file, path))]


def _request(data: bytes, place: str) -> tuple[str, dict[str, np.ndarray]]:
    try:
        log = _prediction_log().FromString(data)
        request = log.predict_log.request
        tensors = {key: tensor_pb2.TensorProto.FromString(value) for key, value in request.inputs.items()}
        columns = {key: tf.make_ndarray(tensor) for key, tensor in tensors.items()}
    except (message.DecodeError, TypeError, ValueError) as error:  # the latter two: of a tensor of no or a false size
        raise RunError(f"{place}: not a PredictionLog: {' '.join(str(error).split())}") from error
    if not columns:
        raise RunError(f"{place}: a PredictionLog without inputs to predict for; expected a predict_log")
    return request.model_spec.signature_name or DEFAULT_SIGNATURE, columns


@functools.cache
def _prediction_log() -> Any:
    """The class of the message, in a pool of its own: one that has TensorFlow Serving's refuses a second."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictionLog"))
