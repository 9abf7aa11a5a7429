"""A frozen dataclass becomes flags, and the flags become the dataclass."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from trainer.errors import UsageError
from trainer.settings import command, flags
from trainer.settings.flags import flag


@dataclass(frozen=True)
class Config:
    rate: float = flag(0.1, "100 % of the rate")
    layers: int = flag(2, "how many")
    name: str = flag("", "what to call it")
    folder: str | None = flag(None, "where", metavar="DIR")
    fast: bool = flag(False, "in a hurry")
    kind: Literal["wide", "deep"] = flag("deep", "which")
    level: Literal[1, 2] = flag(1, "how far")
    hidden_units: tuple[int, ...] = flag((64, 32), "units of each layer")
    rates: tuple[float, ...] = flag((), "several")
    when: tuple[Literal["best", "final"], ...] = flag(("best",), "when")
    train_files: tuple[str, ...] = flag((), "files", metavar="GLOB")


def parse(*words, config=Config, defaults=None):
    parser = command.Parser(prog="test")
    flags.add(parser, config, title="test", defaults=defaults)
    return flags.build(config, parser.parse_args(command.normalized(words)), defaults)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--rate 3", "rate", 3.0),
        ("--rate -1e-3", "rate", -1e-3),
        ("--rate -.5", "rate", -0.5),
        ("--rate=-1e30", "rate", -1e30),
        ("--layers -4", "layers", -4),
        ("--folder a_b", "folder", "a_b"),
        ("--folder=a_b=c_d", "folder", "a_b=c_d"),
        ("--folder --folder", "folder", None),
        ("--fast", "fast", True),
        ("--fast --no-fast", "fast", False),
        ("--fast --no_fast", "fast", False),
        ("--kind wide", "kind", "wide"),
        ("--level 2", "level", 2),
        ("--hidden-units 64 32 4", "hidden_units", (64, 32, 4)),
        ("--hidden_units 64,32,4", "hidden_units", (64, 32, 4)),
        ("--hidden_units=64,32", "hidden_units", (64, 32)),
        ("--hidden-units 64, 32,", "hidden_units", (64, 32)),
        ("--hidden-units -1 -2", "hidden_units", (-1, -2)),
        ("--rates 1e-3,2", "rates", (1e-3, 2.0)),
        ("--when final,best", "when", ("final", "best")),
        ("--when final best", "when", ("final", "best")),
        ("--train-files a b", "train_files", ("a", "b")),
        ("--train_files a,b c", "train_files", ("a,b", "c")),
    ],
)
def test_the_type_of_a_field_gives_the_form_of_its_flag(words, name, value):
    if value is None:
        with pytest.raises(UsageError, match="--folder: expected one argument"):
            parse(*words.split())
    else:
        assert getattr(parse(*words.split()), name) == value


def test_numbers_given_again_replace_and_texts_given_again_add():
    first, second = "--hidden-units 64 32 --train-files a b --rate 1", "--hidden-units 281 --train-files c --rate 2"
    config = parse(*first.split(), *second.split())
    assert (config.hidden_units, config.train_files, config.rate) == ((281,), ("a", "b", "c"), 2.0)


def test_a_field_that_is_not_given_keeps_its_default():
    assert parse() == Config()
    assert parse("--layers", "3", defaults=Config(rate=7.0, layers=9)) == Config(rate=7.0, layers=3)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--rate fast", "--rate: 'fast': expected a number; see --help"),
        ("--rate nan", "--rate: 'nan': expected a number; see --help"),
        ("--layers 1.5", "--layers: '1.5': expected a whole number; see --help"),
        ("--layers", "--layers: expected one argument; see --help"),
        ("--hidden-units 64,x", "--hidden-units: 'x': expected a whole number; see --help"),
        ("--hidden-units ,", "--hidden-units: ',': expected at least one value; see --help"),
        ("--when never", "--when: 'never': expected one of best, final; see --help"),
        ("--ratee 3", "--ratee: unexpected; did you mean --rate?"),
        ("--hidden_unit=3", "--hidden-unit: unexpected; did you mean --hidden-units?"),
        ("--xyzzy 3", "--xyzzy: unexpected; see --help"),
        ("word", "word: unexpected; see --help"),
        ("--layer 3", "--layer: unexpected; did you mean --layers?"),  # argparse would take it
    ],
)
def test_a_value_of_another_form_is_named_with_what_was_expected(words, line):
    with pytest.raises(UsageError) as error:
        parse(*words.split())
    assert str(error.value) == line


def test_a_choice_that_there_is_not_is_named_with_those_that_there_are():
    with pytest.raises(
        UsageError, match=r"--kind: invalid choice: 'tall' \(choose from '?wide'?, '?deep'?\); see --help"
    ):
        parse("--kind", "tall")


def test_help_shows_defaults_where_there_are_any(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--help", defaults=Config(rate=0.5))
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for shown in ("100 % of the rate (default 0.5)", "units of each layer (default 64 32)", "--when {best,final}"):
        assert shown in text
    for hidden in ("what to call it (default", "where (default", "files (default", "SUPPRESS"):
        assert hidden not in text


@dataclass(frozen=True)
class Plain:
    """As a user may write it: without lines of help, without a default."""

    width: int
    names: tuple[str, ...] = field(default_factory=tuple)


def test_fields_need_neither_help_nor_default():
    assert parse("--width", "3", config=Plain) == Plain(3)
    with pytest.raises(UsageError, match="the following arguments are required: --width"):
        parse(config=Plain)


@dataclass(frozen=True)
class OfNoForm:
    table: dict[str, int] = flag(None, "a table")


@dataclass(frozen=True)
class Taken:
    help: int = flag(1, "a name that argparse has")


@pytest.mark.parametrize(("config", "said"), [(OfNoForm, "table: dict"), (Taken, "help: argument --help: conflicting")])
def test_a_field_that_cannot_be_a_flag_is_named(config, said):
    with pytest.raises(UsageError, match=f"{config.__name__}: {said}"):
        parse(config=config)
