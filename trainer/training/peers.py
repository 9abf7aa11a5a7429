"""The other processes of a cluster: to wait for them, to reach them through tf.distribute, and to say which is gone.

A collective of MultiWorkerMirroredStrategy fails by itself where a peer has gone, and names it. Parameter servers and
their workers are only spoken to; whether one has gone is looked for, by connecting to the port it serves on.
"""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from trainer.errors import RunError
from trainer.settings import signals
from trainer.settings.cluster import Cluster


START_S = 600.0  # the platforms start machines minutes apart
LOOK_EVERY_S = 5.0
GONE_AFTER_S = 30.0
CONNECT_S = 5.0
AGAIN_S = 1.0
log = logging.getLogger("trainer.training")


def of(cluster: Cluster, roles: Sequence[str]) -> dict[str, str]:
    """The addresses of all tasks of some roles but this one, by what they are called: `chief`, `worker 0`."""
    return {
        called(role, index): address
        for role in roles
        for index, address in enumerate(cluster.addresses.get(role, ()))
        if (role, index) != (cluster.role, cluster.index)
    }


def called(role: str, index: int) -> str:
    """A task in words."""
    return role if role == "chief" else f"{role} {index}"


def resolver(addresses: Mapping[str, Sequence[str]], cluster: Cluster) -> Any:
    """What tells tf.distribute of the tasks with these addresses, and which one this is."""
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({role: list(hosts) for role, hosts in addresses.items()}),
        task_type=cluster.role,
        task_id=cluster.index,
        rpc_layer="grpc",
    )


def mirrored(cluster: Cluster) -> Any:
    """The MultiWorkerMirroredStrategy of a cluster, once all its tasks are there.

    TensorFlow's coordination service is left out: waiting for the others, it holds Python's lock, so that no signal is
    heard, for ever (2.21), and it takes SIGTERM for itself. Without it the strategy looks for its peers by itself.
    """
    from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
    from tensorflow.python.eager import context

    if context.context().coordination_service is None:
        context.context().configure_coordination_service("")
    CollectiveAllReduceExtended._check_health_initial_timeout = START_S
    CollectiveAllReduceExtended._check_health_interval = LOOK_EVERY_S
    CollectiveAllReduceExtended._check_health_timeout = int(CONNECT_S)
    others = of(cluster, tuple(cluster.trainers))
    say_waiting(others)
    try:
        with signals.deadly():  # there is nothing to save yet
            return tf.distribute.MultiWorkerMirroredStrategy(resolver(cluster.trainers, cluster))
    except RuntimeError as error:
        if "Timeout" not in str(error):
            raise
        # It does not say who is missing.
        raise RunError(not_there(others, START_S)) from error


def await_all(others: Mapping[str, str], *, start_s: float = START_S) -> None:
    """Return when each task serves on its port; raise `RunError`, naming who does not, after `start_s` seconds."""
    say_waiting(others)
    began = time.monotonic()
    with signals.deadly():  # there is nothing to save yet
        while not all(map(is_serving, others.values())):
            if time.monotonic() - began > start_s:
                raise RunError(not_there(others, start_s))
            time.sleep(AGAIN_S)


def say_waiting(others: Mapping[str, str]) -> None:
    """Say for whom a process waits, which may take minutes."""
    log.info("waiting for %s", _listed(others))


def not_there(others: Mapping[str, str], waited_s: float) -> str:
    """A line on the tasks that do not serve."""
    return f"{_listed(_silent(others))}: not there after {waited_s:.0f} s; expected every task of the cluster to start"


def is_serving(address: str) -> bool:
    """Whether a process listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, ValueError):
        return False
    return True


def watch(others: Mapping[str, str], leave: Callable[[str], None]) -> None:
    """From now on call `leave` with a line when a task has not served for `GONE_AFTER_S` seconds."""

    def look() -> None:
        served = dict.fromkeys(others, time.monotonic())
        while True:
            for name, address in others.items():
                if is_serving(address):
                    served[name] = time.monotonic()
                elif time.monotonic() - served[name] > GONE_AFTER_S:
                    leave(gone(f"{name} ({address})"))
                    return
            time.sleep(LOOK_EVERY_S)

    threading.Thread(target=look, name="peers", daemon=True).start()


def gone(who: str) -> str:
    """A line on a task that has gone."""
    return f"{who} is gone; this process ends too, and the same command resumes from the newest checkpoint"


@contextlib.contextmanager
def named(cluster: Cluster) -> Iterator[None]:
    """Turn what tf.distribute raises when a peer has gone into a `RunError` that names it."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.FailedPreconditionError, tf.errors.DeadlineExceededError) as error:  # fmt: skip
        found = re.search(r"/job:(\w+)/replica:0/task:(\d+)", error.message or "")
        others = of(cluster, tuple(cluster.addresses))
        if not others:
            raise
        who = called(found[1], int(found[2])) if found else ""
        where = f" ({others[who]})" if who in others else ""
        raise RunError(gone(f"{who}{where}" if where else _listed(_silent(others)))) from error


def _silent(others: Mapping[str, str]) -> Mapping[str, str]:
    return {name: address for name, address in others.items() if not is_serving(address)} or others


def _listed(tasks: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({address})" for name, address in tasks.items())
