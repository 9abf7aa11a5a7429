"""A reverse HTTP/1.1 proxy in front of fake-gcs-server that does to requests what networks and services do.

    with FaultProxy(upstream_port, seed=7, rate=0.1) as proxy:  # a tenth of the requests, any kind
        ...
    with FaultProxy(upstream_port, choose=once("lost", lambda request: request.method == "POST")) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        ...
        proxy.requests  # [Request(number=0, method="POST", target="/upload/...", fault="lost"), ...]

The proxy runs in a thread of its own, so a client that sends requests with the GIL held waits for ever: a file of
`pyarrow.fs.GcsFileSystem.open_input_file` does, and wants another process. Objects are streamed if no fault is done to
them, but other answers are read whole, as they hold URLs, which must lead here.
"""

import asyncio
import contextlib
import http.client
import random
import re
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from tests.http_messages import PIECE, Body, Message, close, receive, send, write


KINDS = (
    "503",  # answered; nothing is forwarded
    "429",  # the same, with Retry-After
    "lost",  # forwarded and acted upon, yet answered 503
    "reset_request",  # the connection is reset after some bytes of the request's body; nothing is forwarded
    "reset_response",  # forwarded and acted upon, then reset after some bytes of the answer, which may be none
    "cut",  # the answer's body ends early, with a clean close, at fewer bytes than Content-Length says
    "wrong_bytes_up",  # one byte of an uploaded object's content is another
    "wrong_bytes_down",  # one byte of a downloaded object's content is another
    "hang",  # nothing is forwarded nor answered for `hang_s`, then the connection is closed
)


@dataclass(frozen=True)
class Request:
    """The request that came in as the `number`-th, from 0, and the fault that was done to it, if any."""

    number: int
    method: str
    target: str
    fault: str | None = None


class Dropped(Exception):  # noqa: N818  it is no error
    """The client's connection is reset now; `on_request` may raise it, for a client that it has killed."""


def is_download(request: Request) -> bool:
    """Whether the answer is an object's content."""
    return request.method == "GET" and re.search(r"[?&]alt=media\b", request.target) is not None


def uploaded(request: Request, message: Message, content: bytes) -> range:
    """Where in the body of a request the content of an object is; an empty range if there is none."""
    if not request.target.startswith("/upload/"):
        return range(0)
    if re.search(r"[?&](upload_id=|uploadType=media\b)", request.target):
        return range(len(content))
    if "uploadType=multipart" not in request.target:
        return range(0)
    fence = f"--{message.headers.get_boundary()}".encode("latin-1")
    second = content.index(fence, content.index(fence) + len(fence))
    return range(content.index(b"\r\n\r\n", second) + 4, content.rindex(b"\r\n" + fence))


