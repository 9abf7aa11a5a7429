"""What a search prints: JSON lines off a terminal, on one the trials best first."""

import json
import logging

import pytest

from tests.trials import study_in
from trainer.settings import logs
from trainer.tuning import output
from trainer.tuning.metric_file import Measurement
from trainer.tuning.search import Trial


BLOCK = {
    "goal": "MINIMIZE",
    "hyperparameterMetricTag": "rmse",
    "maxTrials": 4,
    "params": [
        {"parameterName": "learning-rate", "type": "DOUBLE", "minValue": 0, "maxValue": 1},
        {"parameterName": "hidden-units", "type": "CATEGORICAL", "categoricalValues": ["64,32", "[b]"]},
    ],
}


def trial(name, state="RUNNING", *curve, units="64,32"):
    measured = tuple(Measurement(1200 * (i + 1), value, 0.0) for i, value in enumerate(curve))
    return Trial(name, {"learning-rate": 1 / 3, "hidden-units": units}, state, measured)


@pytest.fixture
def said(capsys):
    """Start to log at a verbosity; returns what was printed since."""
    log = logging.getLogger("trainer")
    before = log.handlers, log.level, log.propagate
    logs.start("DEBUG")
    yield lambda: capsys.readouterr().out
    log.handlers, log.level, log.propagate = before


def test_off_a_terminal_a_line_says_how_each_trial_began_and_ended(said, tmp_path):
    lines = output.Lines(study_in(tmp_path, BLOCK))
    lines.began(trial("1"))
    lines.measured(trial("1", "RUNNING", 1.5))
    lines.ended(trial("1", "SUCCEEDED", 1.5, 1.25), "")
    lines.ended(trial("2", "FAILED"), "no luck")
    values = {"learning-rate": 1 / 3, "hidden-units": "64,32"}
    assert [json.loads(line) for line in said().splitlines()] == [
        {"severity": "INFO", "message": "trial began", "trial": "1", "values": values},
        {"severity": "DEBUG", "message": "measured", "trial": "1", "global_step": 1200, "rmse": 1.5},
        {
            "severity": "INFO",
            "message": "trial ended",
            "trial": "1",
            "state": "SUCCEEDED",
            "global_step": 2400,
            "rmse": 1.25,
            "values": values,
        },
        {
            "severity": "WARNING",
            "message": "trial ended",
            "trial": "2",
            "state": "FAILED",
            "values": values,
            "error": "no luck",
        },
    ]


def rows(text):
    return [line.split() for line in text.splitlines() if line.strip() and "─" not in line]


def test_on_a_terminal_the_table_is_best_first(said, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    study = study_in(tmp_path, BLOCK)
    table = output.Table(study)
    trials = [trial("1", "SUCCEEDED", 1.5), trial("2", "FAILED"), trial("3", "STOPPED", 1.25, units="[b]")]
    for each in [trial(each.id, units=each.values["hidden-units"]) for each in trials]:
        study.put(each)
        table.began(each)
    for each in trials:
        study.put(each)
        table.ended(each, "no luck" if each.state == "FAILED" else "")
    study.put(trial("4"))
    table.began(trial("4"))
    table.measured(trial("4", "RUNNING", 1.4))
    table.close()
    printed = said()
    assert '"message": "trial 2: no luck"' in printed
    assert rows(printed)[-5:] == [
        ["trial", "state", "step", "rmse", "learning-rate", "hidden-units"],
        ["3", "stopped", "1,200", "1.25", "0.3333", "[b]"],
        ["4", "running", "1,200", "1.4", "0.3333", "64,32"],
        ["1", "succeeded", "1,200", "1.5", "0.3333", "64,32"],
        ["2", "failed", "0.3333", "64,32"],
    ]
