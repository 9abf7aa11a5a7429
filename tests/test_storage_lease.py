"""One writer a job dir. On a disk it is a lock that the system frees with the process, so the others are real ones."""

import contextlib
import fcntl
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trainer.errors import ConflictError, RunError
from trainer.storage import lease


ROOT = Path(__file__).parent.parent
HOLDER = """
import sys
from trainer.storage import lease

held = lease.acquire(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
held.release()
print("released", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def another_process(job_dir):
    """A process that holds the lease until it is sent a line, and lives until it is sent another."""
    command = [sys.executable, "-c", HOLDER, str(job_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def refusal(job_dir):
    with pytest.raises(ConflictError) as error:
        lease.acquire(str(job_dir))
    return str(error.value)


def assert_names(line, job_dir, who):
    assert line.startswith(f"{job_dir}: {who} ")
    assert line.endswith("; expected one run a job dir")
    assert "\n" not in line


def test_a_second_run_in_the_same_process_is_refused_in_one_line_until_the_first_ends(tmp_path):
    held = lease.acquire(str(tmp_path))
    held.check()
    for _ in range(2):  # being refused takes nothing away
        assert_names(refusal(tmp_path), tmp_path, f"{socket.gethostname()}, process {os.getpid()}")
    held.release()
    lease.acquire(str(tmp_path)).release()


def test_a_second_run_in_another_process_is_refused_until_the_first_releases_it(tmp_path):
    with another_process(tmp_path) as holder:
        assert_names(refusal(tmp_path), tmp_path, f"{socket.gethostname()}, process {holder.pid}")
        print(file=holder.stdin, flush=True)
        assert holder.stdout.readline() == "released\n"
        held = lease.acquire(str(tmp_path))
        assert holder.poll() is None
        assert_names(refusal(tmp_path), tmp_path, f"{socket.gethostname()}, process {os.getpid()}")
        held.release()


def test_a_killed_holder_holds_nothing(tmp_path):
    with another_process(tmp_path) as holder:
        refusal(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        lease.acquire(str(tmp_path)).release()


def test_the_leases_of_two_job_dirs_are_two(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    held = [lease.acquire(f"{tmp_path}/{name}") for name in ("a", "b")]
    held[0].release()
    refusal(f"{tmp_path}/b")
    held[1].release()


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"\xff\x00", b'{"holder": "an earlier one", "x": "' * 99])
def test_what_is_in_the_file_holds_nothing_and_is_replaced(content, tmp_path):
    (tmp_path / "LEASE").write_bytes(content)
    held = lease.acquire(str(tmp_path))
    assert_names(refusal(tmp_path), tmp_path, f"{socket.gethostname()}, process {os.getpid()}")
    held.release()


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"\xff\x00"])
def test_a_holder_that_cannot_be_read_is_another_run(content, tmp_path):
    (tmp_path / "LEASE").write_bytes(content)
    with open(tmp_path / "LEASE", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert_names(refusal(tmp_path), tmp_path, "another run")


def test_a_full_disk_leaves_the_lock(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        held = lease.acquire(str(tmp_path))
        assert_names(refusal(tmp_path), tmp_path, "another run")
        held.release()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_lease_that_cannot_be_opened_is_one_line_that_names_it(tmp_path):
    (tmp_path / "LEASE").mkdir()
    with pytest.raises(RunError) as error:
        lease.acquire(str(tmp_path))
    assert str(error.value) == f"{tmp_path}/LEASE: is a directory"


def test_nobody_has_what_was_never_taken_was_given_back_or_was_a_killed_ones(tmp_path):
    assert lease.holder(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []  # to look leaves nothing
    lease.acquire(str(tmp_path)).release()
    assert lease.holder(str(tmp_path)) is None
    with another_process(tmp_path) as holder:
        assert lease.holder(str(tmp_path)) is not None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert lease.holder(str(tmp_path)) is None


def test_the_holder_is_the_same_for_all_who_look_and_another_for_each_run(tmp_path):
    seen = []
    for _ in range(2):  # of one process
        held = lease.acquire(str(tmp_path))
        assert lease.holder(str(tmp_path)) == lease.holder(str(tmp_path)) == held.holder
        seen.append(held.holder)
        held.release()
    with another_process(tmp_path):
        seen.append(lease.holder(str(tmp_path)))
    assert len(set(seen)) == 3


def test_to_look_takes_nothing_away_and_keeps_nobody_out(tmp_path):
    held = lease.acquire(str(tmp_path))
    lease.holder(str(tmp_path))
    refusal(tmp_path)
    held.release()
    file = open(tmp_path / "LEASE", "rb")  # noqa: SIM115 -- the timer closes it
    fcntl.flock(file, fcntl.LOCK_SH)  # as `holder` does for an instant, here a long one
    timer = threading.Timer(0.1, file.close)
    timer.start()
    lease.acquire(str(tmp_path)).release()
    timer.join()


@pytest.mark.parametrize("content", [b"", b"not JSON", b"\xff\x00"])
def test_a_holder_without_a_name_is_somebody(content, tmp_path):
    (tmp_path / "LEASE").write_bytes(content)
    with open(tmp_path / "LEASE", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert lease.holder(str(tmp_path)) is not None
    assert lease.holder(str(tmp_path)) is None


def test_a_holder_that_cannot_be_looked_for_is_one_line(tmp_path):
    (tmp_path / "LEASE").mkdir()
    with pytest.raises(RunError) as error:
        lease.holder(str(tmp_path))
    assert str(error.value) == f"{tmp_path}/LEASE: is a directory"


def test_a_lease_that_is_free_is_not_waited_for(tmp_path):
    lease.awaited(str(tmp_path), whose="another run", between=pytest.fail).release()


def test_who_waits_says_so_once_and_gets_it_when_it_is_given_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lease, "AGAIN_S", 0.0)
    held = lease.acquire(str(tmp_path))
    asked = []

    def between():
        asked.append(len(asked))
        if len(asked) == 3:
            held.release()

    with caplog.at_level(logging.INFO):
        awaited = lease.awaited(str(tmp_path), whose="another run", between=between)
    assert lease.holder(str(tmp_path)) == awaited.holder
    assert len(asked) == 3
    assert caplog.messages == [f"waiting for another run to let go of {tmp_path}/LEASE"]
    awaited.release()


def test_who_waits_can_be_called_away(tmp_path):
    held = lease.acquire(str(tmp_path))

    def between():
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        lease.awaited(str(tmp_path), whose="another run", between=between)
    held.release()


def test_who_waits_is_refused_after_the_time_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "AGAIN_S", 0.0)
    held = lease.acquire(str(tmp_path))
    asked = []
    with pytest.raises(ConflictError) as error:
        lease.awaited(str(tmp_path), whose="another run", between=lambda: asked.append(True), most_s=0.7)
    assert_names(str(error.value), tmp_path, f"{socket.gethostname()}, process {os.getpid()}")
    assert asked
    held.release()