def flipped(content: bytes, at: int) -> bytes:
    """With another byte at `at`, by one bit: what was a digit is mostly one still."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def once(kind: str, matches: Callable[[Request], bool] = lambda request: True) -> Callable[[Request], str | None]:
    """For `choose`: the fault is done to the first request that matches."""
    left = [kind]
    return lambda request: left.pop() if left and matches(request) else None


class FaultProxy:
    """Listens from `with` on, and forwards to the port `upstream`; see the top.

    A fault that cannot be done to a request (`cut` where nothing follows the head) is not, and is not recorded.
    `choose` gives a request's fault; if absent, `rate` of the requests get one of `kinds`. As all that is random about
    the n-th request is drawn as it arrives, the same seed does the same to it.

    `on_request(number, moment)` is called when a request has come in and nothing is forwarded ("before"), and when the
    upstream has acted and nothing is answered ("after"), with all other connections at a halt. What it raises, but for
    `Dropped`, is raised at the end of `with`.
    """

    def __init__(
        self,
        upstream: int,
        *,
        seed: int = 0,
        rate: float = 0.0,
        kinds: tuple[str, ...] = KINDS,
        latency_s: float = 0.0,
        hang_s: float = 60.0,
        retry_after_s: int = 1,
        choose: Callable[[Request], str | None] | None = None,
        on_request: Callable[[int, str], None] | None = None,
    ) -> None:
        self.rate, self.latency_s, self.choose, self.on_request = rate, latency_s, choose, on_request
        self.requests: list[Request] = []
        self._upstream, self._kinds, self._hang_s, self._retry_after_s = upstream, kinds, hang_s, retry_after_s
        self._random = random.Random(seed)
        self._errors: list[Exception] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "FaultProxy":
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        started: Future[None] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=[self._listen(listening, started)], daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._errors and kind is None:
            raise self._errors[0]

    async def _listen(self, listening: socket.socket, started: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=listening, limit=PIECE, backlog=128)
        started.set_result(None)
        await self._stop.wait()
        self._loop.remove_reader(listening)
        for _ in range(4):  # passes of the loop, in which a connection just accepted gets to `_accept`
            await asyncio.sleep(0)
        server.close()
        for writer in self._connections.values():
            writer.transport.abort()  # asyncio.run cancels the tasks, but one that has not begun closes nothing

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connection(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio does so by itself only where the listening socket was made with a protocol number.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer):
                pass
        except Dropped:
            linger_s = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_s)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side has gone
        except Exception as error:
            self._errors.append(error)
        finally:
            await close(writer)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; whether the connection can take another."""
        message = await receive(reader)
        request, kind, where = self._arrived(message)
        keeps = message.headers.get("Connection", "").lower() != "close"
        self._tell(request, "before")
        await asyncio.sleep(self.latency_s)
        if message.headers.get("Expect", "").lower() == "100-continue":
            await write(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        if kind in ("503", "429", "hang"):
            self._record(request, kind)
            await message.body.whole()
            if kind == "hang":
                await asyncio.sleep(self._hang_s)
                return False
            await send(writer, self._refusal(request, kind))
            return keeps
        if kind == "reset_request" and (message.body.chunked or message.body.left):
            self._record(request, kind)
            left = int(where * (message.body.left or PIECE))
            while left > 0 and (piece := await message.body.piece()):
                left -= len(piece)
            raise Dropped
        if kind == "wrong_bytes_up":
            content = await message.body.whole()
            if span := uploaded(request, message, content):
                self._record(request, kind)
                content = flipped(content, span[int(where * len(span))])
            message = message.holding(content)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=PIECE)
        try:
            answer = await self._forwarded(request, message, up_reader, up_writer)
            self._tell(request, "after")
            return await self._answer(request, answer, writer, kind=kind, where=where) and keeps
        finally:
            await close(up_writer)

    async def _forwarded(
        self, request: Request, message: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Message:
        """The upstream's answer, which may come before it has read the whole request."""
        del message.headers["Host"]
        message.headers["Host"] = f"127.0.0.1:{self._upstream}"
        answering = asyncio.create_task(self._answered(request, reader))
        try:
            with contextlib.suppress(ConnectionError):
                await send(writer, message)
            while await message.body.piece():
                pass
            return await answering
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _answered(self, request: Request, reader: asyncio.StreamReader) -> Message:
        answer = await receive(reader, answer_to=request.method)
        there, here = f"127.0.0.1:{self._upstream}", f"127.0.0.1:{self.port}"
        if "Location" in answer.headers:
            answer.headers.replace_header("Location", answer.headers["Location"].replace(there, here))
        if is_download(request) and answer.status in (200, 206):
            return answer
        return answer.holding((await answer.body.whole()).replace(there.encode(), here.encode()))

    async def _answer(
        self, request: Request, answer: Message, writer: asyncio.StreamWriter, *, kind: str | None, where: float
    ) -> bool:
        """Passes an answer on, with a fault; whether the connection can take another request."""
        if kind == "lost":
            self._record(request, kind)
            answer = self._refusal(request, "503")
        elif kind in ("reset_response", "cut", "wrong_bytes_down"):
            content = await answer.body.whole()
            answer = answer.holding(content)
            if kind == "reset_response":
                self._record(request, kind)
                whole = answer.head() + content
                await write(writer, whole[: int(where * len(whole))])
                raise Dropped
            if kind == "cut" and content:
                self._record(request, kind)
                await write(writer, answer.head() + content[: int(where * len(content))])
                return False
            if kind == "wrong_bytes_down" and content and is_download(request) and answer.status in (200, 206):
                self._record(request, kind)
                answer = answer.holding(flipped(content, int(where * len(content))))
        await send(writer, answer)
        return True

    def _arrived(self, message: Message) -> tuple[Request, str | None, float]:
        """The request, its fault, and where in the bytes it happens, from 0 to below 1."""
        method, target, _ = message.start.split(" ")
        request = Request(len(self.requests), method, target)
        self.requests.append(request)
        chance, kind, where = self._random.random(), self._random.choice(self._kinds), self._random.random()
        if self.choose is None:
            return request, kind if chance < self.rate else None, where
        chosen = self.choose(request)
        if chosen not in (None, *KINDS):
            raise ValueError(f"choose: fault {chosen!r} is unknown; use one of {', '.join(KINDS)}.")
        return request, chosen, where

    def _record(self, request: Request, fault: str) -> None:
        self.requests[request.number] = replace(request, fault=fault)

    def _tell(self, request: Request, moment: str) -> None:
        if self.on_request is not None:
            self.on_request(request.number, moment)

    def _refusal(self, request: Request, status: str) -> Message:
        headers = http.client.HTTPMessage()
        headers["Content-Type"] = "application/json"
        if status == "429":
            headers["Retry-After"] = str(self._retry_after_s)
        start = f"HTTP/1.1 {status} {http.client.responses[int(status)]}"
        message = Message(start, headers, Body(asyncio.StreamReader()), bare=request.method == "HEAD")
        error = f'{{"error": {{"code": {status}, "message": "Fault done to request {request.number}."}}}}\n'
        return message.holding(b"" if message.bare else error.encode())
