"""What is counted of births on the way: those read, those dropped by the reason, and the statistics of each part.

tally = functools.reduce(tally.merged, tallies, EMPTY)         # the same in any order
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.quality import statistics
from trainer.quality.statistics import Statistics


@dataclass(frozen=True)
class Tally:
    """Counts of raw births, and the statistics of the rows that were made of them, by part."""

    births: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, Statistics] = field(default_factory=dict)


EMPTY = Tally()


def merged(first: Tally, second: Tally) -> Tally:
    """The counts of both."""
    reasons = [*first.dropped, *(reason for reason in second.dropped if reason not in first.dropped)]
    return Tally(
        first.births + second.births,
        {reason: first.dropped.get(reason, 0) + second.dropped.get(reason, 0) for reason in reasons},
        {
            part: statistics.merged(*(tally.parts.get(part, statistics.EMPTY) for tally in (first, second)))
            for part in sorted({*first.parts, *second.parts})
        },
    )


def to_json(tally: Tally) -> dict[str, Any]:
    """For `stats.json`."""
    parts = {part: statistics.to_json(found) for part, found in sorted(tally.parts.items(), reverse=True)}
    return {**parts, "births": tally.births, "dropped": dict(tally.dropped)}
