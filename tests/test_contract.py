"""What every experiment must keep: the two that are shipped, each variant, and one from outside.

A new experiment gets all of these checks for one line in CASES.
"""

import dataclasses
import importlib
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf

from trainer.experiment import Evaluation, Experiment, ExportStrategy
from trainer.exporting import savedmodel
from trainer.inputs.batches import EvalBatches, TrainBatches
from trainer.inputs.source import open_source
from trainer.inputs.tensors import Encoder, golden
from trainer.modeling.optimizers import TwoOptimizers
from trainer.samples import mnist as idx
from trainer.serving import model as serving
from trainer.serving.locate import locate
from trainer.settings.run import Run
from trainer.training import loop, state
from trainer.training.steps import TrainSteps


BABYWEIGHT = "trainer.experiments.babyweight"
BIRTH_KEYS = {
    "is_male": "string", "mother_age": "float32", "mother_race": "string", "plurality": "float32",
    "gestation_weeks": "float32", "mother_married": "string", "cigarette_use": "string", "alcohol_use": "string",
}  # fmt: skip
BIRTH = dict(zip(BIRTH_KEYS, ("True", 26.0, "Asian Indian", 1.0, 39, "True", "False", "False"), strict=True))
SIZES = ("sepal_length", "sepal_width", "petal_length", "petal_width")


@dataclasses.dataclass(frozen=True)
class Case:
    """An experiment and what is specified of it."""

    module: str
    data: str  # the fixture with its files
    request: dict[str, str]  # dtype by key
    response: tuple[str, ...]
    instance: dict[str, object]  # as a client writes it
    config: dict[str, object] = dataclasses.field(default_factory=dict)

    def build(self, folder: str, **run: object) -> "Built":
        """The experiment on the files in a folder."""
        module = importlib.import_module(self.module)
        files = {
            "train_files": (f"{folder}/{module.TRAIN_PATTERNS[0]}",),
            "eval_files": (f"{folder}/{module.EVAL_PATTERNS[0]}",),
        }
        run = dataclasses.replace(module.RUN, **{"train_steps": 10, "seed": 5, **files, **run})
        return Built(module, run, module.build(module.Config(**self.config), run))


@dataclasses.dataclass(frozen=True)
class Built:
    module: ModuleType
    run: Run
    experiment: Experiment


def births(**config):
    return Case(BABYWEIGHT, "births", BIRTH_KEYS, ("outputs",), BIRTH, config)


CASES = {
    "babyweight plain": births(features="plain"),
    "babyweight bucketized": births(features="bucketized"),
    "babyweight crossed": births(features="crossed"),
    "babyweight ftrl+adagrad keyed": dataclasses.replace(
        births(optimizer="ftrl+adagrad", forward_key=True),
        request={**BIRTH_KEYS, "key": "string"},
        response=("key", "outputs"),
        instance={**BIRTH, "key": "b1"},
    ),
    "mnist": Case(
        "trainer.experiments.mnist",
        "digits",
        {"inputs": "float32"},
        ("classes", "probabilities"),
        {"inputs": [0.5] * 784},
        {"dtype_policy": "float32"},
    ),
    "iris": Case(
        "tests.iris_experiment",
        "flowers",
        dict.fromkeys(SIZES, "float32"),
        ("probabilities", "species"),
        dict(zip(SIZES, (5.1, 3.5, 1.4, 0.2), strict=True)),
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def folder(case, request):
    return request.getfixturevalue(case.data)


@pytest.fixture(scope="module")
def built(case, folder):
    return case.build(folder)


@pytest.fixture(scope="module")
def model(built):
    """The live model, with every variable moved a little so that none is at its initial zero."""
    model = state.build_model(built.experiment.model_fn, built.run)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(variable.numpy() + random.normal(0, 0.02, variable.shape))
    return model


@pytest.fixture(scope="module")
def export(built, model, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("export"))
    savedmodel.write(
        folder,
        model,
        serving=built.experiment.serving_input_fn(),
        predictions_fn=built.experiment.predictions_fn,
        strategy=ExportStrategy("final", "final"),
        evaluation=Evaluation(0, {}),
    )
    return folder


def examples_of(request):
    """The rows of a request as serialized tf.Examples."""

    def feature(values):
        if values.dtype == object:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[word.encode() for word in values.ravel()]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values.ravel()))

    rows = [{k: v[i : i + 1] for k, v in request.items()} for i in range(len(next(iter(request.values()))))]
    return tf.constant(
        [
            tf.train.Example(
                features=tf.train.Features(feature={k: feature(v) for k, v in row.items()})
            ).SerializeToString()
            for row in rows
        ]
    )


