"""The values of a hyperparameters block: within it on every scale, and each mistake in it has its path."""

import math
import warnings

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.cloud.schema import Problem
from trainer.tuning import search, space


SCALES = (None, "NONE", "UNIT_LINEAR_SCALE", "UNIT_LOG_SCALE", "UNIT_REVERSE_LOG_SCALE")
NAMES = ("learning-rate", "hidden_units", "features")


def number(kind, least, greatest, scale=None, name="x"):
    """A parameter with a range."""
    scaled = {} if scale is None else {"scaleType": scale}
    return {"parameterName": name, "type": kind, "minValue": least, "maxValue": greatest, **scaled}


def word(*values, name="w"):
    return {"parameterName": name, "type": "CATEGORICAL", "categoricalValues": list(values)}


def place(*values, name="d"):
    return {"parameterName": name, "type": "DISCRETE", "discreteValues": list(values)}


def block(*params, **more):
    return {"params": list(params), **more}


@st.composite
def params(draw, name):
    """A parameter that is allowed."""
    kind = draw(st.sampled_from(space.TYPES))
    if kind == "CATEGORICAL":
        return word(*draw(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True)), name=name)
    scale = draw(st.sampled_from(SCALES))
    least = 1e-6 if scale in (space.LOG, space.REVERSE_LOG) else -1e6
    numbers = (
        st.floats(least, 1e6) if kind != "INTEGER" else st.integers(max(1, int(least)) if least > 0 else -1000, 1000)
    )
    if kind == "DISCRETE":
        return place(*sorted(draw(st.lists(numbers, min_size=1, max_size=5, unique=True))), name=name)
    ends = sorted((draw(numbers), draw(numbers)))
    return number(kind, *ends, scale, name=name)


@given(
    params=st.tuples(*map(params, NAMES)),
    seed=st.integers(0, 2**32 - 1),
    algorithm=st.sampled_from([None, "RANDOM_SEARCH"]),
)
def test_every_value_that_is_tried_is_within_the_block(params, seed, algorithm):
    sought = block(*params, maxTrials=4, algorithm=algorithm)
    assert not list(space.problems(sought))
    trials = []
    while (values := search.next_values(sought, trials, seed=seed)) is not None:
        for param in params:
            value = values[param["parameterName"]]
            if (listed := space.values(param)) is not None:
                assert value in listed
            else:
                assert param["minValue"] <= value <= param["maxValue"]
        shown = (search.Measurement(1, len(trials) % 3, 0.0),)
        trials.append(search.Trial(str(len(trials) + 1), values, "SUCCEEDED", shown))
    assert len(trials) <= 4


@given(param=params("x"), seed=st.integers(0, 2**32 - 1))
def test_a_value_is_found_at_the_point_that_it_came_from(param, seed):
    distribution = space.distribution(param)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = space.value(param, study.ask(fixed_distributions={"x": distribution}).params["x"])
    point = space.point(param, value)
    assert distribution._contains(distribution.to_internal_repr(point))
    again = space.value(param, point)
    assert again == value or math.isclose(again, value, rel_tol=1e-9, abs_tol=1e-9)


def drawn(param, count=400):
    distribution = space.distribution(param)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.value(param, study.ask(fixed_distributions={"x": distribution}).params["x"]) for _ in range(count)]


@pytest.mark.parametrize("kind", ["DOUBLE", "INTEGER"])
@pytest.mark.parametrize(
    ("scale", "middle"),
    [
        (None, 5000),
        ("NONE", 5000),
        ("UNIT_LINEAR_SCALE", 5000),
        ("UNIT_LOG_SCALE", 100),
        ("UNIT_REVERSE_LOG_SCALE", 9901),
    ],
)
def test_half_of_the_values_are_below_the_middle_of_the_scale(kind, scale, middle):
    values = drawn(number(kind, 1, 10_000, scale))
    assert 0.42 < sum(value <= middle for value in values) / len(values) < 0.58


def test_reverse_logarithmic_values_are_as_far_from_the_greatest_as_logarithmic_ones_from_the_least():
    values = drawn(number("DOUBLE", 0.5, 0.999, "UNIT_LOG_SCALE"))
    reverse = drawn(number("DOUBLE", 0.5, 0.999, "UNIT_REVERSE_LOG_SCALE"))
    assert reverse == pytest.approx([0.5 + 0.999 - value for value in values])


def test_discrete_values_are_searched_by_their_places_and_are_whole_where_they_can_be():
    param = place(0.5, 16, 64.0)
    assert space.distribution(param) == optuna.distributions.IntDistribution(0, 2)
    assert [space.value(param, place) for place in range(3)] == [0.5, 16, 64]
    assert space.flag(param, space.value(param, 2)) == "--d=64"


@pytest.mark.parametrize(
    ("param", "values"),
    [
        (number("DOUBLE", 0.1, 1), (0.1, 1.0)),
        (number("INTEGER", 8, 512, "UNIT_LOG_SCALE"), (8, 512)),
        (number("INTEGER", 8.0, 8), (8, 8)),
        (place(1, 2, 3.5), (1, 3.5)),
        (word("a", "b", "c"), ("a", "b", "c")),
    ],
)
def test_the_extremes_are_the_ends_of_a_range_or_all_words(param, values):
    assert space.extremes(param) == values
    assert [type(value) for value in space.extremes(param)] == [type(value) for value in values]


GOOD = number("DOUBLE", 0.1, 1)


