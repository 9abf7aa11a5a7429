"""The log entries of jobs: a file a job, a `LogEntry` of Cloud Logging a line, in the order in which they came.

log = Entries(f"{state}/logs")
log.write("my-project", "births_1", task="master-replica-0", stream="stdout", line="step 30")
log.page({"resourceNames": ["projects/my-project"], "filter": 'resource.labels.job_id="births_1"'})
"""

import itertools
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal

from trainer.cloud.emulator import filters, pages, times
from trainer.cloud.emulator.errors import ServiceError
from trainer.storage import paths


SERVICE = "service"
LINES = ".jsonl"
SEVERITY = {"stdout": "INFO", "stderr": "ERROR"}
Entry = dict[str, Any]


class Entries:
    """What was logged, of any thread."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._last = 0
        self._ids = itertools.count()
        self._whole: set[str] = set()  # the files that end in a whole line
        self._run = secrets.token_hex(4)  # insert ids are unique over restarts too

    def write(
        self, project: str, job: str, *, task: str, stream: Literal["stdout", "stderr"], line: str, trial: str = ""
    ) -> None:
        """Keep a line of a replica: of JSON with a message its fields and severity, else the text."""
        fields = _fields(line)
        severity = fields.pop("severity", "") if fields else ""
        if severity not in filters.SEVERITIES:
            severity = SEVERITY[stream]
        self._append(
            project,
            job,
            task=task,
            trial=trial,
            severity=severity,
            payload={"jsonPayload": fields} if fields else {"textPayload": line},
        )

    def note(self, project: str, job: str, text: str, *, severity: str = "INFO", trial: str = "") -> None:
        """Keep a line of the service's own."""
        self._append(project, job, task=SERVICE, trial=trial, severity=severity, payload={"textPayload": text})

    def page(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of `entries.list`."""
        projects = [*request.get("resourceNames", ()), *(f"projects/{each}" for each in request.get("projectIds", ()))]
        if not projects:
            raise ServiceError("INVALID_ARGUMENT", "resourceNames: not given; expected projects/PROJECT")
        comparisons = filters.parse(request.get("filter", ""))
        job = filters.equal_to(comparisons, "resource", "labels", "job_id")
        order = request.get("orderBy") or "timestamp asc"
        if order not in ("timestamp asc", "timestamp desc", "timestamp"):
            raise ServiceError("INVALID_ARGUMENT", f"orderBy: {order!r}: expected timestamp asc or timestamp desc")
        found = [
            entry
            for name in projects
            for entry in self._read(name.split("/")[1] if "/" in name else name, job)
            if filters.holds(comparisons, entry)
        ]
        page, token = pages.cut(
            found,
            key=lambda entry: (entry["timestamp"], entry["insertId"]),
            size=pages.size_of(request.get("pageSize"), default=50, most=1000),
            token=request.get("pageToken", ""),
            descending=order.endswith("desc"),
        )
        return {**({"entries": page} if page else {}), **({"nextPageToken": token} if token else {})}

    def _append(
        self, project: str, job: str, *, task: str, trial: str, severity: str, payload: Mapping[str, Any]
    ) -> None:
        labels = {"ml.googleapis.com/job_id": job, **({"ml.googleapis.com/trial_id": trial} if trial else {})}
        path = self._path(project, job)
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())  # one after the other, whatever the clock does
            entry = {
                "logName": f"projects/{project}/logs/{task}",
                "resource": {
                    "type": "ml_job",
                    "labels": {"job_id": job, "project_id": project, "task_name": task},
                },
                "timestamp": times.text(self._last),
                "receiveTimestamp": times.text(self._last),
                "insertId": f"{self._run}{next(self._ids):010x}",
                "severity": severity,
                "labels": labels,
                **payload,
            }
            if path not in self._whole:
                _end_line(path)
                self._whole.add(path)
            with open(path, "ab") as file:
                file.write(json.dumps(entry).encode() + b"\n")

    def _read(self, project: str, job: str | None) -> list[Entry]:
        folder = paths.join(self._folder, project)
        wanted = [job + LINES] if job is not None else paths.list_names(folder)
        found: list[Entry] = []
        for name in wanted:
            path = paths.join(folder, name)
            if "/" not in name and os.path.isfile(path):
                with open(path, "rb") as file:
                    found += filter(None, map(_entry, file))
        return found

    def _path(self, project: str, job: str) -> str:
        return paths.join(self._folder, project, job + LINES)


def _fields(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "message" in found else None


def _entry(line: bytes) -> Entry | None:
    """An entry; None for the half of one that a killed emulator left."""
    try:
        found: Entry = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _end_line(path: str) -> None:
    """Make a file, or end the half of a line in it, so that the next entry has a line of its own."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
