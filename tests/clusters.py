"""Clusters of real processes on this machine, each with the TF_CONFIG that a platform would set."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf

from trainer.processes import free_ports


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400


class Process:
    """One task, started; its output goes to files."""

    def __init__(self, folder, role, index, addresses, flags, environ):
        self.name = f"{role} {index}"
        self.log = folder / f"{role}-{index}"
        cluster = {} if addresses is None else {"cluster": addresses}
        config = {**cluster, "task": {"type": role, "index": index}, "environment": "cloud"}
        with open(f"{self.log}.out", "wb") as out, open(f"{self.log}.err", "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainer.task", *flags],
                cwd=ROOT,
                env={**os.environ, **environ, "TF_CONFIG": json.dumps(config)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def send(self, number):
        """Signal it."""
        self.process.send_signal(number)

    def ended(self, deadline_s=DEADLINE_S):
        """Its exit code; it is killed, and the test fails, when it has none in time."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} did not end in {deadline_s} s: {self.out}{self.err}") from None

    @property
    def out(self):
        """What it printed to stdout."""
        return Path(f"{self.log}.out").read_text()

    @property
    def err(self):
        """What it printed to stderr."""
        return Path(f"{self.log}.err").read_text()

    def lines(self, message):
        """The fields of its log lines with a message."""
        found = [json.loads(line) for line in self.out.splitlines()]
        return [line for line in found if line["message"].startswith(message)]


@contextlib.contextmanager
def cluster(folder, sizes, flags, *, evaluator=False, environ=None):
    """Start the tasks: `sizes` as `{"chief": 1, "worker": 2}`; what is left of them at the end is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = iter(free_ports(sum(sizes.values())))
    addresses = {role: [f"127.0.0.1:{next(ports)}" for _ in range(size)] for role, size in sizes.items()}
    tasks = [(role, index) for role, size in sizes.items() for index in range(size)]
    started = {}
    try:
        for role, index in tasks + ([("evaluator", 0)] if evaluator else []):
            started[f"{role} {index}"] = Process(folder, role, index, addresses, flags, environ or {})
        yield started
    finally:
        for task in started.values():
            if task.process.poll() is None:
                task.send(signal.SIGKILL)
                task.process.wait()


def wait_for(what, deadline_s=DEADLINE_S):
    """Wait until `what()` is true."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < deadline_s, "waited in vain"
        time.sleep(0.05)


def variables(job_dir, step):
    """The values in a checkpoint, by name."""
    reader = tf.train.load_checkpoint(f"{job_dir}/checkpoints/{step}")
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
