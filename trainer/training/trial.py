"""What a run tells the service that tunes it: the experiment's metric of each evaluation so far.

    report = trial.reporter(places, "rmse")
    report(journal.lines)                        # whenever they change

The file has what the journal has, so that one process goes on where another was killed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from trainer.errors import RunError
from trainer.settings.places import METRIC_FILE, Places
from trainer.tuning import metric_file
from trainer.tuning.metric_file import Measurement


def reporter(places: Places, metric: str) -> Callable[[Sequence[Mapping[str, Any]]], None]:
    """What makes the metric file be what a journal says.

    It raises `RunError`, naming the variable that names the file, where that cannot be written.
    """
    assert places.metric_file
    path, trial = places.metric_file, places.trial

    def report(lines: Sequence[Mapping[str, Any]]) -> None:
        try:
            metric_file.write(path, metric, measurements(lines, metric), trial=trial)
        except RunError as error:
            raise RunError(f"{METRIC_FILE}: {error}") from error

    return report


def measurements(lines: Iterable[Mapping[str, Any]], metric: str) -> list[Measurement]:
    """The evaluations among the stops of a journal, where NaN is null."""
    found = [(line["step"], line[metric], line.get("time", 0.0)) for line in lines if metric in line]
    return [Measurement(step, float("nan") if value is None else value, time) for step, value, time in found]
