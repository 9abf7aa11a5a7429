"""The model as it is trained on several devices of a process: as on one, but for what is to differ.

A process has its devices before TensorFlow starts, so most of this is tried by another: `tests/two_devices.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import linear_experiment
from trainer.inputs.batches import Batches
from trainer.settings.cluster import ALONE
from trainer.training import replicas, strategy


ROOT = Path(__file__).parent.parent
ROUNDING = 1e-9


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What was found on two devices."""
    command = [sys.executable, "-m", "tests.two_devices", str(tmp_path_factory.mktemp("two"))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_auto_mirrors_where_there_are_several_devices_and_only_there(found, tmp_path):
    assert found["after_some_steps"]["kinds"] == ["Here", "Mirrored"]
    csv = linear_experiment.write_rows(tmp_path / "rows.csv")
    experiment, run = linear_experiment.define(tmp_path, csv)
    assert type(strategy.build(experiment, run, ALONE, "auto")).__name__ == "Here"


def test_two_devices_come_to_the_weights_and_metrics_of_one(found):
    after = found["after_some_steps"]
    assert after["moved"] > 0.1
    assert after["weights"] < ROUNDING
    assert after["metrics"] < ROUNDING
    assert after["optimizer"] == 0.0


def test_to_begin_the_metrics_anew_leaves_the_weights(found):
    assert found["after_some_steps"]["metrics after a reset"] == 0.0
    assert found["after_some_steps"]["weights after a reset"] == 0.0


def test_each_device_leaves_out_units_of_its_own(found):
    """A unit that one kept and the other left out has moved half as far as one that both kept."""
    assert found["masks"] == [0.0, 2.0, 4.0]


def test_a_batch_that_the_devices_cannot_share_is_refused_in_one_line(found):
    line = "--train-batch-size: 7 examples for 2 devices; expected a multiple of them"
    assert found["refusal"] == line


def test_what_is_pulled_and_pushed_back_is_the_same_to_the_bit(found):
    assert found["round_trip"] == {"same": True, "given": 0.0, "variables": 6}


def test_what_a_callback_changes_is_what_is_trained_from_the_first_step_on(found):
    assert found["changes"]["stood"] == 0.0  # at a rate of 0, set before anything was pulled
    assert found["changes"]["halves"] == 0.0  # the weights that were set, at that rate still
    assert found["changes"]["moved"] > 0.01


def test_a_rate_by_the_epoch_is_followed_as_on_one_device(found):
    assert found["scheduled"]["rate"] == pytest.approx(0.1 / 3)
    assert found["scheduled"]["weights"] < ROUNDING
    assert found["scheduled"]["metrics"] < ROUNDING


@pytest.mark.parametrize("where", ["default, row 6", "mirrored, row 1", "mirrored, row 6"])
def test_a_loss_that_is_not_finite_is_found_at_its_step_whichever_device_has_it(where, found):
    assert found["steps_with_a_bad_loss"][where] == [-1, 2]


def test_a_bad_step_is_counted_from_the_first_of_all_calls_and_ends_them():
    class Input:
        def take(self, steps):
            return [Batches(size, None) for size in (3, 2, steps - 5)]

    results = [-1, 1]
    assert replicas.train_each(lambda batches: results.pop(0), Input(), 9) == 3 + 1
    assert replicas.train_each(lambda batches: -1, Input(), 9) == -1


def test_a_job_that_was_interrupted_between_two_stops_ends_with_the_same_weights(found):
    assert found["resumed"]["code"] == 143
    assert found["resumed"]["saved"] % 4
    assert found["resumed"]["same"]
