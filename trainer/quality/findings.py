"""What is wrong with data, or worth a look: the thing, the value, the expectation."""

import logging
from dataclasses import dataclass
from typing import Literal


Severity = Literal["ERROR", "WARNING", "INFO"]
Check = Literal[
    "files", "rows", "vocabulary", "missing", "range", "constant", "labels", "images", "duplicates", "drift"
]
SEVERITIES: tuple[Severity, ...] = ("ERROR", "WARNING", "INFO")
log = logging.getLogger("trainer.quality")


@dataclass(frozen=True)
class Finding:
    """ERROR: training stops at it, or what it gives means nothing. WARNING: it may be meant. INFO: good to know."""

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


def warn(finding: Finding) -> None:
    """Say it in the log of a run that goes on all the same."""
    fields = {"check": finding.check, "data": finding.data, "thing": finding.thing}
    fields |= {"value": finding.value, "expected": finding.expected}
    log.warning("%s data: %s", finding.data, finding, extra={"fields": fields})
