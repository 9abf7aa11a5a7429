"""The tasks of a cluster as processes of this machine: started, watched, started again, and all ended in the end.

    supervisor = Supervisor(tasks, command, environ=os.environ, restarts=3, say=print_line)
    exit_code = supervisor.run(signals.counted())

A process that dies takes its cluster with it: the others cannot go on without it, so all start again and resume from
the newest committed checkpoint. An evaluator is in no cluster, and starts again alone.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

from trainer.errors import UsageError


LOOK_EVERY_S = 0.05
NOTICE_S = 3.0  # for the others to notice by themselves that one has gone
ASKED_S = 30.0  # to save and end, as the platforms give
USAGE = UsageError.exit_code
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


@dataclass(frozen=True)
class Task:
    """One process of the cluster."""

    role: Literal["chief", "worker", "ps", "evaluator"]
    index: int = 0

    def __str__(self) -> str:
        return self.role if self.role in ("chief", "evaluator") else f"{self.role} {self.index}"


CHIEF = Task("chief")
EVALUATOR = Task("evaluator")
Stream = Literal["stdout", "stderr"]


def tasks_of(*, workers: int, ps: int, evaluator: bool) -> tuple[Task, ...]:
    """The chief and the others, in the order in which they are started."""
    others = [Task("ps", i) for i in range(ps)] + [Task("worker", i) for i in range(workers)]
    return (CHIEF, *others, *([EVALUATOR] if evaluator else []))


def tf_config(task: Task, addresses: Mapping[Task, str]) -> str:
    """The TF_CONFIG of a task, as the platforms write it: without the evaluator among the cluster."""
    cluster: dict[str, list[str]] = {}
    for other, address in addresses.items():
        if other != EVALUATOR:
            cluster.setdefault(other.role, []).append(address)
    return json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}, "environment": "cloud"})


class Supervisor:
    """The processes of one launch. `say(task, stream, line)` is given each line that they print, one at a time."""

    def __init__(
        self,
        tasks: Sequence[Task],
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        restarts: int,
        say: Callable[[Task, Stream, str], None],
        note: Callable[[str], None],
    ) -> None:
        self._tasks = tuple(tasks)
        self._command = list(command)
        self._environ = environ
        self._restarts = restarts
        self._say = say
        self._note = note
        self._processes: dict[Task, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []
        self._saying = threading.Lock()
        self._unsaid: list[Exception] = []
        self._addresses: dict[Task, str] = {}

    def run(self, asked: Callable[[], Sequence[int]]) -> int:
        """Run to the end of the chief; return its exit code. `asked` returns the signals received so far.

        The first asks all processes to save and end, the second ends them at once.
        """
        try:
            self._start_all()
            while True:
                self._pause()
                if signals := asked():
                    return self._ended_by(signals[0], asked)
                codes = {task: self._code(task) for task in self._processes}
                if codes[CHIEF] == 0:
                    self._wait(ASKED_S, until=lambda: len(asked()) > 0)
                    return self._ended_by(asked()[0], asked) if asked() else 0
                dead = next((task for task, code in codes.items() if code), None)
                if dead and not self._goes_on(dead, asked):
                    return self._exit_code(dead)
        finally:
            self._kill_all()
            for reader in self._readers:
                reader.join()

    def _start_all(self) -> None:
        addresses = (f"127.0.0.1:{port}" for port in free_ports(len(self._tasks)))
        self._addresses = dict(zip(self._tasks, addresses, strict=True))
        for task in self._tasks:
            if task != EVALUATOR or not self._is_running(EVALUATOR):
                self._start(task)

    def _start(self, task: Task) -> None:
        process = subprocess.Popen(
            self._command,
            env={**self._environ, "TF_CONFIG": tf_config(task, self._addresses)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us, to be passed on
            preexec_fn=_dying_with_parent(),
        )
        self._processes[task] = process
        streams: tuple[tuple[Stream, IO[str] | None], ...] = (("stdout", process.stdout), ("stderr", process.stderr))
        for name, stream in streams:
            reader = threading.Thread(target=self._read, args=(task, name, stream), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, task: Task, name: Stream, stream: IO[str]) -> None:
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

    def _goes_on(self, dead: Task, asked: Callable[[], Sequence[int]]) -> bool:
        """Whether there is more to run after a death; starts again who died and those that cannot go on without it."""
        code = self._code(dead) or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._tell(f"{dead} ended with {how}" + ("" if code == USAGE or self._restarts else "; no restarts are left"))
        if dead == EVALUATOR and code != USAGE and not self._restarts:
            del self._processes[EVALUATOR]  # the chief does its work
            return True
        if dead != EVALUATOR or code == USAGE:
            self._wait(NOTICE_S, until=lambda: len(asked()) > 0, but=None if code == USAGE else EVALUATOR)
        if asked() or self._code(CHIEF) == 0:
            return True
        if code == USAGE or not self._restarts:
            return False
        self._restarts -= 1
        what = "the evaluator" if dead == EVALUATOR else "the cluster"
        self._tell(f"{what} starts again; restarts left: {self._restarts}")
        if dead == EVALUATOR:
            self._start(EVALUATOR)
            return True
        self._kill_all(but=EVALUATOR)
        self._start_all()
        return True

    def _exit_code(self, dead: Task) -> int:
        """The chief's, or of who died where the chief has none of its own."""
        self._kill_all()
        chief, other = (self._code(task) or 0 for task in (CHIEF, dead))
        code = chief if chief > 0 else other
        return 128 - code if code < 0 else code

    def _ended_by(self, number: int, asked: Callable[[], Sequence[int]]) -> int:
        self._tell("asked to end: saving first; again to end at once")
        for task, process in self._processes.items():
            if self._is_running(task):
                os.kill(process.pid, number)
        self._wait(ASKED_S, until=lambda: len(asked()) > 1)
        chief = self._code(CHIEF)
        return 128 + number if chief is None or chief < 0 else chief

    def _wait(self, most_s: float, *, until: Callable[[], bool] = lambda: False, but: Task | None = None) -> None:
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

    def _is_running(self, task: Task) -> bool:
        return task in self._processes and self._code(task) is None

    def _code(self, task: Task) -> int | None:
        """The exit code of a process that has ended; with it end its children, which would hold on to its output."""
        process = self._processes[task]
        if process.returncode is None and process.poll() is not None:
            _kill_session(process)
        return process.returncode

    def _kill_all(self, *, but: Task | None = None) -> None:
        """End what still runs, the children of processes too."""
        for task, process in self._processes.items():
            if task != but and self._is_running(task):
                _kill_session(process)
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


def _kill_session(process: "subprocess.Popen[str]") -> None:
    """Kill a process that we started, and its children, which may be all that is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _dying_with_parent() -> Callable[[], None] | None:
    """What a new process does first, so that Linux kills it when the launcher is killed: nothing is left behind."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()  # looked up before the fork, after which little is safe

    def die_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return die_with_parent
