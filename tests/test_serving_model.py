"""A real SavedModel, found, loaded and called."""

import json
import logging
import os
import shutil

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from trainer.errors import UsageError
from trainer.serving import model as serving
from trainer.serving.locate import locate
from trainer.serving.protocol import PredictionError, TensorInfo
from trainer.storage import commit


SCHEMA = {
    "experiment": "babyweight",
    "columns": ["weight_pounds", "is_male", "mother_age", "key"],
    "label": "weight_pounds",
    "key": "key",
    "features": {
        "is_male": {"dtype": "string", "shape": [], "vocabulary": ["True", "False"], "unit": None, "default": None},
        "mother_age": {"dtype": "float32", "shape": [], "vocabulary": None, "unit": "years", "default": 27.0},
    },
}


def write_model(folder):
    """Save a model whose answers are easy to compute: 1 for True, 2 for False, else 0, plus half the age."""
    module = tf.Module()
    module.half = tf.Variable(0.5)
    words = tf.lookup.KeyValueTensorInitializer(["True", "False"], [1.0, 2.0])
    module.table = tf.lookup.StaticHashTable(words, 0.0)

    def signature(function, **inputs):
        specs = {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()}
        return tf.function(lambda **tensors: function(**tensors)).get_concrete_function(**specs)

    def weigh(is_male, mother_age):
        known_age = tf.where(tf.math.is_nan(mother_age), 27.0, mother_age)
        return {"outputs": module.table.lookup(is_male) + module.half * known_age}

    text, number = ([None], tf.string), ([None], tf.float32)
    signatures = {
        "serving_default": signature(weigh, is_male=text, mother_age=number),
        "image": signature(
            lambda inputs: {"classes": tf.argmax(inputs, 1), "probabilities": inputs}, inputs=([None, 4], tf.float32)
        ),
        "column": signature(lambda x: {"predictions": 2 * x}, x=([None, 1], tf.float32)),
        "echo": signature(lambda text: {"echo": text, "echo_bytes": text}, text=text),
        "keyed": signature(lambda key, age: {"key": key, "outputs": module.half * age}, key=text, age=number),
        "narrow": signature(lambda x: {"y": 2 * x}, x=([None], tf.bfloat16)),
        "logarithm": signature(lambda x: {"y": tf.math.log(x)}, x=number),
        "total": signature(lambda x: {"y": tf.reduce_sum(x)}, x=number),
        "uneven": signature(lambda x: {"y": x, "z": x[1:]}, x=number),
        "broken": signature(lambda x: {"y": tf.ensure_shape(x, [3])}, x=number),
    }
    tf.saved_model.save(module, folder, signatures=signatures)
    os.makedirs(os.path.join(folder, "assets.extra"))
    with open(os.path.join(folder, "assets.extra", "schema.json"), "w") as file:
        json.dump(SCHEMA, file)


def place(source, destination):
    """Commit a copy of an export."""
    with commit.staged(str(destination)) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return str(destination)


@pytest.fixture(scope="session")
def plain_export(tmp_path_factory):
    """An export as someone else writes it: without our marker."""
    folder = str(tmp_path_factory.mktemp("plain") / "model")
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def model(plain_export):
    return serving.load(plain_export)


def test_load_reads_the_signatures(model):
    signature = model.signatures["serving_default"]
    assert signature.name == "serving_default"
    assert signature.inputs == {"is_male": TensorInfo("string", (None,)), "mother_age": TensorInfo("float32", (None,))}
    assert signature.outputs == {"outputs": TensorInfo("float32", (None,))}
    assert model.signatures["image"].inputs == {"inputs": TensorInfo("float32", (None, 4))}
    assert model.signatures["narrow"].inputs == {"x": TensorInfo("bfloat16", (None,))}


def test_load_reads_the_schema(model):
    assert model.schema == SCHEMA


def test_an_export_without_a_schema_loads(plain_export, tmp_path):
    shutil.copytree(plain_export, tmp_path / "export", ignore=shutil.ignore_patterns("schema.json"))
    assert serving.load(str(tmp_path / "export")).schema is None


def test_a_text_export_loads(plain_export, tmp_path):
    shutil.copytree(plain_export, tmp_path / "export")
    binary = tmp_path / "export" / "saved_model.pb"
    message = text_format.MessageToString(saved_model_pb2.SavedModel.FromString(binary.read_bytes()))
    (tmp_path / "export" / "saved_model.pbtxt").write_text(message)
    binary.unlink()
    loaded = serving.load(locate(str(tmp_path / "export")))
    assert serving.predict(loaded, [{"is_male": "True", "mother_age": 26}]) == [{"outputs": 14.0}]


def test_predictions_come_in_the_order_of_the_instances(model):
    instances = [{"is_male": word, "mother_age": age} for word, age in [("True", 26), ("False", 29.0), ("?", 20)]]
    assert serving.predict(model, instances) == [{"outputs": 14.0}, {"outputs": 16.5}, {"outputs": 10.0}]


