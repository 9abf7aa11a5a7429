"""The log of a job, from Cloud Logging: in order, each entry once, to the end of the job.

    log = Log(endpoint=None, project="my-project", job_id="births_1")
    for entry in follow_entries(log.read, is_over, pause): ...     # Entry(task="worker-replica-1", severity="ERROR")

Entries of several replicas arrive out of order and late. Each look reads again what is a little older than the newest,
and an entry waits for one more look, so that one with an earlier time is shown before it.
"""

import datetime
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.cloud import client, schema


LATE_S = 10.0  # how late an entry may arrive and still be shown
PAGE = 1000
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


@dataclass(frozen=True, order=True)
class Entry:
    """One entry, which sorts by its time."""

    timestamp: str  # RFC 3339, of nine digits after the second
    id: str
    severity: str = field(compare=False)
    task: str = field(compare=False)  # "master-replica-0", "workerpool1-2", "service"
    message: str = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False)  # what else a line in JSON had
    trial: str = field(default="", compare=False)

    @property
    def is_error(self) -> bool:
        """Whether it is an error or worse."""
        return self.severity in SEVERITIES and SEVERITIES.index(self.severity) >= SEVERITIES.index("ERROR")


class Log:
    """The entries of one job, behind a connection."""

    def __init__(self, *, endpoint: str | None, project: str, job_id: str) -> None:
        self._entries = client.connect("logging", endpoint=endpoint).entries()
        self._project = project
        self._job_id = job_id

    def read(self, since: str = "", *, least: str = "") -> list[Entry]:
        """The entries from a time on, of a severity or worse, in order."""
        parts = ['resource.type="ml_job"', f'resource.labels.job_id="{self._job_id}"']
        parts += [f'timestamp>="{since}"'] if since else []
        parts += [f"severity>={least}"] if least else []
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self._project}"],
            "filter": "\n".join(parts),
            "orderBy": "timestamp asc",
            "pageSize": PAGE,
        }
        found: list[Entry] = []
        while True:
            schema.check(body, api="logging", schema="ListLogEntriesRequest")
            answer = client.send(self._entries.list(body=body))
            found += map(entry_of, answer.get("entries", ()))
            if not answer.get("nextPageToken"):
                return sorted(found)
            body["pageToken"] = answer["nextPageToken"]


def follow_entries(
    read: Callable[[str], Sequence[Entry]], is_over: Callable[[], bool], pause: Callable[[], None]
) -> Iterator[Entry]:
    """The entries as they come, until the job is over and two looks have found nothing new."""
    seen: dict[str, str] = {}  # the times of entries by their ids
    held: list[Entry] = []
    quiet, newest = 0, ""
    while quiet < 2:
        over = is_over()  # before the look, so that what was there at the end is seen
        since = _before(newest) if newest else ""
        new = [entry for entry in read(since) if entry.id not in seen]
        seen = {i: time for i, time in seen.items() if time >= since} | {entry.id: entry.timestamp for entry in new}
        newest = max([newest, *seen.values()])
        bound = max((entry.timestamp for entry in held), default="")
        waiting = sorted([*held, *new])
        yield from (entry for entry in waiting if not new or entry.timestamp <= bound)
        held = [entry for entry in waiting if new and entry.timestamp > bound]
        quiet = quiet + 1 if over and not new else 0
        if quiet < 2:
            pause()


def entry_of(entry: Mapping[str, Any]) -> Entry:
    """A `LogEntry`: a line of text, or one of JSON with its message and other fields."""
    payload = dict(entry.get("jsonPayload", {}))
    message = payload.pop("message", None) if payload else entry.get("textPayload")
    return Entry(
        timestamp=_padded(entry.get("timestamp") or entry.get("receiveTimestamp", "")),
        id=entry.get("insertId", ""),
        severity=entry.get("severity", "DEFAULT"),
        task=entry.get("resource", {}).get("labels", {}).get("task_name", ""),
        message=str(message if message is not None else payload or ""),
        fields=payload,
        trial=str(entry.get("labels", {}).get("ml.googleapis.com/trial_id", "")),
    )


def last_errors(entries: Sequence[Entry], error: str) -> list[Entry]:
    """The errors of the replica that a job's `error` names (`The replica master 0 exited ...`), else of all."""
    words = error.replace("-", " ").split()
    named = [
        entry
        for entry in entries
        if entry.is_error and any(_is_of(entry.task, pair) for pair in itertools.pairwise(words))
    ]
    return named or [entry for entry in entries if entry.is_error and entry.task != "service"]


def _is_of(task: str, words: tuple[str, str]) -> bool:
    role, index = words
    return index.isdecimal() and task in (f"{role}-replica-{index}", f"{role}-{index}")


def _padded(timestamp: str) -> str:
    """With nine digits after the second, so that times sort as texts do."""
    whole, _, fraction = timestamp.removesuffix("Z").partition(".")
    return f"{whole}.{fraction.ljust(9, '0')}Z" if whole else ""


def _before(timestamp: str) -> str:
    """`LATE_S` before a time."""
    at = datetime.datetime.fromisoformat(f"{timestamp[:26]}+00:00") - datetime.timedelta(seconds=LATE_S)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace("Z", "000Z")
