"""The jobs that run, each on a thread, a few at once, from QUEUED to their end.

    jobs = Jobs(store, runner, f"{state}/runs", at_once=2, fresh=True)
    jobs.submit(job)
    jobs.cancel(job.name)

What the services call the states is a matter of `Words`.
"""

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from trainer.cloud.emulator import packages, times, trials
from trainer.cloud.emulator.errors import ServiceError
from trainer.cloud.emulator.packages import Prepared
from trainer.cloud.emulator.replicas import Place, Plan
from trainer.cloud.emulator.runs import Asked, Runner, failure
from trainer.cloud.emulator.store import Resource, Store
from trainer.cloud.emulator.trials import Timed
from trainer.errors import RunError


LOOK_EVERY_S = 0.05
CLOSING_S = 5.0  # for what runs to save and end when the emulator ends
INTERRUPTED = "The emulator was ended while the job was {state}; submit it again under another name."
Phase = Literal["QUEUED", "PREPARING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLING", "CANCELLED"]
ENDED: tuple[Phase, ...] = ("SUCCEEDED", "FAILED", "CANCELLED")
log = logging.getLogger("trainer.cloud.emulator")


class Words(Protocol):
    """How a service writes the state of a job."""

    def fields(self, phase: Phase, error: str) -> dict[str, Any]:
        """The fields of a resource in a phase."""

    def phase(self, resource: Mapping[str, Any]) -> Phase:
        """The phase of a resource."""

    def trials(self, hyperparameters: Mapping[str, Any], trials: Sequence[Timed]) -> dict[str, Any]:
        """The fields of a resource that tell of the trials of a search."""


@dataclass(frozen=True)
class Job:
    """A job that was submitted."""

    name: str  # of its resource
    project: str
    id: str  # what its log is filed under
    plan: Plan
    words: Words
    hyperparameters: Mapping[str, Any] | None = None
    asked: list[int] = field(default_factory=list, compare=False)  # signals: a cancel, the end of its time


class JobError(Exception):
    """The job has come to a bad end, in the words of its service."""


