"""The values that a `hyperparameters` block lets a parameter have, in the form of Cloud ML Engine's `ParameterSpec`.

    param = {"parameterName": "learning-rate", "type": "DOUBLE", "minValue": 1e-4, "maxValue": 0.1,
             "scaleType": "UNIT_LOG_SCALE"}
    space.distribution(param)          # Optuna's, over what `point` and `value` translate
    space.value(param, point)          # 0.00316...
    space.flag(param, 0.5)             # "--learning-rate=0.5", as the services pass it

A block is one that the published schema takes (`cloud/schema.py`); `problems` says what else is wrong with it. Numbers
may be texts there, as in all JSON of Google's.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainer.cloud.schema import Problem, shown


Param = Mapping[str, Any]
Value = int | float | str

LOG = "UNIT_LOG_SCALE"
REVERSE_LOG = "UNIT_REVERSE_LOG_SCALE"
BOUNDS = ("minValue", "maxValue")
LISTS = {"CATEGORICAL": "categoricalValues", "DISCRETE": "discreteValues"}
TYPES = ("INTEGER", "DOUBLE", *LISTS)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
MOST_DISCRETE = 1000


def distribution(param: Param) -> Any:
    """Where Optuna looks for a parameter's points: in the values, their places, or their distances from the other end.

    `DISCRETE` values are searched by their places, so that those in order are near to one another.
    """
    from optuna import distributions  # an extra, and it takes a while

    if param["type"] == "CATEGORICAL":
        return distributions.CategoricalDistribution(values(param))
    if param["type"] == "DISCRETE":
        return distributions.IntDistribution(0, len(values(param) or ()) - 1)
    least, greatest = bounds(param)
    kind = distributions.IntDistribution if param["type"] == "INTEGER" else distributions.FloatDistribution
    return kind(least, greatest, log=param.get("scaleType") in (LOG, REVERSE_LOG))


def value(param: Param, point: Any) -> Value:
    """The value at a point of the distribution."""
    found: Value = (values(param) or ())[point] if param["type"] == "DISCRETE" else _turned(param, point)
    return found


def point(param: Param, value: Value) -> Any:
    """The point of the distribution at which a value is."""
    return (values(param) or ()).index(value) if param["type"] == "DISCRETE" else _turned(param, value)


def values(param: Param) -> Sequence[Any] | None:
    """All values of a parameter, in order; None for those of a `DOUBLE`."""
    if param["type"] == "CATEGORICAL":
        return tuple(param["categoricalValues"])
    if param["type"] == "DISCRETE":
        return tuple(_whole(float(each)) for each in param["discreteValues"])  # 64, which a flag of whole numbers takes
    least, greatest = bounds(param)
    return range(int(least), int(greatest) + 1) if param["type"] == "INTEGER" else None


def bounds(param: Param) -> tuple[int | float, int | float]:
    """The least and the greatest value of a number."""
    least, greatest = (float(param[name]) for name in BOUNDS)
    return (int(least), int(greatest)) if param["type"] == "INTEGER" else (least, greatest)


def extremes(param: Param) -> tuple[Value, ...]:
    """Values that show whether all are fit for something: each word, or the least and the greatest number."""
    listed = values(param)
    if listed is None:
        return bounds(param)
    return tuple(listed) if param["type"] == "CATEGORICAL" else (listed[0], listed[-1])


def flag(param: Param, value: Value) -> str:
    """The argument with which a trial is given a value."""
    return f"--{param['parameterName']}={value}"


def problems(hyperparameters: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a block whose fields have the right types."""
    for name, least in (("maxTrials", 1), ("maxParallelTrials", 1), ("maxFailedTrials", 0)):
        if int(hyperparameters.get(name, least)) < least:
            yield Problem((name,), f"{hyperparameters[name]}: expected {least} or more")
    params = hyperparameters.get("params", [])
    if not params:
        yield Problem(("params",), "none; expected at least one parameter to search")
    names: dict[str, int] = {}
    for index, param in enumerate(params):
        for problem in (*_of_name(param, names, index), *_of_values(param)):
            yield Problem(("params", index, *problem.path), problem.text)
        if hyperparameters.get("algorithm") == "GRID_SEARCH" and param.get("type") == "DOUBLE":
            text = f'"DOUBLE": GRID_SEARCH has no end there; expected INTEGER, {" or ".join(LISTS)}'
            yield Problem(("params", index, "type"), text)


