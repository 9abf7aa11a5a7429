"""A server that answers as it is told, where Google's would: for what an emulator that works does not answer.

    with answering(lambda request: (503, {"error": {"message": "try later"}})) as server:
        server.url
        server.requests[0].body

An answer is a status and JSON, or bytes as they are; None closes the connection without one.
"""

import contextlib
import http.server
import json
import threading
from typing import NamedTuple


class Request(NamedTuple):
    """One that came in."""

    method: str
    path: str
    body: object


@contextlib.contextmanager
def answering(answer):
    """Serve on a thread until the end of the block."""
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append(Request(self.command, self.path, json.loads(content) if content else None))
            found = answer(requests[-1])
            if found is None:
                self.close_connection = True
                return
            status, said = found
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(said, bytes) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 -- names of the standard library

        def log_message(self, *_):
            """Nothing on stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url, server.requests = f"http://127.0.0.1:{server.server_address[1]}", requests
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
