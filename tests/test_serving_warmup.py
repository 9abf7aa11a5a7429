"""The warm-up file: byte for byte what TensorFlow Serving reads, and never a reason not to serve."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import RunError
from trainer.serving import warmup


BIRTH = {"x": np.array([1.5, -2.0], np.float32), "sex": np.array([b"True"], object)}
RECORD = (  # as tensorflow-serving-api 2.21 serializes it
    b"2E\nC"  # predict_log, request
    b"\n\x11\x1a\x0fserving_default"  # model_spec, signature_name
    b"\x12\x15\n\x03sex\x12\x0e\x08\x07\x12\x04\x12\x02\x08\x01B\x04True"  # inputs: DT_STRING, shape (1,), string_val
    b'\x12\x17\n\x01x\x12\x12\x08\x01\x12\x04\x12\x02\x08\x02"\x08\x00\x00\xc0?\x00\x00\x00\xc0'  # tensor_content
)
FRAMED = b"G\0\0\0\0\0\0\0\xba\xc3\xfb\x9b" + RECORD + b"38z\xb6"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / warmup.NAME)


def write_records(path, *records):
    with tf.io.TFRecordWriter(path) as file:
        for record in records:
            file.write(record)


def test_a_request_is_written_byte_for_byte_as_tensorflow_serving_has_it(path):
    warmup.write(path, [("serving_default", BIRTH)])
    with open(path, "rb") as file:
        assert file.read() == FRAMED


def test_a_request_is_read_from_the_bytes_that_tensorflow_serving_has(path):
    with open(path, "wb") as file:
        file.write(FRAMED)
    ((signature_name, columns),) = warmup.read(path)
    assert signature_name == "serving_default"
    assert columns.keys() == BIRTH.keys()
    for key, values in columns.items():
        np.testing.assert_array_equal(values, BIRTH[key])
        assert values.dtype == BIRTH[key].dtype


def test_what_is_written_is_read_in_order(path):
    requests = [
        ("b", {"words": np.array([[b"a\0", "ä".encode()], [b"", b"NaN"]], object)}),
        ("a", {"ids": np.array([2**40, -1]), "pixels": np.zeros((1, 784), np.uint8)}),
        ("b", {"flags": np.array([True, False]), "doubles": np.array([np.nan, np.inf])}),
        ("a", {"none": np.zeros((0, 3), np.float32)}),
    ]
    warmup.write(path, requests)
    read = warmup.read(path)
    assert [name for name, _ in read] == ["b", "a", "b", "a"]
    for (_, columns), (_, expected) in zip(read, requests, strict=True):
        assert columns.keys() == expected.keys()
        for key, values in expected.items():
            np.testing.assert_array_equal(columns[key], values)
            assert columns[key].dtype == values.dtype


@pytest.mark.parametrize("size", [1, 25, 40, 60, 6000, 300_000])  # lengths of one byte to three
def test_a_request_may_be_of_any_size(path, size):
    values = np.arange(size, dtype=np.float32)[None]
    warmup.write(path, [("serving_default", {"x": values})])
    ((_, columns),) = warmup.read(path)
    np.testing.assert_array_equal(columns["x"], values)


def test_no_more_requests_are_written_than_tensorflow_serving_takes(path):
    warmup.write(path, ((str(i), {"x": np.zeros(1)}) for i in range(1500)))
    assert [name for name, _ in warmup.read(path)] == [str(i) for i in range(1000)]


def test_a_request_that_names_no_signature_is_for_the_default(path):
    write_records(path, RECORD.replace(b"2E\nC\n\x11\x1a\x0fserving_default", b"22\n0"))
    ((signature_name, columns),) = warmup.read(path)
    assert (signature_name, len(columns)) == ("serving_default", 2)


def test_a_file_without_requests_has_none(path):
    write_records(path)
    assert warmup.read(path) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not a TFRecord file", "record 0: damaged or cut short"),
        (FRAMED + FRAMED[:-9], "record 1: cut short"),
        (FRAMED[:40] + b"\xff" + FRAMED[41:], "record 0: damaged"),
    ],
    ids=["foreign", "cut short", "damaged"],
)
def test_a_damaged_file_is_one_clear_error(path, content, said):
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(RunError) as error:
        warmup.read(path)
    assert str(error.value).startswith(f"{path}: {said}")


EXAMPLE = tf.train.Example(
    features=tf.train.Features(feature={"x": tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))})
).SerializeToString()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (EXAMPLE, "a PredictionLog without inputs"),
        (b"", "a PredictionLog without inputs"),
        (b"\x1a\x02\n\0", "a PredictionLog without inputs"),  # of a regression
        (b"\xff\xff", "not a PredictionLog"),
        (RECORD[:-1], "not a PredictionLog"),
        (RECORD.replace(b"\x12\x04\x12\x02\x08\x02", b"\x12\x04\x12\x02\x08\x03"), "not a PredictionLog"),  # 3 of 2
        (RECORD.replace(b"\x12\x12\x08\x01", b"\x12\x12\x08\x7e"), "not a PredictionLog"),  # of no dtype
        (RECORD.replace(b"\x0e\x08\x07", b"\x0e\x0f\x07"), "not a PredictionLog"),  # no TensorProto
    ],
    ids=["example", "empty", "regression", "noise", "short", "shape", "dtype", "tensor"],
)
def test_a_record_of_anything_else_is_one_clear_error(path, record, said):
    write_records(path, RECORD, record)
    with pytest.raises(RunError) as error:
        warmup.read(path)
    assert str(error.value).startswith(f"{path}: record 1: {said}")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_clear_error(path):
    with pytest.raises(RunError, match="tf_serving_warmup_requests"):
        warmup.read(path)


def test_the_classes_of_tensorflow_serving_read_it(path):
    api = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="the package tensorflow-serving-api is not installed"
    )
    warmup.write(path, [("serving_default", BIRTH)])
    assert len(warmup.read(path)) == 1  # beside its classes, of the same names
    (record,) = tf.data.TFRecordDataset(path).as_numpy_iterator()
    log = api.PredictionLog.FromString(record)
    assert log.WhichOneof("log_type") == "predict_log"
    assert log.SerializeToString(deterministic=True) == record == RECORD
    request = log.predict_log.request
    assert request.model_spec.signature_name == "serving_default"
    for key, values in BIRTH.items():
        np.testing.assert_array_equal(tf.make_ndarray(request.inputs[key]), values)
