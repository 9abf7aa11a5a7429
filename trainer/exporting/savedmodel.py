"""Write a live Keras model as a SavedModel whose prediction API has the keys that the experiment chose.

Signatures: `serving_default` takes the request keys of `serving_input_fn`; `serving_examples` takes the same request
as serialized `tf.Example`s under the key `examples`.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from trainer.errors import UsageError
from trainer.experiment import Evaluation, ExportStrategy
from trainer.inputs.serving import ServingInput
from trainer.storage import paths


ASSETS_EXTRA = "assets.extra"
DEFAULT = "serving_default"
EXAMPLES = "serving_examples"


def write(
    folder: str,
    model: keras.Model,
    *,
    serving: ServingInput,
    predictions_fn: Callable[[Any], dict[str, Any]],
    strategy: ExportStrategy,
    evaluation: Evaluation,
) -> None:
    """Write the model into a local folder: graph, variables, and what goes beside them in `assets.extra/`."""
    with _computing_in_float32(model):
        module, signatures = _signatures(model, serving, predictions_fn, legacy_keys=strategy.legacy_keys)
        tf.saved_model.save(module, folder, signatures=signatures)
    if strategy.as_text:
        _to_text(folder)
    extra = os.path.join(folder, ASSETS_EXTRA)
    os.makedirs(extra, exist_ok=True)
    record = {"global_step": evaluation.global_step, "metrics": dict(evaluation.metrics)}
    _write_json(os.path.join(extra, "evaluation.json"), record)
    _write_json(os.path.join(extra, "schema.json"), dict(serving.schema))
    if serving.golden:
        _write_warmup(os.path.join(extra, "tf_serving_warmup_requests"), serving, strategy.legacy_keys)
    for name, source in strategy.assets_extra.items():
        target = os.path.join(extra, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file, paths.open_input(source) as content:
            shutil.copyfileobj(content, file)


def request_key(serving: ServingInput, name: str, legacy_keys: bool) -> str:
    """The key under which a request input is served; legacy clients of one-input models send `inputs`."""
    return "inputs" if legacy_keys and len(serving.request) == 1 else name


def _signatures(
    model: keras.Model,
    serving: ServingInput,
    predictions_fn: Callable[[Any], dict[str, Any]],
    *,
    legacy_keys: bool,
) -> tuple[tf.Module, dict[str, Any]]:
    clash = set(serving.forward) - set(serving.request)
    if clash:
        raise UsageError(f"serving input: {', '.join(sorted(clash))} is forwarded but is no key of the request")
    module = tf.Module(name="export")
    # The variables, not the Keras object: tracking the model would save its training state and its train functions.
    module.variables_of_model = [variable.value for variable in model.variables]
    module.features_fn = serving.features_fn

    def predict(request: dict[str, Any]) -> dict[str, Any]:
        features = module.features_fn({k: v for k, v in request.items() if k not in serving.forward})
        outputs = predictions_fn(model(features, training=False))
        if legacy_keys and len(outputs) == 1:
            outputs = {"outputs": next(iter(outputs.values()))}
        forwarded = {name: request[name] for name in serving.forward}
        return {name: tf.identity(value, name=name) for name, value in (outputs | forwarded).items()}

    keys = {name: request_key(serving, name, legacy_keys) for name in serving.request}
    specs = {
        keys[name]: tf.TensorSpec(spec.shape, spec.dtype, name=keys[name]) for name, spec in serving.request.items()
    }
    example_spec = {name: tf.io.FixedLenFeature(spec.shape[1:], spec.dtype) for name, spec in serving.request.items()}

    @tf.function(input_signature=[specs])
    def default(request: dict[str, Any]) -> dict[str, Any]:
        return predict({name: request[keys[name]] for name in serving.request})

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(examples: Any) -> dict[str, Any]:
        return predict(tf.io.parse_example(examples, example_spec))

    return module, {
        DEFAULT: default.get_concrete_function(),
        EXAMPLES: from_examples.get_concrete_function(),
    }


@contextlib.contextmanager
def _computing_in_float32(model: keras.Model) -> Iterator[None]:
    """Make a model of mixed precision compute in float32 while its export is traced.

    Weights are float32 either way; bfloat16 in a graph is slow or missing where the export may be served.
    """
    layers = [layer for layer in model._flatten_layers() if layer.compute_dtype != layer.variable_dtype]
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = keras.DTypePolicy(layer.variable_dtype)
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def _to_text(folder: str) -> None:
    """Replace `saved_model.pb` by `saved_model.pbtxt`; TensorFlow loads either."""
    binary = os.path.join(folder, "saved_model.pb")
    message = saved_model_pb2.SavedModel()
    with open(binary, "rb") as file:
        message.ParseFromString(file.read())
    with open(os.path.join(folder, "saved_model.pbtxt"), "w", encoding="utf-8") as text:
        text.write(text_format.MessageToString(message))
    os.unlink(binary)


def _write_json(path: str, content: Mapping[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


def _write_warmup(path: str, serving: ServingInput, legacy_keys: bool) -> None:
    """One PredictionLog a golden row, as TensorFlow Serving replays them when it loads a model.

    The messages are tensorflow_serving's `PredictionLog{predict_log: PredictLog{request: PredictRequest}}`, written
    field by field since the package that has their classes brings a second TensorFlow with it.
    """
    rows = len(next(iter(serving.golden.values())))
    with tf.io.TFRecordWriter(path) as file:
        for row in range(rows):
            spec = _field(3, DEFAULT.encode())  # ModelSpec.signature_name
            inputs = b""
            for name, values in serving.golden.items():
                tensor = tf.make_tensor_proto(np.asarray(values[row : row + 1]), dtype=serving.request[name].dtype)
                key = request_key(serving, name, legacy_keys).encode()
                inputs += _field(2, _field(1, key) + _field(2, tensor.SerializeToString()))
            file.write(_field(6, _field(1, _field(1, spec) + inputs)))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer, https://protobuf.dev/programming-guides/encoding."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
