"""What a process holds of a job dir while it writes there: the lease, the uploads, a journal and event files."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
def opened(run: Run, directory: str, acquire: Callable[[str], lease.Lease]) -> Iterator[Held]:
    """Hold the lease of a directory, the job dir or `eval/` in it; all that was submitted is there after the block."""
    paths.make_directory(directory)
    with contextlib.ExitStack() as stack:
        owned = acquire(directory)
        stack.callback(owned.release)
        sent = uploads.start(run.job_dir, check=owned.check)
        stack.callback(sent.finish)
        events = Events(run.job_dir, every_s=run.events_every_secs, submit=sent.submit)
        stack.callback(events.close)
        yield Held(owned, sent, Journal(directory, sent.submit), events)