def everything(files, spec):
    """(features by name, label) of all the rows that training would read from the files."""
    source = open_source(files, spec)
    (batches,) = EvalBatches(source, batch_size=source.count_rows()).passes(1)
    return tf.nest.map_structure(lambda values: values[0], batches.data)


def cells_and_values(feature):
    """What a file may hold for a feature, beside what a request holds for the same."""
    if feature.vocabulary:
        words = [*feature.vocabulary, "Atlantean", "true", "", "None", "NaN", "ä, \u3042"]
        return [(f'"{word}"', word) for word in words]
    pairs = [("0", 0.0), ("-1", -1.0), ("1e30", 1e30), ("-1e30", -1e30), ("26.5", 26.5), ("39", 39), ("0.1", 0.1)]
    missing = [("", np.nan), ("NaN", np.nan), ("None", np.nan)]
    return pairs + (missing if feature.default is not None else [])


def write_text(spec, folder):
    """Write a CSV file with such cells; the files, and the request with the same values."""
    pairs = {feature.name: cells_and_values(feature) for feature in spec.features}
    rows = max(map(len, pairs.values()))
    cycled = {name: [found[i % len(found)] for i in range(rows)] for name, found in pairs.items()}
    label = spec.label.vocabulary[0] if spec.label.vocabulary else "7.5"
    lines = [",".join(cycled[name][i][0] if name in cycled else label for name in spec.columns) for i in range(rows)]
    (folder / "train.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    request = {f.name: tf.constant([value for _, value in cycled[f.name]], f.dtype) for f in spec.features}
    return (f"{folder}/train.csv",), request


def write_pixels(spec, folder):
    """Write IDX files with every byte; the files, and the request with the same values."""
    images = np.resize(np.arange(256, dtype=np.uint8), (2, 28, 28))
    for name, array in zip(idx.TRAIN, (images, np.zeros(2, np.uint8)), strict=True):
        (folder / name).write_bytes(idx.encode(array))
    return (f"{folder}/train-*",), {"inputs": tf.constant(images.reshape(2, 784) / 255, tf.float32)}


def test_training_and_serving_encode_alike(case, built, tmp_path):
    spec = built.module.SPEC
    files, request = (write_pixels if case.data == "digits" else write_text)(spec, tmp_path)
    trained, _ = everything(files, spec)
    served = Encoder(spec)(request)
    assert served.keys() == trained.keys()
    for name, values in served.items():
        assert values.dtype == trained[name].dtype
        # A client divides pixels by 255 where training multiplies by 1/255: the last bit may differ.
        np.testing.assert_allclose(values, trained[name], rtol=2e-7, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_evaluation_counts_every_example_once(case, folder, tmp_path, batch_size):
    built = case.build(folder, job_dir=str(tmp_path), eval_batch_size=batch_size, train_steps=0)
    experiment = dataclasses.replace(built.experiment, export_strategies=())
    trainer = loop.Trainer(experiment, built.run, facts={})
    metrics = trainer.train_and_evaluate().metrics

    features, label = everything(built.run.eval_files, built.module.SPEC)
    outputs = np.asarray(trainer.model(features), np.float64)
    if "probabilities" in case.response:
        assert metrics["accuracy"] == pytest.approx(np.mean(outputs.argmax(1) == label[:, 0]), abs=1e-6)
        logarithms = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
        loss = -np.take_along_axis(logarithms, label, 1).mean()
    else:
        loss = np.mean((outputs - label) ** 2)  # over all rows: no mean of the batches' means
        assert metrics["rmse"] == pytest.approx(np.sqrt(loss), rel=1e-5)
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 5])
def test_the_exported_model_computes_what_the_live_one_does(built, model, export, rows):
    given = built.experiment.serving_input_fn()
    request = {name: values[:rows] for name, values in golden(built.module.SPEC, given.forward).items()}
    tensors = {name: tf.constant(values) for name, values in request.items()}
    encoded = given.features_fn({name: tensors[name] for name in request if name not in given.forward})
    live = built.experiment.predictions_fn(model(encoded, training=False)) | {n: tensors[n] for n in given.forward}

    signatures = tf.saved_model.load(export).signatures
    by_key = signatures["serving_default"](**tensors)
    by_example = signatures["serving_examples"](examples=examples_of(request))
    for outputs in (by_key, by_example):
        assert outputs.keys() == live.keys()
        for name, values in outputs.items():
            assert len(values) == rows
            if values.dtype == tf.float32:
                np.testing.assert_allclose(values, live[name], rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(values, live[name])


def test_request_and_response_have_the_specified_keys(case, export):
    signature = serving.load(export).signatures["serving_default"]
    assert {name: info.dtype for name, info in signature.inputs.items()} == case.request
    assert tuple(sorted(signature.outputs)) == case.response


def test_an_instance_is_sent_with_bare_scalars(case, built, export):
    loaded = serving.load(export)
    shapes = {name: info.shape for name, info in loaded.signatures["serving_default"].inputs.items()}
    assert shapes == {f.name: (None, *f.shape) for f in built.module.SPEC.features} | (
        {"key": (None,)} if "key" in case.request else {}
    )
    (prediction,) = serving.predict(loaded, [case.instance])
    assert tuple(sorted(prediction)) == case.response


def test_a_step_on_eight_examples_lowers_their_loss(built):
    inputs = TrainBatches(open_source(built.run.train_files, built.module.SPEC), batch_size=8, seed=1)
    model = state.build_model(built.experiment.model_fn, dataclasses.replace(built.run, seed=1))
    model.jit_compile = False  # XLA takes seconds to compile what a few steps do at once
    state.build_variables(model, inputs.zeros())
    (batches,) = inputs.take(1)
    batch = tf.nest.map_structure(lambda values: values[0], batches.data)
    before = model.test_on_batch(*batch)[0]
    steps = TrainSteps(model, inputs.zeros())
    first_is_too_long = isinstance(model.optimizer, TwoOptimizers)  # the rates of 2017 are for batches of 512
    for _ in range(10 if first_is_too_long else 1):
        assert steps.train(batches) == -1
    model.reset_metrics()
    assert model.test_on_batch(*batch)[0] < before


def test_mnist_has_the_parameters_of_the_original(digits):
    built = CASES["mnist"].build(digits)
    assert built.experiment.model_fn().count_params() == 3_274_634


def test_an_experiment_outside_the_package_is_trained_by_its_import_path(train, flowers, tmp_path):
    done = train("tests.iris_experiment", data_dir=flowers, job_dir=str(tmp_path), hidden_units=8, seed=2)[-1]
    assert done["global_step"] == 150  # 20 passes over 240 rows, 32 a step
    assert done["metrics"]["accuracy"] > 0.9
    instance = dict(zip(SIZES, (6.7, 3.1, 5.8, 2.2), strict=True))
    (prediction,) = serving.predict(serving.load(locate(str(tmp_path))), [instance])
    assert prediction["species"] == "virginica"
    assert sum(prediction["probabilities"]) == pytest.approx(1)
