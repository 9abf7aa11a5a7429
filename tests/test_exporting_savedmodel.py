"""What is in an export, read back by everything that reads SavedModels."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.tools import saved_model_cli

from trainer.errors import UsageError
from trainer.experiment import Evaluation, ExportStrategy
from trainer.experiments import mnist
from trainer.exporting import savedmodel
from trainer.inputs.serving import ServingInput
from trainer.inputs.spec import InputSpec, category, number, vector
from trainer.inputs.tensors import serving_input
from trainer.serving import model as loading
from trainer.serving import warmup
from trainer.serving.locate import locate


SPEC = InputSpec(
    features=(category("sex", ("True", "False")), number("age", unit="years", default=27.0)),
    label=number("weight"),
    columns=("sex", "age", "weight", "key"),
    key="key",
)
IMAGE = InputSpec(features=(vector("image", 4),), label=number("y"))


def weights():
    """A model of SPEC's features: (B, 1)."""
    inputs = {"sex": keras.Input((1,), dtype="int32", name="sex"), "age": keras.Input((1,), name="age")}
    one_hot = keras.ops.one_hot(inputs["sex"][:, 0], 2)
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()([one_hot, inputs["age"] / 30.0]))
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def classifier(policy=None):
    """A model of 4 numbers: (B, 4) -> (B, 3)."""
    inputs = keras.Input((4,), name="image")
    hidden = keras.layers.Reshape((2, 2, 1), dtype=policy)(inputs)
    hidden = keras.layers.Conv2D(8, 2, padding="same", activation="relu", dtype=policy)(hidden)
    hidden = keras.layers.Flatten(dtype=policy)(hidden)
    hidden = keras.Sequential([keras.layers.Dense(8, activation="gelu", dtype=policy)])(hidden)
    hidden = keras.layers.Dropout(0.5, dtype=policy)(hidden)
    return keras.Model({"image": inputs}, keras.layers.Dense(3, dtype=policy)(hidden))


def weight(outputs):
    return {"weight": outputs[:, 0]}


def write(folder, model, serving, predictions_fn=weight, *, metrics=None, **strategy):
    """Write an export and return its folder."""
    savedmodel.write(
        str(folder),
        model,
        serving=serving,
        predictions_fn=predictions_fn,
        strategy=ExportStrategy("final", "final", **strategy),
        evaluation=Evaluation(7, metrics or {"rmse": 1.5}),
    )
    return str(folder)


def load(folder):
    """The signatures, and what keeps their variables alive."""
    loaded = tf.saved_model.load(folder)
    return dict(loaded.signatures), loaded


def keys(signature):
    return sorted(signature.structured_input_signature[1]), sorted(signature.structured_outputs)


def message(folder):
    """The protocol buffer, from whichever form is there."""
    text = os.path.join(folder, "saved_model.pbtxt")
    if os.path.exists(text):
        with open(text, encoding="utf-8") as file:
            return text_format.Parse(file.read(), saved_model_pb2.SavedModel())
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        return saved_model_pb2.SavedModel.FromString(file.read())


BIRTH = {"sex": tf.constant(["True", "?"]), "age": tf.constant([26.0, 30.0])}


@pytest.fixture(scope="module", params=["saved_model.pb", "saved_model.pbtxt"])
def form(request):
    return request.param


@pytest.fixture(scope="module")
def export(form, tmp_path_factory):
    """(folder, what the live model says of BIRTH)."""
    model = weights()
    serving = serving_input(SPEC)
    folder = write(tmp_path_factory.mktemp("export"), model, serving, as_text=form == "saved_model.pbtxt")
    return folder, model(serving.features_fn(BIRTH))[:, 0].numpy()


def test_as_text_takes_the_place_of_the_binary(export, form):
    folder, _ = export
    assert [name for name in os.listdir(folder) if name.startswith("saved_model")] == [form]
    assert sorted(os.listdir(f"{folder}/variables")) == ["variables.data-00000-of-00001", "variables.index"]


def test_an_export_loads_in_tensorflow_2(export):
    folder, expected = export
    signatures, _loaded = load(folder)
    np.testing.assert_allclose(signatures["serving_default"](**BIRTH)["weight"], expected, rtol=1e-5)


