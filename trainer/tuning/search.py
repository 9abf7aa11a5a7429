"""What a search tries next, given what its trials have shown: pure functions of the block, a seed and the trials.

    values = search.next_values(hyperparameters, trials, seed=1)      # {"learning-rate": 0.0041}, None at the end
    search.should_stop(hyperparameters, trials, trial)
    search.best_first(hyperparameters, trials)[0]

Nothing is remembered in between: each call makes Optuna's study anew, with a sampler seeded by the seed and the number
of the trial. So a search that was interrupted goes on as it would have.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from trainer.errors import UsageError
from trainer.tuning import objective, space
from trainer.tuning.metric_file import Measurement
from trainer.tuning.space import Value


State = Literal["RUNNING", "SUCCEEDED", "STOPPED", "FAILED"]
ENDED: tuple[State, ...] = ("SUCCEEDED", "STOPPED")
DRAWS = 10  # for values that no trial has had
WARM_UP = 0.25  # of the steps of the longest trial
LEAST_OTHERS = 2  # trials that a curve is compared with
MISSING = "optuna is not installed; expected it for a search: pip install 'trainer[tune]'"


@dataclass(frozen=True)
class Trial:
    """One training of a search, as far as it is known."""

    id: str  # "1" for the first
    values: Mapping[str, Value]  # by parameterName
    state: State = "RUNNING"
    measurements: tuple[Measurement, ...] = ()

    @property
    def final(self) -> Measurement | None:
        """What counts: the last measurement."""
        return self.measurements[-1] if self.measurements else None


def next_values(hyperparameters: Mapping[str, Any], trials: Sequence[Trial], *, seed: int) -> dict[str, Value] | None:
    """What the next trial tries, or None where there is no next one: no trials are left, or no values."""
    number = len(trials)
    if number >= int(hyperparameters.get("maxTrials", 1)):
        return None
    params: Sequence[space.Param] = hyperparameters["params"]
    if hyperparameters.get("algorithm") == "GRID_SEARCH":
        return _point_of_grid(params, number)
    tried = [dict(trial.values) for trial in trials]
    for draw in range(DRAWS):
        values = _drawn(hyperparameters, trials, (seed, number, draw))
        if values not in tried:
            return values
    if any(space.values(param) is None for param in params):
        return values
    return next((point for point in _grid(params, len(tried) + 1) if point not in tried), None)


def should_stop(hyperparameters: Mapping[str, Any], trials: Sequence[Trial], trial: Trial) -> bool:
    """Whether a running trial is to end early: its best so far is worse than the median of the others at its step.

    The others are those that have come to their ends. What each had at the step is its last measurement up to there,
    since trials may stop at times, not steps. A trial that has come as far as the others is left to its end, and one
    that has only begun to its warm-up: it may have a lower rate, or a larger batch, and be the better for it later.
    """
    others = [other for other in trials if other.state == "SUCCEEDED" and other.id != trial.id and other.final]
    if not hyperparameters.get("enableTrialEarlyStopping") or not trial.final or len(others) < LEAST_OTHERS:
        return False
    step, furthest = trial.final.step, max(other.measurements[-1].step for other in others)
    if step >= furthest:
        return False
    optuna = _optuna()
    pruner = optuna.pruners.MedianPruner(
        min(5, _startup(hyperparameters)), n_warmup_steps=math.ceil(WARM_UP * furthest), n_min_trials=LEAST_OTHERS
    )
    study = _study(optuna, hyperparameters, optuna.samplers.RandomSampler(seed=0))
    for other in others:
        had = [each.value for each in other.measurements if each.step <= step]
        final = other.measurements[-1].value
        curve = {step: had[-1]} if had else {}
        study.add_trial(optuna.trial.create_trial(value=final, intermediate_values=curve))
    so_far = {each.step: each.value for each in trial.measurements}
    running = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values=so_far)
    return bool(pruner.prune(study, running))


def best_first(hyperparameters: Mapping[str, Any], trials: Sequence[Trial]) -> list[Trial]:
    """The trials in the order of what they have shown; those that have shown nothing, or failed, come last."""
    sign = 1 if objective.is_least(hyperparameters) else -1

    def rank(trial: Trial) -> tuple[bool, float]:
        counts = trial.final is not None and trial.state != "FAILED"
        return not counts, sign * trial.final.value if trial.final and counts else 0.0

    return sorted(trials, key=rank)


def _startup(hyperparameters: Mapping[str, Any]) -> int:
    """How many trials are drawn at random before what they have shown is looked at: a third of a small budget."""
    return max(2, min(10, int(hyperparameters.get("maxTrials", 1)) // 3))


def _drawn(hyperparameters: Mapping[str, Any], trials: Sequence[Trial], seeds: tuple[int, ...]) -> dict[str, Value]:
    """Values from Optuna: at random, or where its model of what the trials have shown expects something better."""
    import numpy as np

    params: Sequence[space.Param] = hyperparameters["params"]
    shown = [trial for trial in best_first(hyperparameters, trials) if trial.final and trial.state in ENDED]
    at_random = hyperparameters.get("algorithm") == "RANDOM_SEARCH" or len(shown) < _startup(hyperparameters)
    seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    optuna = _optuna()
    distributions = {param["parameterName"]: space.distribution(param) for param in params}
    if at_random:
        study = _study(optuna, hyperparameters, optuna.samplers.RandomSampler(seed=seed))
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=1, multivariate=True)
        study = _study(optuna, hyperparameters, sampler)
        worst = shown[-1].measurements[-1].value
        for trial in trials:
            if trial not in shown and trial.state != "RUNNING":
                continue
            # Of one that is running the worst is expected, so that those beside it look elsewhere.
            value = trial.measurements[-1].value if trial in shown else worst
            points = {p["parameterName"]: space.point(p, trial.values[p["parameterName"]]) for p in params}
            study.add_trial(optuna.trial.create_trial(value=value, params=points, distributions=distributions))
    points = study.ask(fixed_distributions=distributions).params
    return {param["parameterName"]: space.value(param, points[param["parameterName"]]) for param in params}


def _study(optuna: ModuleType, hyperparameters: Mapping[str, Any], sampler: Any) -> Any:
    direction = "minimize" if objective.is_least(hyperparameters) else "maximize"
    return optuna.create_study(direction=direction, sampler=sampler)


def _point_of_grid(params: Sequence[space.Param], number: int) -> dict[str, Value] | None:
    """The values at a place of the grid, whose last parameter changes first; None beyond its end."""
    found: dict[str, Value] = {}
    for param in reversed(params):
        values = space.values(param) or ()
        number, place = divmod(number, len(values))
        found[param["parameterName"]] = values[place]
    return None if number else {param["parameterName"]: found[param["parameterName"]] for param in params}


def _grid(params: Sequence[space.Param], most: int) -> Iterator[dict[str, Value]]:
    """The first points of the grid."""
    for number in range(most):
        point = _point_of_grid(params, number)
        if point is None:
            return
        yield point


def _optuna() -> ModuleType:
    """Optuna, told to say nothing. Raises `UsageError` where it is not installed."""
    try:
        import optuna  # an extra, and it takes a while
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise UsageError(MISSING) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    module: ModuleType = optuna
    return module
