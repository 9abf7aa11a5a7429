"""The tasks of a cluster as processes of this machine: started, watched, started again, and all ended in the end.

    supervisor = Supervisor(tasks, program, restarts=3, say=print_line, note=print, alone=EVALUATOR)
    exit_code = supervisor.run(signals.received()).code

A process that dies takes its cluster with it: the others cannot go on without it, so all start again and resume from
the newest committed checkpoint. An evaluator is in no cluster, and starts again alone.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Generic, Literal, TypeVar

from trainer.errors import UsageError


T = TypeVar("T", bound=Hashable)
LOOK_EVERY_S = 0.05
USAGE = UsageError.exit_code
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True)
class Program:
    """What runs as a process."""

    command: Sequence[str]
    environ: Mapping[str, str]
    cwd: str | None = None  # this process's


@dataclass(frozen=True)
class Patience:
    """Seconds to wait for processes to end by themselves, before they are killed."""

    notice_s: float = 3.0  # for the others to notice that one has gone
    asked_s: float = 30.0  # to save and end, as the platforms give
    done_s: float = 30.0  # for the others when the first task has ended well


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How a cluster came to its end."""

    code: int  # as a shell would say it
    task: T | None = None  # the one that failed, and took the others with it
    task_code: int = 0  # its own; negative for a signal


PATIENCE = Patience()


class Supervisor(Generic[T]):
    """The processes of one cluster, whose end is that of its first task.

    `program(task, addresses)` is what a task runs, where the addresses are those of all. `say(task, stream, line)` is
    given each line that they print, one at a time. `alone` is the task that the others do not depend on.
    """

    def __init__(
        self,
        tasks: Sequence[T],
        program: Callable[[T, Mapping[T, str]], Program],
        *,
        restarts: int,
        say: Callable[[T, Stream, str], None],
        note: Callable[[str], None],
        alone: T | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self._tasks = tuple(tasks)
        self._first = self._tasks[0]
        self._program = program
        self._alone = alone
        self._patience = patience
        self._restarts = restarts
        self._say = say
        self._note = note
        self._processes: dict[T, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._saying = threading.Lock()
        self._unsaid: list[Exception] = []
        self._addresses: dict[T, str] = {}

    def run(self, asked: Callable[[], Sequence[int]]) -> Ended[T]:
        """Run to the end of the first task; return its exit code. `asked` returns the signals received so far.

        The first asks all processes to save and end, the second ends them at once.
        """
        try:
            self._start_all()
            while True:
                self._pause()
                if signals := asked():
                    return Ended(self._ended_by(signals[0], asked))
                codes = {task: self._code(task) for task in self._processes}
                if codes[self._first] == 0:
                    self._wait(self._patience.done_s, until=lambda: len(asked()) > 0)
                    return Ended(self._ended_by(asked()[0], asked) if asked() else 0)
                dead = next((task for task, code in codes.items() if code), None)
                if dead and not self._goes_on(dead, asked):
                    return Ended(self._exit_code(dead), dead, codes[dead] or 0)
        finally:
            self._kill_all()
            for reader in self._readers:
                reader.join()

    def _start_all(self) -> None:
        addresses = (f"127.0.0.1:{port}" for port in free_ports(len(self._tasks)))
        self._addresses = dict(zip(self._tasks, addresses, strict=True))
        for task in self._tasks:
            if task != self._alone or not self._is_running(task):
                self._start(task)

    def _start(self, task: T) -> None:
        program = self._program(task, self._addresses)
        process = subprocess.Popen(
            program.command,
            env=program.environ,
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us, to be passed on
            preexec_fn=dying_with_parent(),
        )
        self._processes[task] = process
        streams: tuple[tuple[Stream, IO[str] | None], ...] = (("stdout", process.stdout), ("stderr", process.stderr))
        for name, stream in streams:
            reader = threading.Thread(target=self._read, args=(task, name, stream), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, task: T, name: Stream, stream: IO[str]) -> None:
        try:
            with stream:
                for line in stream:
                    with self._saying:
                        self._say(task, name, line.rstrip("\n"))
        except Exception as error:  # for `run` to raise: unread, the process would wait for us for ever
            self._unsaid.append(error)

    def _tell(self, text: str) -> None:
        with self._saying:
            self._note(text)

    def _goes_on(self, dead: T, asked: Callable[[], Sequence[int]]) -> bool:
        """Whether there is more to run after a death; starts again who died and those that cannot go on without it."""
        code = self._code(dead) or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._tell(f"{dead} ended with {how}" + ("" if code == USAGE or self._restarts else "; no restarts are left"))
        if dead == self._alone and code != USAGE and not self._restarts:
            del self._processes[dead]  # the chief does its work
            return True
        if dead != self._alone or code == USAGE:
            others = None if code == USAGE else self._alone
            self._wait(self._patience.notice_s, until=lambda: len(asked()) > 0, but=others)
        if asked() or self._code(self._first) == 0:
            return True
        if code == USAGE or not self._restarts:
            return False
        self._restarts -= 1
        what = f"the {dead}" if dead == self._alone else "the cluster"
        self._tell(f"{what} starts again; restarts left: {self._restarts}")
        if dead == self._alone:
            self._start(dead)
            return True
        self._kill_all(but=self._alone)
        self._start_all()
        return True

    def _exit_code(self, dead: T) -> int:
        """The first task's, or of who died where that has none of its own."""
        self._kill_all()
        first, other = (self._code(task) or 0 for task in (self._first, dead))
        code = first if first > 0 else other
        return 128 - code if code < 0 else code

    def _ended_by(self, number: int, asked: Callable[[], Sequence[int]]) -> int:
        self._tell("asked to end: saving first; again to end at once")
        for task, process in self._processes.items():
            if self._is_running(task):
                os.kill(process.pid, number)
        self._wait(self._patience.asked_s, until=lambda: len(asked()) > 1)
        first = self._code(self._first)
        return 128 + number if first is None or first < 0 else first

    def _wait(self, most_s: float, *, until: Callable[[], bool] = lambda: False, but: T | None = None) -> None:
        """Wait for all processes to end by themselves."""
        began = time.monotonic()
        while any(self._is_running(task) for task in self._processes if task != but):
            if time.monotonic() - began > most_s or until():
                return
            self._pause()

    def _pause(self) -> None:
        """Wait for a moment; raise the error with which a line could not be said, as the reader of ours went away."""
        time.sleep(LOOK_EVERY_S)
        if self._unsaid:
            raise self._unsaid[0]

    def _is_running(self, task: T) -> bool:
        return task in self._processes and self._code(task) is None

    def _code(self, task: T) -> int | None:
        """The exit code of a process that has ended; with it end its children, which would hold on to its output."""
        process = self._processes[task]
        if process.returncode is None and process.poll() is not None:
            kill_session(process)
        return process.returncode

    def _kill_all(self, *, but: T | None = None) -> None:
        """End what still runs, the children of processes too."""
        for task, process in self._processes.items():
            if task != but and self._is_running(task):
                kill_session(process)
                process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, from the system; taken together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def kill_session(process: "subprocess.Popen[Any]") -> None:
    """Kill a process that we started, and its children, which may be all that is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def dying_with_parent() -> Callable[[], None] | None:
    """What a new process does first, so that Linux kills it when the launcher is killed: nothing is left behind."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()  # looked up before the fork, after which little is safe

    def die_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return die_with_parent
