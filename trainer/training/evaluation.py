"""One pass over the evaluation input: every example once, the last short batch too."""

from collections.abc import Callable
from typing import Any

from trainer.errors import RunError
from trainer.training.steps import Steps


def run(steps: Steps, batches_of: Any, most_batches: int | None, *, between: Callable[[], None]) -> None:
    """Add every example of the input, or of its first `most_batches` batches, to the model's metrics.

    `between` is called between two calls of the model, and may raise to end the pass. An input without examples raises
    `RunError`.
    """
    left = most_batches
    empty = True
    for batches in batches_of.passes(steps.room):
        taken = batches if left is None else batches.first(min(left, batches.steps))
        steps.test(taken)
        empty = False
        if left is not None:
            left -= taken.steps
            if left == 0:
                return
        between()
    if empty:
        raise RunError("the evaluation input has no examples; expected at least one")
