"""Launches of a cluster in which processes are killed at random moments: all end where an undisturbed one does.

`make test` has two launches, `make test-all` twenty: parameter servers in half of them, an evaluator in half.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400
STEPS = 6000  # some seconds longer than the last kill can come
KILLS = 2
SAMPLE = (1,)
NOISE = 0.02  # pounds, of the RMSE of asynchronous training, about 1


def command(job_dir, births, *, ps, evaluator):
    ours = [
        "--workers",
        "1",
        "--restarts",
        "10",
        *(["--ps", "1"] if ps else []),
        *(["--evaluator"] if evaluator else []),
    ]
    flags = ["--experiment", "babyweight", "--data-dir", births, "--job-dir", str(job_dir), "--deterministic"]
    flags += ["--train-steps", str(STEPS), "--eval-every", str(STEPS // 12), "--train-batch-size", "256"]
    return [sys.executable, "-m", "trainer.launch", *ours, "--", *flags]


def children(pid):
    """The processes that a process has started, which are the tasks of a launcher."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # ended meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def of_job(job_dir):
    """The command lines that name a job dir."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(job_dir) in words:
            found.append(words)
    return found


def launched(words, *, kill=lambda pid: None):
    """Run a launcher; return the JSON lines it printed. `kill(pid)` may do to its processes what it likes."""
    launcher = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        kill(launcher)
        out, err = launcher.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        launcher.kill()
        out, err = launcher.communicate()
        raise AssertionError(f"hangs: {out}{err}") from None
    assert launcher.returncode == 0, f"{out}{err}"
    return [json.loads(line) for line in out.splitlines()]


def killing(seed, killed):
    """Kill one process at random, at a random time, twice."""
    chance = random.Random(seed)

    def kill(launcher):
        for _ in range(KILLS):
            time.sleep(chance.uniform(1, 7))
            tasks = children(launcher.pid)
            if launcher.poll() is None and tasks:
                victim = chance.choice(tasks)
                try:
                    subprocess.run(["kill", "-KILL", str(victim)], check=False)
                finally:
                    killed.append(victim)

    return kill


@pytest.fixture(scope="module")
def undisturbed(births, tmp_path_factory):
    """The last line of a launch in which nothing is killed, by whether it has parameter servers."""
    made = {}

    def of(*, ps):
        if ps not in made:
            job_dir = tmp_path_factory.mktemp("undisturbed") / "job"
            made[ps] = launched(command(job_dir, births, ps=ps, evaluator=False))[-1]
        return made[ps]

    return of


@pytest.mark.timeout(2 * DEADLINE_S + 60)
@pytest.mark.parametrize("seed", [pytest.param(s, marks=[] if s in SAMPLE else pytest.mark.slow) for s in range(1, 21)])
def test_a_launch_ends_as_if_nothing_had_been_killed(seed, births, undisturbed, tmp_path):
    ps, evaluator = seed % 2 == 0, seed % 4 in (0, 3)
    killed = []
    last = launched(command(tmp_path / "job", births, ps=ps, evaluator=evaluator), kill=killing(seed, killed))[-1]
    assert len(killed) == KILLS
    expected = undisturbed(ps=ps)
    assert (last["task"], last["message"], last["global_step"]) == ("chief", "done", STEPS)
    if ps:  # in the order in which the workers come
        assert last["metrics"]["rmse"] == pytest.approx(expected["metrics"]["rmse"], abs=NOISE)
    else:
        assert last["metrics"] == expected["metrics"]
    assert all(Path(folder, "COMMITTED").exists() for folder in last["exports"])
    assert of_job(tmp_path / "job") == []
