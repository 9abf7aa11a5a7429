"""TensorBoard's event files, as TensorFlow reads them back."""

import pytest
import tensorflow as tf

from trainer.training.events import Events


LINES = (
    {"step": 10, "rmse": 2.5, "train_loss": 8.0, "examples_per_second": 100.0, "time": 1.5e9, "loss": 6.0},
    {"step": 20, "rmse": 1.5, "train_loss": 4.0, "examples_per_second": 200.0, "time": 1.6e9, "loss": 2.0},
)


def never(job):
    raise AssertionError("on a disk there is nothing to send anywhere")


def started(job_dir):
    return Events(str(job_dir), every_s=60.0, submit=never)


def scalars(folder):
    """The steps and values of each tag in the event files right in a folder."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def test_the_scalars_of_training_are_in_the_job_dir_and_those_of_evaluation_in_eval(tmp_path):
    events = started(tmp_path)
    for line in LINES:
        events.add(line, now=0.0)
    events.close()
    assert scalars(tmp_path) == {
        "loss": [(10, 8.0), (20, 4.0)],
        "examples_per_second": [(10, 100.0), (20, 200.0)],
    }
    assert scalars(tmp_path / "eval") == {"rmse": [(10, 2.5), (20, 1.5)], "loss": [(10, 6.0), (20, 2.0)]}


def test_every_stop_can_be_read_before_the_run_ends(tmp_path):
    events = started(tmp_path)
    for line in LINES:
        events.add(line, now=0.0)
        assert scalars(tmp_path)["loss"][-1] == (line["step"], line["train_loss"])
        assert scalars(tmp_path / "eval")["rmse"][-1] == (line["step"], line["rmse"])
    events.close()


@pytest.mark.parametrize("value", [None, True, "text", [1.0]])
def test_what_is_no_number_is_left_out(value, tmp_path):
    events = started(tmp_path)
    events.add({"step": 10, "rmse": value, "loss": 6}, now=0.0)
    events.close()
    assert scalars(tmp_path / "eval") == {"loss": [(10, 6.0)]}


def test_a_later_process_leaves_the_files_of_an_earlier_one(tmp_path):
    for line in LINES:
        events = started(tmp_path)
        events.add(line, now=0.0)
        events.close()
    assert sorted(scalars(tmp_path)["loss"]) == [(10, 8.0), (20, 4.0)]
    assert sorted(scalars(tmp_path / "eval")["rmse"]) == [(10, 2.5), (20, 1.5)]
