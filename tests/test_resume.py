"""Exact resume: a run that was killed ends as one that was not.

    python -m pytest tests/test_resume.py                 # two kills a run
    python -m pytest -m slow tests/test_resume.py         # four kills a run, more seeds

Real processes of `python -m trainer.task` are killed with SIGKILL, at random moments and while they save.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.samples import babyweight, mnist
from trainer.storage import commit


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400.0
EXPERIMENTS = {
    "babyweight": ["--train-steps", "120", "--eval-every", "12", "--train-batch-size", "64"],
    "mnist": ["--train-steps", "24", "--eval-every", "3", "--train-batch-size", "50", "--eval-steps", "1"],
    "tests.dropout_dataset_experiment": ["--train-steps", "120", "--eval-every", "12"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    babyweight.write(str(folder / "babyweight"), rows=4000)
    mnist.write_digits(str(folder / "mnist"), *mnist.bundled())
    (folder / "tests.dropout_dataset_experiment").mkdir()
    (folder / "tests.dropout_dataset_experiment" / "unused").write_text("the rows are made in the experiment\n")
    return folder


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The job dir of a run that nothing killed, by experiment; each is run once."""
    done = {}

    def job_dir(experiment):
        if experiment not in done:
            done[experiment] = tmp_path_factory.mktemp("undisturbed")
            assert start(experiment, data, done[experiment]).wait(DEADLINE_S) == 0
        return done[experiment]

    return job_dir


def start(experiment, data, job_dir):
    command = [sys.executable, "-m", "trainer.task", "--experiment", experiment, "--deterministic", "--seed", "3"]
    command += ["--data-dir", str(data / experiment), "--job-dir", str(job_dir), *EXPERIMENTS[experiment]]
    with (job_dir / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def wait_until(condition, process):
    """Poll until the condition holds or the process ends; say which."""
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None:
        if condition():
            return True
        assert time.monotonic() < deadline, "neither the condition nor the end came"
        time.sleep(0.0005)
    return False


def committed_steps(job_dir):
    return [int(Path(folder).name) for folder in commit.committed(str(job_dir / "checkpoints"))]


def is_saving(job_dir):
    try:
        return any(name.startswith(".tmp-") for name in os.listdir(job_dir / "checkpoints"))
    except FileNotFoundError:
        return False


def run_with_kills(experiment, data, job_dir, *, kills, seed):
    """Start the same command again and again; kill it `kills` times, then let it end.

    A run that ends before it is killed, as where this process does not get a turn, is begun anew.
    """
    chance = random.Random(seed)
    killed = 0
    for attempt in itertools.count():
        process = start(experiment, data, job_dir)
        if killed == kills:
            assert process.wait(DEADLINE_S) == 0, (job_dir / "log.txt").read_text()[-2000:]
            return
        before = max(committed_steps(job_dir), default=0)
        if attempt % 2 == 0:
            wait_until(lambda b=before: max(committed_steps(job_dir), default=0) > b and is_saving(job_dir), process)
        else:
            wait_until(lambda b=before: max(committed_steps(job_dir), default=0) > b, process)
            time.sleep(chance.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            killed += 1
        else:
            assert process.returncode == 0, (job_dir / "log.txt").read_text()[-2000:]
            begin_anew(job_dir)
            killed = 0


def begin_anew(job_dir):
    shutil.rmtree(job_dir)
    job_dir.mkdir()


def variables(job_dir):
    newest = commit.committed(str(job_dir / "checkpoints"))[-1]
    reader = tf.train.load_checkpoint(newest)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def state(job_dir):
    newest = Path(commit.committed(str(job_dir / "checkpoints"))[-1])
    return json.loads((newest / "state.json").read_text())


def lines(job_dir):
    """metrics.jsonl without what depends on the clock."""
    parsed = [json.loads(line) for line in (job_dir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "examples_per_second")} for line in parsed]


def assert_same_end(job_dir, other):
    ours, theirs = variables(job_dir), variables(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert state(job_dir)["input"] == state(other)["input"]
    assert lines(job_dir) == lines(other)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_killed_run_ends_bit_identical_to_one_that_was_not(experiment, data, undisturbed, tmp_path):
    run_with_kills(experiment, data, tmp_path, kills=2, seed=11)
    assert_same_end(tmp_path, undisturbed(experiment))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_many_kills_leave_no_trace(experiment, seed, data, undisturbed, tmp_path):
    run_with_kills(experiment, data, tmp_path, kills=4, seed=seed)
    assert_same_end(tmp_path, undisturbed(experiment))


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends_and_the_same_command_goes_on(number, exit_code, data, undisturbed, tmp_path):
    code = 0
    while code == 0:  # it was over before the signal came
        begin_anew(tmp_path)
        process = start("babyweight", data, tmp_path)
        wait_until(lambda: committed_steps(tmp_path), process)
        process.send_signal(number)
        code = process.wait(DEADLINE_S)
    assert code == exit_code
    assert "the same command resumes" in (tmp_path / "log.txt").read_text()
    assert start("babyweight", data, tmp_path).wait(DEADLINE_S) == 0
    assert_same_end(tmp_path, undisturbed("babyweight"))