def test_an_export_loads_in_a_session(export):
    folder, expected = export
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder)
        signature = meta_graph.signature_def["serving_default"]
        feed = {signature.inputs[name].name: values.numpy() for name, values in BIRTH.items()}
        weight = session.run(signature.outputs["weight"].name, feed)
    np.testing.assert_allclose(weight, expected, rtol=1e-5)


def test_an_export_is_shown_and_run_by_saved_model_cli(export, tmp_path, capsys):
    folder, expected = export

    def cli(command, *arguments):
        saved_model_cli.create_parser().parse_args([command, "--dir", folder, *arguments]).func()
        return capsys.readouterr().out

    shown = cli("show", "--all")
    assert "signature_def['serving_default']" in shown
    assert "inputs['sex'] tensor_info:\n        dtype: DT_STRING\n        shape: (-1)" in shown
    assert "outputs['weight'] tensor_info:\n        dtype: DT_FLOAT\n        shape: (-1)" in shown

    which = ["--tag_set", "serve", "--signature_def", "serving_default", "--outdir", str(tmp_path)]
    ran = cli("run", *which, "--input_exprs", "sex=['True', '?'];age=[26.0, 30.0]")
    assert "Result for output key weight:" in ran
    np.testing.assert_allclose(np.load(tmp_path / "weight.npy"), expected, rtol=1e-5)


def test_both_signatures_are_one_graph(export):
    """The model's layers are stored once: the two signatures call the same function."""
    folder, _ = export
    products = [
        node
        for function in message(folder).meta_graphs[0].graph_def.library.function
        for node in function.node_def
        if node.op == "MatMul"
    ]
    assert len(products) == 2


def test_an_export_has_no_variables_but_the_models(export):
    folder, _ = export
    saved = [name for name, _ in tf.train.list_variables(f"{folder}/variables/variables")]
    assert len([name for name in saved if "CHECKPOINTABLE" not in name]) == 4


def test_schema_and_evaluation_are_beside_the_graph(export):
    folder, _ = export
    with open(f"{folder}/assets.extra/schema.json") as file:
        assert json.load(file) == json.loads(json.dumps(SPEC.schema()))
    with open(f"{folder}/assets.extra/evaluation.json") as file:
        assert json.load(file) == {"global_step": 7, "metrics": {"rmse": 1.5}}


def test_a_metric_that_is_no_number_is_null_in_json(tmp_path):
    metrics = {"loss": float("inf"), "rmse": float("nan"), "mae": 2.0}
    folder = write(tmp_path, weights(), serving_input(SPEC), metrics=metrics)
    with open(f"{folder}/assets.extra/evaluation.json") as file:
        assert json.load(file)["metrics"] == {"loss": None, "rmse": None, "mae": 2.0}


def dtypes(folder):
    """Every dtype that a node of the graph has for a value."""
    functions = message(folder).meta_graphs[0].graph_def.library.function
    values = [value for function in functions for node in function.node_def for value in node.attr.values()]
    return {types_pb2.DataType.Name(dtype) for value in values for dtype in (value.type, *value.list.type)}


def test_mixed_precision_is_served_in_float32(tmp_path):
    model, plain = classifier("mixed_bfloat16"), classifier()
    plain.set_weights(model.get_weights())
    image = {"image": tf.constant(np.random.default_rng(1).normal(0, 1, (5, 4)), tf.float32)}
    before = model(image, training=False)
    folder = write(tmp_path, model, serving_input(IMAGE), lambda outputs: {"logits": outputs})
    assert "DT_FLOAT" in dtypes(folder)
    assert "DT_BFLOAT16" not in dtypes(folder)
    signatures, _loaded = load(folder)
    served = signatures["serving_default"](**image)["logits"]
    np.testing.assert_allclose(served, plain(image, training=False), rtol=1e-5, atol=1e-5)

    assert before.dtype == tf.bfloat16  # and training goes on as before
    after = model(image, training=False)
    np.testing.assert_array_equal(tf.cast(after, tf.float32), tf.cast(before, tf.float32))


