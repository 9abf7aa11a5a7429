"""`trainer.preprocess` in this process or in one of its own, and what it wrote.

line = done("babyweight", "--input", "raw/*.csv", "--output", "out")
"""

import contextlib
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

from trainer import preprocess
from trainer.settings import command
from trainer.storage import paths


ROOT = Path(__file__).parent.parent


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self):
        return True


def run(*words, stdout=io.StringIO):
    """The exit code, the lines of stdout and of stderr of a command in this process."""
    log = logging.getLogger("trainer")
    before = log.handlers, log.level, log.propagate
    with contextlib.redirect_stdout(stdout()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = command.run(preprocess.main, prog=preprocess.PROG, argv=list(map(str, words)))
        finally:
            log.handlers, log.level, log.propagate = before
    return code, out.getvalue().splitlines(), err.getvalue().splitlines()


def done(*words):
    """What the last line of a command that succeeds says."""
    code, out, err = run(*words)
    assert (code, err) == (0, [])
    return json.loads(out[-1])


def start(*words, **settings):
    """The command in a process of its own."""
    words = [sys.executable, "-m", "trainer.preprocess", *map(str, words)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


def parts(output, form="csv"):
    """The bytes of all files of each part, one after the other."""
    names = sorted(paths.list_names(str(output)))
    return {
        part: b"".join(
            paths.read_bytes(paths.join(str(output), name)) for name in names if name.startswith(f"{part}.{form}")
        )
        for part in ("train", "eval")
    }
