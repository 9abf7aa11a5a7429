"""What a block seeks is what the experiment reports."""

import types

import pytest

from trainer.tuning import objective


RMSE = types.SimpleNamespace(metric="rmse", goal="min")
ACCURACY = types.SimpleNamespace(metric="accuracy", goal="max")


@pytest.mark.parametrize(
    ("block", "experiment", "problems"),
    [
        ({}, RMSE, []),
        ({"hyperparameterMetricTag": "rmse", "goal": "MINIMIZE"}, RMSE, []),
        ({"hyperparameterMetricTag": "", "goal": "GOAL_TYPE_UNSPECIFIED"}, RMSE, []),
        ({"goal": "MAXIMIZE"}, ACCURACY, []),
        (
            {"hyperparameterMetricTag": "accuracy"},
            RMSE,
            ['hyperparameterMetricTag: "accuracy": babyweight reports rmse; expected rmse, or no tag'],
        ),
        (
            {"goal": "MAXIMIZE"},
            RMSE,
            ['goal: "MAXIMIZE": babyweight seeks the other end of rmse; expected MINIMIZE'],
        ),
        (
            {"goal": "MINIMIZE"},
            ACCURACY,
            ['goal: "MINIMIZE": babyweight seeks the other end of accuracy; expected MAXIMIZE'],
        ),
    ],
)
def test_a_tag_that_is_never_reported_and_the_wrong_goal_are_problems(block, experiment, problems):
    assert list(map(str, objective.problems(block, experiment, name="babyweight"))) == problems


@pytest.mark.parametrize("block", [{}, {"hyperparameterMetricTag": "", "goal": "GOAL_TYPE_UNSPECIFIED"}])
@pytest.mark.parametrize(("experiment", "goal"), [(RMSE, "MINIMIZE"), (ACCURACY, "MAXIMIZE")])
def test_what_is_left_out_is_the_experiments(block, experiment, goal):
    filled = objective.filled(block | {"maxTrials": 3}, experiment)
    assert filled == {"maxTrials": 3, "hyperparameterMetricTag": experiment.metric, "goal": goal}
    assert objective.is_least(filled) == (goal == "MINIMIZE")
    assert objective.tag(filled) == experiment.metric


def test_without_an_experiment_the_services_defaults_count():
    assert objective.tag({}) == "training/hptuning/metric"
    assert not objective.is_least({})