@pytest.mark.parametrize(
    ("sought", "problems"),
    [
        (block(), {"params": "none; expected at least one parameter to search"}),
        ({}, {"params": "none; expected at least one parameter to search"}),
        (block(GOOD, maxTrials=0), {"maxTrials": "0: expected 1 or more"}),
        (block(GOOD, maxParallelTrials=-1), {"maxParallelTrials": "-1: expected 1 or more"}),
        (block(GOOD, maxFailedTrials=-1), {"maxFailedTrials": "-1: expected 0 or more"}),
        (block(GOOD, GOOD), {"params[1].parameterName": '"x": is that of params[0] too; expected each once'}),
        (
            block(word("a", name="hidden_units"), word("a", name="hidden-units")),
            {"params[1].parameterName": '"hidden-units": is that of params[0] too; expected each once'},
        ),
        (
            block({**GOOD, "parameterName": "learning rate"}),
            {"params[0].parameterName": '"learning rate": expected the name of a flag, such as learning-rate'},
        ),
        (
            block({k: v for k, v in GOOD.items() if k != "parameterName"}),
            {"params[0].parameterName": '"": expected the name of a flag, such as learning-rate'},
        ),
        (
            block({"parameterName": "x", "minValue": 1, "maxValue": 2}),
            {"params[0].type": "not given; expected INTEGER, DOUBLE, CATEGORICAL or DISCRETE"},
        ),
        (
            block({**GOOD, "type": "PARAMETER_TYPE_UNSPECIFIED"}),
            {
                "params[0].type": '"PARAMETER_TYPE_UNSPECIFIED"; expected INTEGER, DOUBLE, CATEGORICAL or DISCRETE',
            },
        ),
        (
            block(number("DOUBLE", 2, 1)),
            {"params[0].minValue": "2: is more than maxValue 1; expected the least value"},
        ),
        (
            block({"parameterName": "x", "type": "DOUBLE", "minValue": 1}),
            {"params[0].maxValue": "not given; DOUBLE needs minValue and maxValue"},
        ),
        (
            block(number("INTEGER", 0.5, 2)),
            {"params[0].minValue": "0.5: expected a whole number for INTEGER"},
        ),
        (block(number("DOUBLE", 0, math.inf)), {"params[0].maxValue": "inf: expected a finite number"}),
        (
            block(number("DOUBLE", 0, 1, "UNIT_LOG_SCALE")),
            {"params[0].minValue": "0: UNIT_LOG_SCALE needs more than 0"},
        ),
        (
            block(number("INTEGER", -1, 1, "UNIT_REVERSE_LOG_SCALE")),
            {"params[0].minValue": "-1: UNIT_REVERSE_LOG_SCALE needs more than 0"},
        ),
        (
            block({**place(0, 1), "scaleType": "UNIT_LOG_SCALE"}),
            {"params[0].discreteValues": "0: UNIT_LOG_SCALE needs more than 0"},
        ),
        (
            block({"parameterName": "x", "type": "CATEGORICAL"}),
            {"params[0].categoricalValues": "not given; CATEGORICAL needs categoricalValues"},
        ),
        (
            block({"parameterName": "x", "type": "DISCRETE", "discreteValues": []}),
            {"params[0].discreteValues": "not given; DISCRETE needs discreteValues"},
        ),
        (
            block({**GOOD, "categoricalValues": ["a"]}),
            {"params[0].categoricalValues": "is not for DOUBLE; expected minValue and maxValue"},
        ),
        (
            block({**word("a"), "maxValue": 1}),
            {"params[0].maxValue": "is not for CATEGORICAL; expected categoricalValues"},
        ),
        (block(word("a", "a")), {"params[0].categoricalValues": "a value is there twice; expected each once"}),
        (
            block(place(1, 3, 2)),
            {"params[0].discreteValues[2]": "2: follows 3; expected them in rising order"},
        ),
        (
            block(place(*range(1001))),
            {"params[0].discreteValues": "1001 values: expected 1000 at most"},
        ),
        (
            block({**word("a"), "scaleType": "UNIT_LOG_SCALE"}),
            {"params[0].scaleType": '"UNIT_LOG_SCALE": is not for CATEGORICAL, which has no order'},
        ),
        (
            block(word("a"), GOOD, algorithm="GRID_SEARCH"),
            {"params[1].type": '"DOUBLE": GRID_SEARCH has no end there; expected INTEGER, CATEGORICAL or DISCRETE'},
        ),
    ],
)
def test_a_mistake_is_named_by_its_path(sought, problems):
    assert [str(problem) for problem in space.problems(sought)] == [
        f"{path}: {text}" for path, text in problems.items()
    ]


def test_all_mistakes_are_named():
    found = list(space.problems(block(number("INTEGER", 2, 1.5), word(name="1"), maxTrials=0)))
    assert [problem.path for problem in found] == [
        ("maxTrials",),
        ("params", 0, "maxValue"),
        ("params", 0, "minValue"),
        ("params", 1, "parameterName"),
        ("params", 1, "categoricalValues"),
    ]
    assert all(isinstance(problem, Problem) for problem in found)


def test_numbers_may_be_texts_as_google_writes_them():
    param = number("INTEGER", "8", "512", "UNIT_LOG_SCALE")
    assert not list(space.problems(block(param, maxTrials="20", maxParallelTrials="5")))
    assert space.bounds(param) == (8, 512)


def test_optuna_has_nothing_to_warn_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sought = block(GOOD, place(1, 2, 5), word("a", "b"), maxTrials=6)
        shown = (search.Measurement(1, 1.0, 0.0),)
        trials = [search.Trial(str(i), {"x": 0.2 + i / 10, "d": 2, "w": "a"}, "SUCCEEDED", shown) for i in range(5)]
        assert search.next_values(sought, trials, seed=0)
