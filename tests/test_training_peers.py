"""The other processes of a cluster: which of them serve, and what is said of one that does not. The ports are real."""

import logging
import queue
import signal
import socket
import threading
import time

import pytest
import tensorflow as tf

from trainer.errors import RunError
from trainer.settings.cluster import ALONE, Cluster
from trainer.training import peers


DEADLINE_S = 120.0
ANY_PORT = ("127.0.0.1", 0)


def address_of(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def late():
    """The socket of a task that does not serve yet; nobody else gets its port."""
    with socket.socket() as bound:
        bound.bind(ANY_PORT)
        yield bound


@pytest.fixture
def silent(late):
    """The address of a task that does not serve."""
    return address_of(late)


@pytest.fixture
def serving():
    """The address of a task that serves."""
    with socket.create_server(ANY_PORT, backlog=4096) as server:  # nobody accepts, and each look is a connection
        yield address_of(server)


def chief_of(*workers):
    return Cluster({"chief": ("127.0.0.1:1",), "worker": workers}, "chief")


def line_of(error, cluster):
    """What is said of an error of TensorFlow."""
    with pytest.raises(RunError) as found, peers.named(cluster):
        raise error
    assert found.value.__cause__ is error
    return str(found.value)


ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
    tf.errors.DeadlineExceededError,
)


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_that_names_a_task_becomes_a_line_with_the_task_and_its_address(kind, serving, silent):
    message = "Collective ops is aborted by: from remote target /job:worker/replica:0/task:1: Connection reset by peer"
    line = line_of(kind(None, None, message), chief_of(silent, serving))
    assert line == (
        f"worker 1 ({serving}) is gone; this process ends too, and the same command resumes from the newest checkpoint"
    )


def test_the_chief_is_named_without_a_number(silent):
    cluster = Cluster({"chief": (silent,), "worker": ("b:1", "c:1")}, "worker", 1)
    line = line_of(tf.errors.UnavailableError(None, None, "/job:chief/replica:0/task:0/device:CPU:0"), cluster)
    assert line.startswith(f"chief ({silent}) is gone; ")


@pytest.mark.parametrize(
    "message", ["Socket closed", None, "", "/job:chief/replica:0/task:0", "/job:ps/replica:0/task:9"]
)
def test_an_error_that_names_nobody_else_becomes_a_line_with_those_that_do_not_serve(message, serving, silent):
    line = line_of(tf.errors.UnavailableError(None, None, message), chief_of(serving, silent))
    assert line.startswith(f"worker 1 ({silent}) is gone; ")


def test_where_all_serve_again_any_of_them_may_have_been_gone(serving):
    line = line_of(tf.errors.AbortedError(None, None, "Socket closed"), chief_of(serving, serving))
    assert line.startswith(f"worker 0 ({serving}), worker 1 ({serving}) is gone; ")


@pytest.mark.parametrize(
    "error", [tf.errors.InvalidArgumentError(None, None, "/job:worker/replica:0/task:0"), KeyError("x")]
)
def test_other_errors_are_passed_on(error, silent):
    with pytest.raises(type(error)) as found, peers.named(chief_of(silent)):
        raise error
    assert found.value is error


@pytest.mark.parametrize("cluster", [ALONE, Cluster({"chief": ("a:1",)}, "chief")])
def test_where_there_are_no_others_nobody_is_gone(cluster):
    error = tf.errors.UnavailableError(None, None, "/job:worker/replica:0/task:0")
    with pytest.raises(tf.errors.UnavailableError) as found, peers.named(cluster):
        raise error
    assert found.value is error


def test_what_goes_well_is_left_alone(silent):
    with peers.named(chief_of(silent)):
        pass


def test_the_others_are_all_tasks_of_some_roles_but_this_one():
    addresses = {"chief": ("a:1",), "worker": ("b:1", "c:1"), "ps": ("d:1",)}
    assert peers.of(Cluster(addresses, "worker", 1), ("chief", "worker")) == {"chief": "a:1", "worker 0": "b:1"}
    assert peers.of(Cluster(addresses, "chief"), ("ps", "worker")) == {
        "ps 0": "d:1",
        "worker 0": "b:1",
        "worker 1": "c:1",
    }
    assert peers.of(ALONE, ("chief", "worker")) == {}


