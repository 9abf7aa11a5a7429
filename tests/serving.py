"""A prediction server in this process, and a client that shows all of a response."""

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from typing import NamedTuple

from trainer import serve
from trainer.serving import server
from trainer.serving.locate import locate
from trainer.serving.options import Batching, Limits, Source


DEADLINE = 60  # seconds
LIMITS = Limits()
BATCHING = Batching()


class Answer(NamedTuple):
    """A response: its body as JSON where it is, else as bytes."""

    status: int
    content: object
    headers: dict


@contextlib.contextmanager
def serving(*sources, limits=LIMITS, batching=BATCHING, poll_seconds=5.0, **settings):
    """Serve `(name, directory)` or `(name, directory, label)` on a thread; gives the address when all are ready."""
    named = [Source(*source) for source in sources]
    exports = [locate(source.directory) for source in named]
    built = server.build(named, exports, limits=limits, batching=batching, poll_seconds=poll_seconds, **settings)
    with serve.bound("127.0.0.1", 0) as taken:
        url = serve.url_of(taken).rstrip("/")
        thread = threading.Thread(target=server.run, args=(built, taken), daemon=True)
        thread.start()
        try:
            wait_until(lambda: is_ready(url))
            yield url
        finally:
            built.handle_exit(15, None)
            thread.join(DEADLINE)
            assert not thread.is_alive(), "the server did not end"


def is_ready(url):
    with contextlib.suppress(OSError):
        return ask(url, "/healthz").status == 200
    return False


def wait_until(condition, seconds=DEADLINE):
    """Wait for a condition to be true; gives what it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("not in time")


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEADLINE)


def ask(url, path, body=None, *, method=None, headers=None):
    """Ask on a connection of its own; a body that is not bytes is sent as JSON."""
    connection = connect(url)
    try:
        return ask_on(connection, path, body, method=method, headers=headers)
    finally:
        connection.close()


def ask_on(connection, path, body=None, *, method=None, headers=None):
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method or ("GET" if body is None else "POST"), path, sent, headers or {})
    response = connection.getresponse()
    content = response.read()
    with contextlib.suppress(ValueError):
        content = json.loads(content)
    return Answer(response.status, content, {name.lower(): value for name, value in response.getheaders()})
