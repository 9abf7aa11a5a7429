"""The module that `--experiment` names: a shipped experiment, or any other by its import path.

name = experiments.name_in(argv)
module = experiments.load(name)           # has Config and build, perhaps RUN, TRAIN_PATTERNS and EVAL_PATTERNS
arguments = experiments.parser(module, prog="trainer.task", description="Train one experiment.").parse_args(argv)
"""

import dataclasses
import importlib
from collections.abc import Sequence
from types import ModuleType

from trainer.errors import UsageError
from trainer.settings import command, flags, job
from trainer.settings import run as runs


SHIPPED = ("babyweight", "mnist")
EXPECTED = f"expected {', '.join(SHIPPED)} or the import path of a module"


def name_in(argv: Sequence[str]) -> str | None:
    """What `--experiment` says. It is asked first, since the experiment has flags of its own."""
    parser = command.Parser(add_help=False)
    parser.add_argument("--experiment")
    name: str | None = parser.parse_known_args(argv)[0].experiment
    return name


def load(name: str) -> ModuleType:
    """Import the experiment. Raises `UsageError` where there is none of that name."""
    path = f"trainer.experiments.{name}" if name in SHIPPED else name
    if not all(part.isidentifier() for part in path.split(".")):
        raise UsageError(f"--experiment: {name!r}: {EXPECTED}")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if path == missing or path.startswith(f"{missing}."):
            raise UsageError(f"--experiment: {name!r} cannot be imported; {EXPECTED}") from error
        raise UsageError(f"--experiment: {name!r} needs the module {missing}, which is not installed") from error
    if not dataclasses.is_dataclass(getattr(module, "Config", None)) or not callable(getattr(module, "build", None)):
        raise UsageError(f"--experiment: {name!r}: expected a module with a dataclass Config and a function build")
    return module


def parser(module: ModuleType | None, *, prog: str, description: str) -> command.Parser:
    """The flags of every experiment and, where one is loaded, its own."""
    parser = command.Parser(prog=f"python -m {prog}", description=description)
    parser.add_argument("--experiment", metavar="NAME", help=f"{', '.join(SHIPPED)}, or the import path of a module")
    flags.add(parser, runs.Run, title="every experiment", defaults=getattr(module, "RUN", None))
    job.add_arguments(parser)
    if module:
        flags.add(parser, module.Config, title=module.__name__.rpartition(".")[2])
    command.add_arguments(parser)
    return parser
