"""A search as it stands: its trials in `study.json` of a job dir, which is written whole after each change.

    study = Study("jobs/tuned", hyperparameters, flags=["--train-steps", "600"], seed=1)
    study.open()                       # raises UsageError where a search of other things is there
    study.put(Trial("1", {"learning-rate": 0.004}))
    study.trials

A trial that was RUNNING when its tuner ended is found as such, to be resumed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from trainer import strictjson
from trainer.errors import MissingError, RunError, UsageError
from trainer.storage import paths
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import State, Trial


NAME = "study.json"
MAY_CHANGE = ("maxTrials", "maxParallelTrials", "maxFailedTrials")  # how long a search is, not what it searches
OF_NO_CONSEQUENCE = ("--job-dir", "--output-dir", "--verbosity", "--debug")
ANOTHER = "expected as it was, or another --job-dir for another search"


class Study:
    """The trials of one search. One process has it at a time; see `storage.lease`."""

    def __init__(
        self,
        folder: str,
        hyperparameters: Mapping[str, Any],
        *,
        flags: Sequence[str] = (),
        seed: int = 1,
        check: Callable[[], None] = lambda: None,  # raises where another may have it by now
    ) -> None:
        self.folder = folder
        self.hyperparameters = dict(hyperparameters)
        self.flags = list(flags)
        self.seed = seed
        self.trials: tuple[Trial, ...] = ()
        self._check = check

    @property
    def path(self) -> str:
        """The file."""
        return paths.join(self.folder, NAME)

    def open(self) -> None:
        """Take up the trials that are there. Raises `UsageError`, naming what differs, where they are of others."""
        try:
            content = paths.read_bytes(self.path)
        except MissingError:
            return
        try:
            found = json.loads(content)
            trials = tuple(_trial(fields) for fields in found["trials"])
            before = found["hyperparameters"], found["flags"], found["seed"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{self.path}: damaged; expected what a search wrote, or no file") from error
        if trials and (text := next(_differences(before, (self.hyperparameters, self.flags, self.seed)), None)):
            raise UsageError(f"{self.path}: {text}; {ANOTHER}")
        self.trials = trials

    def put(self, *trials: Trial) -> None:
        """Write what has become of some trials, new ones among them."""
        changed = {trial.id: trial for trial in trials}
        known = {trial.id: changed.pop(trial.id, trial) for trial in self.trials}
        self._write((*known.values(), *changed.values()))

    def _write(self, trials: tuple[Trial, ...]) -> None:
        self._check()
        self.trials = trials
        fields = {
            "hyperparameters": self.hyperparameters,
            "flags": self.flags,
            "seed": self.seed,
            "trials": [_fields(trial) for trial in trials],
        }
        paths.write_bytes(self.path, strictjson.dumps(fields, indent=1).encode() + b"\n")


def _fields(trial: Trial) -> dict[str, Any]:
    measured = [[each.step, each.value, each.time] for each in trial.measurements]
    return {"id": trial.id, "state": trial.state, "values": trial.values, "measurements": measured}


def _trial(fields: Any) -> Trial:
    measured = tuple(Measurement(int(step), float(value), float(time)) for step, value, time in fields["measurements"])
    if fields["state"] not in get_args(State):
        raise ValueError(fields["state"])
    return Trial(str(fields["id"]), dict(fields["values"]), fields["state"], measured)


def _differences(before: tuple[Any, list[str], int], now: tuple[Any, list[str], int]) -> Iterator[str]:
    """What differs between two searches, in words."""
    for place, was, wanted in _between(_sought(before[0]), _sought(now[0]), "hyperparameters"):
        yield f"{place} was {_shown(was)}, is {_shown(wanted)} now"
    was_given, given = _by_flag(before[1]), _by_flag(now[1])
    for name in {**was_given, **given}:
        if was_given.get(name) != given.get(name):
            was, wanted = (" ".join(flags[name]) if name in flags else None for flags in (was_given, given))
            yield f"{name} was {_shown(was)}, is {_shown(wanted)} now"
    if before[2] != now[2]:
        yield f"--seed of the search was {before[2]}, is {now[2]} now"


def _sought(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyperparameters.items() if name not in MAY_CHANGE}


def _between(was: Any, now: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """The innermost places at which two JSON values differ."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from _between(was.get(name), now.get(name), f"{place}.{name}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for index, pair in enumerate(zip(was, now, strict=True)):
            yield from _between(*pair, f"{place}[{index}]")
    elif was != now:
        yield place, was, now


def _by_flag(words: Sequence[str]) -> dict[str, list[str]]:
    """The words after each flag that says what is trained; a flag's value may be joined to it by `=`."""
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            values = found.setdefault(name, [])
            values += [value] if equals else []
        else:
            values.append(word)
    return {name: given for name, given in found.items() if name not in OF_NO_CONSEQUENCE}


def _shown(value: Any) -> str:
    text = "not given" if value is None else "given" if value == "" else strictjson.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
