"""The end of a job, for the processes that the chief cannot tell: evaluator, parameter servers and their workers.

    ending.write(job_dir, lease, global_step=1000)           # the chief, once all steps are trained and committed
    watch = Watch(job_dir)
    watch.look()                                             # "waiting", "running", "ended" or "gone"

They look into the job dir, for the chief's lease and for `ENDED`, which names that lease: so what an earlier run left
ends nobody, and a chief that was killed is missed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trainer import strictjson
from trainer.errors import MissingError, RunError
from trainer.storage import lease, paths


NAME = "ENDED"
LOOK_EVERY_S = 1.0
GONE_AFTER_S = 30.0
LOOK_EVERY_REMOTE_S = 5.0  # each is some requests
GONE_AFTER_REMOTE_S = 5.0  # the lease of a run that was killed has then been void for `lease.LASTS_S` already
START_S = 600.0  # the platforms start machines minutes apart
State = Literal["waiting", "running", "ended", "gone"]


@dataclass(frozen=True)
class Ended:
    """Where the steps of a run ended."""

    global_step: int
    lease: str  # of the run


def write(job_dir: str, held: lease.Lease, *, global_step: int) -> None:
    """Say that all steps are trained."""
    facts = {"global_step": global_step, "lease": held.holder}
    paths.write_bytes(paths.join(job_dir, NAME), strictjson.dumps(facts, indent=1).encode() + b"\n")


def read(job_dir: str) -> Ended | None:
    """What the last run that came to its end has said."""
    try:
        found: dict[str, Any] = json.loads(paths.read_bytes(paths.join(job_dir, NAME)))
        return Ended(int(found["global_step"]), str(found["lease"]))
    except (MissingError, ValueError, KeyError, TypeError):
        return None


def is_finished(job_dir: str, train_steps: int) -> bool:
    """Whether a job has come to this step before: then its chief needs no others, and they have nothing to do."""
    ended = read(job_dir)
    return ended is not None and ended.global_step >= train_steps


class Watch:
    """Whether the run of a job dir goes on. `clock` is any clock's seconds."""

    def __init__(self, job_dir: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        remote = paths.is_remote(job_dir)
        self.look_every_s = LOOK_EVERY_REMOTE_S if remote else LOOK_EVERY_S
        self._gone_after_s = GONE_AFTER_REMOTE_S if remote else GONE_AFTER_S
        self._job_dir = job_dir
        self._clock = clock
        self._seen: set[str] = set()  # the runs that have held the lease while this process watched
        self._left = clock()  # when it was last held

    def look(self) -> State:
        """`waiting` before the first run and between two; `gone` when the lease has been nobody's for too long."""
        held, ended = lease.holder(self._job_dir), read(self._job_dir)
        if held is not None:
            self._seen.add(held)
            self._left = self._clock()
        if ended and ended.lease in self._seen:
            return "ended"
        if held is not None:
            return "running"
        if self._clock() - self._left < (self._gone_after_s if self._seen else START_S):
            return "waiting"
        return "ended" if ended and not self._seen else "gone"  # those that were seen have not come to an end

    def gone(self) -> RunError:
        """What to raise then."""
        return RunError(f"{paths.join(self._job_dir, lease.NAME)}: nobody holds it: the chief is gone, or never came")
