"""Run commands as somebody would who types them: in a folder, at a terminal, one after the other.

    with Shell(folder, environ) as shell:
        ended = shell.run("python -m trainer.data babyweight --output births", deadline_s=60)
        shell.start("python -m trainer.serve --model-dir jobs/babyweight", until=lambda lines: "ready" in lines)

What is still running at the end is ended, by its process group.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from docs.builder.outputs import shown


COLUMNS = 200
TERMINAL = {"TERM": "dumb", "COLUMNS": str(COLUMNS), "LINES": "24"}  # it cannot move its cursor: no moving bars
END_S = 30.0


class TooLateError(Exception):
    """A command that took too long, with what it had printed."""


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code; None while it runs."""

    lines: Sequence[str]
    code: int | None


@dataclass
class Running:
    """A process at a terminal of its own."""

    process: subprocess.Popen[bytes]
    terminal: int
    printed: bytearray = field(default_factory=bytearray)

    def read(self, seconds: float) -> bool:
        """Take what is there; False at the end of the output."""
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return True
        try:
            more = os.read(self.terminal, 1 << 16)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.printed += more
        return bool(more)

    @property
    def lines(self) -> list[str]:
        """What it has printed so far."""
        return shown(self.printed.decode(errors="replace"))

    def end(self) -> None:
        """Ask all processes of its session's group to end, and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            until = time.monotonic() + END_S
            while self.process.poll() is None and time.monotonic() < until:
                if not self.read(0.05):
                    time.sleep(0.05)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            os.close(self.terminal)


class Shell:
    """A folder and an environment to run commands in."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {**environ, **TERMINAL}
        self._running: list[Running] = []

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for running in reversed(self._running):
            running.end()

    def run(self, command: str, *, deadline_s: float, interrupt_at: Callable[[list[str]], bool] | None = None) -> Ended:
        """Run it to its end; `interrupt_at` says when somebody presses Ctrl-C. Raises `TooLateError`."""
        running = self._begin(command)
        try:
            self._follow(running, command, deadline_s, interrupt_at)
            if interrupt_at and running.process.poll() is None:
                os.write(running.terminal, b"\x03")
                self._follow(running, command, deadline_s, None)
            return Ended(running.lines, running.process.wait(END_S))
        finally:
            running.end()

    def start(self, command: str, *, until: Callable[[list[str]], bool], deadline_s: float) -> Ended:
        """Run it in the background, and return when it has printed what is waited for. Raises `TooLateError`."""
        running = self._begin(command)
        self._running.append(running)
        self._follow(running, command, deadline_s, until)
        return Ended(running.lines, running.process.poll())

    def _begin(self, command: str) -> Running:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        # A terminal of its own, so that Ctrl-C is its own; which whoever started us in the background had ignored.
        words = ["env", "--default-signal=INT", "setsid", "--ctty", "--wait", "bash", "-c", command]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        process = subprocess.Popen(words, cwd=self.folder, env=self.environ, **streams)
        os.close(theirs)
        return Running(process, ours)

    def _follow(
        self, running: Running, command: str, deadline_s: float, until: Callable[[list[str]], bool] | None
    ) -> None:
        began = time.monotonic()
        while running.read(0.1):
            if until and until(running.lines):
                return
            if time.monotonic() - began > deadline_s:
                raise TooLateError(
                    f"{command}: not done in {deadline_s:.0f} s; it had printed:\n" + "\n".join(running.lines)
                )
