"""What a tuner is told is what the journal says, and nothing else."""

import json
import math

import pytest

from trainer.errors import RunError
from trainer.settings.places import Places
from trainer.training import trial
from trainer.tuning.metric_file import Measurement


LINES = (
    {"step": 10, "rmse": 2.5, "loss": 6.25, "train_rmse": 3.0, "time": 1.5e9},
    {"step": 20, "train_rmse": 2.0, "time": 1.6e9},
    {"step": 30, "rmse": 1.5, "time": 1.7e9},
    {"step": 40, "rmse": 1.25},
)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("rmse", [Measurement(10, 2.5, 1.5e9), Measurement(30, 1.5, 1.7e9), Measurement(40, 1.25, 0.0)]),
        ("loss", [Measurement(10, 6.25, 1.5e9)]),
        ("accuracy", []),
    ],
)
def test_each_evaluation_is_a_measurement_and_a_stop_without_one_is_none(metric, expected):
    assert trial.measurements(LINES, metric) == expected


def test_what_is_no_number_stays_none_after_it_was_read_again():
    (first, again) = trial.measurements([{"step": 1, "rmse": math.nan}, {"step": 2, "rmse": None}], "rmse")
    assert math.isnan(first.value)
    assert math.isnan(again.value)


@pytest.mark.parametrize(("evaluations", "kept"), [(0, []), (3, [0, 1, 2]), (101, [*range(1, 101)])])
def test_the_file_has_the_last_100_with_the_metric_s_name_and_the_trial(evaluations, kept, tmp_path):
    path = tmp_path / "hypertune" / "output.metrics"
    report = trial.reporter(Places("c", "e", metric_file=str(path), trial="7"), "rmse")
    report([{"step": step, "rmse": step / 4, "time": 1.5e9 + step} for step in range(evaluations)])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "checkpoint_path": "",
            "global_step": str(step),
            "rmse": str(step / 4),
            "timestamp": 1.5e9 + step,
            "trial": "7",
        }
        for step in kept
    ]


def test_a_file_that_cannot_be_written_is_named_with_its_variable(tmp_path):
    report = trial.reporter(Places("c", "e", metric_file=str(tmp_path)), "rmse")
    with pytest.raises(RunError, match=f"^CLOUD_ML_HP_METRIC_FILE: {tmp_path}: is a directory$"):
        report(LINES)
