"""The end of a job as the others see it, in a folder and in a bucket. The clock is the test's, the leases are real."""

import pytest

from trainer.storage import lease, paths
from trainer.training import ending


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture(params=["disk", "bucket"])
def job(request, tmp_path):
    """A job dir."""
    return str(tmp_path) if request.param == "disk" else f"{request.getfixturevalue('gcs')}/job"


@pytest.fixture
def clock():
    """A clock."""
    return Clock()


@pytest.fixture
def watch(job, clock):
    """A process that watches the job."""
    return ending.Watch(job, clock=clock)


@pytest.fixture
def gone_after_s(job):
    """For how long nobody may hold the lease of a run that was seen."""
    return ending.GONE_AFTER_REMOTE_S if paths.is_remote(job) else ending.GONE_AFTER_S


def run(job, *, until):
    """A run that comes to its end."""
    held = lease.acquire(job)
    ending.write(job, held, global_step=until)
    held.release()


def put(job, content):
    """What ENDED says."""
    paths.write_bytes(paths.join(job, ending.NAME), content)


def test_before_the_first_run_there_is_time_to_start_and_then_the_chief_never_came(job, clock, watch):
    assert watch.look() == "waiting"
    clock.now_s += ending.START_S - 1
    assert watch.look() == "waiting"
    clock.now_s += 1
    assert watch.look() == "gone"
    line = f"{job}/LEASE: nobody holds it: the chief is gone, or never came"
    assert str(watch.gone()) == line


def test_a_run_that_holds_the_lease_is_running_however_long_it_takes(job, clock, watch):
    held = lease.acquire(job)
    for _ in range(3):
        assert watch.look() == "running"
        clock.now_s += 10 * ending.START_S
    held.release()


def test_the_job_has_ended_when_the_run_that_holds_the_lease_says_so(job, watch):
    held = lease.acquire(job)
    assert watch.look() == "running"
    ending.write(job, held, global_step=40)
    assert watch.look() == "ended"
    held.release()


def test_the_job_has_ended_when_the_run_that_was_seen_has_said_so_and_is_over(job, clock, watch):
    held = lease.acquire(job)
    assert watch.look() == "running"
    ending.write(job, held, global_step=40)
    held.release()
    assert watch.look() == "ended"
    clock.now_s += 10 * ending.START_S
    assert watch.look() == "ended"


def test_what_an_earlier_run_left_ends_nobody(job, clock, watch, gone_after_s):
    run(job, until=40)
    assert watch.look() == "waiting"
    held = lease.acquire(job)
    assert watch.look() == "running"
    held.release()
    assert watch.look() == "waiting"
    clock.now_s += gone_after_s
    assert watch.look() == "gone"  # and not ended: the run that was seen has not come to its end


def test_a_run_that_was_killed_is_waited_for_and_then_gone(job, clock, watch, gone_after_s):
    lease_of_the_killed = lease.acquire(job)
    assert watch.look() == "running"
    clock.now_s += 100.0
    assert watch.look() == "running"
    lease_of_the_killed.release()
    clock.now_s += gone_after_s - 0.1
    assert watch.look() == "waiting"
    clock.now_s += 0.2
    assert watch.look() == "gone"


def test_between_two_runs_the_others_wait_and_the_second_may_end_the_job(job, clock, watch, gone_after_s):
    first = lease.acquire(job)
    assert watch.look() == "running"
    first.release()
    clock.now_s += gone_after_s - 0.1
    assert watch.look() == "waiting"
    second = lease.acquire(job)
    assert watch.look() == "running"
    ending.write(job, second, global_step=40)
    second.release()
    assert watch.look() == "ended"


def test_the_time_to_be_gone_begins_again_with_each_run(job, clock, watch, gone_after_s):
    for _ in range(3):
        held = lease.acquire(job)
        assert watch.look() == "running"
        held.release()
        clock.now_s += gone_after_s - 0.1
        assert watch.look() == "waiting"


def test_who_comes_after_the_end_of_a_job_is_not_told_that_its_chief_is_gone(job, clock, watch):
    run(job, until=40)
    assert watch.look() == "waiting"  # another run may begin
    clock.now_s += ending.START_S
    assert watch.look() == "ended"


def test_a_job_is_finished_when_a_run_ended_at_its_last_step_or_later(job):
    assert not ending.is_finished(job, 0)
    run(job, until=40)
    assert ending.read(job).global_step == 40
    assert ending.is_finished(job, 40)
    assert ending.is_finished(job, 30)
    assert not ending.is_finished(job, 41)


@pytest.mark.parametrize(
    "content",
    [b"", b"not JSON", b"\xff\x00", b"[]", b"7", b"null", b'{"global_step": 40', b'{"global_step": 40}',
     b'{"lease": "x"}', b'{"global_step": null, "lease": "x"}', b'{"global_step": "x", "lease": "x"}'],
)  # fmt: skip
def test_a_damaged_mark_is_none(content, tmp_path, clock):
    job = str(tmp_path)
    put(job, content)
    assert ending.read(job) is None
    assert not ending.is_finished(job, 0)
    watch = ending.Watch(job, clock=clock)
    held = lease.acquire(job)
    assert watch.look() == "running"
    held.release()
    clock.now_s += ending.GONE_AFTER_S
    assert watch.look() == "gone"


def test_the_mark_is_replaced_by_the_next_run(job):
    run(job, until=40)
    first = ending.read(job)
    run(job, until=60)
    second = ending.read(job)
    assert (first.global_step, second.global_step) == (40, 60)
    assert first.lease != second.lease


def test_a_bucket_is_looked_at_less_often_than_a_folder(tmp_path, gcs):
    assert ending.Watch(str(tmp_path)).look_every_s == ending.LOOK_EVERY_S
    assert ending.Watch(gcs).look_every_s == ending.LOOK_EVERY_REMOTE_S
