"""The flags that every experiment has."""

import pytest

from trainer.errors import UsageError
from trainer.settings import command, flags
from trainer.settings.run import Run, check, from_flags, train_steps


def parse(*words, defaults=None):
    parser = command.Parser(prog="test")
    flags.add(parser, Run, title="test", defaults=defaults)
    return from_flags(parser.parse_args(command.normalized(words)), defaults or Run())


@pytest.mark.parametrize("join", ["-", "_"])
@pytest.mark.parametrize(
    ("flag", "value", "name", "expected"),
    [
        ("--job-dir", "jobs/my_job", "job_dir", "jobs/my_job"),
        ("--train-files", "a_* b_*", "train_files", ("a_*", "b_*")),
        ("--eval-files", "a_*", "eval_files", ("a_*",)),
        ("--train-steps", "0", "train_steps", 0),
        ("--num-epochs", "2.5", "num_epochs", 2.5),
        ("--train-batch-size", "7", "train_batch_size", 7),
        ("--eval-batch-size", "7", "eval_batch_size", 7),
        ("--eval-steps", "7", "eval_steps", 7),
        ("--eval-every", "7", "eval_every", 7),
        ("--eval-every-secs", "0.5", "eval_every_secs", 0.5),
        ("--events-every-secs", "0.5", "events_every_secs", 0.5),
        ("--keep-checkpoint-max", "7", "keep_checkpoint_max", 7),
        ("--exports-to-keep", "7", "exports_to_keep", 7),
        ("--export-strategy", "latest servo", "export_strategy", ("latest", "servo")),
        ("--export-as-text", "", "export_as_text", True),
        ("--seed", "7", "seed", 7),
        ("--deterministic", "", "deterministic", True),
        ("--on-bad-row", "skip", "on_bad_row", "skip"),
        ("--schedule", "continuous_eval", "schedule", "continuous_eval"),
    ],
)
def test_every_flag_may_be_written_with_dashes_or_underscores(flag, join, value, name, expected):
    assert getattr(parse("--" + flag[2:].replace("-", join), *value.split()), name) == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--train-steps -1", "--train-steps: -1: expected 0 or more"),
        ("--train-batch-size 0", "--train-batch-size: 0: expected 1 or more"),
        ("--eval-batch-size 0", "--eval-batch-size: 0: expected 1 or more"),
        ("--eval-steps 0", "--eval-steps: 0: expected 1 or more"),
        ("--eval-every 0", "--eval-every: 0: expected 1 or more"),
        ("--keep-checkpoint-max 0", "--keep-checkpoint-max: 0: expected 1 or more"),
        ("--exports-to-keep 0", "--exports-to-keep: 0: expected 1 or more"),
        ("--seed -1", "--seed: -1: expected 0 to 4294967295"),
        ("--seed 4294967296", "--seed: 4294967296: expected 0 to 4294967295"),
        ("--num-epochs 0", "--num-epochs: 0: expected more than 0"),
        ("--num-epochs inf", "--num-epochs: inf: expected more than 0"),
        ("--eval-every-secs -.5", "--eval-every-secs: -0.5: expected more than 0"),
        ("--events-every-secs 0", "--events-every-secs: 0: expected more than 0"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(words, line):
    with pytest.raises(UsageError) as error:
        parse(*words.split())
    assert str(error.value) == line


def test_a_value_that_an_experiment_set_is_checked_too():
    with pytest.raises(UsageError, match="--eval-every-secs: nan: expected more than 0"):
        check(Run(eval_every_secs=float("nan")))


@pytest.mark.parametrize(
    ("defaults", "words", "steps"),
    [
        (Run(train_steps=70), "", 70),
        (Run(train_steps=70), "--train-steps 50", 50),
        (Run(train_steps=70), "--num-epochs 1", 100),
        (Run(num_epochs=1), "", 100),
        (Run(num_epochs=1), "--train-steps 50", 50),
        (Run(num_epochs=1), "--num-epochs 0.255", 26),  # every row of the last pass that has begun
        (Run(), "--num-epochs 1e-9", 1),
        (Run(), "--num-epochs 1 --train-steps 0", 0),
    ],
)
def test_what_is_given_is_stronger_than_the_experiment_s_default_of_the_alternative(defaults, words, steps):
    run = parse(*words.split(), "--train-batch-size", "8", defaults=defaults)
    assert train_steps(run, lambda: 800) == steps


def test_seconds_between_stops_take_the_place_of_steps_and_the_reverse():
    by_steps, by_seconds = Run(eval_every=9), Run(eval_every_secs=9.0)
    assert parse("--eval-every-secs", "5", defaults=by_steps).eval_every is None
    assert parse("--eval-every", "5", defaults=by_seconds).eval_every_secs is None
    both = parse("--eval-every", "5", "--eval-every-secs", "6", defaults=by_steps)
    assert (both.eval_every, both.eval_every_secs) == (5, 6.0)


def test_rows_are_not_counted_where_steps_are_given():
    assert train_steps(Run(train_steps=3), count_rows=None) == 3


def test_neither_steps_nor_epochs_is_bad_usage():
    with pytest.raises(UsageError, match="--train-steps or --num-epochs: neither is given"):
        train_steps(Run(), lambda: 800)
