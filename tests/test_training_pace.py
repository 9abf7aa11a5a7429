"""How many steps a call takes and when it is time for a stop, with a clock that is given."""

import pytest

from trainer.settings.run import Run
from trainer.training.pace import Pace


def paced(*, train_steps=1000, room=100, **flags):
    return Pace(Run(train_batch_size=10, **flags), train_steps=train_steps, room=room)


def called(pace, *calls):
    """Make calls of so many seconds a step; return how many steps each took."""
    now, taken = 0.0, []
    pace.begin(now)
    for seconds_a_step in calls:
        steps = pace.call(1000, now)
        now += steps * seconds_a_step
        pace.called(steps, now)
        taken.append(steps)
    return taken


@pytest.mark.parametrize(
    ("flags", "step", "stop"),
    [
        ({"eval_every": 300}, 0, 300),
        ({"eval_every": 300}, 299, 300),
        ({"eval_every": 300}, 300, 600),  # a stop is at a multiple, wherever the run began
        ({"eval_every": 300}, 950, 1000),
        ({}, 0, 100),
        ({"train_steps": 5}, 0, 1),
        ({"train_steps": 0}, 0, 0),
        ({"eval_every_secs": 5.0}, 10, 1000),
    ],
)
def test_the_next_stop_is_at_a_multiple_of_the_interval_or_at_the_end(flags, step, stop):
    assert paced(**flags).next_stop(step) == stop


@pytest.mark.parametrize(
    ("flags", "seconds", "is_time"),
    [
        ({"eval_every_secs": 5.0}, 4.9, False),
        ({"eval_every_secs": 5.0}, 5.0, True),
        ({"eval_every": 300}, 1e6, False),
        ({}, 59.0, False),
        ({}, 60.0, True),
    ],
)
def test_it_is_time_for_a_stop_after_the_seconds_that_are_asked_for(flags, seconds, is_time):
    pace = paced(**flags)
    pace.begin(100.0)
    assert pace.is_time(100.0 + seconds) == is_time


def test_the_first_two_calls_are_of_one_step_the_others_of_about_a_second():
    assert called(paced(), 30.0, 0.02, 0.02, 0.02) == [1, 1, 50, 50]


def test_a_call_takes_no_more_than_there_is_room_for_and_never_none():
    assert called(paced(room=7), 30.0, 0.001, 0.001) == [1, 1, 7]
    assert called(paced(), 30.0, 5.0, 5.0) == [1, 1, 1]


def test_a_call_takes_no_more_steps_than_are_left():
    pace = paced()
    called(pace, 30.0, 0.01)
    assert pace.call(3, 0.0) == 3


def test_the_speed_is_that_since_the_last_stop_without_the_call_that_compiled():
    pace = paced()
    called(pace, 30.0)
    assert pace.examples_per_second == pytest.approx(10 / 30)
    called(pace, 0.5)
    assert pace.examples_per_second == pytest.approx(20)
    pace.begin(0.0)
    assert pace.examples_per_second == 0
