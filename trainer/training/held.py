"""What a process holds of a job dir while it writes there: the lease, the uploads, a journal and event files."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.settings.places import Places
from trainer.settings.run import Run
from trainer.storage import lease, paths, uploads
from trainer.training.events import Events
from trainer.training.journal import Journal


@dataclass(frozen=True)
class Held:
    """All of it, of one process."""

    lease: lease.Lease
    uploads: uploads.Uploads
    journal: Journal
    events: Events


@contextlib.contextmanager
def opened(
    run: Run,
    places: Places,
    directory: str,
    *,
    acquire: Callable[[str], lease.Lease],
    report: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
) -> Iterator[Held]:
    """Hold the lease of a directory, the job dir or `eval/` in it; all that was submitted is there after the block.

    `report` is as `Journal` takes it.
    """
    paths.make_directory(directory)
    with contextlib.ExitStack() as stack:
        owned = acquire(directory)
        stack.callback(owned.release)
        sent = uploads.Uploads(owned.check)
        stack.callback(sent.finish)
        events = Events(places.events, every_s=run.events_every_secs, submit=sent.submit)
        stack.callback(events.close)
        yield Held(owned, sent, Journal(directory, sent.submit, report), events)
