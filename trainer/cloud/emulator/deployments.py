"""Models that are served: a process of `trainer.serve` each, on a port of its own, started again when it dies.

deployments.start(name, arguments=["--model", "births/v1=gs://b/export"], health="/healthz")
deployments.ask(name, "/v1/projects/p/models/births/versions/v1:predict", body)
deployments.stop(name)
"""

import contextlib
import http.client
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import trainer
from trainer.cloud.emulator.calls import Answer
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.packages import Prepared
from trainer.cloud.emulator.runs import Runner
from trainer.processes import Program, Stream, Supervisor
from trainer.serving.locate import MODEL_FILES
from trainer.storage import paths


RESTARTS = 3
READY_S = 300.0
LOOK_EVERY_S = 0.1
ANSWER_S = 90.0
LAST_LINES = 5
HOST = "127.0.0.1"
log = logging.getLogger("trainer.cloud.emulator")
ROOT = str(Path(trainer.__file__).parent.parent)


class Server:
    """One process that serves, and the thread that it lives as long as."""

    def __init__(self, runner: Runner, arguments: Sequence[str], environ: Mapping[str, str], log: str) -> None:
        self.port = 0
        self.asked: list[int] = []
        self.has_died = False
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._log = log
        self._environ = {**runner.clean(Prepared(sys.executable, (ROOT,))), **environ}
        self._arguments = arguments
        self._supervisor = Supervisor(
            [log], self._program, restarts=RESTARTS, say=self._say, note=self._note, patience=runner.patience
        )
        self.thread = threading.Thread(target=self._supervisor.run, args=(lambda: self.asked,), daemon=True)

    def _program(self, task: str, addresses: Mapping[str, str]) -> Program:
        self.port = int(addresses[task].rpartition(":")[2])
        flags = ["--host", HOST, "--port", str(self.port), *self._arguments]
        environ = {**self._environ, "AIP_HTTP_PORT": str(self.port)}
        return Program([sys.executable, "-m", "trainer.serve", *flags], environ, os.path.dirname(self._log))

    def _say(self, task: str, stream: Stream, line: str) -> None:
        self.last.append(line)
        self._write(line)

    def _note(self, text: str) -> None:
        """The supervisor speaks when the process has died."""
        self.has_died = True
        self._write(text)

    def _write(self, line: str) -> None:
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Deployments:
    """The servers of one emulator, by the names of what they serve."""

    def __init__(self, runner: Runner, folder: str) -> None:
        self._runner = runner
        self._folder = folder
        self._lock = threading.Lock()
        self._servers: dict[str, Server] = {}

    def start(self, name: str, *, arguments: Sequence[str], environ: Mapping[str, str], health: str) -> None:
        """Serve, and wait until it does. Raises `ServiceError` with what the server said when it ended instead."""
        os.makedirs(self._folder, exist_ok=True)
        log = os.path.join(self._folder, name.replace("/", "-") + ".log")
        server = Server(self._runner, arguments, environ, log)
        with self._lock:
            self._servers[name] = server
        server.thread.start()
        deadline = time.monotonic() + READY_S
        while not _is_ready(server.port, health):
            if server.has_died or time.monotonic() > deadline:
                self.stop(name)
                said = " ".join(server.last)
                raise ServiceError("FAILED_PRECONDITION", f"Model server terminated unexpectedly: {said}")
            time.sleep(LOOK_EVERY_S)

    def stop(self, name: str) -> None:
        """Serve it no more."""
        with self._lock:
            server = self._servers.pop(name, None)
        if server:
            server.asked.extend([signal.SIGTERM, signal.SIGTERM])
            server.thread.join()

    def close(self) -> None:
        """Serve nothing more."""
        for name in list(self._servers):
            self.stop(name)

    def ask(self, name: str, path: str, body: bytes) -> Answer:
        """What a server answers to a request that is passed on. Raises `ServiceError` where none does."""
        with self._lock:
            server = self._servers.get(name)
        if server is None:
            raise ServiceError("UNAVAILABLE", f"{name}: is not served at present.")
        connection = http.client.HTTPConnection(HOST, server.port, timeout=ANSWER_S)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except OSError as error:
            raise ServiceError("UNAVAILABLE", f"{name}: its server does not answer: {error}") from error
        finally:
            connection.close()
        return Answer(response.status, content, response.headers.get("Content-Type", "application/json"))


def check_artifact(uri: str, *, what: str) -> None:
    """Raise `ServiceError`, as the services word it, for a folder without a SavedModel."""
    names = set(paths.list_names(uri)) & set(MODEL_FILES)
    if len(names) != 1:
        expected = f"is expected to contain exactly one of: [{', '.join(MODEL_FILES)}]."
        raise ServiceError("FAILED_PRECONDITION", f"{what} {uri} {expected}")


def _is_ready(port: int, health: str) -> bool:
    if not port:
        return False
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", health)
        return connection.getresponse().status == 200
    return False
