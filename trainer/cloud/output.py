"""What `trainer.submit` shows of a job: its log, an entry a line, and its state.

    say = output.entries()
    for entry in follow_entries(...): say(entry)
    output.status(status, errors)

On a terminal text, errors in red; elsewhere JSON objects, those of the log as the trainer printed them with the replica
that they are from.
"""

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from trainer import strictjson
from trainer.cloud.logs import Entry
from trainer.cloud.service import Status, Trial
from trainer.settings import records


COLOURS = {"DEBUG": "dim", "NOTICE": "bold", "WARNING": "yellow", "ERROR": "red"}
WORST = "bold red"
SHOWN_ERRORS = 10
log = logging.getLogger("trainer.submit")


def entries() -> Callable[[Entry], None]:
    """A function that prints an entry."""
    if not sys.stdout.isatty():
        return lambda entry: print(as_json(entry), flush=True)
    from rich.console import Console  # only a terminal needs it
    from rich.text import Text

    console = Console(highlight=False)

    def say(entry: Entry) -> None:
        style = COLOURS.get(entry.severity, WORST if entry.is_error else "")
        where = f"{entry.task} {entry.trial}".rstrip()
        console.print(Text.assemble((f"{entry.timestamp[11:19]}  {where}  ", "dim"), (in_words(entry), style)))

    return say


def as_json(entry: Entry) -> str:
    """An entry as the JSON object that the trainer printed, with where and when."""
    place = {"task": entry.task} | ({"trial": entry.trial} if entry.trial else {})
    known = {**place, "severity": entry.severity, "message": entry.message}
    return strictjson.dumps({**known, **entry.fields, **known, "timestamp": entry.timestamp})


def in_words(entry: Entry) -> str:
    """An entry as a person reads it."""
    severity = {} if entry.severity in ("DEFAULT", "INFO") else {"severity": entry.severity}
    return records.in_words({**entry.fields, **severity, "message": entry.message})


def status(found: Status, errors: Sequence[Entry]) -> None:
    """A job: a table on a terminal, else one JSON object."""
    last = errors[-SHOWN_ERRORS:]
    if not sys.stdout.isatty():
        fields = {name: value for name, value in vars(found).items() if value and name != "trials"}
        if found.trials:
            fields["trials"] = [vars(trial) for trial in found.trials]
        if last:
            fields["errors"] = [f"{entry.task}: {entry.message}" for entry in last]
        log.info("%s: %s", found.job, found.state, extra={"fields": fields})
        return
    rows = [(name, getattr(found, name)) for name in ("job", "id", "state", "error", "created", "started", "ended")]
    rows += [("log", f"{entry.task}: {in_words(entry)}") for entry in last]
    for name, value in rows:
        if value:
            print(f"{name:8} {value}")
    for line in trial_lines(found.trials):
        print(line)


def trial_lines(trials: Sequence[Trial]) -> list[str]:
    """Trials as a table, in the order in which the service gives them: the best first, once there is one."""
    if not trials:
        return []
    names = sorted({name for trial in trials for name in trial.values})
    cells = [["TRIAL", "STATE", "STEP", "VALUE", *(name.upper() for name in names)]]
    for trial in trials:
        step, value = ("" if each is None else records.shown(each) for each in (trial.step, trial.value))
        values = (_short(trial.values.get(name, "")) for name in names)
        cells.append([trial.id, trial.state, step, value, *values])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _short(value: Any) -> str:
    """A value of a hyperparameter, which Cloud ML Engine gives as text."""
    text = str(value)
    return f"{float(text):.4g}" if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", text) else text
