"""What a search tries next: a function of the block, the seed and what its trials have shown."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.tuning import search
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import Trial


ROOT = Path(__file__).parent.parent
RATE = {
    "parameterName": "rate", "type": "DOUBLE", "minValue": 1e-4, "maxValue": 1.0, "scaleType": "UNIT_LOG_SCALE",
}  # fmt: skip
UNITS = {"parameterName": "units", "type": "INTEGER", "minValue": 1, "maxValue": 3}
KIND = {"parameterName": "kind", "type": "CATEGORICAL", "categoricalValues": ["a", "b"]}
SIZE = {"parameterName": "size", "type": "DISCRETE", "discreteValues": [16, 64]}


def block(*params, **more):
    return {"goal": "MINIMIZE", "hyperparameterMetricTag": "rmse", "maxTrials": 12, "params": list(params), **more}


def measured(*values, every=1):
    """A curve with a measurement each so many steps."""
    return tuple(Measurement(every * (i + 1), value, 0.0) for i, value in enumerate(values))


def ended(name, values, *curve, state="SUCCEEDED", every=1):
    return Trial(str(name), values, state, measured(*curve, every=every))


def loss(values):
    """Least, 0, at a rate of 0.01 and the kind b."""
    return abs(math.log10(values["rate"]) + 2) + (values.get("kind") == "a") + 0.1 * values.get("units", 0)


def searched(sought, trials=(), *, seed=1, most=1000):
    """The trials of a search, one after the other."""
    trials = list(trials)
    while len(trials) < most and (values := search.next_values(sought, trials, seed=seed)) is not None:
        trials.append(ended(len(trials) + 1, values, loss(values) if "rate" in values else 1.0))
    return trials


@pytest.mark.parametrize("algorithm", [None, "ALGORITHM_UNSPECIFIED", "RANDOM_SEARCH"])
def test_a_resumed_search_tries_what_the_uninterrupted_one_does(algorithm):
    sought = block(RATE, KIND, UNITS, algorithm=algorithm)
    whole = searched(sought)
    assert len(whole) == 12
    for cut in range(12):
        assert searched(sought, whole[:cut]) == whole


def test_a_search_is_the_same_in_another_process():
    code = "from tests.test_tuning_search import *; print([trial.values for trial in searched(block(RATE, KIND))])"
    outputs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, env=environ).stdout
        for environ in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]
    assert outputs[0] == outputs[1]


def test_no_draw_is_repeated_and_seeds_differ():
    sought = block(RATE, maxTrials=30, algorithm="RANDOM_SEARCH")
    rates = [[trial.values["rate"] for trial in searched(sought, seed=seed)] for seed in (1, 2)]
    assert len({*rates[0], *rates[1]}) == 60


def test_the_default_algorithm_learns_from_what_trials_have_shown():
    def late(algorithm):
        trials = [searched(block(RATE, KIND, maxTrials=30, algorithm=algorithm), seed=seed)[15:] for seed in range(6)]
        return sum(trial.final.value for each in trials for trial in each)

    assert late(None) < 0.7 * late("RANDOM_SEARCH")


def test_a_search_for_the_greatest_value_goes_the_other_way():
    least, greatest = (searched(block(RATE, maxTrials=25, goal=goal)) for goal in ("MINIMIZE", "MAXIMIZE"))
    assert max(trial.final.value for trial in greatest[-10:]) > 1.5
    assert sum(t.final.value for t in greatest[10:]) > sum(t.final.value for t in least[10:]) + 5


def test_trials_that_run_side_by_side_differ():
    sought = block(RATE, KIND, maxTrials=40)
    trials = searched(sought, most=12)
    values = []
    for _ in range(6):
        values.append(search.next_values(sought, trials, seed=1))
        trials.append(Trial(str(len(trials) + 1), values[-1]))
    rates = sorted(math.log10(each["rate"]) for each in values)
    assert min(b - a for a, b in itertools.pairwise(rates)) > 1e-4
    assert rates[-1] - rates[0] > 0.2


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_the_search_goes_where_the_best_was_but_not_where_a_trial_runs(rate):
    sought = block(RATE, maxTrials=40)
    trials = searched(sought, most=12)

    def farness(other):
        rates = [search.next_values(sought, [*trials, other], seed=seed)["rate"] for seed in range(30)]
        return sum(abs(math.log10(each / rate)) for each in rates)

    assert farness(Trial("13", {"rate": rate})) > 2 * farness(ended("13", {"rate": rate}, 0.0))


def test_failed_trials_teach_nothing_but_count():
    sought = block(RATE, maxTrials=8)
    failed = [Trial(str(i), {"rate": 0.1}, "FAILED", measured(0.0)) for i in range(1, 8)]
    assert search.next_values(sought, failed, seed=1)
    assert search.next_values(sought, [*failed, failed[0]], seed=1) is None


@pytest.mark.parametrize(("given", "trials"), [({"maxTrials": 3}, 3), ({"maxTrials": "3"}, 3), ({"maxTrials": 1}, 1)])
def test_there_are_as_many_trials_as_the_block_says(given, trials):
    assert len(searched(block(RATE, **given))) == trials


def test_a_block_that_does_not_say_has_one_trial():
    assert len(searched({"params": [RATE]})) == 1


def test_a_grid_is_gone_through_in_order_and_ends():
    sought = block(UNITS, KIND, SIZE, algorithm="GRID_SEARCH", maxTrials=100)
    tried = [tuple(trial.values.values()) for trial in searched(sought)]
    assert tried == list(itertools.product((1, 2, 3), ("a", "b"), (16, 64)))


def test_a_grid_ends_with_the_trials_of_the_block():
    assert len(searched(block(UNITS, KIND, algorithm="GRID_SEARCH", maxTrials=4))) == 4


@pytest.mark.parametrize("algorithm", [None, "RANDOM_SEARCH"])
def test_values_that_are_all_tried_are_not_tried_again(algorithm):
    trials = searched(block(UNITS, KIND, algorithm=algorithm, maxTrials=100))
    tried = {tuple(trial.values.values()) for trial in trials}
    assert len(trials) == len(tried) == 6


def test_the_best_come_first_and_those_that_count_not_last():
    trials = [
        Trial("1", {}, "FAILED", measured(0.1)),
        Trial("2", {}, "SUCCEEDED", measured(1.0, 3.0)),
        Trial("3", {}, "RUNNING"),
        Trial("4", {}, "STOPPED", measured(2.0)),
        Trial("5", {}, "RUNNING", measured(2.5)),
    ]
    least, greatest = (
        [trial.id for trial in search.best_first({"goal": goal}, trials)] for goal in ("MINIMIZE", "MAXIMIZE")
    )
    assert least == ["4", "5", "2", "1", "3"]
    assert greatest == ["2", "5", "4", "1", "3"]


# Early stopping


EARLY = block(RATE, enableTrialEarlyStopping=True)
GOOD = [1.3, 1.2, 1.1, 1.05, 1.0, 0.98, 0.97, 0.96]
OTHERS = [ended(i, {}, *(value + i / 100 for value in GOOD)) for i in range(1, 5)]


def stops(curve, others=OTHERS, sought=EARLY, every=1):
    """The step at which a trial is stopped, or None."""
    for length in range(1, len(curve) + 1):
        if search.should_stop(sought, others, Trial("9", {}, "RUNNING", measured(*curve[:length], every=every))):
            return length * every
    return None


def test_a_trial_that_is_behind_the_median_is_stopped():
    assert stops([value + 0.2 for value in GOOD]) == 2
    assert stops([*GOOD[:4], *(value + 0.3 for value in GOOD[4:])]) == 5


def test_a_trial_before_the_median_goes_on():
    assert stops([value - 0.1 for value in GOOD]) is None


def test_what_counts_is_its_best_so_far():
    assert stops([1.3, 0.9, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]) is None


def test_a_curve_that_should_rise_is_the_other_way_round():
    sought = {**EARLY, "goal": "MAXIMIZE"}
    others = [ended(i, {}, *(-value for value in GOOD)) for i in range(4)]
    assert stops([-value - 0.2 for value in GOOD], others, sought) == 2
    assert stops([-value + 0.2 for value in GOOD], others, sought) is None


def test_no_trial_is_stopped_unless_the_block_says_so():
    assert stops([9.0] * 8, sought=block(RATE)) is None
    assert stops([9.0] * 8, sought={**EARLY, "enableTrialEarlyStopping": False}) is None


@pytest.mark.parametrize("state", ["RUNNING", "STOPPED", "FAILED"])
def test_a_trial_is_compared_with_those_that_came_to_their_ends(state):
    others = [Trial(other.id, {}, state, other.measurements) for other in OTHERS]
    assert stops([9.0] * 8, others) is None


def test_the_first_trials_are_left_alone():
    assert stops([9.0] * 8, OTHERS[:1]) is None
    assert stops([9.0] * 8, OTHERS[:3]) is None
    assert stops([9.0] * 8, OTHERS[:4]) == 2


def test_a_trial_that_has_only_begun_and_one_at_its_end_are_left_alone():
    assert stops([9.0]) is None
    assert not search.should_stop(EARLY, OTHERS, Trial("9", {}, "RUNNING", (Measurement(8, 9.0, 0.0),)))
    assert search.should_stop(EARLY, OTHERS, Trial("9", {}, "RUNNING", (Measurement(7, 9.0, 0.0),)))


def test_curves_that_are_measured_at_other_steps_are_compared_where_they_were():
    others = [ended(i, {}, *GOOD, every=100 + i) for i in range(1, 5)]
    assert stops([value + 0.2 for value in GOOD], others, every=97) == 3 * 97
    assert stops([value - 0.2 for value in GOOD], others, every=97) is None


def test_a_step_that_is_measured_again_counts_once():
    curve = (*measured(*GOOD[:4]), Measurement(4, 1.05, 1.0))
    assert not search.should_stop(EARLY, OTHERS, Trial("9", {}, "RUNNING", curve))


# Optuna


def test_without_optuna_one_line_says_how_to_install_it():
    code = "import sys; sys.modules['optuna'] = None\nfrom tests.test_tuning_search import *\n"
    code += "from trainer.errors import UsageError\n"
    code += "try: search.next_values(block(RATE), [], seed=1)\nexcept UsageError as error: print(error)\n"
    code += "assert search.next_values(block(UNITS, algorithm='GRID_SEARCH'), [], seed=1) == {'units': 1}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (search.MISSING + "\n", "")


def test_optuna_prints_nothing(capfd):
    searched(block(RATE, KIND, enableTrialEarlyStopping=True))
    assert stops([9.0] * 8) == 2
    assert capfd.readouterr() == ("", "")
