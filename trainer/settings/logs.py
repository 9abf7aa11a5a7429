"""Log records as lines: off a terminal JSON objects on stdout, on a terminal text.

    logs.start("INFO")
    logging.getLogger("trainer.task").info("stop", extra={"fields": {"global_step": 60}})

Cloud Logging reads `severity` and `message` of a JSON line; a line on stderr would show there as an error.
"""

import logging
import sys

from trainer import strictjson


VERBOSITIES = ("DEBUG", "INFO", "WARNING", "ERROR")


def start(verbosity: str) -> None:
    """Send our log records to stdout, as JSON lines or, on a terminal, as text."""
    _send_to(StdoutHandler(), TextFormatter() if sys.stdout.isatty() else JsonFormatter(), verbosity)


def start_on_stderr(verbosity: str) -> None:
    """Send our log records to stderr as text, for a command whose stdout is its result."""
    _send_to(logging.StreamHandler(sys.stderr), TextFormatter(), verbosity)


def _send_to(handler: logging.Handler, formatter: logging.Formatter, verbosity: str) -> None:
    log = logging.getLogger("trainer")
    handler.setFormatter(formatter)
    log.handlers = [handler]
    log.setLevel(verbosity)
    log.propagate = False


class StdoutHandler(logging.Handler):
    """Print to what `sys.stdout` is at the moment, so that a progress bar can keep below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stdout, flush=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `severity`, `message` and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)  # with the traceback, where there is one
        fields = {"severity": record.levelname, "message": message, **getattr(record, "fields", {})}
        return strictjson.dumps(fields)


class TextFormatter(logging.Formatter):
    """The message, with its severity when that is more than INFO."""

    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno <= logging.INFO else f"{record.levelname}: {message}"
