"""The flags of `trainer.data check`, and the files and columns that they mean.

options.add_arguments(parser)
spec, run = options.data_of(arguments, sample_data=lambda: "data/babyweight")
"""

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from trainer.errors import UsageError
from trainer.settings import experiments, job
from trainer.settings.run import Run


if TYPE_CHECKING:
    from trainer.inputs.spec import InputSpec  # NumPy, which `--help` does without


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to check, and how to show what was found."""
    shipped = ", ".join(experiments.SHIPPED)
    parser.add_argument(
        "--experiment", metavar="NAME", required=True, help=f"{shipped}, or the import path of a module"
    )
    parser.add_argument(
        "--train-files", metavar="GLOB", nargs="+", default=(), help="files, as trainer.task takes them"
    )
    parser.add_argument(
        "--eval-files", metavar="GLOB", nargs="+", default=(), help="evaluation files, in the same forms"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="training and evaluation files by their usual names in here")
    parser.add_argument("--format", choices=("table", "json"), help="default: table on a terminal, else json")
    parser.set_defaults(bucket=None, pattern=None)  # flags of 2017, which trainer.task has besides


def data_of(arguments: argparse.Namespace, *, sample_data: Callable[[], str]) -> "tuple[InputSpec, Run]":
    """The columns of the experiment, and its files. An experiment that does not say its columns: `UsageError`."""
    module = experiments.load(arguments.experiment)
    spec = spec_of(module)
    if not spec:
        raise UsageError(
            f"--experiment: {arguments.experiment!r} has no InputSpec, so that the rows of its own tf.data cannot be "
            "checked; expected a module that says its columns as SPEC, as trainer.experiments.babyweight does"
        )
    given = Run(train_files=tuple(arguments.train_files), eval_files=tuple(arguments.eval_files))
    return spec, job.with_files(given, arguments, module, sample_data=sample_data)


def spec_of(module: ModuleType) -> "InputSpec | None":
    """The columns of an experiment: its `SPEC`, or the only InputSpec under another name."""
    from trainer.inputs.spec import InputSpec

    found = {name: value for name, value in vars(module).items() if isinstance(value, InputSpec)}
    return found.get("SPEC") or (next(iter(found.values())) if len(found) == 1 else None)
