"""A job that is watched: its log to the end, and what went wrong in the trainer's own words.

watching.follow(service, target, status)       # raises RunError unless the job succeeded
"""

import logging
import time

from trainer.cloud import output
from trainer.cloud.logs import Log, follow_entries, last_errors
from trainer.cloud.service import Service, Status
from trainer.cloud.target import Target
from trainer.errors import RunError


log = logging.getLogger("trainer.submit")


def follow(service: Service, target: Target, job: Status) -> None:
    """Print the log of a job until it has ended. Raises `RunError`, in the trainer's words, unless it succeeded."""
    say, latest = output.entries(), [job]

    def is_over() -> bool:
        latest[0] = service.status(job.id)
        return latest[0].is_over

    try:
        for entry in follow_entries(_log(target, job).read, is_over, lambda: time.sleep(target.poll_every_s)):
            say(entry)
    except KeyboardInterrupt:
        log.info("%s: goes on; trainer.submit cancel %s would end it", job.job, job.job)
        raise
    ended = latest[0]
    if ended.state != "SUCCEEDED":
        reasons = [ended.job, ended.state, ended.error.rstrip("."), _last_words(target, ended)]
        raise RunError(": ".join(filter(None, reasons)))
    log.info("%s: succeeded", ended.job, extra={"fields": {"job": ended.job, "state": ended.state}})


def read(target: Target, job: Status) -> None:
    """Print what the log has so far."""
    say = output.entries()
    for entry in _log(target, job).read():
        say(entry)


def show(target: Target, job: Status) -> None:
    """Print how a job is and, where it failed, the last errors of the replica that did."""
    failed = job.state == "FAILED"
    output.status(job, last_errors(_log(target, job).read(least="ERROR"), job.error) if failed else [])


def _last_words(target: Target, job: Status) -> str:
    """The last error of the replica that failed: the trainer says in it what was wrong."""
    errors = last_errors(_log(target, job).read(least="ERROR"), job.error)
    return f"{errors[-1].task}: {errors[-1].message}" if errors and job.state == "FAILED" else ""


def _log(target: Target, job: Status) -> Log:
    return Log(endpoint=target.endpoint, project=target.project, job_id=job.id)
