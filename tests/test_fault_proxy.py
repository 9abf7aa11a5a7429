"""The fault-injecting proxy: clients see each fault, and none where none was asked for."""

import contextlib
import gc
import http.client
import re
import socket
import threading
import time

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption

from tests import gcs_server
from tests.fault_proxy import Dropped, FaultProxy, once


TEXT = b"0123456789" * 100
LARGE = 9 * 1024 * 1024  # bytes; more than google-cloud-storage sends in one request


@pytest.fixture(scope="module")
def upstream(gcs_port):
    """The port of a server with the bucket `bucket`."""
    gcs_server.create_bucket(f"http://127.0.0.1:{gcs_port}", "bucket")
    return gcs_port


@pytest.fixture
def bucket_of(monkeypatch):
    """Gives the bucket as google-cloud-storage sees it through a proxy."""
    clients = []

    def bucket(proxy):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        # Else a thread of the client's asks for the bucket, at whatever time: requests would have other numbers.
        monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        clients.append(storage.Client(project="p", credentials=AnonymousCredentials()))
        return clients[-1].bucket("bucket")

    yield bucket
    for client in clients:
        client.close()


@pytest.fixture
def name(request):
    """An object's name that no other test has."""
    return re.sub(r"\W", "-", request.node.name)


def answer(port, method, target, body=None, headers=()):
    """The status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def upload(port, name, content=TEXT, **more):
    return answer(port, "POST", f"/upload/storage/v1/b/bucket/o?uploadType=media&name={name}", content, **more)


def stored(upstream, name):
    """What the server has under a name, asked without the proxy; None if nothing."""
    status, _, content = answer(upstream, "GET", f"/download/storage/v1/b/bucket/o/{name}?alt=media")
    return content if status == 200 else None


def media(name):
    return f"/download/storage/v1/b/bucket/o/{name}?alt=media"


def always(kind):
    return lambda request: kind


def stops_answering(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(1) == b""


def differing(one, other):
    assert len(one) == len(other)
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_503_is_answered_and_nothing_forwarded(upstream, bucket_of, name):
    with FaultProxy(upstream, choose=once("503")) as proxy:
        with pytest.raises(exceptions.ServiceUnavailable):
            bucket_of(proxy).blob(name).upload_from_string(TEXT, retry=None)
        assert stored(upstream, name) is None
        bucket_of(proxy).blob(name).upload_from_string(TEXT, retry=None)
    assert stored(upstream, name) == TEXT
    assert [(request.method, request.fault) for request in proxy.requests] == [("POST", "503"), ("POST", None)]


def test_429_says_when_to_retry(upstream, name):
    with FaultProxy(upstream, choose=always("429"), retry_after_s=7) as proxy:
        status, headers, _ = upload(proxy.port, name)
    assert (status, headers["Retry-After"]) == (429, "7")
    assert stored(upstream, name) is None


def test_a_lost_answer_leaves_the_object_there(upstream, bucket_of, name):
    with FaultProxy(upstream, choose=once("lost", lambda request: request.method == "POST")) as proxy:
        blob = bucket_of(proxy).blob(name)
        assert not blob.exists(retry=None)
        with pytest.raises(exceptions.ServiceUnavailable):
            blob.upload_from_string(TEXT, retry=None)
        assert blob.exists(retry=None)
    assert stored(upstream, name) == TEXT
    assert [request.fault for request in proxy.requests] == [None, "lost", None]


def test_a_reset_request_reaches_nobody(upstream, bucket_of, name):
    with FaultProxy(upstream, choose=always("reset_request")) as proxy:
        with pytest.raises(ConnectionError):
            upload(proxy.port, name, bytes(LARGE))
        with pytest.raises((exceptions.GoogleAPIError, OSError)):
            bucket_of(proxy).blob(name).upload_from_string(TEXT, retry=None)
    assert stored(upstream, name) is None
    assert [request.fault for request in proxy.requests] == ["reset_request", "reset_request"]


def test_a_reset_response_follows_the_act(upstream, name):
    with FaultProxy(upstream, choose=always("reset_response")) as proxy, pytest.raises(ConnectionResetError):
        upload(proxy.port, name)
    assert stored(upstream, name) == TEXT
    assert [request.fault for request in proxy.requests] == ["reset_response"]


def test_a_cut_answer_is_shorter_than_it_says(upstream, bucket_of, name):
    upload(upstream, name)
    with FaultProxy(upstream, choose=always("cut")) as proxy:
        with pytest.raises(http.client.IncompleteRead) as cut:
            answer(proxy.port, "GET", media(name))
        with pytest.raises((exceptions.GoogleAPIError, OSError)):
            bucket_of(proxy).blob(name).download_as_bytes(retry=None)
    assert TEXT.startswith(cut.value.partial)
    assert len(cut.value.partial) + cut.value.expected == len(TEXT)


@pytest.mark.parametrize("size", [1, 1000, LARGE])
def test_one_byte_is_wrong_on_the_way_up(upstream, bucket_of, name, size):
    content = b"a" * size
    with FaultProxy(upstream, choose=always("wrong_bytes_up")) as proxy:
        bucket_of(proxy).blob(name).upload_from_string(content, retry=None, checksum=None)
    assert differing(stored(upstream, name), content) == 1
    assert [request.fault for request in proxy.requests][-1:] == ["wrong_bytes_up"]


def test_the_client_notices_what_is_wrong_on_the_way_up(upstream, bucket_of, name):
    with FaultProxy(upstream, choose=always("wrong_bytes_up")) as proxy, pytest.raises(DataCorruption):
        bucket_of(proxy).blob(name).upload_from_string(bytes(LARGE), retry=None, checksum="crc32c")


def test_one_byte_is_wrong_on_the_way_down(upstream, bucket_of, name):
    upload(upstream, name)
    with FaultProxy(upstream, choose=always("wrong_bytes_down")) as proxy:
        assert differing(bucket_of(proxy).blob(name).download_as_bytes(retry=None, checksum=None), TEXT) == 1
        with pytest.raises(DataCorruption):
            bucket_of(proxy).blob(name).download_as_bytes(retry=None, checksum="crc32c")
    assert stored(upstream, name) == TEXT


def test_a_hang_answers_nothing_and_ends_in_a_close(upstream, name):
    with FaultProxy(upstream, choose=always("hang"), hang_s=0.2) as proxy:
        started = time.monotonic()
        with pytest.raises(http.client.RemoteDisconnected):
            upload(proxy.port, name)
        assert time.monotonic() - started >= 0.2
    assert stored(upstream, name) is None


def test_the_proxy_closes_in_the_middle_of_a_hang(upstream):
    arrived, threads = threading.Event(), threading.enumerate()
    with FaultProxy(upstream, choose=always("hang"), on_request=lambda number, moment: arrived.set()) as proxy:
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert arrived.wait(20)
    with connection:
        assert connection.recv(1) == b""
    assert set(threading.enumerate()) <= set(threads)
    gc.collect()  # what was left open would warn now


def test_the_proxy_closes_among_connections(upstream, caplog):
    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                answer(proxy.port, "GET", "/storage/v1/b/bucket")

    askers = [threading.Thread(target=ask) for _ in range(8)]
    fifty = threading.Event()
    with FaultProxy(upstream, on_request=lambda number, moment: fifty.set() if number == 50 else None) as proxy:
        for asker in askers:
            asker.start()
        assert fifty.wait(20)
    for asker in askers:
        asker.join()
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize("kind", ["cut", "wrong_bytes_up", "wrong_bytes_down", "reset_request"])
def test_a_fault_that_cannot_be_done_is_neither_done_nor_recorded(upstream, name, kind):
    upload(upstream, name)
    with FaultProxy(upstream, choose=always(kind)) as proxy:
        status, headers, _ = answer(proxy.port, "HEAD", f"/bucket/{name}")
    assert (status, headers["Content-Length"]) == (200, str(len(TEXT)))
    assert [request.fault for request in proxy.requests] == [None]


def test_an_unknown_fault_is_an_error(upstream):
    proxy = FaultProxy(upstream, choose=always("504"))
    with pytest.raises(ValueError, match="fault '504' is unknown"), proxy:
        assert stops_answering(proxy)


def test_the_same_seed_does_the_same(upstream, name):
    upload(upstream, name)

    def faults(seed):
        with FaultProxy(upstream, seed=seed, rate=0.5, kinds=("503", "429", "cut", "wrong_bytes_down")) as proxy:
            seen = []
            for _ in range(40):
                try:
                    seen.append(answer(proxy.port, "GET", media(name))[::2])
                except http.client.IncompleteRead as cut:
                    seen.append(cut.partial)
        return seen, proxy.requests

    assert faults(3) == faults(3)
    assert faults(3) != faults(4)
    assert {request.fault for request in faults(3)[1]} == {None, "503", "429", "cut", "wrong_bytes_down"}


def test_the_rate_of_faults_is_the_one_asked_for(upstream):
    with FaultProxy(upstream, kinds=("503",)) as proxy:
        for rate in (0.0, 0.2, 1.0):
            proxy.rate = rate
            for _ in range(100):
                answer(proxy.port, "GET", "/storage/v1/b/bucket")
    faults = [request.fault for request in proxy.requests]
    assert [faults[start : start + 100].count("503") for start in (0, 200)] == [0, 100]
    assert 10 <= faults[100:200].count("503") <= 30


def test_every_request_is_at_least_as_late_as_asked(upstream):
    with FaultProxy(upstream, latency_s=0.1) as proxy:
        started = time.monotonic()
        answer(proxy.port, "GET", "/storage/v1/b/bucket")
        assert time.monotonic() - started >= 0.1


def test_32_connections_wait_at_the_same_time(upstream, name):
    upload(upstream, name)
    with FaultProxy(upstream, latency_s=1.0) as proxy:
        contents = []
        readers = [
            threading.Thread(target=lambda: contents.append(answer(proxy.port, "GET", media(name))[2]))
            for _ in range(32)
        ]
        started = time.monotonic()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert time.monotonic() - started < 32 * 1.0
    assert contents == [TEXT] * 32


def test_both_moments_of_a_request_are_told(upstream, name):
    told = []

    def on_request(number, moment):
        told.append((number, moment, stored(upstream, name)))

    with FaultProxy(upstream, choose=once("503"), on_request=on_request) as proxy:
        upload(proxy.port, name)
        upload(proxy.port, name)
    assert told == [(0, "before", None), (1, "before", None), (1, "after", TEXT)]


@pytest.mark.parametrize(("moment", "content"), [("before", None), ("after", TEXT)])
def test_a_dropped_request_goes_no_further(upstream, name, moment, content):
    def on_request(number, now):
        if now == moment:
            raise Dropped

    with FaultProxy(upstream, on_request=on_request) as proxy, pytest.raises(ConnectionError):
        upload(proxy.port, name)
    assert stored(upstream, name) == content


def test_what_a_callback_raises_is_raised_at_the_end(upstream):
    def on_request(number, moment):
        raise KeyError(number)

    proxy = FaultProxy(upstream, on_request=on_request)
    with pytest.raises(KeyError), proxy:
        assert stops_answering(proxy)


def test_one_connection_takes_many_requests(upstream, name):
    with FaultProxy(upstream, choose=once("503")) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        statuses = []
        for method, target, body in [
            ("POST", "/storage/v1/b?project=p", b'{"name": "bucket"}'),
            ("POST", f"/upload/storage/v1/b/bucket/o?uploadType=media&name={name}", iter([b"ab", b"c"])),
            ("HEAD", f"/bucket/{name}", None),
            ("GET", "/storage/v1/b/bucket/o?prefix=test&maxResults=1000", None),
            ("DELETE", f"/storage/v1/b/bucket/o/{name}", None),
            ("GET", media(name), None),
        ]:
            connection.request(method, target, body)
            sock = connection.sock
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)
            assert connection.sock is sock
        connection.close()
    assert statuses == [503, 200, 200, 200, 200, 404]


def test_chunks_pass_both_ways(upstream, name):
    with FaultProxy(upstream) as proxy:
        upload(proxy.port, name, iter([b"abc", b"d" * 300_000, b"e"]))
        for number in range(20):
            upload(upstream, f"{name}-{number}")
        status, _, listing = answer(proxy.port, "GET", f"/storage/v1/b/bucket/o?prefix={name}-")
    assert stored(upstream, name) == b"abc" + b"d" * 300_000 + b"e"
    assert (status, listing.count(b'"storage#object"')) == (200, 20)


def test_a_client_that_awaits_100_continue_gets_it(upstream, name):
    with FaultProxy(upstream) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
        target = f"/upload/storage/v1/b/bucket/o?uploadType=media&name={name}"
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert stored(upstream, name) == b"hello"


def test_an_answer_to_half_a_request_arrives(upstream):
    target = "/upload/storage/v1/b/bucket/o?uploadType=resumable&upload_id=none"
    with FaultProxy(upstream) as proxy:
        status, _, _ = answer(
            proxy.port, "PUT", target, bytes(LARGE), {"Content-Range": f"bytes 0-{LARGE - 1}/{LARGE}"}
        )
    assert status == 404


def test_a_precondition_that_fails_passes(upstream, bucket_of, name):
    with FaultProxy(upstream) as proxy:
        bucket_of(proxy).blob(name).upload_from_string(TEXT, retry=None, if_generation_match=0)
        with pytest.raises(exceptions.PreconditionFailed):
            bucket_of(proxy).blob(name).upload_from_string(b"", retry=None, if_generation_match=0)


def test_every_request_of_a_client_passes_through(upstream, bucket_of, name):
    content = bytes(range(256)) * (LARGE // 256)
    with FaultProxy(upstream) as proxy:
        blob = bucket_of(proxy).blob(name)
        blob.upload_from_string(content, retry=None, checksum="crc32c")
        assert [request.method for request in proxy.requests] == ["POST", "PUT"]
        assert (
            blob.download_as_bytes(retry=None, checksum="crc32c") == content
        )  # from the URL that the upload's answer gave
        assert [request.method for request in proxy.requests] == ["POST", "PUT", "GET"]
        chunked = bucket_of(proxy).blob(f"{name}-chunked", chunk_size=4 * 1024 * 1024)
        chunked.upload_from_string(content, retry=None)
        assert chunked.download_as_bytes(retry=None) == content
        assert len(proxy.requests) == 3 + 1 + 3 + 3
    assert stored(upstream, name) == stored(upstream, f"{name}-chunked") == content
