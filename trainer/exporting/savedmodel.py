"""Write a live Keras model as a SavedModel whose prediction API has the keys that the experiment chose.

with commit.staged(destination) as folder:
    savedmodel.write(folder, model, serving=serving, predictions_fn=..., strategy=strategy, evaluation=evaluation)
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from trainer import strictjson
from trainer.experiment import Evaluation, ExportStrategy
from trainer.exporting import signatures
from trainer.exporting.strategies import ASSETS_EXTRA, EVALUATION, SCHEMA
from trainer.inputs.serving import ServingInput
from trainer.serving import warmup
from trainer.storage import paths


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
    with computing_in_float32(model):
        module, functions = _functions(model, serving, predictions_fn, legacy_keys=strategy.legacy_keys)
        try:
            tf.saved_model.save(module, folder, signatures=functions)
        except tf.errors.OpError as error:
            raise OSError(error.message) from error  # a full disk, mostly; whoever made the folder says which
    if strategy.as_text:
        _to_text(folder)
    extra = os.path.join(folder, ASSETS_EXTRA)
    os.makedirs(extra, exist_ok=True)
    record = {"global_step": evaluation.global_step, "metrics": evaluation.metrics}
    _write_json(os.path.join(extra, EVALUATION), record)
    _write_json(os.path.join(extra, SCHEMA), serving.schema)
    if serving.golden:
        requests = signatures.requests(serving, legacy_keys=strategy.legacy_keys)
        warmup.write(os.path.join(extra, warmup.NAME), signatures.one_by_one(requests))
    for name, source in strategy.assets_extra.items():
        target = os.path.join(extra, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file, paths.open_input(source) as content:
            shutil.copyfileobj(content, file)


def _functions(
    model: keras.Model, serving: ServingInput, predictions_fn: Callable[[Any], dict[str, Any]], *, legacy_keys: bool
) -> tuple[tf.Module, dict[str, Any]]:
    """The functions of the signatures, and the module that owns the variables and tables that they use."""
    keys = signatures.request_keys(serving, legacy_keys=legacy_keys)
    module = tf.Module(name="export")
    # The variables, not the Keras object: tracking the model would save its training state and its train functions.
    module.variables_of_model = [variable.value for variable in model.variables]
    module.tables_of_model = _tables(model)
    module.features_fn = serving.features_fn

    @tf.function
    def predict(request: dict[str, Any]) -> Any:
        return predictions_fn(model(module.features_fn(request), training=False))

    encoded = {n: tf.TensorSpec(s.shape, s.dtype) for n, s in serving.request.items() if n not in serving.forward}
    predict = predict.get_concrete_function(encoded)  # traced once, for both signatures
    response_keys = signatures.response_keys(predict.structured_outputs, serving, legacy_keys=legacy_keys)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        outputs = predict({name: request[name] for name in encoded})
        served = {key: outputs[name] for name, key in response_keys.items()}
        return served | {name: request[name] for name in serving.forward}

    specs = {keys[name]: tf.TensorSpec(spec.shape, spec.dtype, keys[name]) for name, spec in serving.request.items()}

    @tf.function(input_signature=[specs])
    def default(request: dict[str, Any]) -> dict[str, Any]:
        return answer({name: request[key] for name, key in keys.items()})

    functions = {signatures.DEFAULT: default.get_concrete_function()}
    if signatures.has_examples(serving):
        examples_key = signatures.examples_key(legacy_keys=legacy_keys)
        parsed = {
            n: tf.io.FixedLenFeature(s.shape[1:], signatures.wire_dtype(s.dtype)) for n, s in serving.request.items()
        }

        @tf.function(input_signature=[{examples_key: tf.TensorSpec([None], tf.string, examples_key)}])
        def from_examples(request: dict[str, Any]) -> dict[str, Any]:
            values = tf.io.parse_example(request[examples_key], parsed)
            return answer({name: tf.cast(values[name], spec.dtype) for name, spec in serving.request.items()})

        functions[signatures.EXAMPLES] = from_examples.get_concrete_function()
    return module, functions


def _tables(model: keras.Model) -> list[Any]:
    """The lookup tables of layers such as StringLookup."""
    tracked = tf.train.TrackableView(model).descendants()
    return [part for part in tracked if isinstance(part, tf.saved_model.experimental.TrackableResource)]


@contextlib.contextmanager
def computing_in_float32(model: keras.Model) -> Iterator[None]:
    """Make a model of mixed precision compute in float32, as its export does.

    Weights are float32 either way; bfloat16 in a graph is slow or missing where the export may be served.
    """
    layers = model._flatten_layers()
    mixed = [layer for layer in layers if layer.compute_dtype != layer.variable_dtype]
    inputs = [layer for layer in layers if isinstance(layer, keras.layers.InputLayer)]
    halves = [layer for layer in inputs if layer.dtype in ("bfloat16", "float16")]
    changes = [(layer, "_dtype_policy", layer._dtype_policy, keras.DTypePolicy("float32")) for layer in mixed]
    # A model inside of a model casts to the dtypes that its inputs had when it was built.
    changes += [(part, "_dtype", part._dtype, "float32") for layer in halves for part in (layer, layer.output)]
    try:
        for part, attribute, _, served in changes:
            setattr(part, attribute, served)
        yield
    finally:
        for part, attribute, trained, _ in changes:
            setattr(part, attribute, trained)


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
        file.write(strictjson.dumps(content, indent=1) + "\n")
