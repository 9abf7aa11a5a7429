"""The metric file is cloudml-hypertune's: the same lines, and what it writes is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.tuning import metric_file
from trainer.tuning.metric_file import Measurement


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MEASUREMENTS = st.lists(st.builds(Measurement, step=st.integers(0, 2**60), value=NUMBERS, time=NUMBERS), max_size=5)


def test_a_line_has_the_keys_and_forms_of_cloudml_hypertune(tmp_path):
    path = tmp_path / "hypertune" / "output.metrics"
    metric_file.write(str(path), "rmse", [Measurement(600, 1.0625, 1795689840.5)], trial="3")
    assert path.read_text() == (
        '{"checkpoint_path": "", "global_step": "600", "rmse": "1.0625", "timestamp": 1795689840.5, "trial": "3"}\n'
    )


def test_keys_are_sorted_whatever_the_tag(tmp_path):
    path = tmp_path / "metrics"
    for tag in ("accuracy", "training/hptuning/metric", "zeta"):
        metric_file.write(str(path), tag, [Measurement(1, 2, 3)], trial="1")
        fields = json.loads(path.read_text())
        assert list(fields) == sorted(fields)
        assert fields[tag] == "2.0"


def test_outside_of_a_trial_the_trial_is_0(tmp_path):
    path = tmp_path / "metrics"
    metric_file.write(str(path), "rmse", [Measurement(1, 2.0, 3.0)], trial="")
    assert json.loads(path.read_text())["trial"] == "0"


def test_of_101_measurements_the_first_is_dropped(tmp_path):
    path = str(tmp_path / "metrics")
    measured = [Measurement(step, step / 7, step + 0.5) for step in range(101)]
    metric_file.write(path, "rmse", measured, trial="1")
    assert metric_file.read(path, "rmse") == measured[1:]


@given(measured=MEASUREMENTS)
def test_what_is_written_is_read(tmp_path_factory, measured):
    path = str(tmp_path_factory.getbasetemp() / "metrics")
    metric_file.write(path, "rmse", measured, trial="1")
    assert metric_file.read(path, "rmse") == measured
    assert metric_file.read(path, "accuracy") == []


def test_no_file_holds_no_measurements(tmp_path):
    assert metric_file.read(str(tmp_path / "none"), "rmse") == []


WHOLE = '{"global_step": "2", "rmse": "1.5", "timestamp": 9.0}'


@pytest.mark.parametrize(
    "line",
    [
        "",
        WHOLE[:-4],
        "[" * 100_000,
        "[]",
        "3",
        "null",
        '{"global_step": "2", "accuracy": "1.5", "timestamp": 9.0}',
        '{"rmse": "1.5", "timestamp": 9.0}',
        '{"global_step": "2", "rmse": "1.5"}',
        '{"global_step": "two", "rmse": "1.5", "timestamp": 9.0}',
        '{"global_step": "2", "rmse": null, "timestamp": 9.0}',
        '{"global_step": "2", "rmse": "nan", "timestamp": 9.0}',
        '{"global_step": "2", "rmse": "-inf", "timestamp": 9.0}',
        '{"global_step": 1e999, "rmse": "1", "timestamp": 9.0}',
        '{"global_step": "2", "rmse": "1.5", "timestamp": NaN}',
        "\xff\xfe",
    ],
)
def test_a_line_that_is_no_measurement_is_left_out(tmp_path, line):
    path = tmp_path / "metrics"
    path.write_bytes(f"{WHOLE}\n{line}\n{WHOLE}\n".encode("latin-1"))
    assert metric_file.read(str(path), "rmse") == [Measurement(2, 1.5, 9.0)] * 2


def test_numbers_may_be_numbers(tmp_path):
    path = tmp_path / "metrics"
    path.write_text('{"global_step": 2, "rmse": 1.5, "timestamp": 9}\n')
    assert metric_file.read(str(path), "rmse") == [Measurement(2, 1.5, 9.0)]


def test_a_bucket_holds_it_too(gcs):
    path = f"{gcs}/jobs/1/metrics"
    assert metric_file.read(path, "rmse") == []
    metric_file.write(path, "rmse", [Measurement(1, 2.0, 3.0)], trial="1")
    assert metric_file.read(path, "rmse") == [Measurement(1, 2.0, 3.0)]