class Jobs:
    """The jobs of one emulator."""

    def __init__(self, store: Store, runner: Runner, folder: str, *, at_once: int, fresh: bool) -> None:
        self._store = store
        self._runner = runner
        self._folder = folder
        self._at_once = at_once
        self._fresh = fresh
        self._lock = threading.Lock()
        self._waiting: list[str] = []  # the first `at_once` of them run
        self._threads: dict[str, tuple[Job, threading.Thread]] = {}
        self._closing = False

    def submit(self, job: Job) -> None:
        """Run a job whose resource is there, when its turn comes."""
        self._note(job, f"Job {job.id} is queued.")
        thread = threading.Thread(target=self._run, args=(job,), name=job.name, daemon=True)
        with self._lock:
            self._waiting.append(job.name)
            self._threads[job.name] = job, thread
        thread.start()

    def cancel(self, name: str, words: Words) -> None:
        """Ask a job to end. Raises `ServiceError` when it has."""

        def cancelling(resource: Resource) -> Resource:
            phase = words.phase(resource)
            if phase in ENDED:
                raise ServiceError("FAILED_PRECONDITION", f"Cannot cancel the job: it is {resource['state']} already.")
            return resource | words.fields("CANCELLING", "")

        self._store.update(name, cancelling)
        with self._lock:
            job, _ = self._threads.get(name, (None, None))
            if job is None:
                return  # it has ended meanwhile
            if not job.asked:
                job.asked.append(signal.SIGTERM)
        self._note(job, "Cancelling job by user request.")

    def recover(self, name: str, words: Words) -> None:
        """Say of a job that it has failed, if it ran when the emulator was ended."""
        resource = self._store.get(name)
        phase = words.phase(resource)
        if phase not in ENDED:
            text = INTERRUPTED.format(state=resource["state"])
            self._store.change(name, **words.fields("FAILED", text), endTime=times.now())

    def close(self, hurried: Callable[[], Sequence[int]]) -> None:
        """End all that runs, after a moment to save, or at once when there is a second signal."""
        self._closing = True
        with self._lock:
            running = list(self._threads.values())
        deadline = time.monotonic() + CLOSING_S
        for job, _ in running:
            job.asked.append(signal.SIGTERM)
        while any(thread.is_alive() for _, thread in running):
            if time.monotonic() > deadline or len(hurried()) > 1:
                break
            time.sleep(LOOK_EVERY_S)
        for job, _ in running:
            job.asked.append(signal.SIGTERM)  # the second ends it at once
        for _, thread in running:
            thread.join()

    def _run(self, job: Job) -> None:
        phase, error = self._outcome(job)
        with self._lock:
            self._waiting.remove(job.name)
            del self._threads[job.name]
        self._tell(job, phase, error)

    def _outcome(self, job: Job) -> tuple[Phase, str]:
        """How a job ended, and why."""
        late: list[str] = []
        try:
            self._work(job, late)
        except (RunError, JobError) as found:
            error = str(found)
        except Exception:
            log.exception("%s", job.name)
            error = f"Internal error: {traceback.format_exc(limit=-1).strip()}"
        else:
            error = ""
        if job.asked and self._closing:
            return "FAILED", INTERRUPTED.format(state="RUNNING")
        if job.asked:
            return "CANCELLED", " ".join(late)
        return ("FAILED", error) if error else ("SUCCEEDED", "")

    def _work(self, job: Job, late: list[str]) -> None:
        while job.name not in self._waiting[: self._at_once]:
            if job.asked:
                return
            time.sleep(LOOK_EVERY_S)
        self._tell(job, "PREPARING", "")
        place = Place(job.project, job.id, os.path.join(self._folder, job.project, job.id))
        prepared = self._prepared(job, place)
        if job.asked:
            return
        self._tell(job, "RUNNING", "")
        began = time.monotonic()

        def asked() -> Sequence[int]:
            if time.monotonic() - began > job.plan.timeout_s and not job.asked:
                late.append(f"The job ran longer than the {job.plan.timeout_s:g} s that it may.")
                job.asked.append(signal.SIGTERM)
            return job.asked

        if job.hyperparameters is not None:
            self._search(job, place, prepared, asked)
            return
        ended = self._runner.run(job.plan, place, prepared, asked)
        if ended.task is not None and not job.asked:
            raise JobError(failure(ended.task, ended.task_code))

    def _search(self, job: Job, place: Place, prepared: Prepared, asked: Asked) -> None:
        sought = job.hyperparameters or {}

        def tell(found: Sequence[Timed]) -> None:
            self._store.change(job.name, **job.words.trials(sought, found))

        trials.search(self._runner, job.plan, place, prepared, sought, tell=tell, asked=asked)

    def _prepared(self, job: Job, place: Place) -> Prepared:
        """The environment of the replicas. Raises `RunError`, or `JobError` with what pip said in the log."""
        uris = list(dict.fromkeys(uri for package in job.plan.packages.values() for uri in package.uris))
        os.makedirs(place.folder, exist_ok=True)
        self._note(job, f"Fetching {' '.join(uris) or 'no packages'}.")
        files = packages.fetched(uris, os.path.join(place.folder, "packages"))
        if not self._fresh:
            return packages.unpacked(files, os.path.join(place.folder, "unpacked"))
        words, prepared = packages.environment(os.path.join(place.folder, "environment"))
        for command in (words, packages.installation(prepared, files)) if files else (words,):
            self._note(job, f"Running command: {' '.join(command)}")
            code = self._runner.command(job.plan, place, command, lambda: job.asked)
            if code and not job.asked:
                raise JobError(failure(job.plan.replicas[0], code))
        return prepared

    def _tell(self, job: Job, phase: Phase, error: str) -> None:
        """Write the phase of a job to its resource, and to its log what the services say there."""
        fields = job.words.fields(phase, error)
        if phase == "RUNNING":
            fields["startTime"] = times.now()
        if phase in ENDED:
            fields["endTime"] = times.now()

        def told(resource: Resource) -> Resource:
            is_cancelled = job.words.phase(resource) == "CANCELLING" and phase not in ENDED
            return resource if is_cancelled else resource | fields

        if phase in ENDED:
            words = {"SUCCEEDED": "Job completed successfully.", "CANCELLED": "Job cancelled.", "FAILED": "Job failed."}
            severity = "ERROR" if phase == "FAILED" else "INFO"
            self._note(job, error or words[phase], severity=severity)
        else:
            self._note(job, "Job is preparing." if phase == "PREPARING" else "Job is running.")
        self._store.update(job.name, told)

    def _note(self, job: Job, text: str, *, severity: str = "INFO") -> None:
        self._runner.entries.note(job.project, job.id, text, severity=severity)
