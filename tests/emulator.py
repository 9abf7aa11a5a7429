"""The local cloud as a process of its own, on a free port, with buckets of a server that the tests share.

with emulator.running(str(tmp_path), storage=f"http://127.0.0.1:{gcs_port}") as cloud:
    cloud.ml.projects().jobs().list(parent="projects/p").execute()
    ended = cloud.ended("projects/p/jobs/births_1")
"""

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery

from trainer.storage import paths


ROOT = Path(__file__).parent.parent
DEADLINE_S = 120
PROJECT, REGION = "my-project", "us-central1"
LOCATION = f"projects/{PROJECT}/locations/{REGION}"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class Cloud:
    """An emulator that runs."""

    def __init__(self, process, url, state):
        self.process = process
        self.url = url
        self.state = state

    @functools.cached_property
    def ml(self):
        """Google's client of ml.v1."""
        return client("ml", "v1", self.url)

    @functools.cached_property
    def vertex(self):
        """Google's client of aiplatform.v1."""
        return client("aiplatform", "v1", self.url)

    @functools.cached_property
    def logging(self):
        """Google's client of logging.v2."""
        return client("logging", "v2", self.url)

    def close(self):
        """Let go of the connections."""
        for name in ("ml", "vertex", "logging"):
            if name in vars(self):
                vars(self)[name].close()

    def get(self, name):
        """A resource by its name, of either service."""
        if "/locations/" in name:
            kind = getattr(self.vertex.projects().locations(), name.split("/")[-2])()
            return kind.get(name=name).execute()
        return self.ml.projects().jobs().get(name=name).execute()

    def wait_for(self, name, *states, deadline_s=DEADLINE_S):
        """The job when it is in one of these states, as Cloud ML Engine calls them."""
        return wait_until(lambda: job if state_of(job := self.get(name)) in states else None, deadline_s)

    def ended(self, name, deadline_s=DEADLINE_S):
        """The job when it has ended."""
        return self.wait_for(name, *ENDED, deadline_s=deadline_s)

    def log(self, job, where=""):
        """The entries of a job, in order."""
        wanted = f'resource.type="ml_job" resource.labels.job_id="{job}" {where}'
        body = {"resourceNames": [f"projects/{PROJECT}"], "filter": wanted, "pageSize": 1000}
        return self.logging.entries().list(body=body).execute().get("entries", [])

    def printed(self, job, task):
        """What a replica printed to both streams."""
        entries = [entry for entry in self.log(job) if entry["resource"]["labels"]["task_name"] == task]
        return [entry.get("textPayload") or entry.get("jsonPayload") for entry in entries]

    def end(self):
        """Ask it to end, and wait for that."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@contextlib.contextmanager
def running(state, *flags, storage, environ=None, reuse_env=True):
    """Start an emulator; it is ended after the block, and its output goes to files beside its state."""
    words = [sys.executable, "-m", "trainer.cloud.emulator", "--port", "0", "--state", state, *flags]
    words += ["--reuse-env"] if reuse_env else []
    variables = {**os.environ, **(environ or {}), **({"STORAGE_EMULATOR_HOST": storage} if storage else {})}
    log = Path(f"{state}.log")
    with open(log, "ab") as output:
        start = output.tell()
        process = subprocess.Popen(words, cwd=ROOT, env=variables, stdout=output, stderr=output)
    with contextlib.ExitStack() as opened:
        opened.callback(_end, process)
        cloud = Cloud(process, wait_until(lambda: _url(log, start, process)), state)
        opened.callback(cloud.close)
        yield cloud


def client(api, version, url):
    """Google's own client, at another address."""
    credentials, options = AnonymousCredentials(), {"api_endpoint": url.rstrip("/")}
    return discovery.build(api, version, credentials=credentials, client_options=options, static_discovery=True)


def package(uri, source, *, name="tiny"):
    """Put an sdist in a bucket, whose module `<name>.task` is `source`; returns its address."""
    setup = f"from setuptools import setup\nsetup(name={name!r}, version='0.1', packages=[{name!r}])\n"
    files = {"setup.py": setup, f"{name}/__init__.py": "", f"{name}/task.py": source}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-0.1/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    paths.write_bytes(paths.join(uri, f"{name}-0.1.tar.gz"), content.getvalue())
    return paths.join(uri, f"{name}-0.1.tar.gz")


def training(packages, *args, **fields):
    """A `trainingInput` of one replica, that runs `tiny.task`."""
    given = {"scaleTier": "BASIC", "region": REGION, "runtimeVersion": "2.21", "pythonVersion": "3.11"}
    return given | {"packageUris": packages, "pythonModule": "tiny.task", "args": list(args)} | fields


def pool(packages, *args, count=1, **fields):
    """A `workerPoolSpec` that runs `tiny.task`."""
    spec = {"executorImageUri": "us-docker.pkg.dev/x", "packageUris": packages, "pythonModule": "tiny.task"}
    machine = {"machineType": "n1-standard-4"}
    python = spec | {"args": list(args)} | fields
    return {"machineSpec": machine, "replicaCount": str(count), "pythonPackageSpec": python}


def state_of(job):
    """The state of a job of either service, as Cloud ML Engine calls it."""
    return job["state"].removeprefix("JOB_STATE_")


def wait_until(what, deadline_s=DEADLINE_S):
    """What `what()` is as soon as it is true."""
    began = time.monotonic()
    while not (found := what()):
        assert time.monotonic() - began < deadline_s, "waited in vain"
        time.sleep(0.05)
    return found


def _url(log, start, process):
    lines = log.read_bytes()[start:].decode().splitlines()
    assert process.poll() is None, lines
    return json.loads(lines[0])["url"].rstrip("/") if lines else None


def _end(process):
    process.terminate()
    try:
        process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()
