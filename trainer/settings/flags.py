"""A frozen dataclass becomes a group of flags, and the parsed flags become the dataclass.

    @dataclass(frozen=True)
    class Config:
        learning_rate: float = flag(2e-3, "the highest rate of the schedule")

    flags.add(parser, Config, title="babyweight")
    config = flags.build(Config, parser.parse_args())

The type gives the form: `int`, `float`, `str`, `bool` (`--x` / `--no-x`), `Literal[...]` (choices), `tuple[T, ...]`
(several values), and `T | None` (absent unless given). Several numbers or choices are separated by spaces or commas,
and a flag given again replaces them, as tuning services do; several texts, such as globs, are separated by spaces, and
a flag given again adds to them.
"""

import argparse
import dataclasses
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from trainer.errors import UsageError


T = TypeVar("T")


def flag(default: Any, help: str, *, metavar: str | None = None) -> Any:
    """A dataclass field with its line of help."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar})


def add(parser: argparse.ArgumentParser, config: type, *, title: str, defaults: Any = None) -> None:
    """Add a flag for each field of `config`; `defaults`, an instance, replaces the fields' own.

    The parsed flags hold only those that were given, so that "given" can be told from "equal to the default".
    """
    group = parser.add_argument_group(title)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        default = field.default if defaults is None else getattr(defaults, field.name)
        try:
            group.add_argument(
                "--" + field.name.replace("_", "-"),
                default=argparse.SUPPRESS,
                required=default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                help=_help(field.metadata.get("help", ""), default),
                **_form(hints[field.name], field.metadata.get("metavar")),
            )
        except (argparse.ArgumentError, TypeError) as error:  # a name that is taken, or a type that is no flag's
            raise UsageError(f"{config.__module__}.{config.__qualname__}: {field.name}: {error}") from error


def build(config: type[T], namespace: argparse.Namespace, defaults: T | None = None) -> T:
    """The dataclass that the parsed flags describe, with `defaults`, or the fields' own, for the rest."""
    names = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    given = {name: getattr(namespace, name) for name in names if name in namespace}
    return config(**given) if defaults is None else dataclasses.replace(defaults, **given)  # type: ignore[type-var]


def whole_number(text: str) -> int:
    """The `type` of a flag with a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number") from None


def number(text: str) -> float:
    """The `type` of a flag with a number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number")
    return value


CONVERTERS: dict[type, Callable[[str], Any]] = {int: whole_number, float: number, str: str}
METAVARS = {int: "N", float: "X", str: "S"}


def _help(text: str, default: Any) -> str:
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    known = shown not in (None, "", dataclasses.MISSING)
    return (f"{text} (default {shown})" if known else text).replace("%", "%%")


def _form(hint: Any, metavar: str | None) -> dict[str, Any]:
    """The arguments of `add_argument` that a type asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _form(next(a for a in arguments if a is not type(None)), metavar)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is Literal:
        return {"choices": arguments, "type": CONVERTERS[type(arguments[0])]}
    if origin is tuple:
        form = _form(arguments[0], metavar)
        shown = "{" + ",".join(map(str, form.pop("choices"))) + "}" if "choices" in form else form["metavar"]
        return form | {"nargs": "+", "action": _Several, "metavar": shown, "of": arguments[0]}
    if hint not in CONVERTERS:
        raise TypeError(f"{hint}: expected bool, int, float, str, Literal, or a tuple or an optional one of these")
    return {"type": CONVERTERS[hint], "metavar": metavar or METAVARS[hint]}


class _Several(argparse.Action):
    """Store the values as a tuple. They are converted here, since argparse knows of no commas."""

    def __init__(self, *args: Any, type: Callable[[str], Any], of: Any, **settings: Any) -> None:
        self.convert, self.allowed, self.is_text = type, typing.get_args(of), of is str
        super().__init__(*args, **settings)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        words = values if self.is_text else [word for value in values for word in value.split(",") if word]
        if not words:
            parser.error(f"{option_string}: {','.join(values)!r}: expected at least one value")
        try:
            converted = tuple(self.convert(word) for word in words)
        except argparse.ArgumentTypeError as error:
            parser.error(f"{option_string}: {error}")
        for value in converted:
            if self.allowed and value not in self.allowed:
                parser.error(f"{option_string}: {value!r}: expected one of {', '.join(map(str, self.allowed))}")
        before = getattr(namespace, self.dest, ()) if self.is_text else ()
        setattr(namespace, self.dest, (*before, *converted))
