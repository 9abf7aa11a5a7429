"""A connection that does not wait for ever, and does not keep what never ends.

uvicorn bounds neither a request's head while it comes nor the time until the request is whole. `limited` gives the
protocol class that does; what is too large but whole, head or body, the application sees for itself.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol


def limited(*, head_bytes: int, seconds: float) -> type[HttpToolsProtocol]:
    """The protocol with these limits: 431 for a longer head, 408 for a request that is not there in time."""

    class Limited(HttpToolsProtocol):
        timer: asyncio.TimerHandle | None = None
        in_head = False
        received = 0  # bytes since the head began

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.restart_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.received += len(data)
            if self.in_head and self.received > head_bytes:
                self.refuse(431, f"expected at most {head_bytes} bytes of request line and headers")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.in_head, self.received = True, 0
            self.restart_timer()

        def on_headers_complete(self) -> None:
            self.in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.stop_timer()
            super().on_message_complete()

        def restart_timer(self) -> None:
            self.stop_timer()
            self.timer = self.loop.call_later(seconds, self.expire)

        def stop_timer(self) -> None:
            if self.timer:
                self.timer.cancel()
                self.timer = None

        def expire(self) -> None:
            """The request did not arrive in time, or is answered already but goes on and on."""
            if self.in_head or self.cycle is None or not self.cycle.response_started:
                self.refuse(408, f"expected the whole request within {seconds:g} seconds")
            else:
                self.transport.close()

        def refuse(self, status: int, message: str) -> None:
            """Answer without the application, which may not know of the request yet, and close."""
            self.stop_timer()
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            if self.transport.is_closing():
                return
            body = json.dumps({"error": message}).encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()

    return Limited
