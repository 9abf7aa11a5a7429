"""SIGTERM and Ctrl-C as a question that a loop may ask: has this run been asked to end?

interrupted = signals.remembered()
while not interrupted():
    ...
"""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any


NUMBERS = (signal.SIGTERM, signal.SIGINT)


def remembered() -> Callable[[], int | None]:
    """From now on the first of these signals is remembered; a second one ends the process at once."""
    received: list[int] = []

    def remember(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        for each in NUMBERS:
            signal.signal(each, signal.SIG_DFL)

    for number in NUMBERS:
        signal.signal(number, remember)
    return lambda: received[0] if received else None


def received() -> Callable[[], Sequence[int]]:
    """From now on all of these signals are remembered, in order."""
    found: list[int] = []
    for number in NUMBERS:
        signal.signal(number, lambda number, frame: found.append(number))
    return lambda: found


@contextlib.contextmanager
def deadly() -> Iterator[None]:
    """Let these signals end the process in the block, in which Python may not come to look at them."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
