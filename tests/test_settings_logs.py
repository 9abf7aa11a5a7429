"""Log records as lines."""

import json
import logging
import sys

import pytest

from trainer.settings import logs


LOG = logging.getLogger("trainer.test")


@pytest.fixture(autouse=True)
def _own_log():
    log = logging.getLogger("trainer")
    before = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before


def lines(capsys):
    return [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]


def test_off_a_terminal_every_line_is_a_json_object(capsys):
    logs.start("INFO")
    LOG.info("stop %d", 3, extra={"fields": {"global_step": 30, "folder": "ä\n"}})
    LOG.warning("two\nlines")
    assert lines(capsys) == [
        {"severity": "INFO", "message": "stop 3", "global_step": 30, "folder": "ä\n"},
        {"severity": "WARNING", "message": "two\nlines"},
    ]


def test_a_number_that_is_not_finite_is_null_since_json_has_no_word_for_it(capsys):
    logs.start("INFO")
    LOG.info("done", extra={"fields": {"metrics": {"loss": float("nan"), "rmse": 1.5}, "all": [float("inf"), 2]}})
    assert lines(capsys)[0]["metrics"] == {"loss": None, "rmse": 1.5}


def test_a_traceback_is_part_of_the_message(capsys):
    logs.start("INFO")
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError:
        LOG.exception("failed")
    (line,) = lines(capsys)
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("failed\nTraceback")


@pytest.mark.parametrize(("verbosity", "count"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_verbosity_is_the_least_severity(verbosity, count, capsys):
    logs.start(verbosity)
    for severity in (logging.DEBUG, logging.INFO, logging.WARNING):
        LOG.log(severity, "line")
    assert len(lines(capsys)) == count


def test_on_a_terminal_lines_are_text(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    logs.start("INFO")
    LOG.info("step %d", 3, extra={"fields": {"global_step": 3}})
    LOG.warning("slow")
    assert capsys.readouterr().out == "step 3\nWARNING: slow\n"


def test_a_command_whose_stdout_is_its_result_logs_to_stderr(capsys):
    logs.start_on_stderr("INFO")
    LOG.warning("slow")
    assert capsys.readouterr() == ("", "WARNING: slow\n")