def _of_name(param: Param, names: dict[str, int], index: int) -> Iterator[Problem]:
    name = param.get("parameterName", "")
    if not NAME.fullmatch(name):
        yield Problem(("parameterName",), f"{shown(name)}: expected the name of a flag, such as learning-rate")
    before = names.setdefault(name.replace("_", "-"), index)
    if before != index:
        yield Problem(("parameterName",), f"{shown(name)}: is that of params[{before}] too; expected each once")


def _of_values(param: Param) -> Iterator[Problem]:
    kind = param.get("type")
    if kind not in TYPES:
        yield Problem(("type",), f"{'not given' if kind is None else shown(kind)}; expected {_either(TYPES)}")
        return
    allowed = (LISTS[kind],) if kind in LISTS else BOUNDS
    for name in (*BOUNDS, *LISTS.values()):
        given = param.get(name) not in (None, [])
        if name in allowed and not given:
            yield Problem((name,), f"not given; {kind} needs {' and '.join(allowed)}")
        if name not in allowed and given:
            yield Problem((name,), f"is not for {kind}; expected {' and '.join(allowed)}")
    if all(param.get(name) not in (None, []) for name in allowed):
        yield from _of_list(param, allowed[0]) if kind in LISTS else _of_bounds(param)
    if kind == "CATEGORICAL" and param.get("scaleType", "NONE") != "NONE":
        yield Problem(("scaleType",), f"{shown(param['scaleType'])}: is not for CATEGORICAL, which has no order")


def _of_bounds(param: Param) -> Iterator[Problem]:
    found = {name: float(param[name]) for name in BOUNDS}
    for name, number in found.items():
        if not math.isfinite(number):
            yield Problem((name,), f"{number}: expected a finite number")
        elif param["type"] == "INTEGER" and not number.is_integer():
            yield Problem((name,), f"{number:g}: expected a whole number for INTEGER")
    if not found["minValue"] <= found["maxValue"]:
        text = f"{found['minValue']:g}: is more than maxValue {found['maxValue']:g}"
        yield Problem(("minValue",), f"{text}; expected the least value")
    yield from _of_scale(param, "minValue", found["minValue"])


def _of_list(param: Param, name: str) -> Iterator[Problem]:
    listed = param[name]
    if len(set(map(str, listed))) < len(listed):
        yield Problem((name,), "a value is there twice; expected each once")
    if param["type"] == "CATEGORICAL":
        return
    numbers = [float(each) for each in listed]
    for index, number in enumerate(numbers):
        if not math.isfinite(number):
            yield Problem((name, index), f"{number}: expected a finite number")
        elif index and not numbers[index - 1] < number:
            yield Problem((name, index), f"{number:g}: follows {numbers[index - 1]:g}; expected them in rising order")
    if len(numbers) > MOST_DISCRETE:
        yield Problem((name,), f"{len(numbers)} values: expected {MOST_DISCRETE} at most")
    yield from _of_scale(param, name, min(numbers))


def _of_scale(param: Param, name: str, least: float) -> Iterator[Problem]:
    if param.get("scaleType") in (LOG, REVERSE_LOG) and least <= 0:
        yield Problem((name,), f"{least:g}: {param['scaleType']} needs more than 0")


def _turned(param: Param, number: Any) -> Any:
    """A number of a reverse logarithmic scale as far from one end of the range as it is from the other, and back."""
    if param.get("scaleType") != REVERSE_LOG or param["type"] not in ("INTEGER", "DOUBLE"):
        return number
    least, greatest = bounds(param)
    return min(max(least + greatest - number, least), greatest)  # rounding must not lead out of the range


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
