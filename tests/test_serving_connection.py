"""What a connection bounds, seen from a raw socket."""

import contextlib
import json
import socket
import time
import urllib.parse

import pytest
from test_serving_model import write_model

from tests.serving import ask, serving
from trainer.serving.options import Limits


BODY = json.dumps({"instances": [{"is_male": "True", "mother_age": 26}]}).encode()
HEAD = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("toy") / "export")
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def hasty(folder):
    """A server that waits for a request for less time than a busy machine may take to answer one."""
    with serving(("toy", folder), limits=Limits(timeout_secs=0.6)) as url:
        yield url


@pytest.fixture(scope="module")
def url(folder):
    with serving(("toy", folder), limits=Limits(max_header_bytes=2000, timeout_secs=3.0)) as url:
        yield url


@contextlib.contextmanager
def connected(url):
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        yield connection


def rest(connection):
    """What comes until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
    return received


def response(connection):
    """One response whose length the server says."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split()[-1])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def status(received):
    return int(received.split()[1])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 3000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 3000,
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 500,
        b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"X: 1\r\n" * 500 + b"\r\n",
        b"GET /?" + b"a" * 3000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large_is_431(url, head):
    with connected(url) as connection:
        connection.sendall(head)
        received = rest(connection)
    assert status(received) == 431
    assert b"expected at most 2000 bytes of request line and headers" in received


def test_a_head_of_many_pieces_is_counted_as_one(url):
    with connected(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"X: " + b"a" * 100 + b"\r\n")
        assert status(rest(connection)) == 431


@pytest.mark.parametrize("start", [b"", b"POST /v1/mo", HEAD[:-2], HEAD, HEAD + BODY[:5]])
def test_a_request_that_does_not_come_is_408_and_the_end(hasty, start):
    with connected(hasty) as connection:
        began = time.monotonic()
        connection.sendall(start)
        received = rest(connection)
    assert status(received) == 408
    assert b"expected the whole request within 0.6 seconds" in received
    assert time.monotonic() - began > 0.5


def test_a_second_request_on_a_connection_has_its_own_time(url):
    with connected(url) as connection:
        for _ in range(2):
            connection.sendall(HEAD + BODY)
            assert response(connection) == (200, {"predictions": [14.0]})
        connection.sendall(HEAD[:20])
        assert status(rest(connection)) == 408


def test_a_connection_that_waits_between_requests_is_kept(url):
    with connected(url) as connection:
        connection.sendall(HEAD + BODY)
        assert response(connection)[0] == 200
        time.sleep(4.0)  # longer than a request may take
        connection.sendall(HEAD + BODY)
        assert response(connection)[0] == 200


def test_a_body_that_goes_on_after_its_refusal_is_cut_off(url):
    with connected(url) as connection:
        connection.sendall(HEAD.replace(b"%d" % len(BODY), b"99999999999"))
        assert response(connection)[0] == 413
        connection.sendall(b"x")
        assert rest(connection) == b""


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02"]
)
def test_what_is_no_http_is_400_and_the_end(url, junk):
    with connected(url) as connection:
        connection.sendall(junk)
        received = rest(connection)
    assert status(received) in (400, 408)  # a start of TLS might still become a request
    assert ask(url, "/healthz").status == 200
