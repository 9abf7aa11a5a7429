"""What a run writes to its job dir, a disk's or a bucket's: in the background, in order.

    uploads = Uploads(lease.check)
    uploads.catch_up()                       # at every stop, before its first job
    uploads.submit(job)                      # a function that may be called again if it failed
    uploads.finish()                         # at the end of the run

At most the jobs of one stop are under way while training goes on. One that failed, after all the retries of its own
requests, is said; it is tried again at the next stop, and if that fails too it is raised there: so a run never goes on
for more than two intervals that would be lost.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable

from trainer.errors import RunError


Job = Callable[[], None]
log = logging.getLogger("trainer.storage")


class Uploads:
    """A thread that does the jobs, until one fails: that one and those after it wait for `catch_up`.

    Before each `check` may raise, such as when the job dir is another run's by now.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._failure: RunError | None = None
        self._ended = self._given_up = False
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Do this job after all others."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def catch_up(self) -> None:
        """Return when all jobs are done; raise what one of them raised."""
        with self._changed:
            attempts = 0 if self._given_up else 1 if self._failure else 2  # a job that failed is tried once more
            for _ in range(attempts):
                self._failure = None
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._jobs or self._failure)
                if not self._failure:
                    return
            if self._failure:
                self._given_up = True
                raise self._failure

    def finish(self) -> None:
        """As `catch_up`, and no more jobs will come."""
        try:
            self.catch_up()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or (self._jobs and not self._failure))
                if self._ended:
                    return
                job = self._jobs[0]
            failure = self._tried(job)
            with self._changed:
                if failure is None:
                    self._jobs.popleft()
                self._failure = failure
                self._changed.notify_all()

    def _tried(self, job: Job) -> RunError | None:
        try:
            self._check()
            job()
        except RunError as error:
            log.warning("not written, it is tried again at the next stop: %s", error)
            return error
        except Exception as error:  # the thread must not die in silence
            log.exception("not written")
            return RunError(f"not written: {type(error).__name__}: {error}")
        return None
