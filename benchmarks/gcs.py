"""What a bucket costs beside a disk, on a server of this machine, with a latency where that is the question.

with bucket(latency_s=0.05) as endpoint: ...       # STORAGE_EMULATOR_HOST; gs://bench is there
python -m benchmarks.gcs publish                    # prints a JSON object
python -m benchmarks.gcs fill gs://bench/births DIR
"""

import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from tests import gcs_server
from tests.fault_proxy import FaultProxy
from trainer.storage import client, commit, paths


FILES = 40
FILE_BYTES = 2_500_000
NAME = "bench"


@contextlib.contextmanager
def bucket(latency_s: float) -> Iterator[str]:
    """Serve an empty bucket; yield the endpoint. The latency is added to every request, in a process of its own."""
    with gcs_server.serving() as port:
        gcs_server.create_bucket(f"http://127.0.0.1:{port}", NAME)
        if not latency_s:
            yield f"http://127.0.0.1:{port}"
            return
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_delay, args=(port, latency_s, theirs))
        process.start()
        try:
            yield ours.recv()
        finally:
            ours.send("end")
            process.join()


def publish() -> dict[str, float]:
    """Seconds to commit 40 files of 100 MB together, and to upload them one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(FILES):
            paths.write_bytes(f"{folder}/{i:02d}", os.urandom(FILE_BYTES))
        destination = f"gs://{NAME}/{time.monotonic_ns()}"
        paths.write_bytes(f"{destination}/warm", b"")  # connects, on both sides
        began = time.monotonic()
        with commit.staged(f"{destination}/ours") as staging:
            for i in range(FILES):
                os.link(f"{folder}/{i:02d}", f"{staging}/{i:02d}")
        ours = time.monotonic() - began
        commit.verify(f"{destination}/ours")
        began = time.monotonic()
        for i in range(FILES):
            blob = client.bucket(NAME).blob(f"{destination.partition(NAME + '/')[2]}/theirs/{i:02d}")
            blob.upload_from_filename(f"{folder}/{i:02d}")
        return {"together": ours, "one_by_one": time.monotonic() - began}


def fill(destination: str, folder: str) -> dict[str, int]:
    """Copy the files of a folder into the bucket."""
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as source, paths.open_output(f"{destination}/{name}") as target:
            target.write(source.read())
    return {"files": len(os.listdir(folder))}


def _delay(port: int, latency_s: float, pipe: Connection) -> None:
    with FaultProxy(port, latency_s=latency_s) as proxy:
        pipe.send(proxy.url)
        pipe.recv()


if __name__ == "__main__":
    print(json.dumps({"publish": publish, "fill": fill}[sys.argv[1]](*sys.argv[2:])))
