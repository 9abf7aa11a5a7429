"""A writer to a bucket that fails, and is killed, while others read: nothing half-written is ever taken for whole.

    python -m pytest tests/test_gcs_faults.py                # 12 runs
    python -m pytest -m slow tests/test_gcs_faults.py        # 200 runs

Each run is a real process (`gcs_writer`) that saves, exports and cleans up, through a proxy that does something bad to
a fifth of its requests. Every other one is killed with SIGKILL at one of its requests, drawn at random, either before
the server has acted or after, and is started again. Meanwhile a reader looks, past the proxy, at all there is.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from dataclasses import dataclass, field

import pytest

from tests import gcs_writer
from tests.fault_proxy import Dropped, FaultProxy
from trainer.exporting import strategies
from trainer.storage import commit, fsck, paths


DEADLINE_S = 120.0
REQUESTS = 150  # about how many a run makes
CONTEXT = multiprocessing.get_context("forkserver")  # its children have the modules, and none of our threads
CONTEXT.set_forkserver_preload(["tests.gcs_writer"])


@dataclass
class Reader:
    """Looks at a job dir again and again while it is written, and counts what it found whole."""

    job_dir: str
    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def reading(self):
        thread = threading.Thread(target=self._read)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def look(self):
        """Take every set as a reader would, and note one that is not what it claims to be."""
        for folder in commit.committed(paths.join(self.job_dir, "checkpoints")):
            self._take(folder, gcs_writer.FILES, lambda files, folder=folder: int(paths.name(folder)))
        for folder in strategies.exports_in(strategies.folder_of(self.job_dir, gcs_writer.STRATEGY)):
            self._take(folder, gcs_writer.MODEL, gcs_writer.exported_step)

    def _take(self, folder, names, step_of):
        try:
            commit.verify(folder)
            with commit.opened(folder) as files:
                if gcs_writer.is_right(files, step_of(files), names):
                    self.whole += 1
                else:
                    self.wrong.append(folder)
        except commit.DamagedError as refusal:
            # It is being removed, its marker first: nothing that the marker still covers may be gone.
            if str(refusal).endswith("no such file or directory") and commit.is_committed(folder):
                self.wrong.append(str(refusal))

    def _read(self):
        while not self._ended.wait(0.02):  # not all the time, since the proxy needs this process too
            self.look()


def run(job_dir, upstream, *, seed, kill_at=None):
    """Write to a job dir with faults; return the exit code of the process."""
    chance = random.Random(seed)
    moment = chance.choice(("before", "after"))
    started = threading.Event()

    def kill(number, now):
        if number == kill_at and now == moment:
            assert started.wait(DEADLINE_S)
            os.kill(process.pid, signal.SIGKILL)
            raise Dropped

    with FaultProxy(
        upstream, seed=seed, rate=0.2, hang_s=3 * gcs_writer.TIMEOUT_S, retry_after_s=0, on_request=kill
    ) as proxy:
        process = CONTEXT.Process(target=gcs_writer.write, args=(job_dir, proxy.url))
        process.start()
        started.set()
        process.join(DEADLINE_S)
        if process.is_alive():
            process.kill()
        process.join()
        faults = sum(request.fault is not None for request in proxy.requests)
    assert process.exitcode != 0 or faults, "no request was disturbed"
    return process.exitcode


def assert_all_is_written(job_dir):
    """A complete run has left the newest checkpoints and exports, whole, and nothing is damaged."""
    newest = range(gcs_writer.STEPS - gcs_writer.KEEP + 1, gcs_writer.STEPS + 1)
    checkpoints = commit.committed(paths.join(job_dir, "checkpoints"))
    assert [int(paths.name(folder)) for folder in checkpoints] == list(newest)
    exports = strategies.exports_in(strategies.folder_of(job_dir, gcs_writer.STRATEGY))
    assert len(exports) == gcs_writer.KEEP
    for folder, step in zip(exports, newest, strict=True):
        with commit.opened(folder) as files:
            assert gcs_writer.is_right(files, step, gcs_writer.MODEL)
    assert paths.read_bytes(paths.join(job_dir, "metrics.jsonl")) == gcs_writer.content("metrics", gcs_writer.STEPS)
    assert "damaged" not in {found.state for found in fsck.sets(job_dir)}


def check(gcs, upstream, seed):
    """One run, killed if the seed is odd, and started again until it ends by itself. Returns whether it was killed."""
    job_dir, killed = f"{gcs}/job-{seed}", False
    with Reader(job_dir).reading() as reader:
        kill_at = random.Random(-seed).randrange(REQUESTS) if seed % 2 else None
        exit_code = run(job_dir, upstream, seed=seed, kill_at=kill_at)
        if exit_code == -signal.SIGKILL:
            killed = True
            exit_code = run(job_dir, upstream, seed=1000 + seed)
        assert exit_code == 0
    reader.look()
    assert reader.wrong == []
    assert reader.whole
    assert_all_is_written(job_dir)
    return killed


def test_no_reader_sees_a_partial_set_and_every_run_ends_well(gcs, gcs_port):
    killed = [check(gcs, gcs_port, seed) for seed in range(12)]
    assert sum(killed) >= 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_runs(gcs, gcs_port):
    killed = [check(gcs, gcs_port, seed) for seed in range(200)]
    assert sum(killed) >= 80


def test_a_reader_that_is_shown_something_wrong_says_so(gcs):
    """Else the tests above could not fail."""
    job_dir = f"{gcs}/job"
    with commit.staged(f"{job_dir}/checkpoints/3") as folder:
        gcs_writer.fill(folder, gcs_writer.FILES[:-1], 3)
    with commit.staged(f"{job_dir}/checkpoints/4") as folder:
        gcs_writer.fill(folder, gcs_writer.FILES, 5)
    reader = Reader(job_dir)
    reader.look()
    assert reader.wrong == [f"{job_dir}/checkpoints/{step}" for step in (3, 4)]
