"""Train one experiment on a cluster of processes of this machine.

    python -m trainer.launch --workers 2 --evaluator -- --experiment babyweight --job-dir jobs/babyweight

What follows `--` are flags of `trainer.task`. Each process has its TF_CONFIG, as on Cloud ML Engine and Vertex AI.
"""

import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from trainer import roles
from trainer.errors import UsageError
from trainer.processes import Stream, Supervisor
from trainer.roles import CHIEF, EVALUATOR, Task
from trainer.settings import command, logs, records, signals


PROG = "trainer.launch"
COLOURS = {"chief": "bold cyan", "worker": "green", "ps": "magenta", "evaluator": "yellow"}
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Start the processes, pass on what they print, and return the chief's exit code."""
    ours, flags = command.split(argv)
    arguments = parser().parse_args(ours)
    for name in ("workers", "ps", "restarts"):
        if getattr(arguments, name) < 0:
            raise UsageError(f"--{name}: {getattr(arguments, name)}: expected 0 or more")
    if arguments.ps and not arguments.workers:
        raise UsageError("--ps: needs workers; expected --workers 1 or more")
    if not flags:
        raise UsageError("no flags of trainer.task; expected them after --, such as -- --experiment babyweight")
    logs.start(arguments.verbosity)
    output = Terminal() if sys.stdout.isatty() else Lines()
    supervisor = Supervisor(
        roles.tasks_of(workers=arguments.workers, ps=arguments.ps, evaluator=arguments.evaluator),
        roles.trainers([sys.executable, "-m", "trainer.task", *flags], environ),
        alone=EVALUATOR,
        restarts=arguments.restarts,
        say=output.say,
        note=log.warning,
    )
    code = supervisor.run(signals.received()).code
    output.close()
    return code


def parser() -> command.Parser:
    """The flags of the launcher."""
    parser = command.Parser(
        prog=f"python -m {PROG}",
        description=__doc__.splitlines()[0],
        usage="%(prog)s [--workers N] [--ps N] [--evaluator] [--restarts N] -- FLAGS OF trainer.task",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="workers beside the chief (default 1)")
    parser.add_argument(
        "--ps", type=int, default=0, metavar="N", help="parameter servers (default 0: mirrored workers)"
    )
    parser.add_argument("--evaluator", action="store_true", help="a process that evaluates and exports meanwhile")
    parser.add_argument(
        "--restarts", type=int, default=3, metavar="N", help="times to start again when a process dies (default 3)"
    )
    command.add_arguments(parser)
    return parser


class Lines:
    """Off a terminal: JSON lines with the task that they are from, other lines with it before them.

    What the chief says last is said last, so that the last line is as that of `trainer.task`.
    """

    def __init__(self) -> None:
        self._done: str | None = None

    def say(self, task: Task, stream: Stream, line: str) -> None:
        fields = records.parsed(line)
        if fields is None:
            print(f"{task} | {line}", file=sys.stderr if stream == "stderr" else sys.stdout, flush=True)
            return
        text = json.dumps({"task": str(task), **fields})
        if task == CHIEF and fields.get("message") == "done":
            self._done = text
        else:
            print(text, flush=True)

    def close(self) -> None:
        if self._done:
            print(self._done, flush=True)


class Terminal:
    """On a terminal: the task in its colour, then what it says in words."""

    def __init__(self) -> None:
        from rich.console import Console  # only a terminal needs it

        self._console = Console(highlight=False)
        self._done: Mapping[str, Any] = {}

    def say(self, task: Task, stream: Stream, line: str) -> None:
        del stream
        fields = records.parsed(line)
        if fields is None:
            self._print(task, line)
        elif fields.get("message") != "done":
            self._print(task, records.in_words(fields))
        elif task == CHIEF:
            self._done = fields
        else:
            self._print(task, f"done at step {fields.get('global_step')}")

    def close(self) -> None:
        for name, value in rows(self._done):
            self._print(CHIEF, f"{name:12}  {value}")

    def _print(self, task: Task, text: str) -> None:
        from rich.text import Text

        margin = 11
        lines = textwrap.wrap(text, max(20, self._console.width - margin), break_on_hyphens=False) or [""]
        indented = f"\n{' ' * margin}".join(lines)
        self._console.print(Text.assemble((f"{task!s:>{margin - 2}}  ", COLOURS[task.role]), indented), soft_wrap=True)


def rows(done: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The last record as a table: a row for each metric and each export."""
    for name, value in done.items():
        if name == "metrics":
            yield from ((metric, records.shown(each)) for metric, each in value.items())
        elif name == "exports":
            yield from (("export", folder) for folder in value)
        elif name not in ("severity", "message"):
            yield name.replace("_", " "), records.shown(value)


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