def test_the_mnist_that_trained_in_bfloat16_is_served_in_float32(mnist_job):
    folder = locate(f"{mnist_job}/export/final")
    assert "DT_BFLOAT16" not in dtypes(folder)
    plain = mnist.model(mnist.Config(dtype_policy="float32"), train_steps=20)
    for variable in plain.trainable_variables:
        variable.assign(tf.train.load_variable(f"{mnist_job}/checkpoints/20", f"model/{variable.path}"))
    inputs = tf.constant(np.random.default_rng(0).uniform(0, 1, (5, 784)), tf.float32)
    expected = mnist.predictions(plain({"inputs": inputs}, training=False))
    signatures, _loaded = load(folder)
    served = signatures["serving_default"](inputs=inputs)
    np.testing.assert_allclose(served["probabilities"], expected["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(served["classes"], expected["classes"])


def test_keys_are_served_as_given_even_if_there_is_one(tmp_path):
    folder = write(tmp_path, classifier(), serving_input(IMAGE), lambda outputs: {"scores": outputs})
    signatures, _loaded = load(folder)
    assert keys(signatures["serving_default"]) == (["image"], ["scores"])
    assert keys(signatures["serving_examples"]) == (["examples"], ["scores"])


def test_legacy_keys_rename_what_is_alone(tmp_path):
    folder = write(tmp_path, classifier(), serving_input(IMAGE), lambda outputs: {"scores": outputs}, legacy_keys=True)
    signatures, _loaded = load(folder)
    assert keys(signatures["serving_default"]) == (["inputs"], ["outputs"])
    assert keys(signatures["serving_examples"]) == (["inputs"], ["outputs"])
    image = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    floats = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0, 3.0, 4.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": floats})).SerializeToString()
    by_key = signatures["serving_default"](inputs=image)["outputs"]
    np.testing.assert_array_equal(signatures["serving_examples"](inputs=tf.constant([example]))["outputs"], by_key)


def test_legacy_keys_leave_what_is_not_alone(tmp_path):
    def predictions(outputs):
        return {"classes": tf.argmax(outputs, 1), "probabilities": tf.nn.softmax(outputs)}

    one = write(tmp_path / "one", classifier(), serving_input(IMAGE), predictions, legacy_keys=True)
    assert keys(load(one)[0]["serving_default"]) == (["inputs"], ["classes", "probabilities"])
    two = write(tmp_path / "two", weights(), serving_input(SPEC), legacy_keys=True)
    assert keys(load(two)[0]["serving_default"]) == (["age", "sex"], ["outputs"])


def test_a_key_is_forwarded_to_its_prediction(tmp_path):
    folder = write(tmp_path, weights(), serving_input(SPEC, forward=("key",)))
    signatures, _loaded = load(folder)
    assert keys(signatures["serving_default"]) == (["age", "key", "sex"], ["key", "weight"])
    outputs = signatures["serving_default"](**BIRTH, key=tf.constant(["b1", "b2"]))
    assert outputs["key"].numpy().tolist() == [b"b1", b"b2"]


@pytest.mark.parametrize(("key", "legacy_keys"), [("key", False), ("outputs", True)])
def test_a_response_key_that_is_also_forwarded_is_an_error(tmp_path, key, legacy_keys):
    serving = serving_input(SPEC, forward=(key,))
    with pytest.raises(UsageError) as error:
        write(tmp_path, weights(), serving, lambda outputs: {"key": outputs}, legacy_keys=legacy_keys)
    assert str(error.value) == (
        f"predictions_fn: response key '{key}' is also forwarded from the request; expected another name"
    )


@pytest.mark.parametrize("wrong", [lambda outputs: outputs, lambda outputs: {}, lambda outputs: {1: outputs}])
def test_predictions_must_be_a_dict_by_response_key(tmp_path, wrong):
    with pytest.raises(UsageError, match="expected a dict of tensors by response key"):
        write(tmp_path, weights(), serving_input(SPEC), wrong)


def test_a_prediction_may_be_a_word(tmp_path):
    def predictions(outputs):
        return {"species": tf.gather(["setosa", "versicolor", "ä"], tf.argmax(outputs, 1))}

    model = classifier()
    folder = write(tmp_path, model, serving_input(IMAGE), predictions, as_text=True)
    signatures, _loaded = load(folder)
    image = tf.constant(np.random.default_rng(0).normal(0, 9, (20, 4)), tf.float32)
    words = [word.decode() for word in signatures["serving_default"](image=image)["species"].numpy()]
    assert words == [["setosa", "versicolor", "ä"][i] for i in np.argmax(model({"image": image}), 1)]
    assert len(set(words)) > 1


def test_a_model_may_look_words_up_itself(tmp_path):
    inputs = keras.Input((1,), dtype="string", name="sex")
    ids = keras.layers.StringLookup(vocabulary=["True", "False"])(inputs)
    model = keras.Model({"sex": inputs}, keras.ops.cast(ids, "float32"))
    serving = ServingInput(
        {"sex": tf.TensorSpec([None], tf.string)}, lambda request: {"sex": tf.expand_dims(request["sex"], -1)}
    )
    signatures, _loaded = load(write(tmp_path, model, serving))
    del model
    assert signatures["serving_default"](sex=tf.constant(["False", "?"]))["weight"].numpy().tolist() == [2.0, 0.0]


def test_a_request_may_hold_bytes_of_pixels(tmp_path):
    serving = ServingInput(
        {"image": tf.TensorSpec([None, 4], tf.uint8)}, lambda request: {"image": tf.cast(request["image"], tf.float32)}
    )
    model = classifier()
    signatures, _loaded = load(write(tmp_path, model, serving, lambda outputs: {"scores": outputs}))
    values = tf.train.Feature(int64_list=tf.train.Int64List(value=[0, 1, 128, 255]))
    example = tf.train.Example(features=tf.train.Features(feature={"image": values})).SerializeToString()
    expected = model({"image": tf.constant([[0.0, 1.0, 128.0, 255.0]])})
    by_key = signatures["serving_default"](image=tf.constant([[0, 1, 128, 255]], tf.uint8))["scores"]
    by_example = signatures["serving_examples"](examples=tf.constant([example]))["scores"]
    np.testing.assert_allclose(by_key, expected, rtol=1e-5)
    np.testing.assert_array_equal(by_example, by_key)


def test_a_request_of_no_fixed_size_is_served_without_examples(tmp_path):
    serving = ServingInput(
        {"words": tf.TensorSpec([None, None])},
        lambda request: {"image": tf.repeat(tf.reduce_sum(request["words"], 1, keepdims=True), 4, axis=1)},
    )
    signatures, _loaded = load(write(tmp_path, classifier(), serving, lambda outputs: {"scores": outputs}))
    assert list(signatures) == ["serving_default"]


def test_assets_are_copied_to_where_they_belong(tmp_path):
    (tmp_path / "words.txt").write_text("True\nFalse\n")
    assets = {"vocabulary/sex.txt": str(tmp_path / "words.txt"), "words.txt": str(tmp_path / "words.txt")}
    folder = write(tmp_path / "export", weights(), serving_input(SPEC), assets_extra=assets)
    for name in assets:
        with open(f"{folder}/assets.extra/{name}") as file:
            assert file.read() == "True\nFalse\n"


def test_a_server_can_replay_each_golden_row_through_each_signature(export):
    folder, _ = export
    loaded = loading.load(folder)
    requests = warmup.read(f"{folder}/assets.extra/tf_serving_warmup_requests")
    golden = serving_input(SPEC).golden
    assert [name for name, _ in requests] == ["serving_default", "serving_examples"] * len(golden["sex"])
    answers = [loading.call(loaded, loaded.signatures[name], columns)["weight"] for name, columns in requests]
    for row, (by_key, by_example) in enumerate(zip(answers[::2], answers[1::2], strict=True)):
        assert by_key.shape == (1,)
        np.testing.assert_array_equal(by_key, by_example)
        sent = requests[2 * row][1]
        assert sent.keys() == {"sex", "age"}
        assert sent["sex"].tolist() == [golden["sex"][row].encode()]
        np.testing.assert_array_equal(sent["age"], golden["age"][row : row + 1])


def test_legacy_keys_are_those_of_the_warm_up_requests_too(tmp_path):
    folder = write(tmp_path, classifier(), serving_input(IMAGE), lambda outputs: {"scores": outputs}, legacy_keys=True)
    requests = warmup.read(f"{folder}/assets.extra/tf_serving_warmup_requests")
    assert {name for name, _ in requests} == {"serving_default", "serving_examples"}
    assert all(list(columns) == ["inputs"] for _, columns in requests)


def test_without_golden_rows_there_are_no_warm_up_requests(tmp_path):
    serving = ServingInput({"image": tf.TensorSpec([None, 4])}, dict)
    folder = write(tmp_path, classifier(), serving, lambda outputs: {"scores": outputs})
    assert sorted(os.listdir(f"{folder}/assets.extra")) == ["evaluation.json", "schema.json"]
