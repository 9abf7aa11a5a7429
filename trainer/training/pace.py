"""How far to train before anything else is done: a call of about a second, and from one stop to the next."""

from trainer.settings.run import Run


STOPS_A_RUN = 10
SECONDS_A_STOP = 60.0
SECONDS_A_CALL = 1.0


class Pace:
    """The pace of one process, found out as it trains; `room` is the most steps a call can take.

    Times are any clock's seconds.
    """

    def __init__(self, run: Run, *, train_steps: int, room: int) -> None:
        self.examples_per_second = 0.0  # since the last stop
        self._batch_size = run.train_batch_size
        self._train_steps = train_steps
        self._room = room
        self._every = run.eval_every or (train_steps if run.eval_every_secs else max(1, -(-train_steps // STOPS_A_RUN)))
        self._every_s = run.eval_every_secs or (float("inf") if run.eval_every else SECONDS_A_STOP)
        self._size: int | None = None  # steps a call; None until the train function is compiled
        self._began = self._clocked = self._called = 0.0
        self._steps = 0

    def next_stop(self, step: int) -> int:
        """The step of the next stop, where no time for one comes before."""
        return min(self._train_steps, (step // self._every + 1) * self._every)

    def begin(self, now: float) -> None:
        """Training goes on, after a stop."""
        self._began = self._clocked = now
        self._steps, self.examples_per_second = 0, 0.0

    def call(self, left: int, now: float) -> int:
        """How many steps the next call takes, of those that are left."""
        self._called = now
        return min(self._size or 1, left)

    def called(self, steps: int, now: float) -> None:
        """The call took its steps until now."""
        self._steps += steps
        self.examples_per_second = self._steps * self._batch_size / (now - self._clocked)
        if self._size is None:  # this call compiled, so its time says nothing of those to come
            self._size, self._clocked, self._steps = 1, now, 0
        else:
            fitting = int(steps * SECONDS_A_CALL / max(now - self._called, 1e-6))
            self._size = max(1, min(self._room, fitting))

    def is_time(self, now: float) -> bool:
        """Whether it is time for a stop."""
        return now - self._began >= self._every_s
