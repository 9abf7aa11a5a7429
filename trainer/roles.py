"""The tasks of a cluster that all run `trainer.task`: who they are, and what tells each of them.

tasks = roles.tasks_of(workers=2, ps=1, evaluator=True)
supervisor = Supervisor(tasks, roles.trainers(command, os.environ), alone=EVALUATOR, ...)
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.processes import Program


@dataclass(frozen=True)
class Task:
    """One process of the cluster."""

    role: Literal["chief", "worker", "ps", "evaluator"]
    index: int = 0

    def __str__(self) -> str:
        return self.role if self.role in ("chief", "evaluator") else f"{self.role} {self.index}"


CHIEF = Task("chief")
EVALUATOR = Task("evaluator")


def tasks_of(*, workers: int, ps: int, evaluator: bool) -> tuple[Task, ...]:
    """The chief and the others, in the order in which they are started."""
    others = [Task("ps", i) for i in range(ps)] + [Task("worker", i) for i in range(workers)]
    return (CHIEF, *others, *([EVALUATOR] if evaluator else []))


def tf_config(task: Task, addresses: Mapping[Task, str]) -> str:
    """The TF_CONFIG of a task, as the platforms write it: without the evaluator among the cluster."""
    cluster: dict[str, list[str]] = {}
    for other, address in addresses.items():
        if other != EVALUATOR:
            cluster.setdefault(other.role, []).append(address)
    return json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}, "environment": "cloud"})


def trainers(command: Sequence[str], environ: Mapping[str, str]) -> Callable[[Task, Mapping[Task, str]], Program]:
    """The same command for each task, which knows from its TF_CONFIG who it is."""

    def program(task: Task, addresses: Mapping[Task, str]) -> Program:
        return Program(command, {**environ, "TF_CONFIG": tf_config(task, addresses)})

    return program
