"""What runs beside a page, by its comments: a bucket, or a cloud, and free ports in place of the page's.

with services.beside(("bucket my-bucket",), folder) as beside:
    beside.environ                          # STORAGE_EMULATOR_HOST, ...
    beside.as_here("curl 127.0.0.1:8501")   # with the port of this run
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainer.cloud.emulator import bucket


SERVER = "8501"  # where trainer.serve listens unless it is told
PORTS = (SERVER, "8600")
PROJECT, REGION = "my-project", "us-central1"
START_S = 60.0
WITH_ENDPOINT = """#!/usr/bin/env bash
# `python`, but `python -m trainer.submit WHAT` talks to the cloud of this machine.
if [ "$2" = trainer.submit ]; then exec {python} -m trainer.submit "$3" --api-endpoint {url} "${{@:4}}"; fi
exec {python} "$@"
"""


@dataclass(frozen=True)
class Beside:
    """What the commands of a page get, and how their words are those of the page."""

    environ: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, str] = field(default_factory=dict)  # of the page -> of this run
    bin: str = ""  # a folder to look for commands in first

    def as_here(self, command: str) -> str:
        """A command, or the content of a file, with the ports of this run."""
        if "-m trainer.serve" in command and "--port" not in command:
            command += f" --port {SERVER}"
        for shown, here in self.ports.items():
            command = command.replace(f":{shown}", f":{here}").replace(f"--port {shown}", f"--port {here}")
        return command

    def as_on_the_page(self, line: str) -> str:
        """A printed line with the ports of the page."""
        for shown, here in self.ports.items():
            line = line.replace(f":{here}", f":{shown}")
        return line


@contextlib.contextmanager
def beside(marks: Sequence[str], folder: str) -> Iterator[Beside]:
    """Start what the comments of a page ask for, and end it after the block."""
    asked = {mark.split()[0]: mark.split()[1:] for mark in marks}
    environ: dict[str, str] = {}
    ports = {port: str(_free_port()) for port in PORTS}
    with contextlib.ExitStack() as started:
        for name in ("bucket", "cloud"):
            if name in asked:
                url = f"http://127.0.0.1:{started.enter_context(bucket.serving())}"
                environ["STORAGE_EMULATOR_HOST"] = url
                for each in asked[name]:
                    bucket.create(url, each)
        if "cloud" in asked:
            environ |= {"GOOGLE_CLOUD_PROJECT": PROJECT, "GOOGLE_CLOUD_REGION": REGION}
            state = started.enter_context(tempfile.TemporaryDirectory(prefix="page-cloud-"))
            url = started.enter_context(_cloud(state, environ["STORAGE_EMULATOR_HOST"]))
            wrapper = Path(folder) / ".bin" / "python"
            wrapper.parent.mkdir()
            wrapper.write_text(WITH_ENDPOINT.format(python=sys.executable, url=url), encoding="utf-8")
            wrapper.chmod(0o755)
            yield Beside(environ, ports, str(wrapper.parent))
            return
        yield Beside(environ, ports)


@contextlib.contextmanager
def _cloud(state: str, storage: str) -> Iterator[str]:
    """Both services on this machine; their address."""
    words = [sys.executable, "-m", "trainer.cloud.emulator", "--port", "0", "--state", state, "--reuse-env"]
    log = Path(state) / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            words, env={**os.environ, "STORAGE_EMULATOR_HOST": storage}, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + START_S
        while not (lines := log.read_bytes().splitlines()):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the emulator did not start")
            time.sleep(0.05)
        yield str(json.loads(lines[0])["url"]).rstrip("/")
    finally:
        process.terminate()
        process.wait(START_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
