"""How every command starts and ends.

    if __name__ == "__main__":
        sys.exit(command.run(main, prog="trainer.task"))

An error that the user can cause, a mistyped flag too, is one line on stderr: `trainer.task: error: ...`.
"""

import argparse
import contextlib
import difflib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NoReturn

from trainer.errors import RunError, UsageError
from trainer.settings import logs


class Parser(argparse.ArgumentParser):
    """argparse's, but a mistake raises `UsageError` in place of printing the usage and ending the process."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})
        self._negative_number_matcher = re.compile(r"-\.?\d")  # as of Python 3.13: -1e-3 is a number, not a flag

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # as declared there, for two kinds of result
        """All flags, or `UsageError` for the first that there is not, with what it may have been meant to be."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            flags = [word for word in self._option_string_actions if word.startswith("--")]
            meant = difflib.get_close_matches(flag, flags, n=1)
            raise UsageError(f"{flag}: unexpected; " + (f"did you mean {meant[0]}?" if meant else "see --help"))
        return known

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, in our form."""
        raise UsageError(f"{message.removeprefix('argument ')}; see --help")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two flags that every command has."""
    parser.add_argument(
        "--verbosity", choices=logs.VERBOSITIES, default="INFO", help="least severity to print (default INFO)"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def normalized(argv: Sequence[str]) -> list[str]:
    """Flag names with `-` for `_`: gcloud and the 2017 samples write both. Words after a bare `--` stay as they are."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return [_dashed(word) if word.startswith("--") else word for word in argv[:end]] + list(argv[end:])


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before a bare `--`, which are ours, and those after it, which are another command's."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


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
        _say(prog, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does; Python will flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def leave(prog: str, error: str) -> NoReturn:
    """End the process at once with one line, from any thread: the others may wait for what never comes."""
    _say(prog, error)
    os._exit(1)


def _say(prog: str, error: str) -> None:
    print(f"{prog}: error: {' '.join(error.split())}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet_tensorflow(*, level: Literal["2", "3"] = "2") -> Iterator[None]:
    """Import TensorFlow within this, and its greeting stays off stderr, where Cloud Logging takes lines for errors.

    C++ writes it before any setting is read, so the file descriptor itself is held back, and what came is shown after
    all when the import fails. With TF_CPP_MIN_LOG_LEVEL set by the user nothing is held back. Later, level 2 shows all
    errors of C++, and 3 only those that end the process: in a cluster a peer that is gone is a page of the others.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ or "tensorflow" in sys.modules:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = level
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].config.list_physical_devices()  # CUDA complains of a machine without a GPU
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
