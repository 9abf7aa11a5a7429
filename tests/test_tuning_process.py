"""A trial as a process: what it is told, what is known of its end, and that it does end."""

import dataclasses
import signal
import time

import pytest

from tests.trials import block, starter, study_in, words
from trainer import processes
from trainer.tuning.search import Trial


DEADLINE_S = 200


@pytest.fixture
def start(tmp_path):
    """Starts a trial with a kind; whatever it leaves is killed."""
    started = []

    def begin(kind, **environ):
        study = study_in(tmp_path, block(words("kind", kind)))
        started.append(starter(study, **environ)(Trial("1", {"kind": kind})))
        return started[-1]

    yield begin
    for each in started:
        each.stop()
        each.stop()


def until(what):
    began = time.monotonic()
    while not (found := what()):
        assert time.monotonic() - began < DEADLINE_S, "waited in vain"
        time.sleep(0.02)
    return found


def code(started):
    return until(lambda: (started.poll(),) if started.poll() is not None else None)[0]


@pytest.mark.parametrize(
    ("kind", "ended", "error"),
    [
        ("good", 0, ""),
        ("usage", 2, "--kind: usage: expected another"),
        ("fails", 1, "ValueError: no luck"),
        ("killed", -signal.SIGKILL, ""),
    ],
)
def test_its_end_and_its_own_words_are_known(start, kind, ended, error):
    started = start(kind)
    assert code(started) == ended
    assert started.error() == error


def test_what_it_said_when_it_was_started_before_is_not_its_error_now(start):
    assert code(start("fails")) == 1
    again = start("good")
    assert code(again) == 0
    assert again.error() == ""


def test_it_is_alone_whatever_the_tuner_is_part_of(start, tmp_path):
    named = {"CLUSTER_SPEC": "{", "AIP_MODEL_DIR": "a", "AIP_CHECKPOINT_DIR": "b", "AIP_TENSORBOARD_LOG_DIR": "c"}
    started = start("good", TF_CONFIG="{", CLOUD_ML_TRIAL_ID="9", CLOUD_ML_HP_METRIC_FILE="/nowhere", **named)
    assert code(started) == 0
    assert (tmp_path / "1" / "output.metrics").exists()


def test_asked_to_stop_it_saves_and_what_it_measured_stays(start):
    started = start("waits")
    until(started.measurements)
    started.stop()
    assert code(started) == 143
    assert [each.step for each in started.measurements()] == [1]


def test_one_that_does_not_hear_is_killed_when_asked_again(start):
    started = start("deaf")
    until(started.measurements)
    started.stop()
    assert started.poll() is None
    started.stop()
    assert code(started) == -signal.SIGKILL


def test_one_that_does_not_hear_is_killed_after_a_while(start, monkeypatch):
    monkeypatch.setattr(processes, "PATIENCE", dataclasses.replace(processes.PATIENCE, asked_s=0.3))
    started = start("deaf")
    until(started.measurements)
    started.stop()
    assert code(started) == -signal.SIGKILL
