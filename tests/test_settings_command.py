"""How every command starts and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import data, predict, task
from trainer.errors import RunError, UsageError, reason
from trainer.settings import command


ROOT = Path(__file__).parent.parent
MAINS = {"trainer.task": task.main, "trainer.predict": predict.main, "trainer.data": data.main}


def run(error, *words):
    def main(argv):
        raise error

    return command.run(main, prog="trainer.test", argv=list(words))


@pytest.mark.parametrize(
    ("words", "normalized"),
    [
        ("--train_steps 5", "--train-steps 5"),
        ("--train_steps=5", "--train-steps=5"),
        ("--job_dir=my_jobs/a_b=c_d", "--job-dir=my_jobs/a_b=c_d"),
        ("--job-dir my_jobs", "--job-dir my_jobs"),
        ("-x_y a_b", "-x_y a_b"),
        ("--dry_run -- --train_steps 5 -- --a_b", "--dry-run -- --train_steps 5 -- --a_b"),
        ("", ""),
    ],
)
def test_only_the_names_of_flags_before_a_bare_dash_dash_change(words, normalized):
    assert command.normalized(words.split()) == normalized.split()


@pytest.mark.parametrize(("error", "code"), [(RunError("the disk\n is full"), 1), (UsageError("the disk is full"), 2)])
def test_an_error_of_the_user_is_one_line_on_stderr_and_an_exit_code(error, code, capsys):
    assert run(error) == code
    assert capsys.readouterr() == ("", "trainer.test: error: the disk is full\n")


def test_debug_shows_the_traceback_before_the_line(capsys):
    assert run(RunError("the disk is full"), "--debug") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("Traceback (most recent call last):")
    assert captured.err.endswith("\ntrainer.test: error: the disk is full\n")


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(ZeroDivisionError())


def test_ctrl_c_ends_with_130_and_no_words(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("prog", MAINS)
def test_every_command_says_a_mistyped_flag_in_one_line(prog, capsys):
    words = {"trainer.data": ["mnist"], "trainer.task": ["--experiment", "mnist"]}.get(prog, [])
    words += ["--model-dir", "d", "--csv", "f"] if prog == "trainer.predict" else []
    assert command.run(MAINS[prog], prog=prog, argv=[*words, "--verbositty=INFO"]) == 2
    captured = capsys.readouterr()
    expected = "see --help" if prog == "trainer.data" else "did you mean --verbosity?"
    assert captured == ("", f"{prog}: error: --verbositty: unexpected; {expected}\n")


@pytest.mark.parametrize("prog", MAINS)
def test_every_command_says_a_missing_word_or_a_wrong_choice_in_one_line(prog, capsys):
    for words in ([], ["--verbosity", "LOUD"]):
        assert command.run(MAINS[prog], prog=prog, argv=words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"{prog}: error: ")
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize("prog", MAINS)
def test_help_answers_without_tensorflow(prog):
    code = f"""
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module({prog!r}, run_name="__main__")
except SystemExit as end:
    print(end.code, "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: python -m {prog} ")
    assert done.stdout.endswith("\n0 False False\n")
    assert done.stderr == ""


def test_a_reader_that_goes_away_is_no_traceback():
    code = """
import sys
from trainer.settings import command
def main(argv):
    while True:
        print("line")
sys.exit(command.run(main, prog="trainer.test"))
"""
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        os.read(read, 100)
        os.close(read)
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "no space left on device"),
        (
            OSError("{{node SaveV2}} j/.tmp-1/x.tempstate2; No space left on device [Op:SaveV2]"),
            "no space left on device",
        ),
        (OSError("Something Else of TensorFlow's"), "Something Else of TensorFlow's"),
    ],
)
def test_the_reason_is_what_the_operating_system_says(error, words):
    assert reason(error) == words
