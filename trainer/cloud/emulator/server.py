"""The process of the emulator: the services put together, listening, and all that they started ended with it.

server.run(Options(state="cloud", environ=os.environ, ...), bound_socket, signals.received())
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import uvicorn

from trainer.cloud.emulator import app, endpoints, logging_v2, mlengine, mlmodels, vertex, vertexmodels
from trainer.cloud.emulator.app import LOOPBACK
from trainer.cloud.emulator.deployments import Deployments
from trainer.cloud.emulator.entries import Entries
from trainer.cloud.emulator.jobs import Jobs
from trainer.cloud.emulator.operations import Operations
from trainer.cloud.emulator.runs import Runner
from trainer.cloud.emulator.store import Store
from trainer.errors import UsageError, reason
from trainer.processes import Patience


__all__ = ["LOOPBACK", "Options", "bound", "run", "url_of"]
KEEP_ALIVE_S = 600  # longer than a client is idle between two requests; a POST may not be sent again


@dataclass(frozen=True)
class Options:
    """What an emulator is told."""

    state: str
    environ: Mapping[str, str]  # of what it starts
    fresh: bool  # whether each job gets an environment of its own
    at_once: int
    patience: Patience


def run(options: Options, taken: socket.socket, asked: Callable[[], Sequence[int]]) -> int:
    """Serve on a socket that is bound, until a signal; then end what runs, at once with a second one.

    `asked` returns the signals received so far.
    """
    store = Store(os.path.join(options.state, "resources"))
    entries = Entries(os.path.join(options.state, "logs"))
    runner = Runner(entries, options.environ, options.patience)
    jobs = Jobs(store, runner, os.path.join(options.state, "runs"), at_once=options.at_once, fresh=options.fresh)
    mlengine.recover(store, jobs)
    vertex.recover(store, jobs)
    operations = Operations(store)
    served = Deployments(runner, os.path.join(options.state, "servers"))
    operations.recover()
    mlmodels.recover(store, served)
    endpoints.recover(store, served)
    methods = [
        *mlengine.methods(store, jobs),
        *mlmodels.methods(store, served, operations),
        *vertex.methods(store, jobs),
        *vertexmodels.methods(store, operations),
        *endpoints.methods(store, served, operations),
        *operations.methods(),
        *logging_v2.methods(entries),
    ]
    config = uvicorn.Config(
        app.build(methods),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    try:
        Server(config, asked).run(sockets=[taken])
    finally:
        served.close()
        jobs.close(asked)
    return 0


class Server(uvicorn.Server):
    """uvicorn's, but a signal is only remembered: there are jobs to be ended when it has closed."""

    def __init__(self, config: uvicorn.Config, asked: Callable[[], Sequence[int]]) -> None:
        super().__init__(config)
        self._asked = asked

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals are taken already, by whoever may be asked for them."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to end."""
        self.should_exit = self.should_exit or bool(self._asked())
        self.force_exit = len(self._asked()) > 1
        return await super().on_tick(counter)


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port. Who connects before the services are ready waits for them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen()
    except OSError as error:
        taken.close()
        raise UsageError(f"--port: {port}: {reason(error)}") from error
    return taken


def url_of(taken: socket.socket) -> str:
    """Where a client finds what listens there."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
