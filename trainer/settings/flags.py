"""A frozen dataclass becomes a group of flags, and the parsed flags become the dataclass.

    @dataclass(frozen=True)
    class Config:
        learning_rate: float = flag(2e-3, "the highest rate of the schedule")

    flags.add(parser, Config)
    config = flags.build(Config, parser.parse_args())

The type gives the form: `int`, `float`, `str`, `bool` (`--x` / `--no-x`), `Literal[...]` (choices), `tuple[T, ...]`
(several values, separated by spaces or commas), and `T | None` (absent unless given).
"""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar


T = TypeVar("T")


def flag(default: Any, help: str, *, metavar: str | None = None) -> Any:
    """A dataclass field with its line of help."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar})


def add(parser: argparse.ArgumentParser, config: type, *, title: str, defaults: Any = None) -> None:
    """Add a flag for each field of `config`; `defaults`, an instance, replaces the fields' own."""
    group = parser.add_argument_group(title)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        default = field.default if defaults is None else getattr(defaults, field.name)
        text = field.metadata["help"].replace("%", "%%")
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            default=default,
            help=text if default is None or default == () else f"{text} (default {shown})",
            **_form(hints[field.name], field.metadata.get("metavar")),
        )


def build(config: Callable[..., T], namespace: argparse.Namespace) -> T:
    """The dataclass that the parsed flags describe."""
    return config(**{field.name: getattr(namespace, field.name) for field in dataclasses.fields(config)})  # type: ignore[arg-type]


def _form(hint: Any, metavar: str | None) -> dict[str, Any]:
    """The arguments of `add_argument` that a type asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _form(next(a for a in arguments if a is not type(None)), metavar)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is Literal:
        return {"choices": arguments}
    if origin is tuple:
        inner = _form(arguments[0], metavar)
        return inner | {"nargs": "+", "action": _Several}
    return {"type": hint, "metavar": metavar or {int: "N", float: "X", str: "S"}[hint]}


class _Several(argparse.Action):
    """Store the values as a tuple, whatever they were separated by."""

    def __init__(self, *args: Any, type: Callable[[str], Any] = str, **kwargs: Any) -> None:
        self.convert, self.allowed = type, kwargs.pop("choices", None)
        if self.allowed:
            kwargs["metavar"] = "{" + ",".join(self.allowed) + "}"
        super().__init__(*args, **kwargs)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        words = [word for value in values for word in value.split(",") if word]
        try:
            converted = tuple(self.convert(word) for word in words)
        except ValueError:
            parser.error(f"argument {option_string}: {','.join(words)!r}: expected {self.convert.__name__} values")
        for value in converted:
            if self.allowed and value not in self.allowed:
                parser.error(f"argument {option_string}: {value!r}: expected one of {', '.join(self.allowed)}")
        setattr(namespace, self.dest, converted)
