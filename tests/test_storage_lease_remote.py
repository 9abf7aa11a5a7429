"""One writer a job dir in a bucket, where the lease is an object that its holder renews."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.fault_proxy import FaultProxy
from tests.gcs_stub import impatient
from trainer.errors import ConflictError, RunError
from trainer.storage import lease, paths


ROOT = Path(__file__).parent.parent
DEADLINE_S = 120.0
OVER_S = -2.0  # for a lease to be over at once: the Date of an answer has no parts of a second
OURS = f"{socket.gethostname()}, process {os.getpid()}"
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


@pytest.fixture
def job(gcs):
    """A job dir."""
    return f"{gcs}/job"


@pytest.fixture
def acquire():
    """Take a lease that ends with the test at the latest."""
    with contextlib.ExitStack() as stack:

        def take(job):
            held = lease.acquire(job)
            stack.callback(held.release)
            return held

        yield take


@contextlib.contextmanager
def another_process(job):
    """A process that holds the lease until it is sent a line, and lives until it is sent another."""
    command = [sys.executable, "-c", HOLDER, job]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def refusal(job):
    with pytest.raises(ConflictError) as error:
        lease.acquire(job)
    return str(error.value)


def put(job, **content):
    """The object of a holder on another machine."""
    paths.write_bytes(f"{job}/LEASE", json.dumps({"holder": "elsewhere, process 7"} | content).encode())


def held_by(job):
    return json.loads(paths.read_bytes(f"{job}/LEASE"))["holder"]


def is_lost(held):
    try:
        held.check()
    except RunError:
        return True
    return False


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_second_run_is_refused_in_one_line_that_names_the_first_until_it_ends(job):
    held = lease.acquire(job)
    held.check()
    for _ in range(2):  # being refused takes nothing away
        line = refusal(job)
        assert line.startswith(f"{job}: {OURS} holds the lease to write here (it ends in ")
        assert line.endswith(" s unless it is renewed); expected one run a job dir")
    held.check()
    held.release()
    assert not paths.exists(f"{job}/LEASE")
    lease.acquire(job).release()


def test_a_second_run_in_another_process_is_refused_until_the_first_releases_it(job):
    with another_process(job) as holder:
        assert refusal(job).startswith(f"{job}: {socket.gethostname()}, process {holder.pid} holds the lease")
        print(file=holder.stdin, flush=True)
        assert holder.stdout.readline() == "released\n"
        assert holder.poll() is None
        lease.acquire(job).release()


def test_a_holder_on_this_machine_that_was_killed_holds_nothing(job, acquire):
    with another_process(job) as holder:
        refusal(job)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        acquire(job).check()
        assert held_by(job) == OURS


def test_a_holder_that_was_killed_and_not_yet_asked_after_holds_nothing(job, acquire):
    """A container may have nobody who asks."""
    with another_process(job) as holder:
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        acquire(job).check()


BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
ELSEWHERE = (f"{BOOT}/pid:[1]/4194304/1", f"another-boot/{os.readlink('/proc/self/ns/pid')}/4194304/1")


@pytest.mark.parametrize("process", [None, "", *ELSEWHERE, "not/this/machine/1", "a/b", 7, ["x"]])
def test_a_holder_elsewhere_is_not_taken_for_dead(job, process):
    put(job, process=process)
    assert refusal(job).startswith(f"{job}: elsewhere, process 7 holds the lease to write here (it ends in ")


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"\xff\x00", b"{}"])
def test_a_lease_that_cannot_be_read_is_another_runs(job, content, monkeypatch, acquire):
    paths.write_bytes(f"{job}/LEASE", content)
    assert refusal(job).startswith(f"{job}: another run holds the lease")
    monkeypatch.setattr(lease, "LASTS_S", OVER_S)
    acquire(job)
    assert held_by(job) == OURS


def test_a_lease_that_nobody_renewed_is_taken_over(job, acquire, monkeypatch):
    put(job)
    assert "elsewhere, process 7" in refusal(job)
    monkeypatch.setattr(lease, "LASTS_S", OVER_S)
    acquire(job)
    assert held_by(job) == OURS


def test_the_leases_of_two_job_dirs_are_two(gcs, acquire):
    for name in ("a", "b"):
        acquire(f"{gcs}/{name}")
    for name in ("a", "b"):
        refusal(f"{gcs}/{name}")


def test_of_many_that_want_it_at_once_one_gets_it(job):
    outcomes, start = [], threading.Barrier(6)

    def want():
        start.wait(DEADLINE_S)
        try:
            outcomes.append(lease.acquire(job))
        except ConflictError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    (held,) = (outcome for outcome in outcomes if not isinstance(outcome, str))
    assert len(refused) == 5
    assert all(line.startswith(f"{job}: {OURS} holds the lease to write here (") for line in refused)
    held.check()
    held.release()


@pytest.mark.parametrize("is_over", [False, True])
def test_who_writes_after_another_has_looked_and_before_it_writes_gets_it(job, gcs_port, is_over, monkeypatch):
    if is_over:
        put(job, holder="of old")
        monkeypatch.setattr(lease, "LASTS_S", OVER_S)
    bucket = job.removeprefix("gs://").split("/")[0]
    past_the_proxy = f"http://127.0.0.1:{gcs_port}/upload/storage/v1/b/{bucket}/o?uploadType=media&name=job/LEASE"

    def come_between(number, moment):
        if proxy.requests[number].method == "POST" and moment == "before":
            urllib.request.urlopen(past_the_proxy, data=b'{"holder": "elsewhere, process 7"}').close()

    with FaultProxy(gcs_port, on_request=come_between) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        line = f"{job}: elsewhere, process 7 holds the lease to write here (it was first); expected one run a job dir"
        assert refusal(job) == line
        assert held_by(job) == "elsewhere, process 7"


def test_a_run_whose_lease_was_taken_over_is_told_by_whom(job, acquire, monkeypatch):
    held = acquire(job)
    put(job)
    monkeypatch.setattr(lease, "LASTS_S", 0.0)  # so that it looks
    with pytest.raises(RunError) as error:
        held.check()
    line = f"{job}/LEASE: was taken over by elsewhere, process 7; this run stops, and what it has committed is kept"
    assert str(error.value) == line
    with pytest.raises(RunError):
        held.check()


@pytest.mark.parametrize("another", [True, False])
def test_the_thread_that_renews_finds_out_too(job, another, acquire, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
    held = acquire(job)
    if another:
        put(job)
    else:
        paths.remove(f"{job}/LEASE")
    wait_for(lambda: is_lost(held))
    who = "elsewhere, process 7" if another else "another run"
    with pytest.raises(RunError, match=rf"^{job}/LEASE: was taken over by {who}; this run stops, and what it has "):
        held.check()


def test_a_run_that_lost_its_lease_leaves_that_of_the_other(job, monkeypatch):
    held = lease.acquire(job)
    put(job)
    monkeypatch.setattr(lease, "LASTS_S", 0.0)
    with pytest.raises(RunError):
        held.check()
    held.release()
    assert held_by(job) == "elsewhere, process 7"


def test_a_lease_is_renewed_for_as_long_as_it_is_held(job, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
    held = lease.acquire(job)
    versions = set()

    def is_renewed_often():
        versions.add(paths.stat(f"{job}/LEASE").version)
        return len(versions) > 5

    wait_for(is_renewed_often)
    held.check()
    held.release()
    assert not paths.exists(f"{job}/LEASE")
    assert held._thread not in threading.enumerate()  # so it will not come back


def test_a_lease_that_is_renewed_outlives_the_time_it_lasts(job, acquire, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
    monkeypatch.setattr(lease, "LASTS_S", 1.0)
    held = acquire(job)
    first = paths.stat(f"{job}/LEASE").modified
    wait_for(lambda: paths.stat(f"{job}/LEASE").modified > first + 1.2)
    refusal(job)
    held.check()


@pytest.mark.parametrize("kind", ["lost", "reset_response", "503", "reset_request"])
def test_a_renewal_whose_answer_is_lost_is_no_loss(job, gcs_port, kind, monkeypatch):
    impatient(monkeypatch)
    writes = []

    def choose(request):
        """Every other write has the fault."""
        if request.method == "POST":
            writes.append(request)
        return kind if request.method == "POST" and len(writes) % 2 else None

    with FaultProxy(gcs_port, choose=choose) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
        held = lease.acquire(job)
        wait_for(lambda: len(writes) > 10)
        held.check()
        held.release()
        assert not paths.exists(f"{job}/LEASE")


def test_a_server_that_is_away_is_said_and_costs_the_lease_when_it_takes_too_long(job, gcs_port, monkeypatch, caplog):
    impatient(monkeypatch, within_s=0.02)
    away = []
    with FaultProxy(gcs_port, choose=lambda request: "503" if away else None) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
        held = lease.acquire(job)
        with caplog.at_level(logging.WARNING):
            away.append(True)
            wait_for(lambda: len(caplog.records) > 2)
        said = f"the lease of the job dir could not be renewed: {job}/LEASE: Fault done to request "
        assert all(record.getMessage().startswith(said) for record in caplog.records)
        held.check()
        away.clear()
        version = paths.stat(f"{job}/LEASE").version
        wait_for(lambda: paths.stat(f"{job}/LEASE").version != version)
        held.check()
        away.append(True)
        monkeypatch.setattr(lease, "LASTS_S", 0.1)
        wait_for(lambda: is_lost(held))
        with pytest.raises(RunError, match=rf"^{job}/LEASE: could not be renewed for 0 s, another run may have it: "):
            held.check()
        held.release()


def test_what_time_this_machine_has_does_not_matter(job, acquire, monkeypatch):
    """Neither is a lease taken for old by a clock that is ahead, nor kept for ever by one that is behind."""
    real = time.time
    for ahead_s in (86400.0, -86400.0):
        monkeypatch.setattr(time, "time", lambda ahead_s=ahead_s: real() + ahead_s)
        put(job)
        with pytest.raises(ConflictError) as error:
            lease.acquire(job)
        left_s = float(str(error.value).partition("it ends in ")[2].split()[0])
        assert lease.LASTS_S - 10 < left_s < lease.LASTS_S + 2
    monkeypatch.setattr(lease, "LASTS_S", OVER_S)
    acquire(job)
    assert held_by(job) == OURS


def test_a_bucket_that_is_not_there_is_one_line(gcs):
    with pytest.raises(RunError) as error:
        lease.acquire("gs://nowhere/job")
    assert str(error.value) == "gs://nowhere/job/LEASE: no such object, or no such bucket (404)"


def test_nobody_has_what_was_never_taken_or_was_given_back(job):
    assert lease.holder(job) is None
    assert not paths.exists(f"{job}/LEASE")  # to look leaves nothing
    lease.acquire(job).release()
    assert lease.holder(job) is None


def test_the_holder_stays_the_same_however_often_it_renews_and_is_another_for_each_run(job, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", 0.01)
    seen = []
    for _ in range(2):
        held = lease.acquire(job)
        version = paths.stat(f"{job}/LEASE").version
        assert lease.holder(job) == held.holder
        wait_for(lambda version=version: paths.stat(f"{job}/LEASE").version != version)
        assert lease.holder(job) == held.holder
        seen.append(held.holder)
        held.release()
    assert seen[0] != seen[1]


def test_a_killed_process_of_this_machine_holds_nothing_and_one_elsewhere_until_its_time_is_over(job, monkeypatch):
    with another_process(job) as holder:
        assert f"process {holder.pid}" in lease.holder(job)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert lease.holder(job) is None
    put(job, process=ELSEWHERE[0])
    assert "elsewhere, process 7" in lease.holder(job)
    monkeypatch.setattr(lease, "LASTS_S", OVER_S)
    assert lease.holder(job) is None


@pytest.mark.parametrize("content", [b"", b"not JSON", b"\xff\x00"])
def test_a_holder_without_a_name_is_somebody(job, content):
    paths.write_bytes(f"{job}/LEASE", content)
    assert lease.holder(job) is not None


def test_a_server_that_is_away_is_not_taken_for_nobody(job, gcs_port, monkeypatch):
    impatient(monkeypatch, within_s=0.02)
    with FaultProxy(gcs_port, choose=lambda request: "503") as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        with pytest.raises(RunError, match=rf"^{job}/LEASE: "):
            lease.holder(job)


def test_who_waits_gets_it_when_it_is_given_back(job, monkeypatch):
    monkeypatch.setattr(lease, "AGAIN_S", 0.0)
    held = lease.acquire(job)
    asked = []

    def between():
        asked.append(len(asked))
        if len(asked) == 3:
            held.release()

    awaited = lease.awaited(job, whose="another run", between=between)
    assert len(asked) == 3
    assert lease.holder(job) == awaited.holder != held.holder
    awaited.release()


def test_who_waits_gets_it_when_nobody_renews_it(job, monkeypatch):
    monkeypatch.setattr(lease, "AGAIN_S", 0.05)
    monkeypatch.setattr(lease, "LASTS_S", 1.0)
    put(job, process=ELSEWHERE[0])
    asked = []
    lease.awaited(job, whose="another run", between=lambda: asked.append(True)).release()
    assert asked


def test_who_waits_is_refused_after_the_time_it_has(job, monkeypatch):
    monkeypatch.setattr(lease, "AGAIN_S", 0.0)
    put(job)
    asked = []
    with pytest.raises(ConflictError, match=rf"^{job}: elsewhere, process 7 holds the lease"):
        lease.awaited(job, whose="another run", between=lambda: asked.append(True), most_s=0.1)
    assert asked
