"""How far the run is: a bar on a terminal, a JSON line now and then elsewhere."""

import logging
import sys
from typing import Any, Protocol


LINE_EVERY_S = 30.0
log = logging.getLogger("trainer.training")


class Progress(Protocol):
    """Told of every call of the train loop."""

    def update(self, step: int, examples_per_second: float, now: float) -> None:
        """The run is at `step`."""

    def close(self) -> None:
        """The run has ended or is about to end."""


def start(step: int, train_steps: int, now: float) -> Progress:
    """The form that fits where stdout goes."""
    return Bar(step, train_steps) if sys.stdout.isatty() else Lines(train_steps, now)


class Lines:
    """A log line every half minute, for runs whose stops are far apart."""

    def __init__(self, train_steps: int, now: float) -> None:
        self.train_steps = train_steps
        self.said = now

    def update(self, step: int, examples_per_second: float, now: float) -> None:
        if now - self.said >= LINE_EVERY_S:
            self.said = now
            fields = {"global_step": step, "train_steps": self.train_steps}
            fields["examples_per_second"] = round(examples_per_second)
            log.info("training", extra={"fields": fields})

    def close(self) -> None:
        """Nothing to take down."""


class Bar:
    """A progress bar with steps, examples per second and the time left; log lines scroll by above it."""

    def __init__(self, step: int, train_steps: int) -> None:
        from rich import progress  # only a terminal needs it

        self._bar = progress.Progress(
            progress.TextColumn("step"),
            progress.MofNCompleteColumn(),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[rate]} examples/s"),
            progress.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("train", total=train_steps, completed=step, rate="")
        self._bar.start()

    def update(self, step: int, examples_per_second: float, now: float) -> None:
        del now
        self._bar.update(self._task, completed=step, rate=f"{examples_per_second:,.0f}")

    def close(self) -> None:
        self._bar.stop()


def stop_line(line: dict[str, Any]) -> None:
    """Say what a stop found."""
    metrics = {k: v for k, v in line.items() if isinstance(v, float) and k not in ("time", "examples_per_second")}
    if sys.stdout.isatty():
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        speed = f"  ({line['examples_per_second']:,.0f} examples/s)" if "examples_per_second" in line else ""
        log.info("step %d  %s%s", line["step"], shown, speed)
    else:
        rest = {name: value for name, value in line.items() if name != "step"}
        log.info("stop", extra={"fields": {"global_step": line["step"], **rest}})
