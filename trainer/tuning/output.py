"""What a search says of its trials: off a terminal JSON lines, on a terminal a table that is kept up to date.

output = output_of(study, sys.stdout)        # a runner.Audience
runner.run(study, start, audience=output, ...)
output.close()
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from trainer.tuning import objective, search
from trainer.tuning.runner import Audience
from trainer.tuning.search import Trial
from trainer.tuning.study import Study


STYLES = {"SUCCEEDED": "green", "STOPPED": "yellow", "FAILED": "red", "RUNNING": "cyan"}
MARGIN = 5  # lines of a table beside its rows
log = logging.getLogger("trainer.tuning")


class Output(Audience, Protocol):
    """Where it all goes."""

    def close(self) -> None:
        """Nothing runs any more."""


def start(study: Study) -> Output:
    """The form that fits where stdout goes."""
    return Table(study) if sys.stdout.isatty() else Lines(study)


class Lines:
    """A JSON line when a trial begins and ends."""

    def __init__(self, study: Study) -> None:
        self._tag = objective.tag(study.hyperparameters)

    def began(self, trial: Trial) -> None:
        log.info("trial began", extra={"fields": {"trial": trial.id, "values": trial.values}})

    def measured(self, trial: Trial) -> None:
        log.debug("measured", extra={"fields": {"trial": trial.id, **self._measurement(trial)}})

    def ended(self, trial: Trial, error: str) -> None:
        level = logging.WARNING if error else logging.INFO
        fields = {"trial": trial.id, "state": trial.state, **self._measurement(trial)}
        log.log(level, "trial ended", extra={"fields": {**fields, "values": trial.values, **_error(error)}})

    def close(self) -> None:
        """Nothing to take down."""

    def _measurement(self, trial: Trial) -> dict[str, Any]:
        return {"global_step": trial.final.step, self._tag: trial.final.value} if trial.final else {}


class Table:
    """The trials best first, and above them why one failed."""

    def __init__(self, study: Study) -> None:
        from rich.console import Console  # only a terminal needs it
        from rich.live import Live

        self._study = study
        self._running: dict[str, Trial] = {}  # with what they have measured
        self._console = Console()
        self._live = Live(console=self._console, get_renderable=self._fitting, transient=True)
        self._live.start()

    def began(self, trial: Trial) -> None:
        self._running[trial.id] = trial
        self._live.refresh()

    def measured(self, trial: Trial) -> None:
        self._running[trial.id] = trial
        self._live.refresh()

    def ended(self, trial: Trial, error: str) -> None:
        del self._running[trial.id]
        if error:
            log.warning("trial %s: %s", trial.id, error)
        self._live.refresh()

    def close(self) -> None:
        self._live.stop()
        self._console.print(self._table())

    def _fitting(self) -> Any:
        shown = self._table(max(1, self._console.height - MARGIN))
        begun, most = len(self._study.trials), self._study.hyperparameters.get("maxTrials", 1)
        shown.caption = f"trial {begun} of {most}; {len(self._running)} running"
        return shown

    def _table(self, most: int | None = None) -> Any:
        from rich import box, table
        from rich.text import Text

        block, tag = self._study.hyperparameters, objective.tag(self._study.hyperparameters)
        names = [param["parameterName"] for param in block["params"]]
        trials = search.best_first(block, [self._running.get(trial.id, trial) for trial in self._study.trials])
        shown = table.Table(box=box.SIMPLE_HEAD)
        for title in ("trial", "state", "step", tag, *names):
            shown.add_column(title, justify="left" if title == "state" else "right", no_wrap=True)
        for trial in trials[:most]:
            measured = (f"{trial.final.step:,}", _short(trial.final.value)) if trial.final else ("", "")
            values = [Text(_short(trial.values[name])) for name in names]
            state = Text(trial.state.lower(), STYLES[trial.state])
            shown.add_row(trial.id, state, *measured, *values)
        return shown


def _error(error: str) -> Mapping[str, str]:
    return {"error": error} if error else {}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
