"""TFRecord and IDX files: read, written, and refused with one clear line when they are not whole."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import RunError, UsageError
from trainer.inputs import records
from trainer.inputs.spec import InputSpec, category, integer, number, pixels, vector
from trainer.storage import paths


REAL = Path(os.environ.get("TRAINER_DATA", Path(__file__).parents[2] / "shared" / "data")) / "mnist"
needs_real_digits = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real digits in {REAL}; set TRAINER_DATA")

SPEC = InputSpec((pixels("inputs", 6, record="image_raw"),), integer("label"))
IMAGES = np.arange(5 * 6, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def put(tmp_path):
    """Write bytes, compressed where the name says so; returns the path."""

    def write(name, content):
        path = str(tmp_path / name)
        paths.write_bytes(path, gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


def images_of(unit, spec=SPEC):
    columns = records.read_images(spec, unit)
    return columns["inputs"].tolist(), columns["label"].tolist()


def read_tfrecord(path, spec=SPEC):
    return records.read_tfrecord(spec, records.whole_unit(path))


def error_of(call, kind=RunError):
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def examples(path, *features):
    """A TFRecord file by TensorFlow itself, an Example for each dict."""
    with tf.io.TFRecordWriter(str(path)) as file:
        for values in features:
            example = tf.train.Example()
            for key, value in values.items():
                feature = example.features.feature[key]
                if isinstance(value, bytes):
                    feature.bytes_list.value.append(value)
                elif isinstance(value, int):
                    feature.int64_list.value.append(value)
                else:
                    feature.float_list.value.extend(np.atleast_1d(value))
            file.write(example.SerializeToString())
    return str(path)


@pytest.mark.parametrize("images_end", ["", ".gz"])
@pytest.mark.parametrize("labels_end", ["", ".gz"])
def test_images_find_their_labels_whichever_is_compressed(put, images_end, labels_end):
    images = put(f"train-images-idx3-ubyte{images_end}", idx(IMAGES))
    labels = put(f"train-labels-idx1-ubyte{labels_end}", idx(LABELS))

    (unit,) = records.idx_units(SPEC, [labels, images])

    assert images_of(unit) == (IMAGES.reshape(5, 6).tolist(), LABELS.tolist())
    assert (records.count_idx(images), records.count_idx(labels)) == (5, 0)


def test_images_without_labels_are_refused(put):
    images = put("train-images-idx3-ubyte", idx(IMAGES))

    assert error_of(lambda: records.idx_units(SPEC, [images]), UsageError) == (
        f"{images}: no labels file; expected {images.replace('images-idx3', 'labels-idx1')} among the files"
    )


def test_labels_without_images_are_refused(put):
    labels = put("train-labels-idx1-ubyte", idx(LABELS))

    assert error_of(lambda: records.idx_units(SPEC, [labels]), UsageError) == (
        f"{labels}: no images file beside it; a glob must match both"
    )


def test_idx_files_are_refused_where_the_spec_asks_for_other_columns(put):
    spec = InputSpec((number("age"),), number("weight"))

    assert "an IDX file, which holds pixels and integer labels" in error_of(
        lambda: records.idx_units(spec, ["train-images-idx3-ubyte"]), UsageError
    )


def unit_of(put, images, labels):
    files = [put("a-images-idx3-ubyte", images), put("a-labels-idx1-ubyte", labels)]
    return records.idx_units(SPEC, files)[0]


def test_an_image_file_cut_short_is_an_error(put):
    unit = unit_of(put, idx(IMAGES)[:-4], idx(LABELS))

    assert error_of(lambda: images_of(unit)) == (
        f"{unit.path}: cut short: 26 bytes of data, expected 30 for shape 5x2x3"
    )


def test_an_image_file_with_more_than_its_header_says_is_an_error(put):
    unit = unit_of(put, idx(IMAGES) + b"more", idx(LABELS))

    assert "too long: 34 bytes of data, expected 30" in error_of(lambda: images_of(unit))


def test_labels_and_images_of_different_counts_are_an_error(put):
    unit = unit_of(put, idx(IMAGES), idx(LABELS[:4]))

    assert error_of(lambda: images_of(unit)) == f"{unit.labels.path}: 4 labels for the 5 images of {unit.path}"


def test_images_of_another_size_are_an_error(put):
    unit = unit_of(put, idx(IMAGES[:, :1]), idx(LABELS))

    assert error_of(lambda: images_of(unit)) == f"{unit.path}: 3 pixels an image, expected 6"


def test_a_file_of_no_images_has_no_rows(put):
    assert images_of(unit_of(put, idx(IMAGES[:0]), idx(LABELS[:0]))) == ([], [])


@pytest.mark.parametrize("content", [b"", b"\x89PNG....", idx(IMAGES)[:3]])
def test_a_file_that_is_no_idx_is_an_error(put, content):
    path = put("a-images-idx3-ubyte", content)

    assert (
        error_of(lambda: records.read_idx(path)) == f"{path}: not an IDX file of bytes; it starts with {content[:4]!r}"
    )


def test_a_truncated_gzip_of_images_is_an_error(tmp_path):
    path = str(tmp_path / "a-images-idx3-ubyte.gz")
    paths.write_bytes(path, gzip.compress(os.urandom(5000))[:-2000])

    assert error_of(lambda: records.read_idx(path)).startswith(f"{path}: not a whole gzip file: ")


@needs_real_digits
def test_the_real_test_digits_begin_with_seven_two_one(tmp_path):
    files = [str(REAL / name) for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")]
    spec = InputSpec((pixels("inputs", 784, record="image_raw"),), integer("label"))

    (unit,) = records.idx_units(spec, files)
    columns = records.read_images(spec, unit)

    assert columns["label"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert columns["inputs"].shape == (10_000, 784)


@pytest.mark.parametrize("name", ["train.tfrecords", "train.tfrecords.gz"])
def test_what_is_written_in_the_layout_of_2017_is_read_again(tmp_path, name):
    path = str(tmp_path / name)

    records.write_tfrecord(path, IMAGES, LABELS)
    columns = read_tfrecord(path)

    assert columns["inputs"].tolist() == IMAGES.reshape(5, 6).tolist()
    assert columns["label"].tolist() == LABELS.tolist()
    assert (columns["inputs"].dtype, columns["label"].dtype) == (np.uint8, np.int32)
    assert records.count_tfrecord(path) == 5
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(("name", "compression"), [("train.tfrecords", ""), ("train.tfrecords.gz", "GZIP")])
def test_tensorflow_reads_the_layout_of_2017(tmp_path, name, compression):
    path = str(tmp_path / name)
    records.write_tfrecord(path, IMAGES, LABELS)
    scalars = {key: tf.io.FixedLenFeature([], tf.int64) for key in ("height", "width", "depth", "label")}

    parsed = [
        tf.io.parse_single_example(record, scalars | {"image_raw": tf.io.FixedLenFeature([], tf.string)})
        for record in tf.data.TFRecordDataset(path, compression)
    ]

    assert [int(example["label"]) for example in parsed] == LABELS.tolist()
    assert {(int(e["height"]), int(e["width"]), int(e["depth"])) for e in parsed} == {(2, 3, 1)}
    assert [list(example["image_raw"].numpy()) for example in parsed] == IMAGES.reshape(5, 6).tolist()


def test_images_that_do_not_fit_their_labels_are_not_written(tmp_path):
    path = str(tmp_path / "train.tfrecords")

    assert "images uint8(5, 2, 3) and labels (4,)" in error_of(
        lambda: records.write_tfrecord(path, IMAGES, LABELS[:4]), UsageError
    )
    assert os.listdir(tmp_path) == []


def test_more_records_than_one_parse_takes_keep_their_order(tmp_path):
    count = records.EXAMPLES_A_PARSE + 3
    path = str(tmp_path / "train.tfrecords")

    records.write_tfrecord(path, np.zeros((count, 2, 3), np.uint8), np.arange(count))

    assert read_tfrecord(path)["label"].tolist() == list(range(count))


def test_an_example_may_hold_words_numbers_and_vectors(tmp_path):
    spec = InputSpec((category("sex", ("m", "f")), number("age", default=9.0), vector("v", 2)), number("y"))
    path = examples(
        tmp_path / "x.tfrecord",
        {"sex": b"f", "age": 30.0, "v": [1.0, 2.0], "y": 5.0},
        {"sex": b"?", "age": float("nan"), "v": [3.0, 4.0], "y": 6.0},
    )

    columns = read_tfrecord(path, spec)

    assert {name: values.tolist() for name, values in columns.items()} == {
        "sex": [1, 2], "age": [30, 9], "v": [[1, 2], [3, 4]], "y": [5, 6],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (40, "record 0: damaged: its data has a bad checksum"),
        (3, "record 0: damaged or cut short: its length has a bad"),
    ],
)
def test_a_tfrecord_with_a_bad_checksum_is_an_error(tmp_path, at, problem):
    path = str(tmp_path / "train.tfrecords")
    records.write_tfrecord(path, IMAGES, LABELS)
    content = bytearray(paths.read_bytes(path))
    content[at] ^= 1
    paths.write_bytes(path, bytes(content))

    assert error_of(lambda: read_tfrecord(path)).startswith(f"{path}: {problem}")
    assert error_of(lambda: records.count_tfrecord(path)).startswith(f"{path}: {problem}")


@pytest.mark.parametrize("left_out", [1, 30, 120])
def test_a_tfrecord_cut_short_is_an_error(tmp_path, left_out):
    path = str(tmp_path / "train.tfrecords")
    records.write_tfrecord(path, IMAGES, LABELS)
    paths.write_bytes(path, paths.read_bytes(path)[:-left_out])

    message = error_of(lambda: read_tfrecord(path))

    assert message.startswith(f"{path}: record ")
    assert "cut short" in message


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        ({"label": 1, "image_raw": b"12345"}, "record 1: column inputs: 5 bytes, expected 6"),
        (
            {"label": 2**31, "image_raw": b"123456"},
            "record 1: column label: 2147483648 is not an integer of at most 32",
        ),
        ({"image_raw": b"123456"}, "a record from 0 on does not fit: "),
        ({"label": 1.5, "image_raw": b"123456"}, "a record from 0 on does not fit: "),
    ],
    ids=["short_image", "large_label", "no_label", "label_of_another_type"],
)
def test_a_record_that_is_not_as_the_spec_says_is_an_error(tmp_path, example, problem):
    path = examples(tmp_path / "x.tfrecord", {"label": 1, "image_raw": b"123456"}, example)

    message = error_of(lambda: read_tfrecord(path))

    assert message.startswith(f"{path}: {problem}")
    assert "\n" not in message


def test_a_label_that_is_no_number_is_an_error(tmp_path):
    path = examples(tmp_path / "x.tfrecord", {"age": 1.0, "y": float("nan")})

    assert error_of(lambda: read_tfrecord(path, InputSpec((number("age"),), number("y")))) == (
        f"{path}: record 0: column y: nan is a missing value, expected a number"
    )


def test_words_in_another_spelling_stop_the_run_for_tfrecords_too(tmp_path):
    path = examples(tmp_path / "x.tfrecord", *[{"sex": b"M", "y": 1.0}] * 10)

    message = error_of(lambda: read_tfrecord(path, InputSpec((category("sex", ("m", "f")),), number("y"))))

    assert message.startswith(f"{path}: column sex: 10 of 10 values are not in the vocabulary, such as 'M'")
