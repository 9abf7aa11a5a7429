"""The article that began this project, act by act: its client code, and what it says would happen.

Real MNIST comes from TRAINER_DATA, `../shared/data` unless set.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from trainer.experiment import Experiment, ExportStrategy
from trainer.experiments import babyweight
from trainer.inputs.serving import ServingInput
from trainer.samples import mnist as idx
from trainer.serving import model as serving
from trainer.serving import protocol
from trainer.serving.locate import locate
from trainer.settings.run import Run
from trainer.storage import paths
from trainer.training import loop


KEYS = [
    "alcohol_use", "cigarette_use", "gestation_weeks", "is_male", "mother_age", "mother_married", "mother_race",
    "plurality",
]  # fmt: skip
DATA = Path(os.environ.get("TRAINER_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))


def lines_of(job_dir):
    return [json.loads(line) for line in Path(job_dir, "metrics.jsonl").read_text().splitlines()]


def test_train_through_an_experiment(births, tmp_path):
    """A model, training data and evaluation data in; evaluations at suitable moments and a SavedModel out."""
    import keras

    job_dir = str(tmp_path)

    def input_fn(pattern):
        files = tf.data.Dataset.list_files(f"{births}/{pattern}*", shuffle=False)
        rows = tf.data.TextLineDataset(files).batch(64)
        columns = [babyweight.SPEC.columns.index(name) for name in ("weight_pounds", "plurality", "gestation_weeks")]

        def features_and_label(row):
            weight, plurality, weeks = (
                tf.expand_dims(values, -1) for values in tf.io.decode_csv(row, [[0.0]] * 3, select_cols=columns)
            )
            return {"plurality": plurality, "gestation_weeks": weeks}, weight

        return rows.map(features_and_label)

    def model_fn():
        inputs = {name: keras.Input((1,), name=name) for name in ("plurality", "gestation_weeks")}
        scaled = keras.layers.Concatenate()([inputs["plurality"], inputs["gestation_weeks"] / 40.0])
        model = keras.Model(inputs, keras.layers.Dense(1)(scaled))
        model.compile(keras.optimizers.Adam(0.05), loss="mse")
        return model

    def serving_input_fn():
        feature_placeholders = {
            "plurality": tf.TensorSpec([None], tf.float32),
            "gestation_weeks": tf.TensorSpec([None], tf.float32),
        }
        return ServingInput(
            feature_placeholders,
            lambda request: {key: tf.expand_dims(tensor, -1) for key, tensor in request.items()},
        )

    experiment = Experiment(
        model_fn=model_fn,
        train_input_fn=lambda shard: input_fn("train"),
        eval_input_fn=lambda shard: input_fn("eval"),
        serving_input_fn=serving_input_fn,
        predictions_fn=lambda outputs: {"outputs": outputs[:, 0]},
        train_steps=200,
        export_strategies=(ExportStrategy("Servo", "final", exports_to_keep=1),),
    )
    outcome = loop.Trainer(experiment, Run(job_dir=job_dir, eval_every=50), facts={}).train_and_evaluate()
    assert outcome.global_step == 200
    assert [line["step"] for line in lines_of(job_dir)] == [50, 100, 150, 200]
    assert outcome.metrics["loss"] < min(3.0, lines_of(job_dir)[0]["loss"])
    (export,) = outcome.exports
    assert re.fullmatch(rf"{job_dir}/export/Servo/\d{{10}}", export)
    (prediction,) = serving.predict(serving.load(export), [{"gestation_weeks": 39, "plurality": 1.0}])
    assert 5 < prediction["outputs"] < 10


def test_resume_at_global_step_1000(train, births, tmp_path):
    job_dir = str(tmp_path)
    flags = {"data_dir": births, "job_dir": job_dir, "train_batch_size": 64, "eval_every": 500}
    flags["export_strategy"] = "final"

    def checkpoint():
        folder = Path(job_dir, "checkpoints", str(max(map(int, os.listdir(f"{job_dir}/checkpoints")))))
        names = [name for name, _ in tf.train.list_variables(str(folder)) if name.endswith("iteration")]
        updates = {int(tf.train.load_variable(str(folder), name)) for name in names}
        position = json.loads((folder / "state.json").read_text())["input"]
        return int(folder.name), updates, 1600 * (position["epoch"] + position["window"]) + position["row"]

    first = train("babyweight", **flags, train_steps=1000)
    assert first[-1]["global_step"] == 1000
    assert checkpoint() == (1000, {1000}, 1000 * 64)

    second = train("babyweight", **flags, train_steps=2000)
    assert second[0]["global_step"] == 1000  # it says where it goes on
    # Every step moved the weights once and ate the examples that come next: none was trained twice or left out.
    assert checkpoint() == (2000, {2000}, 2000 * 64)
    assert [line["step"] for line in lines_of(job_dir)] == [500, 1000, 1500, 2000]
    assert len(os.listdir(f"{job_dir}/export/final")) == 2  # one of each run

    third = train("babyweight", **flags, train_steps=2000)
    assert not [line for line in third if "examples_per_second" in line]  # 0 steps
    assert third[-1] == second[-1]
    assert third[-1]["metrics"]["rmse"] == lines_of(job_dir)[-1]["rmse"]
    assert paths.exists(f"{third[-1]['exports'][0]}/saved_model.pb")
    assert checkpoint() == (2000, {2000}, 2000 * 64)


def test_export_with_chosen_keys_and_as_text(train, births, tmp_path):
    done = train(
        "babyweight",
        data_dir=births,
        job_dir=str(tmp_path),
        train_steps=2,
        export_strategy="servo",
        exports_to_keep=1,
        export_as_text=(),
    )[-1]
    (export,) = done["exports"]
    assert [str(folder) for folder in (tmp_path / "export" / "Servo").iterdir()] == [export]
    assert {"saved_model.pbtxt", "variables"} <= set(os.listdir(export))
    assert "saved_model.pb" not in os.listdir(export)
    message = text_format.Parse(Path(export, "saved_model.pbtxt").read_text(), saved_model_pb2.SavedModel())
    signature = message.meta_graphs[0].signature_def["serving_default"]
    assert sorted(signature.inputs) == KEYS
    assert list(signature.outputs) == ["outputs"]
    assert all(len(tensor.tensor_shape.dim) == 1 for tensor in signature.inputs.values())


def test_request_with_bare_scalars_gets_a_prediction(babyweight_job):
    request_data = {'instances':
      [
        {
          'is_male': 'True',
          'mother_age': 26.0,
          'mother_race': 'Asian Indian',
          'plurality': 1.0,
          'gestation_weeks': 39,
          'mother_married': 'True',
          'cigarette_use': 'False',
          'alcohol_use': 'False'
        },
        {
          'is_male': 'False',
          'mother_age': 29.0,
          'mother_race': 'Asian Indian',
          'plurality': 1.0,
          'gestation_weeks': 38,
          'mother_married': 'True',
          'cigarette_use': 'False',
          'alcohol_use': 'False'
        }
      ]
    }  # fmt: skip
    request = protocol.request(json.loads(json.dumps(request_data)))
    response = {"predictions": serving.predict(serving.load(locate(babyweight_job)), request.instances)}
    first, second = response["predictions"]
    assert list(first) == list(second) == ["outputs"]
    assert isinstance(first["outputs"], float)  # not a list of one
    assert 4 < second["outputs"] < first["outputs"] < 10  # a girl, a week earlier


def test_reload_with_the_v1_loader_predicts_the_first_ten_mnist_digits(train, tmp_path):
    folder = DATA / "mnist"
    if not folder.is_dir():
        pytest.skip(f"{folder}: no MNIST; TRAINER_DATA names the folder that has it")
    done = train(
        "mnist",
        train_files=f"{folder}/train-*",
        eval_files=f"{folder}/t10k-*",
        job_dir=str(tmp_path),
        train_batch_size=100,
        train_steps=200,
        eval_every=200,
        eval_steps=2,
        export_strategy="final",
    )[-1]
    (export_dir,) = done["exports"]
    test_images = idx.read(str(folder))[1].images.reshape(-1, 784) / np.float32(255)

    def run_inference_on_image():
        """The article's, with the names that TensorFlow 2 has for the loader and the session."""
        with tf.compat.v1.Session(graph=tf.Graph()) as sess:
            meta_graph = tf.compat.v1.saved_model.loader.load(sess, [tf.saved_model.SERVING], export_dir)
            model_signature = meta_graph.signature_def["serving_default"]
            input_signature = model_signature.inputs
            output_signature = model_signature.outputs
            input_tensor_name = input_signature["inputs"].name
            prob_tensor_name = output_signature["probabilities"].name
            label_tensor_name = output_signature["classes"].name
            images = sess.graph.get_tensor_by_name(input_tensor_name)
            prob = sess.graph.get_tensor_by_name(prob_tensor_name)
            label = sess.graph.get_tensor_by_name(label_tensor_name)
            return sess.run([label, prob], feed_dict={images: test_images[0:10]})

    label_pred, prob_pred = run_inference_on_image()
    assert label_pred.tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert prob_pred.shape == (10, 10)
    np.testing.assert_allclose(prob_pred.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(prob_pred.argmax(axis=1), label_pred)
