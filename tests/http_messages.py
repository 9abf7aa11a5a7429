"""HTTP/1.1 messages as they pass through: a head, and a body that comes in while it goes on.

message = await receive(reader)
await send(writer, message)
"""

import asyncio
import contextlib
import http.client
import io
from dataclasses import dataclass, replace


PIECE = 256 * 1024  # bytes read at once, and the longest head
HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect")


class Body:
    """The bytes that follow a head: `left` many, or (None) all until the connection closes, or in chunks."""

    def __init__(self, reader: asyncio.StreamReader, left: int | None = 0, *, chunked: bool = False) -> None:
        self._reader, self.left, self.chunked, self._ended = reader, left, chunked, False

    async def piece(self) -> bytes:
        """The next bytes, none at the end. Raises `IncompleteReadError` if the connection ends before."""
        if self.chunked and not self.left and not self._ended:
            self.left = int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16)
            while not self.left and await self._reader.readuntil(b"\r\n") != b"\r\n":
                pass
        self._ended = self._ended or self.left == 0
        if self._ended:
            return b""
        piece = await self._reader.read(PIECE if self.left is None else min(self.left, PIECE))
        if self.left is None:
            self._ended = not piece
            return piece
        if not piece:
            raise asyncio.IncompleteReadError(piece, self.left)
        self.left -= len(piece)
        if self.chunked and not self.left:
            await self._reader.readexactly(2)
        return piece

    async def whole(self) -> bytes:
        """All that is left."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(frozen=True)
class Message:
    """A request or an answer: its first line, its headers, and what follows."""

    start: str
    headers: http.client.HTTPMessage
    body: Body
    bare: bool = False  # nothing follows, whatever the headers say

    @property
    def status(self) -> int:
        """That of an answer."""
        return int(self.start.split()[1])

    def head(self) -> bytes:
        """As it is sent."""
        return "\r\n".join([self.start, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]).encode(
            "latin-1"
        )

    def holding(self, content: bytes) -> "Message":
        """The same with `content` for its body."""
        if not self.bare:
            del self.headers["Transfer-Encoding"], self.headers["Content-Length"]
            self.headers["Content-Length"] = str(len(content))
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        return replace(self, body=Body(reader, len(content)))


async def receive(reader: asyncio.StreamReader, *, answer_to: str | None = None) -> Message:
    """The next request, or the answer to a request of the method `answer_to`; its body is still to be read."""
    start, _, lines = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    headers = http.client.parse_headers(io.BytesIO(lines))
    bare = answer_to == "HEAD" or (answer_to is not None and start.split()[1] in (b"204", b"304"))
    if bare:
        body = Body(reader)
    elif headers.get("Transfer-Encoding", "").lower() == "chunked":
        body = Body(reader, chunked=True)
    else:
        length = headers.get("Content-Length", None if answer_to else "0")
        body = Body(reader, None if length is None else int(length))
    return Message(start.decode("latin-1"), headers, body, bare)


async def send(writer: asyncio.StreamWriter, message: Message) -> None:
    """Passes a message on as its body comes in."""
    chunked = message.body.chunked or message.body.left is None
    for name in HOP_BY_HOP:
        del message.headers[name]
    if chunked:
        message.headers["Transfer-Encoding"] = "chunked"
    await write(writer, message.head())
    while piece := await message.body.piece():
        await write(writer, b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        await write(writer, b"0\r\n\r\n")


async def write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Returns when the kernel has it all, so that aborting the connection loses nothing."""
    writer.transport.set_write_buffer_limits(high=0)
    writer.write(data)
    await writer.drain()


async def close(writer: asyncio.StreamWriter) -> None:
    """At once, without waiting for a peer that does not read."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
