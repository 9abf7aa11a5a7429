"""Warm-up requests, which TensorFlow Serving replays when it loads a model.

A TFRecord file of tensorflow_serving's `PredictionLog{predict_log: PredictLog{request: PredictRequest}}`, written
field by field, since the package that has these classes brings a second TensorFlow with it.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from trainer.inputs.serving import ServingInput


NAME = "tf_serving_warmup_requests"


def write(path: str, serving: ServingInput, keys: Mapping[str, str], *, signature_name: str) -> None:
    """One request a golden row, each input under its key of `keys`."""
    rows = len(next(iter(serving.golden.values())))
    with tf.io.TFRecordWriter(path) as file:
        for row in range(rows):
            request = {keys[name]: values[row : row + 1] for name, values in serving.golden.items()}
            dtypes = {keys[name]: spec.dtype for name, spec in serving.request.items()}
            file.write(_prediction_log(request, dtypes, signature_name))


def _prediction_log(request: Mapping[str, np.ndarray], dtypes: Mapping[str, tf.DType], signature_name: str) -> bytes:
    model_spec = _field(3, signature_name.encode())
    predict_request = _field(1, model_spec)
    for key, values in request.items():
        tensor = tf.make_tensor_proto(values, dtype=dtypes[key])
        predict_request += _field(2, _field(1, key.encode()) + _field(2, tensor.SerializeToString()))  # a map's entry
    predict_log = _field(1, predict_request)
    return _field(6, predict_log)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer, https://protobuf.dev/programming-guides/encoding."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
