"""The process that serves: it listens, loads, answers, looks for newer exports, and ends when it is asked to.

    server.run(server.build([source], [locate(source.directory)], limits=Limits(), ...), bound_socket)

It listens at once, and says through `/healthz` when all models are loaded and warm. A first SIGTERM or Ctrl-C turns new
requests away, answers those that came before, and ends with exit code 0; a second one ends it at once.
"""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from trainer.errors import RunError
from trainer.serving import app, connection, page, served
from trainer.serving.access import AccessLog
from trainer.serving.batching import Batcher
from trainer.serving.guard import Guard
from trainer.serving.metrics import Metrics
from trainer.serving.model import Model
from trainer.serving.options import Batching, Limits, Source
from trainer.serving.served import Models, Served
from trainer.settings import command


KEEP_ALIVE_SECONDS = 75  # longer than clients and balancers keep a connection without asking
DRAIN_SECONDS = 30
log = logging.getLogger("trainer.serve")


def run(server: "Server", bound: socket.socket) -> int:
    """Serve on a socket that is bound, until a signal. Raises `RunError` when an export cannot be loaded."""
    server.run(sockets=[bound])
    server.guard.close()
    if server.loading.failure:
        raise server.loading.failure
    if server.force_exit:
        command.leave("trainer.serve", "ended before every request was answered")
    return 0


def build(
    sources: Sequence[Source],
    exports: Sequence[str],
    *,
    limits: Limits,
    batching: Batching,
    poll_seconds: float,
    token: bytes | None = None,
    predict_route: str | None = None,
    health_route: str | None = None,
) -> "Server":
    """A server of these models, which will begin with these exports; it looks for newer ones every `poll_seconds`."""
    models = Models([Served(source) for source in sources])
    metrics = Metrics()
    loading = Loading(models, exports, batching, metrics, poll_seconds=poll_seconds)
    inner = app.build(
        models,
        limits=limits,
        counted=metrics,
        lifespan=loading.lifespan,
        predict_route=predict_route,
        health_route=health_route,
    )
    guard = Guard(
        inner,
        metrics,
        AccessLog() if logging.getLogger("trainer.access").isEnabledFor(logging.INFO) else None,
        head_bytes=limits.max_header_bytes,
        token=token,
        open_paths=page.open_paths() | {app.HEALTH, health_route or app.HEALTH},
    )
    config = uvicorn.Config(
        guard,
        http=connection.limited(head_bytes=limits.max_header_bytes, seconds=limits.timeout_secs),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return Server(config, guard, loading)


class Loading:
    """Loads each model's first export, and then each newer one, beside the answering."""

    def __init__(
        self, models: Models, exports: Sequence[str], batching: Batching, metrics: Metrics, *, poll_seconds: float
    ) -> None:
        self._models = models
        self._exports = exports
        self._batching = batching
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        self.failure: Exception | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """What Starlette opens before the server listens and closes after it."""
        del app
        task = asyncio.create_task(self._load_and_follow())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _load_and_follow(self) -> None:
        gc.freeze()  # what importing TensorFlow made stays; looking through it now and again takes a tenth of a second
        try:
            for one, export in zip(self._models.all, self._exports, strict=True):
                self._take(one, await self._in_thread(served.load, export))
        except Exception as error:  # the server says which when it has ended
            self.failure = error
            return
        log.info("ready")
        await asyncio.gather(*(self._follow(one) for one in self._models.all))

    async def _follow(self, one: Served) -> None:
        refused: set[str] = set()
        while True:
            await asyncio.sleep(self._poll_seconds)
            assert one.version
            try:
                than = one.version.model.directory
                model = await self._in_thread(served.newer, one.source.directory, than, refused)
            except RunError as error:  # a bucket that does not answer, which may next time
                log.warning("%s: cannot be looked through: %s", one.source.directory, error)
                continue
            except Exception:  # what is there answers on
                log.exception("%s: cannot be looked through", one.source.directory)
                continue
            if model:
                self._take(one, model)
                self._metrics.reload(one.source.name)
                del model
                await self._in_thread(gc.collect)  # the graph that was replaced is full of circles

    def _take(self, one: Served, model: Model) -> None:
        one.take(model, Batcher(model, self._batching, partial(self._metrics.call, one.source.name)))
        number = served.number(model.directory)
        self._metrics.version(one.source.name, number)
        fields = {"model": one.source.name, "version": number, "export": model.directory}
        log.info("serving %s, version %s", one.source.name, number, extra={"fields": fields})

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class Server(uvicorn.Server):
    """uvicorn's, but it answers what has come before it closes, and ends when a model cannot be loaded."""

    def __init__(self, config: uvicorn.Config, guard: Guard, loading: Loading) -> None:
        super().__init__(config)
        self.guard = guard
        self.loading = loading

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or Ctrl-C: the first begins the end, the second is the end."""
        del sig, frame
        self.force_exit = self.guard.draining
        self.guard.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to end."""
        is_drained = self.guard.draining and not self.guard.in_progress
        if is_drained or self.force_exit or self.loading.failure:
            self.should_exit = True
        return await super().on_tick(counter)