def test_a_task_serves_when_a_process_listens_on_its_port(serving, silent):
    assert peers.is_serving(serving)
    assert not peers.is_serving(silent)


@pytest.mark.parametrize(
    "address", ["", "host", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", "no-such-host.invalid:1"]
)
def test_what_is_no_address_serves_nothing(address):
    assert not peers.is_serving(address)


def test_tasks_that_serve_are_not_waited_for_and_it_is_said_who_they_are(serving, caplog):
    with caplog.at_level(logging.INFO):
        peers.await_all({"ps 0": serving, "worker 0": serving})
    assert caplog.messages == [f"waiting for ps 0 ({serving}), worker 0 ({serving})"]


def test_a_task_that_comes_late_is_waited_for_and_a_signal_does_not_wait(late, monkeypatch):
    """There is nothing to save yet, so a signal ends the process at once."""
    monkeypatch.setattr(peers, "AGAIN_S", 0.01)
    before = signal.getsignal(signal.SIGTERM)
    handlers = []

    def come():
        end = time.monotonic() + DEADLINE_S
        while signal.getsignal(signal.SIGTERM) != signal.SIG_DFL and time.monotonic() < end:
            time.sleep(0.01)
        handlers.append(signal.getsignal(signal.SIGTERM))
        late.listen()

    signal.signal(signal.SIGTERM, lambda number, frame: None)  # as one that remembers it
    try:
        coming = threading.Thread(target=come)
        coming.start()
        peers.await_all({"worker 0": address_of(late)})
        coming.join()
        assert handlers == [signal.SIG_DFL] != [signal.getsignal(signal.SIGTERM)]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_who_is_missing_is_named_after_the_time_to_start(serving, silent, monkeypatch):
    monkeypatch.setattr(peers, "AGAIN_S", 0.0)
    with pytest.raises(RunError) as error:
        peers.await_all({"ps 0": serving, "worker 0": silent}, start_s=0.01)
    line = f"worker 0 ({silent}): not there after 0 s; expected every task of the cluster to start"
    assert str(error.value) == line


@pytest.fixture
def watched(monkeypatch):
    """Start to watch some tasks, for half a second; returns a queue of the lines with which it would leave."""
    monkeypatch.setattr(peers, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(peers, "GONE_AFTER_S", 0.5)
    lines = queue.Queue()

    def watch(others):
        peers.watch(others, lines.put)
        return lines

    return watch


def test_a_task_that_stops_serving_is_left_with_its_name_after_some_time(serving, watched):
    with socket.create_server(ANY_PORT, backlog=4096) as server:
        address = address_of(server)
        lines = watched({"ps 0": serving, "worker 0": address})
        with pytest.raises(queue.Empty):  # as long as all of them serve
            lines.get(timeout=0.6)
        stopped = time.monotonic()
    assert lines.get(timeout=DEADLINE_S) == peers.gone(f"worker 0 ({address})")
    assert time.monotonic() - stopped > 0.25
    with pytest.raises(queue.Empty):  # once
        lines.get(timeout=0.2)


def test_a_task_that_serves_again_in_time_is_not_gone(watched, monkeypatch):
    monkeypatch.setattr(peers, "GONE_AFTER_S", DEADLINE_S)
    with socket.create_server(ANY_PORT) as server:
        address = address_of(server)
        lines = watched({"worker 0": address})
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2])), backlog=4096) as again:
        again.settimeout(DEADLINE_S)
        for _ in range(2):  # at the second look, the first is known to have found it
            again.accept()[0].close()
        monkeypatch.setattr(peers, "GONE_AFTER_S", 0.2)
        with pytest.raises(queue.Empty):
            lines.get(timeout=0.5)
    assert lines.get(timeout=DEADLINE_S) == peers.gone(f"worker 0 ({address})")
