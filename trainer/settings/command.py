"""How every command starts, talks and ends.

    if __name__ == "__main__":
        sys.exit(command.run(main, prog="trainer.task"))

Off a terminal each log record is one JSON object a line on stdout with `severity` and `message`, as Cloud Logging
reads it; a line on stderr would show there as an error. An error that the user can cause is one line on stderr.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trainer.errors import RunError


VERBOSITIES = ("DEBUG", "INFO", "WARNING", "ERROR")
log = logging.getLogger("trainer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two flags that every command has."""
    parser.add_argument(
        "--verbosity", choices=VERBOSITIES, default="INFO", help="least severity to print (default INFO)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def normalized(argv: Sequence[str]) -> list[str]:
    """Flag names with `-` for `_`: gcloud and the 2017 samples write both."""
    return [_dashed(word) if word.startswith("--") else word for word in argv]


def _dashed(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def run(main: Callable[[list[str]], int], *, prog: str, argv: Sequence[str] | None = None) -> int:
    """Call `main`, turn what the user can cause into one line on stderr, and return the exit code."""
    words = normalized(sys.argv[1:] if argv is None else argv)
    try:
        return main(words)
    except RunError as error:
        if "--debug" in words:
            traceback.print_exc()
        line = " ".join(str(error).split())
        print(f"{prog}: error: {line}", file=sys.stderr, flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Import TensorFlow within this, and its greeting stays off stderr, where Cloud Logging takes lines for errors.

    C++ writes it before any setting is read, so the file descriptor itself is held back, and what came is shown after
    all when the import fails. With TF_CPP_MIN_LOG_LEVEL set by the user nothing is held back.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def start_logging(verbosity: str) -> None:
    """Send our log records to stdout, as JSON lines or, on a terminal, as text."""
    _log_to(StdoutHandler(), TextFormatter() if sys.stdout.isatty() else JsonFormatter(), verbosity)


def start_logging_to_stderr(verbosity: str) -> None:
    """Send our log records to stderr as text, for a command whose stdout is its result."""
    _log_to(logging.StreamHandler(sys.stderr), TextFormatter(), verbosity)


def _log_to(handler: logging.Handler, formatter: logging.Formatter, verbosity: str) -> None:
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
        fields: dict[str, Any] = {"severity": record.levelname, "message": record.getMessage()}
        fields.update(getattr(record, "fields", {}))
        return json.dumps(fields, default=str)


class TextFormatter(logging.Formatter):
    """The message, with its severity when that is more than INFO."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        return message if record.levelno <= logging.INFO else f"{record.levelname}: {message}"
