"""The parsers of all commands, as they are, and a page's text made from them.

for name, parser in commands.parsers():
    parser.format_help()
"""

import argparse
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from unittest import mock


ROOT = Path(__file__).parent.parent.parent
EXPERIMENTS = ("babyweight", "mnist")


class ShownError(Exception):
    """What `--help` would have printed the help of."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def modules() -> list[str]:
    """The modules that are commands, those that users type most first."""
    entry_points = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in sorted((ROOT / "trainer").rglob("*.py"))
        if "command.run(main, prog=PROG" in path.read_text(encoding="utf-8")
    ]
    first = ("task", "launch", "predict", "serve", "submit", "tune")
    order = {f"trainer.{name}": i for i, name in enumerate(first)}
    return sorted(entry_points, key=lambda name: (order.get(name, len(order)), name.count("."), name))


def parser_of(module: str, *words: str) -> argparse.ArgumentParser:
    """The parser that `python -m MODULE WORDS --help` shows."""

    def show(parser: argparse.ArgumentParser, file: object = None) -> None:
        raise ShownError(parser)

    imported = importlib.import_module(module)
    if not hasattr(imported, "main"):  # a package that is a command
        imported = importlib.import_module(f"{module}.__main__")
    with mock.patch.object(argparse.ArgumentParser, "print_help", show):
        try:
            imported.main([*words, "--help"])
        except ShownError as shown:
            return shown.parser
    raise RuntimeError(f"{module}: --help shows no help")


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and subcommand, by what is typed after `python -m`."""
    for module in modules():
        yield from _with_subcommands(module, parser_of(module))
        if module == "trainer.task":
            for name in EXPERIMENTS:
                words = ("--experiment", name)
                yield " ".join((module, *words)), parser_of(module, *words)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of a parser by name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


@functools.cache
def flags() -> frozenset[str]:
    """Every flag of every command."""
    return frozenset(flag for _, parser in parsers() for action in parser._actions for flag in action.option_strings)


def markdown(name: str, parser: argparse.ArgumentParser, *, only: str | None = None) -> list[str]:
    """The reference of a command: its usage, and each flag with its line of help; of one group of flags if asked."""
    lines = [f"````{{program}} {name}", "````", ""]
    if only is None:
        usage = parser.format_usage().removeprefix("usage: ")
        lines += [_escaped(parser.description or ""), "", "```text", *usage.rstrip().splitlines(), "```", ""]
    formatter = parser._get_formatter()
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if not isinstance(a, argparse._HelpAction)]
        actions = [a for a in actions if a.help != argparse.SUPPRESS and not isinstance(a, argparse._SubParsersAction)]
        if not actions or (only is not None and group.title != only):
            continue
        if group.title not in ("options", "positional arguments", only):
            lines += [f"```{{rubric}} {group.title}", "```", ""]
        for action in actions:
            help_text = formatter._expand_help(action) if action.help else ""
            if action.option_strings:
                words = " ".join(formatter._format_args(action, _metavar(action)).split()) if action.nargs != 0 else ""
                forms = ", ".join(f"{flag} {words}".strip() for flag in action.option_strings)
                lines += [f"````{{option}} {forms}", _escaped(help_text), "````", ""]
            else:
                lines += [f"`{action.metavar or action.dest}`", f": {_escaped(help_text)}", ""]
    return lines


def _with_subcommands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for word, below in subcommands(parser).items():
        yield from _with_subcommands(f"{name} {word}", below)


def _metavar(action: argparse.Action) -> str:
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _escaped(text: str) -> str:
    """Text for Markdown, in which flags are code."""
    parts = re.split(r"(?<![\w-])(--[a-z][a-z-]+)", " ".join(text.split()))
    plain = [re.sub(r"([\\`*_{}\[\]<>|$#~])", r"\\\1", part) for part in parts[::2]]
    code = [f"`{part}`" for part in parts[1::2]]
    return "".join(word for pair in zip(plain, [*code, ""], strict=True) for word in pair)
