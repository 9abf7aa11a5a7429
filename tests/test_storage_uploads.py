"""Jobs in the background: in order, each until it is done, and never one after another that failed."""

import logging
import threading
from functools import partial

import pytest

from trainer.errors import RunError
from trainer.storage import uploads


DEADLINE_S = 120.0


class Done:
    """Notes its jobs as they are done; those with a failure raise it, as long as there is one left."""

    def __init__(self):
        self.names = []
        self.failures = {}

    def job(self, name, *failures):
        self.failures[name] = list(failures)

        def do():
            if self.failures[name]:
                raise self.failures[name].pop(0)
            self.names.append(name)

        return do


@pytest.fixture
def done():
    return Done()


def never():
    """A check that nothing is wrong with."""


@pytest.fixture
def started():
    """Start uploads, which are ended after the test."""
    all_of_them = []

    def start(check=never):
        all_of_them.append(uploads.Uploads(check))
        return all_of_them[-1]

    yield start
    for each in all_of_them:
        with each._changed:
            each._ended = True
            each._changed.notify_all()
        each._thread.join(DEADLINE_S)
        assert not each._thread.is_alive()


def wait_until_one_has_failed(writer):
    with writer._changed:
        assert writer._changed.wait_for(lambda: writer._failure is not None, DEADLINE_S)


def error_of(call):
    with pytest.raises(RunError) as error:
        call()
    return str(error.value)


def has_a_thread(writer):
    return writer._thread in threading.enumerate()


def test_jobs_are_done_one_after_the_other_in_their_order(started, done):
    writer, at_work = started(), threading.Lock()

    def alone(job):
        assert at_work.acquire(blocking=False)
        job()
        at_work.release()

    for number in range(50):
        writer.submit(partial(alone, done.job(number)))
    writer.catch_up()
    assert done.names == list(range(50))


def test_a_job_is_done_while_its_giver_goes_on(started, done):
    writer, go_on, begun = started(), threading.Event(), threading.Event()

    def long():
        begun.set()
        assert go_on.wait(DEADLINE_S)
        done.names.append(threading.current_thread().name)

    writer.submit(long)
    assert begun.wait(DEADLINE_S)
    assert done.names == []
    go_on.set()
    writer.catch_up()
    assert done.names == ["uploads"]


def test_catching_up_without_jobs_returns(started):
    started().catch_up()


def test_a_job_that_failed_is_said_and_tried_again_when_caught_up(started, done, caplog):
    writer = started()
    with caplog.at_level(logging.WARNING):
        writer.submit(done.job("a", RunError("gs://some-bucket/a: no connection")))
        writer.submit(done.job("b"))
        wait_until_one_has_failed(writer)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("WARNING", "not written, it is tried again at the next stop: gs://some-bucket/a: no connection")]
    assert done.names == []
    writer.catch_up()
    assert done.names == ["a", "b"]


def test_nothing_after_a_job_that_failed_is_done_before_it(started, done):
    writer = started()
    writer.submit(done.job("a", RunError("a")))
    wait_until_one_has_failed(writer)
    for name in "bcd":
        writer.submit(done.job(name))
    assert done.names == []
    writer.catch_up()
    assert done.names == list("abcd")


def test_a_job_that_fails_twice_is_raised_and_not_tried_a_third_time(started, done):
    writer = started()
    writer.submit(done.job("a", RunError("first"), RunError("second")))
    writer.submit(done.job("b"))
    wait_until_one_has_failed(writer)
    assert error_of(writer.catch_up) == "second"
    assert error_of(writer.catch_up) == "second"
    assert error_of(writer.finish) == "second"
    assert done.names == []  # though a third attempt would have done it
    assert not has_a_thread(writer)


def test_finishing_does_what_is_left_and_ends_the_thread(started, done):
    writer = started()
    for name in "abc":
        writer.submit(done.job(name))
    assert has_a_thread(writer)
    writer.finish()
    assert done.names == list("abc")
    assert not has_a_thread(writer)


def test_finishing_tries_once_more_what_failed(started, done):
    writer = started()
    writer.submit(done.job("a", RunError("first")))
    wait_until_one_has_failed(writer)
    writer.finish()
    assert done.names == ["a"]


def test_a_job_that_first_fails_while_it_is_waited_for_is_tried_once_more_too(started, done):
    writer, begun, waited_for = started(), threading.Event(), threading.Event()
    fails_once = done.job("a", RunError("first"))

    def job():
        begun.set()
        assert waited_for.wait(DEADLINE_S)
        fails_once()

    writer.submit(job)
    assert begun.wait(DEADLINE_S)
    waiting = threading.Timer(0.05, waited_for.set)  # by then `catch_up` waits; if not, the claim holds all the same
    waiting.start()
    writer.catch_up()
    waiting.join()
    assert done.names == ["a"]


def test_what_the_check_raises_stops_all_jobs(started, done):
    found = []

    def check():
        if found:
            raise RunError(found[0])

    writer = started(check)
    writer.submit(done.job("a"))
    writer.catch_up()
    found.append("gs://some-bucket/job/LEASE: was taken over")
    for name in "bc":
        writer.submit(done.job(name))
    wait_until_one_has_failed(writer)
    assert error_of(writer.catch_up) == found[0]
    assert error_of(writer.finish) == found[0]
    assert done.names == ["a"]


def test_the_check_comes_before_every_job(started, done):
    checked = []
    writer = started(lambda: checked.append(list(done.names)))
    for name in "abc":
        writer.submit(done.job(name))
    writer.catch_up()
    assert checked == [[], ["a"], ["a", "b"]]


def test_what_nobody_expected_is_raised_in_one_line_too_and_its_traceback_is_logged(started, done, caplog):
    writer = started()
    with caplog.at_level(logging.ERROR):
        writer.submit(done.job("a", KeyError("x"), ZeroDivisionError("of a thing\nby nothing")))
        wait_until_one_has_failed(writer)
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError
    assert error_of(writer.catch_up).startswith("not written: ZeroDivisionError: of a thing")
    assert done.names == []
