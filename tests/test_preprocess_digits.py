"""`python -m trainer.preprocess mnist`: IDX files in, the TFRecords of 2017 out."""

import gzip
import json

import numpy as np
import pytest

from tests.preprocessing import done, run
from trainer.inputs.source import open_source
from trainer.preprocessing import folder
from trainer.preprocessing.digits import NAMES
from trainer.samples import mnist
from trainer.settings import experiments
from trainer.storage import paths


@pytest.fixture(scope="module")
def records(digits, tmp_path_factory):
    """The TFRecords of 300 and 130 digits, 40 of them for validation, and the last line."""
    output = tmp_path_factory.mktemp("records") / "out"
    return output, done("mnist", "--input", digits, "--output", output, "--validation-size", 40)


def test_digits_become_the_three_files_of_2017(digits, records):
    output, line = records
    assert line == {
        "severity": "INFO",
        "message": "done",
        "output": str(output),
        "rows": {"train": 260, "validation": 40, "test": 130},
    }
    assert paths.list_names(str(output)) == ["stats.json", "test.tfrecords", "train.tfrecords", "validation.tfrecords"]
    spec = experiments.load("mnist").SPEC
    train, test = mnist.read(digits)
    expected = {"train": (train, slice(40, None)), "validation": (train, slice(0, 40)), "test": (test, slice(None))}
    for part, (source, few) in expected.items():
        opened = open_source((f"{output}/{part}.tfrecords",), spec)
        columns = opened.read(opened.units[0])
        assert (columns["inputs"] == source.images.reshape(-1, 784)[few]).all()
        assert (columns["label"] == source.labels[few]).all()
        counts = json.loads((output / folder.STATS).read_text())[part]["labels"]
        assert list(counts.values()) == np.bincount(source.labels[few], minlength=10).tolist()


def test_records_are_those_of_create_records(records):
    import tensorflow as tf

    record = next(iter(tf.data.TFRecordDataset(str(records[0] / "train.tfrecords")))).numpy()
    features = tf.train.Example.FromString(record).features.feature
    found = {name: list(feature.int64_list.value) for name, feature in features.items() if name != "image_raw"}
    assert {name: value for name, value in found.items() if name != "label"} == {
        "height": [28],
        "width": [28],
        "depth": [1],
    }
    assert len(found["label"]) == 1
    assert len(features["image_raw"].bytes_list.value[0]) == 784


def test_the_experiment_finds_and_trains_on_the_records(train, records, tmp_path):
    lines = train("mnist", data_dir=str(records[0]), job_dir=str(tmp_path), train_steps=2, train_batch_size=20)
    assert lines[-1]["global_step"] == 2
    files = json.loads((tmp_path / "run.json").read_text())
    assert "train.tfrecords" in str(files)
    assert "validation" not in str(files)


def test_the_same_digits_give_the_same_bytes_compressed_or_not_and_a_whole_folder_is_left_alone(
    digits, records, tmp_path
):
    for name in (*mnist.TRAIN, *mnist.TEST):
        content = paths.read_bytes(mnist.find(digits, name))
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    words = ("mnist", "--input", tmp_path, "--output", tmp_path / "out", "--validation-size", 40)
    assert done(*words)["message"] == "done"
    for name in NAMES:
        assert (tmp_path / "out" / name).read_bytes() == (records[0] / name).read_bytes()
    assert done(*words)["message"] == "nothing to do"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["--validation-size", "300"],
            "--validation-size: 300: expected 0 to 299, so that some of the 300 training images",
        ),
        (["--validation-size", "-1"], "--validation-size: -1: expected 0 to 299"),
        (
            ["--validation-size", "40", "--", "--project=p"],
            "--project=p: unexpected; only babyweight has a pipeline with",
        ),
    ],
)
def test_a_mistake_with_digits_is_one_line(digits, tmp_path, words, problem):
    code, out, err = run("mnist", "--input", digits, "--output", tmp_path / "out", *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"trainer.preprocess: error: {problem}")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_the_four_files_is_refused(tmp_path):
    code, _, err = run("mnist", "--input", tmp_path, "--output", tmp_path / "out")
    assert code == 2
    expected = f"{tmp_path}: has no train-images-idx3-ubyte.gz; expected the four IDX files of MNIST"
    assert err == [f"trainer.preprocess: error: {expected}"]
