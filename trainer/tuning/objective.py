"""What a `hyperparameters` block seeks: a metric by its tag, as small or as large as can be.

    for problem in objective.problems(block, experiment): ...     # hyperparameterMetricTag: "accuracy": ...
    block = objective.filled(block, experiment)                   # with tag and goal, where it left them out
    objective.tag(block), objective.is_least(block)               # "rmse", True

The metric is the Experiment's own, since that is what a trial reports.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from trainer.cloud.schema import Problem, shown


TAG, GOAL = "hyperparameterMetricTag", "goal"
DEFAULT_TAG = "training/hptuning/metric"  # the services'
WORDS = {"min": "MINIMIZE", "max": "MAXIMIZE"}


class Measured(Protocol):
    """What of an Experiment matters here."""

    @property
    def metric(self) -> str: ...

    @property
    def goal(self) -> Literal["min", "max"]: ...


def problems(hyperparameters: Mapping[str, Any], experiment: Measured, *, name: str) -> Iterator[Problem]:
    """What the block seeks that an experiment, by its name, does not report or does not seek."""
    given, expected = hyperparameters.get(TAG), experiment.metric
    if given and given != expected:
        yield Problem((TAG,), f"{shown(given)}: {name} reports {expected}; expected {expected}, or no tag")
    goal, expected = _goal(hyperparameters), WORDS[experiment.goal]
    if goal and goal != expected:
        yield Problem((GOAL,), f"{shown(goal)}: {name} seeks the other end of {experiment.metric}; expected {expected}")


def filled(hyperparameters: Mapping[str, Any], experiment: Measured) -> dict[str, Any]:
    """The block with the experiment's metric and goal where it has none."""
    goal = _goal(hyperparameters) or WORDS[experiment.goal]
    return {**hyperparameters, TAG: hyperparameters.get(TAG) or experiment.metric, GOAL: goal}


def tag(hyperparameters: Mapping[str, Any]) -> str:
    """The name of the metric in what a trial reports."""
    return str(hyperparameters.get(TAG) or DEFAULT_TAG)


def is_least(hyperparameters: Mapping[str, Any]) -> bool:
    """Whether the least value is the best; as at the services it is the greatest where the block does not say."""
    return _goal(hyperparameters) == WORDS["min"]


def _goal(hyperparameters: Mapping[str, Any]) -> str | None:
    goal = hyperparameters.get(GOAL)
    return None if goal == "GOAL_TYPE_UNSPECIFIED" else goal
