"""What is wrong with data, or worth a look: the thing, the value, the expectation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal


Severity = Literal["ERROR", "WARNING", "INFO"]
Check = Literal[
    "files", "rows", "vocabulary", "missing", "range", "constant", "labels", "images", "duplicates", "drift"
]
SEVERITIES: tuple[Severity, ...] = ("ERROR", "WARNING", "INFO")


@dataclass(frozen=True)
class Finding:
    """ERROR: training stops at it, or it cannot be meant. WARNING: it may be. INFO: good to know."""

    severity: Severity
    check: Check
    data: str  # train, eval, or both
    thing: str  # a column, a file, or what the rows have in common
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.thing}: {self.value}; expected {self.expected}"


def in_order(findings: list[Finding]) -> list[Finding]:
    """The worst first, else as they were found."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def same_once(train: Sequence[Finding], evaluation: Sequence[Finding]) -> Iterator[Finding]:
    """The findings of each side, and once those that are the same."""
    both = {replace(finding, data="train") for finding in evaluation} & {*train}
    for finding in train:
        yield replace(finding, data="train, eval") if finding in both else finding
    yield from (finding for finding in evaluation if replace(finding, data="train") not in both)
