"""The exports of a job dir: which there are, what they were worth when they were written, and which to look at.

found = exports.find("jobs/births")
chosen = exports.choose(found)          # the newest best, else the newest; one that is whole
"""

import logging
from dataclasses import dataclass, field

from trainer.experiment import Evaluation
from trainer.exporting import strategies
from trainer.serving import locate
from trainer.storage import commit, paths


log = logging.getLogger("trainer.reporting")


@dataclass(frozen=True)
class Export:
    """A committed export."""

    path: str
    strategy: str  # the folder that it is in
    time: int  # unix seconds
    evaluation: Evaluation | None  # when it was written
    size: int = field(compare=False)  # bytes


def find(job_dir: str) -> list[Export]:
    """All of them, the newest first, of two of the same second the best first."""
    found = []
    for path in locate.newest_first(job_dir):
        size = sum(entry.size for entry in paths.list_files(path).values())
        strategy = paths.name(paths.parent(path))
        found.append(Export(path, strategy, int(paths.name(path)), strategies.newest_evaluation([path]), size))
    return found


def by_preference(found: list[Export]) -> list[Export]:
    """The exports as they are worth a look: the best ones first, the newest of them before all."""
    return sorted(found, key=lambda export: export.strategy != locate.PREFERRED)


def choose(found: list[Export]) -> Export | None:
    """The first by preference that is whole. A damaged one is said; a run that goes on may have removed it."""
    for export in by_preference(found):
        try:
            commit.verify(export.path)
        except commit.DamagedError as damage:
            log.warning("%s; looking at another export", damage)
        else:
            return export
    return None
