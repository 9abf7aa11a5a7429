"""SIGTERM and Ctrl-C as a question that a loop may ask: has this run been asked to end?

interrupted = signals.remembered()
while not interrupted():
    ...
"""

import signal
from collections.abc import Callable
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
