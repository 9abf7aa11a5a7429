"""A job, or one trial of it, as processes: run to its end on the thread that asks for it.

    ended = Runner(entries, environ, patience).run(plan, place, prepared, asked)

What the processes print goes to the log. Linux ends them with the thread that started them, so that has to stay.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainer.cloud.emulator import replicas
from trainer.cloud.emulator.entries import Entries
from trainer.cloud.emulator.packages import Prepared
from trainer.cloud.emulator.replicas import Place, Plan, Replica
from trainer.processes import Ended, Patience, Program, Stream, Supervisor


OURS = ("TF_CONFIG", "CLUSTER_SPEC", "PYTHONPATH", "PYTHONHOME")
PREFIXES = ("AIP_", "CLOUD_ML_")
Asked = Callable[[], Sequence[int]]


@dataclass(frozen=True)
class Runner:
    """What runs of all jobs share."""

    entries: Entries
    environ: Mapping[str, str]
    patience: Patience

    def run(self, plan: Plan, place: Place, prepared: Prepared, asked: Asked) -> Ended[Replica]:
        """Start a process for each replica, and wait for the end of the primary or of one that fails."""

        def program(replica: Replica, addresses: Mapping[Replica, str]) -> Program:
            package, folder = plan.packages[replica], os.path.join(place.of(replica), "work")
            os.makedirs(folder, exist_ok=True)
            variables = {**self.clean(prepared), **replicas.environ(plan, replica, addresses, place)}
            words = [prepared.python, "-m", package.module, *replicas.arguments(plan, package, place)]
            return Program(words, variables, folder)

        def say(replica: Replica, stream: Stream, line: str) -> None:
            self.entries.write(
                place.project, place.job_id, task=replica.task_name, stream=stream, line=line, trial=place.trial
            )

        supervisor = Supervisor(
            plan.replicas, program, restarts=0, say=say, note=lambda text: None, patience=self.patience
        )
        return supervisor.run(asked)

    def command(self, plan: Plan, place: Place, words: Sequence[str], asked: Asked) -> int:
        """Run a command before the replicas, with its output in the log of the primary; returns its exit code."""
        primary = plan.replicas[0]

        def say(task: str, stream: Stream, line: str) -> None:
            self.entries.write(place.project, place.job_id, task=primary.task_name, stream=stream, line=line)

        def program(task: str, addresses: Mapping[str, str]) -> Program:
            return Program(words, self.clean(Prepared(words[0])), place.folder)

        supervisor = Supervisor(
            [words[0]], program, restarts=0, say=say, note=lambda text: None, patience=self.patience
        )
        return supervisor.run(asked).code

    def clean(self, prepared: Prepared) -> dict[str, str]:
        """The variables of a replica before a service adds its own: ours, but for what they would set."""
        kept = {
            name: value for name, value in self.environ.items() if name not in OURS and not name.startswith(PREFIXES)
        }
        return kept | ({"PYTHONPATH": os.pathsep.join(prepared.path)} if prepared.path else {})


def failure(task: object, code: int) -> str:
    """How the services word it: `The replica master 0 exited with a non-zero status of 1.`"""
    status = f"{-code}({signal.Signals(-code).name})" if code < 0 else str(code)
    return f"The replica {task} exited with a non-zero status of {status}."
