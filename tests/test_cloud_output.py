"""What a user sees of a job: its log and its state, on a terminal and off it."""

import dataclasses
import json
import sys

import pytest

from trainer.cloud import output
from trainer.cloud.logs import Entry
from trainer.cloud.service import Status, Trial
from trainer.settings import logs


DIM, RED, PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[0m"
STOP = Entry(
    "2026-11-26T11:24:21.673703092Z",
    "a",
    "INFO",
    "worker-replica-0",
    "stop",
    {"global_step": 100, "rmse": 0.98071, "examples_per_second": 784783.4},
    trial="3",
)
ERROR = Entry("2026-11-26T11:24:22.000000000Z", "b", "ERROR", "worker-replica-0", "it [bold]failed[/bold]", {})
TRIALS = (
    Trial("2", "SUCCEEDED", {"learning-rate": "0.00123869525906173", "layers": "64,32"}, 600, 0.97761),
    Trial("1", "STOPPED", {"learning-rate": 0.005, "layers": "128"}, 200, 0.98),
    Trial("3", "RUNNING", {"learning-rate": 1e-05, "layers": "8"}),
)


class Terminal:
    """Standard output as a terminal has it."""

    def __init__(self, inner):
        self._inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A function after which standard output is a terminal; what is printed is still captured."""

    def begin():
        monkeypatch.setattr(sys, "stdout", Terminal(sys.stdout))
        monkeypatch.setenv("COLUMNS", "150")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return capsys

    return begin


def test_off_a_terminal_an_entry_is_the_trainers_own_record_with_where_and_when(capsys):
    say = output.entries()
    say(STOP)
    say(ERROR)
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert list(first) == [
        *("task", "trial", "severity", "message", "global_step", "rmse", "examples_per_second", "timestamp")
    ]
    assert first["timestamp"] == STOP.timestamp
    assert second["message"] == "it [bold]failed[/bold]"


def test_what_the_service_says_of_an_entry_is_stronger_than_what_is_in_it(capsys):
    fields = {"severity": "DEBUG", "task": "mine", "timestamp": "never"}
    output.entries()(dataclasses.replace(ERROR, fields=fields))
    found = json.loads(capsys.readouterr().out)
    assert (found["severity"], found["task"], found["timestamp"]) == ("ERROR", "worker-replica-0", ERROR.timestamp)


def test_on_a_terminal_an_entry_is_words_after_time_replica_and_trial(terminal):
    capsys = terminal()
    say = output.entries()
    say(STOP)
    say(ERROR)
    assert capsys.readouterr().out.splitlines() == [
        f"{DIM}11:24:21  worker-replica-0 3  {PLAIN}step 100  rmse 0.9807  (784,783 examples/s)",
        f"{DIM}11:24:22  worker-replica-0  {PLAIN}{RED}ERROR: it [bold]failed[/bold]{PLAIN}",
    ]


def test_a_status_is_one_record_off_a_terminal(capsys):
    logs.start("INFO")
    output.status(Status("a", "7", "FAILED", "The replica x.", "2026", trials=TRIALS[:1]), [ERROR] * 12)
    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    assert (fields["message"], fields["state"], fields["id"]) == ("a: FAILED", "FAILED", "7")
    assert fields["errors"] == ["worker-replica-0: it [bold]failed[/bold]"] * 10
    assert fields["trials"][0]["value"] == 0.97761
    assert "started" not in fields


def test_a_status_is_a_table_on_a_terminal(terminal):
    capsys = terminal()
    output.status(Status("a", "7", "FAILED", "The replica x.", "2026", trials=TRIALS), [ERROR])
    assert capsys.readouterr().out.splitlines() == [
        "job      a",
        "id       7",
        "state    FAILED",
        "error    The replica x.",
        "created  2026",
        "log      worker-replica-0: ERROR: it [bold]failed[/bold]",
        "TRIAL  STATE      STEP  VALUE   LAYERS  LEARNING-RATE",
        "2      SUCCEEDED  600   0.9776  64,32   0.001239",
        "1      STOPPED    200   0.9800  128     0.005",
        "3      RUNNING                  8       1e-05",
    ]