@pytest.mark.parametrize(
    ("signature_name", "instances", "predictions"),
    [
        ("image", [[0, 1, 0.5, 0]], [{"classes": 1, "probabilities": [0.0, 1.0, 0.5, 0.0]}]),
        ("image", [{"inputs": [1, 0, 0, 0]}], [{"classes": 0, "probabilities": [1.0, 0.0, 0.0, 0.0]}]),
        ("column", [[1.5], [2]], [{"predictions": [3.0]}, {"predictions": [4.0]}]),
        ("echo", ["é", {"b64": "AAE="}][:1], [{"echo": "é", "echo_bytes": {"b64": "w6k="}}]),
        ("narrow", [1.5], [{"y": 3.0}]),
        ("logarithm", [-1.0, 0.0, 1.0], [{"y": "NaN"}, {"y": "-Infinity"}, {"y": 0.0}]),
        ("total", [1.0, 2.0], [{"y": 3.0}]),
    ],
)
def test_each_kind_of_signature_answers(model, signature_name, instances, predictions):
    assert serving.predict(model, instances, signature_name) == predictions


@pytest.mark.parametrize(
    ("signature_name", "instances", "code", "words"),
    [
        ("nothing", [1], 1, "No signature found for signature key nothing"),
        ("image", [[1, 2, 3]], 1, "instances[0].inputs: [1, 2, 3]: expected a list of 4 numbers (float32)"),
        ("broken", [1.0], 2, "[1] is not compatible with expected shape [3]"),
        ("uneven", [1.0, 2.0], 3, "outputs had differing sizes"),
        ("echo", [{"b64": "/w=="}], 3, "call the output echo_bytes"),
    ],
)
def test_each_failure_has_its_class_and_one_line(model, signature_name, instances, code, words):
    with pytest.raises(PredictionError) as raised:
        serving.predict(model, instances, signature_name)
    assert raised.value.code == code
    assert words in str(raised.value)
    assert str(raised.value).endswith(f"(Error code: {code})")
    assert "\n" not in str(raised.value)


def test_an_export_that_cannot_be_loaded_is_of_class_0(plain_export, tmp_path):
    shutil.copytree(plain_export, tmp_path / "export")
    (tmp_path / "export" / "variables" / "variables.index").unlink()
    with pytest.raises(PredictionError, match=r"Failed to load model: .*export") as raised:
        serving.load(str(tmp_path / "export"))
    assert raised.value.code == 0


def test_an_export_without_signatures_is_of_class_0(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "export"))
    with pytest.raises(PredictionError, match="no signature") as raised:
        serving.load(str(tmp_path / "export"))
    assert raised.value.code == 0


def test_a_schema_that_is_not_json_is_named(plain_export, tmp_path):
    shutil.copytree(plain_export, tmp_path / "export")
    (tmp_path / "export" / "assets.extra" / "schema.json").write_text("{")
    with pytest.raises(PredictionError, match=r"schema\.json: not JSON"):
        serving.load(str(tmp_path / "export"))


def test_locate_takes_an_export_named_itself_with_or_without_our_marker(plain_export, tmp_path):
    assert locate(plain_export) == plain_export
    committed = place(plain_export, tmp_path / "1500000000")
    assert locate(committed) == committed


def test_locate_takes_the_newest_of_a_strategy(plain_export, tmp_path):
    place(plain_export, tmp_path / "1499999999")
    newest = place(plain_export, tmp_path / "1500000000")
    shutil.copytree(plain_export, tmp_path / "1500000001")  # a writer that was killed before the marker
    place(plain_export, tmp_path / "20170401120000")  # another way of naming: not ten digits
    assert locate(str(tmp_path)) == newest


def test_locate_takes_the_newest_of_all_strategies_of_a_job(plain_export, tmp_path):
    place(plain_export, tmp_path / "export" / "best" / "1500000000")
    newest = place(plain_export, tmp_path / "export" / "final" / "1500000001")
    assert locate(str(tmp_path)) == newest


def test_locate_prefers_best_among_exports_of_the_same_second(plain_export, tmp_path):
    for strategy in ("final", "best", "latest"):
        place(plain_export, tmp_path / "export" / strategy / "1500000000")
    assert locate(str(tmp_path)) == str(tmp_path / "export" / "best" / "1500000000")


def test_locate_passes_over_a_damaged_export_and_names_the_file(plain_export, tmp_path, caplog):
    good = place(plain_export, tmp_path / "1500000000")
    damaged = place(plain_export, tmp_path / "1500000001")
    path = os.path.join(damaged, "variables", "variables.index")
    with open(path, "ab") as file:
        file.write(b"x")
    with caplog.at_level(logging.WARNING, "trainer.serving"):
        log = logging.getLogger("trainer.serving")
        log.addHandler(caplog.handler)
        try:
            assert locate(str(tmp_path)) == good
        finally:
            log.removeHandler(caplog.handler)
    assert path in caplog.text
    assert good in caplog.text


@pytest.mark.parametrize("named", ["itself", "its folder"])
def test_locate_refuses_when_the_only_export_is_damaged(plain_export, tmp_path, named):
    damaged = place(plain_export, tmp_path / "1500000000")
    os.unlink(os.path.join(damaged, "variables", "variables.index"))
    with pytest.raises(commit.DamagedError, match=r"variables\.index"):
        locate(damaged if named == "itself" else str(tmp_path))


def test_locate_says_what_it_looked_for(tmp_path):
    with pytest.raises(UsageError, match=r"no export; expected saved_model\.pb"):
        locate(str(tmp_path))
    with pytest.raises(UsageError, match="nowhere: no such directory"):
        locate(str(tmp_path / "nowhere"))
