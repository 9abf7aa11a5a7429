"""`python -m trainer.launch` as users call it: what it refuses, how it prints, and one real cluster to its end."""

import json
import os
import pty
import subprocess
import sys
import types
from pathlib import Path

import pytest

from trainer import launch
from trainer.roles import CHIEF, EVALUATOR, Task
from trainer.settings import command


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400
LAUNCH = [sys.executable, "-m", "trainer.launch"]
UNKNOWN = ["--", "--experiment", "nope", "--job-dir", "nowhere"]  # a usage error of trainer.task
WORKER = Task("worker")


def run_to_end(words, **environment):
    """Run a command in a process of its own; after the deadline it is killed, and the test fails."""
    return subprocess.run(
        [*LAUNCH, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def naming(text):
    """The command lines of all processes that name something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if text in line:
            found.append(line)
    return found


# Usage


def test_help_answers_without_tensorflow():
    code = (
        "import sys\nfrom trainer import launch\n"
        "try: launch.main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules, 'imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m trainer.launch [--workers N]")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "no flags of trainer.task; expected them after --, such as -- --experiment babyweight"),
        (["--"], "no flags of trainer.task; expected them after --, such as -- --experiment babyweight"),
        (["--workers", "-1", *UNKNOWN], "--workers: -1: expected 0 or more"),
        (["--ps=-2", *UNKNOWN], "--ps: -2: expected 0 or more"),
        (["--restarts", "-1", *UNKNOWN], "--restarts: -1: expected 0 or more"),
        (["--workers", "two", *UNKNOWN], "--workers: invalid int value: 'two'; see --help"),
        (["--workers", "0", "--ps", "1", *UNKNOWN], "--ps: needs workers; expected --workers 1 or more"),
        (["--worker", "2", *UNKNOWN], "--worker: unexpected; did you mean --workers?"),
        (["--evaluater", *UNKNOWN], "--evaluater: unexpected; did you mean --evaluator?"),
        (["--job-dir", "jobs/x"], "--job-dir: unexpected; see --help"),
    ],
)
def test_bad_usage_is_one_line_on_stderr_and_starts_nothing(words, error, capsys):
    assert command.run(launch.main, prog="trainer.launch", argv=words) == 2
    assert capsys.readouterr() == ("", f"trainer.launch: error: {error}\n")


def test_flags_after_the_dashes_are_the_trainers_even_those_that_we_have_too():
    ours, flags = command.split(["--workers", "2", "--", "--verbosity", "DEBUG", "--", "x"])
    assert (ours, flags) == (["--workers", "2"], ["--verbosity", "DEBUG", "--", "x"])


def test_a_usage_error_of_the_trainer_ends_all_with_2_and_without_restarts():
    done = run_to_end(["--workers", "2", "--evaluator", *UNKNOWN])
    assert done.returncode == 2
    (note,) = map(json.loads, done.stdout.splitlines())
    assert note["severity"] == "WARNING"
    assert note["message"].endswith("ended with exit code 2")
    lines = done.stderr.splitlines()
    assert sorted(line.split(" | ")[0] for line in lines) == ["chief", "evaluator", "worker 0", "worker 1"]
    assert all(" | trainer.task: error: --experiment: 'nope' cannot be imported" in line for line in lines)


def test_a_trainer_that_dies_each_time_is_started_again_as_often_as_restarts_says(tmp_path):
    (tmp_path / "dying.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    words = ["--workers", "0", "--restarts", "1", "--", "--experiment", "dying"]
    done = run_to_end(words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 128 + 9
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == [
        "chief ended with signal 9",
        "the cluster starts again; restarts left: 0",
        "chief ended with signal 9; no restarts are left",
    ]


# Lines


def test_json_lines_begin_with_their_task_and_others_have_it_before_them_each_on_its_own_stream(capsys):
    lines = launch.Lines()
    lines.say(CHIEF, "stdout", '{"severity": "INFO", "message": "stop", "loss": 1.5}')
    lines.say(WORKER, "stdout", "hello")
    lines.say(Task("ps", 1), "stderr", "[1, 2]")
    lines.say(EVALUATOR, "stderr", "")
    lines.say(EVALUATOR, "stderr", "[" * 100_000)
    lines.close()
    out, err = capsys.readouterr()
    assert out == '{"task": "chief", "severity": "INFO", "message": "stop", "loss": 1.5}\nworker 0 | hello\n'
    assert err == "ps 1 | [1, 2]\nevaluator | \nevaluator | " + "[" * 100_000 + "\n"


def test_what_the_chief_says_at_its_end_is_the_last_line_and_others_end_in_between(capsys):
    lines = launch.Lines()
    for task in (CHIEF, WORKER, EVALUATOR):
        lines.say(task, "stdout", '{"message": "done", "exports": []}')
    lines.say(WORKER, "stdout", '{"message": "after"}')
    lines.close()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["task"] for line in said] == ["worker 0", "evaluator", "worker 0", "chief"]


# Terminal


STOP = {"severity": "INFO", "message": "stop", "global_step": 20, "loss": 1.23456, "examples_per_second": 18885.9}
DONE = {"severity": "INFO", "message": "done", "job_dir": "jobs/a", "global_step": 60, "metrics": {"rmse": 1.0391}}
DONE["exports"] = ["jobs/a/export/best/1"]


def test_on_a_terminal_records_are_words_after_the_task_and_the_chiefs_end_is_a_table(capsys):
    terminal = launch.Terminal()
    terminal.say(CHIEF, "stdout", json.dumps(DONE))
    terminal.say(EVALUATOR, "stdout", json.dumps({**STOP, "time": 1795423398.6}))
    terminal.say(WORKER, "stderr", "[bold]not [/markup]")
    terminal.say(Task("worker", 1), "stdout", json.dumps({"severity": "ERROR", "message": "x" * 300}))
    terminal.say(WORKER, "stdout", json.dumps({**DONE, "metrics": {}, "exports": []}))
    terminal.close()
    assert capsys.readouterr().out.splitlines() == [
        "evaluator  step 20  loss 1.2346  (18,886 examples/s)",
        " worker 0  [bold]not [/markup]",
        " worker 1  ERROR: " + "x" * 62,
        *("           " + "x" * 69 for _ in range(3)),
        "           " + "x" * 31,
        " worker 0  done at step 60",
        "    chief  job dir       jobs/a",
        "    chief  global step   60",
        "    chief  rmse          1.0391",
        "    chief  export        jobs/a/export/best/1",
    ]


def test_a_terminal_shows_each_task_in_its_colour():
    terminal, process_side = pty.openpty()
    process = subprocess.Popen(
        [*LAUNCH, "--workers", "1", *UNKNOWN],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm-256color"},
        stdin=process_side,
        stdout=process_side,
        stderr=process_side,
    )
    os.close(process_side)
    try:
        shown = b""
        while part := read(terminal):
            shown += part
        assert process.wait(DEADLINE_S) == 2
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    error = b"trainer.task: error: --experiment: 'nope' cannot be imported"
    assert b"\x1b[1;36m    chief  \x1b[0m" + error in shown
    assert b"\x1b[32m worker 0  \x1b[0m" + error in shown


def read(terminal):
    """What came next; nothing at the end."""
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other side is closed
        return b""


# A real cluster


@pytest.fixture(scope="module")
def launched(births, tmp_path_factory):
    """Chief, worker and evaluator train babyweight for 60 steps; then the same command again."""
    job_dir = str(tmp_path_factory.mktemp("launched") / "job")
    flags = ["--data-dir", births, "--train-steps", "60", "--eval-every", "20", "--train-batch-size", "64"]
    words = ["--workers", "1", "--evaluator", "--", "--experiment", "babyweight", "--job-dir", job_dir, *flags]
    first = run_to_end(words)
    left, journal = naming(job_dir), read_lines(f"{job_dir}/metrics.jsonl")
    second = run_to_end(words)
    return types.SimpleNamespace(job_dir=job_dir, first=first, second=second, left=left, journal=journal)


def read_lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def printed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_line_of_stdout_is_json_with_its_task_first(launched):
    lines = printed(launched.first)
    assert {next(iter(line)) for line in lines} == {"task"}
    assert {line["task"] for line in lines} == {"chief", "worker 0", "evaluator"}


def test_the_last_line_says_where_the_chief_ended(launched):
    last = printed(launched.first)[-1]
    assert (last["task"], last["message"], last["job_dir"]) == ("chief", "done", launched.job_dir)
    assert last["global_step"] == 60
    assert last["metrics"].keys() == {"loss", "rmse"}
    assert [Path(path).parent.name for path in last["exports"]] == ["best", "final"]
    assert all(Path(path, "saved_model.pb").exists() for path in last["exports"])


def test_the_chief_trains_all_steps_and_the_evaluator_evaluates_to_the_last(launched):
    assert [line["step"] for line in launched.journal] == [20, 40, 60]
    steps = [line["step"] for line in read_lines(f"{launched.job_dir}/eval/metrics.jsonl")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60


def test_nothing_was_started_again_and_no_process_is_left(launched):
    assert not [line for line in printed(launched.first) if line["severity"] == "WARNING"]
    assert launched.left == []


def test_the_same_command_again_trains_nothing_and_says_the_same(launched):
    lines = printed(launched.second)
    assert lines[-1] == printed(launched.first)[-1]
    assert not [line for line in lines if line["message"] == "stop"]
    assert [line["step"] for line in read_lines(f"{launched.job_dir}/metrics.jsonl")] == [20, 40, 60]
