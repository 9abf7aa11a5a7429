"""How many requests buckets have answered, since each is billed.

before = operations.so_far()
...
made = operations.so_far() - before
"""

import threading
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Operations:
    """Answered requests by what a bucket bills them as: writes and lists are class A, reads class B, deletes free."""

    writes: int = 0
    lists: int = 0
    reads: int = 0
    deletes: int = 0

    def __sub__(self, before: "Operations") -> "Operations":
        mine, theirs = asdict(self), asdict(before)
        return Operations(**{kind: mine[kind] - theirs[kind] for kind in mine})


_counts = asdict(Operations())
_lock = threading.Lock()


def count(kind: str) -> None:
    """Count a request; `kind` is the name of a field of `Operations`."""
    with _lock:
        _counts[kind] += 1


def so_far() -> Operations:
    """The requests of this process."""
    return Operations(**_counts)
