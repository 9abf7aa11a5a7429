"""How a run ends, where it does not fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """Where a run ended, as far as this process knows."""

    global_step: int
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the final evaluation
    exports: tuple[str, ...] = ()  # the newest of each strategy
    stops: int = 0  # of this process


class Interrupted(Exception):  # noqa: N818 -- not an error
    """The run was asked to end by a signal, and what it had is saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"interrupted by signal {signal_number}")
        self.exit_code = 128 + signal_number
