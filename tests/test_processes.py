"""The tasks of a cluster as processes, with small scripts in place of the trainer. Real processes, real kills."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from trainer.processes import Patience, Supervisor, free_ports
from trainer.roles import CHIEF, EVALUATOR, Task, tasks_of, trainers


ROOT = Path(__file__).parent.parent
DEADLINE_S = 200
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]
folder = pathlib.Path(os.environ["FOLDER"])
attempt = len(list(folder.glob(f"started/{role}-{index}-*")))
def put(name, text=""):
    (folder / f"{name}.tmp").write_text(str(text))
    (folder / f"{name}.tmp").rename(folder / name)
def wait_for(*names):
    while not all((folder / name).exists() for name in names):
        time.sleep(0.01)
def wait_for_end(name):
    pid = json.loads((folder / f"started/{name}").read_text())["pid"]
    while os.path.exists(f"/proc/{pid}"):  # a zombie too, until the launcher knows
        time.sleep(0.01)
def die(number=signal.SIGKILL):
    os.kill(os.getpid(), number)
(folder / "started").mkdir(exist_ok=True)
put(f"started/{role}-{index}-{attempt}", json.dumps({"pid": os.getpid(), **config}))
"""
"""What each script begins with: who it is, how often it was started before, and how to tell others."""

CHILD = "child = subprocess.Popen(['sleep', '120']); put('child', child.pid)"  # it has our stdout and stderr
WORKER = Task("worker")
LONG = 2 * DEADLINE_S
SOON = 0.2  # what takes its time to notice that another has died is killed sooner than users would have it


@pytest.fixture
def launch(tmp_path):
    """Run a script as the tasks of a cluster to the end; returns what came of it."""

    def run(
        script, *, workers=0, ps=0, evaluator=False, restarts=0, asked=lambda: (), say=lambda *line: None, **patience
    ):
        lines, notes, began = [], [], time.monotonic()

        def asked_in_time():
            assert time.monotonic() - began < DEADLINE_S, f"no end: {lines} {notes}"
            return asked()

        def listen(task, stream, line):
            lines.append((str(task), stream, line))
            say(task, stream, line)

        supervisor = Supervisor(
            tasks_of(workers=workers, ps=ps, evaluator=evaluator),
            trainers(command(script), {"FOLDER": str(tmp_path), "PATH": os.environ["PATH"]}),
            alone=EVALUATOR,
            restarts=restarts,
            say=listen,
            note=notes.append,
            patience=Patience(**{"notice_s": SOON, **patience}),
        )
        code = supervisor.run(asked_in_time).code
        left = [entry["pid"] for entry in started(tmp_path).values() if is_running(entry["pid"])]
        assert not left, "each process has ended when the launch has"
        return types.SimpleNamespace(code=code, lines=lines, notes=notes, started=started(tmp_path))

    return run


def command(script):
    return [sys.executable, "-S", "-c", PRELUDE + script]


def started(folder):
    """What each start of a task wrote: its TF_CONFIG and pid, by `role-index-attempt`."""
    return {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("started/*-?"))}


def is_running(pid):
    """Whether a process is there; a zombie is not, it only waits for its parent to look."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(what):
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < DEADLINE_S, "waited in vain"
        time.sleep(0.02)


def asked_when(*paths, numbers=(signal.SIGTERM,)):
    """A user who asks for the end, with the signals one by one, each as soon as the next of the files is there."""
    return lambda: [number for path, number in zip(paths, numbers, strict=True) if path.exists()]


# What each process is told


def test_each_task_has_the_tf_config_that_platforms_write_with_the_evaluator_outside_the_cluster(launch):
    names = [f"started/{name}-0" for name in ("chief-0", "worker-0", "worker-1", "ps-0", "evaluator-0")]
    done = launch(f"wait_for(*{names})", workers=2, ps=1, evaluator=True)
    configs = {name: {**entry, "pid": None} for name, entry in done.started.items()}
    cluster = configs["chief-0-0"]["cluster"]
    assert {role: len(hosts) for role, hosts in cluster.items()} == {"chief": 1, "ps": 1, "worker": 2}
    assert configs == {
        f"{role}-{index}-0": {
            "cluster": cluster,
            "task": {"type": role, "index": index},
            "environment": "cloud",
            "pid": None,
        }
        for role, index in [("chief", 0), ("worker", 0), ("worker", 1), ("ps", 0), ("evaluator", 0)]
    }
    addresses = [address for hosts in cluster.values() for address in hosts]
    assert len(set(addresses)) == 4
    assert all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_chief_alone_has_a_cluster_of_one(launch):
    (config,) = launch("").started.values()
    assert (list(config["cluster"]), len(config["cluster"]["chief"])) == (["chief"], 1)


def test_free_ports_differ():
    assert len(set(free_ports(50))) == 50


def test_the_chief_is_started_first_and_the_evaluator_last():
    tasks = [str(task) for task in tasks_of(workers=2, ps=1, evaluator=True)]
    assert tasks == ["chief", "ps 0", "worker 0", "worker 1", "evaluator"]


# The exit code


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(0)", 0), ("sys.exit(1)", 1), ("sys.exit(2)", 2), ("die()", 128 + 9), ("die(signal.SIGSEGV)", 128 + 11)],
)
def test_the_exit_code_is_the_chiefs_as_a_shell_would_say_it(launch, end, code):
    assert launch(f"{end} if role == 'chief' else time.sleep(120)", workers=1, done_s=0.3).code == code


def test_a_worker_that_ends_well_before_the_chief_is_no_death(launch):
    done = launch(
        "wait_for('started/worker-0-0') if role == 'chief' else None; time.sleep(0.3 * (role == 'chief'))", workers=1
    )
    assert (done.code, done.notes, len(done.started)) == (0, [], 2)


def test_the_exit_code_is_that_of_who_died_where_the_chief_has_none(launch):
    assert launch("time.sleep(120) if role == 'chief' else sys.exit(7)", workers=1).code == 7
    assert launch("time.sleep(120) if role == 'chief' else die()", workers=1).code == 128 + 9


# Starting again


@pytest.mark.parametrize("end", ["die()", "sys.exit(1)"])
@pytest.mark.parametrize("dying", ["chief", "worker", "ps"])
def test_a_death_starts_the_whole_cluster_again_on_other_ports_but_not_the_evaluator(launch, dying, end):
    script = f"""
if role == "evaluator":
    wait_for("started/chief-0-1", "started/worker-0-1", "started/ps-0-1")
elif attempt == 0:
    wait_for("started/chief-0-0", "started/worker-0-0", "started/ps-0-0")
    {end} if role == "{dying}" else time.sleep(120)
elif role == "chief":
    wait_for("started/worker-0-1", "started/ps-0-1")
"""
    done = launch(script, workers=1, ps=1, evaluator=True, restarts=1)
    assert done.code == 0
    how = "signal 9" if end == "die()" else "exit code 1"
    name = dying if dying == "chief" else f"{dying} 0"
    assert done.notes == [f"{name} ended with {how}", "the cluster starts again; restarts left: 0"]
    names = ["chief-0-0", "chief-0-1", "evaluator-0-0", "ps-0-0", "ps-0-1", "worker-0-0", "worker-0-1"]
    assert list(done.started) == names
    first, second = (done.started[f"chief-0-{attempt}"]["cluster"] for attempt in (0, 1))
    assert first != second  # one of the ports may be the same, by chance
    assert done.started["worker-0-1"]["cluster"] == done.started["ps-0-1"]["cluster"] == second


def test_a_cluster_that_has_ended_starts_again_at_once_while_the_evaluator_runs_on(launch):
    script = "wait_for('started/chief-0-1') if role == 'evaluator' else sys.exit(attempt == 0)"
    assert launch(script, workers=1, evaluator=True, restarts=1, notice_s=LONG).code == 0


@pytest.mark.parametrize("end", ["die()", "sys.exit(1)"])
def test_an_evaluator_that_dies_starts_again_alone(launch, end):
    done = launch(
        f"{end} if role == 'evaluator' and attempt == 0 else wait_for('started/evaluator-0-1')",
        workers=1,
        evaluator=True,
        restarts=1,
    )
    assert done.code == 0
    assert done.notes[1:] == ["the evaluator starts again; restarts left: 0"]
    assert list(done.started) == ["chief-0-0", "evaluator-0-0", "evaluator-0-1", "worker-0-0"]


@pytest.mark.parametrize("role", ["chief", "worker", "evaluator"])
def test_a_usage_error_is_final_whoever_has_it(launch, role):
    all_up = "wait_for('started/chief-0-0', 'started/worker-0-0', 'started/evaluator-0-0')\n"
    script = all_up + f"sys.exit(2) if role == '{role}' else time.sleep(120)"
    done = launch(script, workers=1, evaluator=True, restarts=3)
    assert done.code == 2
    assert len(done.started) == 3
    assert done.notes == [f"{Task(role)} ended with exit code 2"]


def test_all_may_say_their_usage_error(launch):
    script = """
wait_for("started/chief-0-0", "started/worker-0-0")
if role == "evaluator":
    wait_for_end("chief-0-0"), wait_for_end("worker-0-0"), time.sleep(0.3)
print("wrong")
sys.exit(2)
"""
    done = launch(script, workers=1, evaluator=True, notice_s=LONG)
    assert sorted(line[0] for line in done.lines) == ["chief", "evaluator", "worker 0"]


def test_an_evaluator_without_restarts_is_left_to_the_chief(launch):
    script = """
if role == "evaluator":
    sys.exit(3)
wait_for("started/evaluator-0-1")
wait_for_end("evaluator-0-1")
"""
    done = launch(script, workers=1, evaluator=True, restarts=1)
    assert (done.code, sum(name.startswith("evaluator") for name in done.started)) == (0, 2)
    assert done.notes[-1] == "evaluator ended with exit code 3; no restarts are left"


@pytest.mark.parametrize("role", ["chief", "worker"])
def test_when_no_restarts_are_left_the_launch_fails(launch, role):
    done = launch(f"sys.exit(3) if role == '{role}' else time.sleep(120)", workers=1, evaluator=True, restarts=2)
    assert done.code == 3
    assert sum(name.startswith(role) for name in done.started) == 3
    assert done.notes[-1] == f"{Task(role)} ended with exit code 3; no restarts are left"


def test_the_others_have_time_to_notice_a_death_by_themselves(launch):
    script = """
die() if role == "worker" else wait_for("started/worker-0-0")
time.sleep(0.3)
print("a peer is gone")
sys.exit(5)
"""
    done = launch(script, workers=1, notice_s=LONG)
    assert (done.code, done.lines) == (5, [("chief", "stdout", "a peer is gone")])


def test_a_chief_that_ends_well_soon_after_a_worker_died_needs_no_restart(launch):
    script = "sys.exit(1) if role == 'worker' else wait_for('started/worker-0-0')\ntime.sleep(0.5)"
    done = launch(script, workers=1, restarts=1, notice_s=LONG)
    assert (done.code, len(done.started)) == (0, 2)


# After a chief that ended well


def test_after_the_chief_the_others_have_time_to_end_by_themselves(launch):
    done = launch("if role != 'chief': time.sleep(0.5); print('done')", workers=1, evaluator=True, done_s=LONG)
    assert done.code == 0
    assert sorted(done.lines) == [("evaluator", "stdout", "done"), ("worker 0", "stdout", "done")]


def test_what_outlives_the_chief_for_too_long_is_killed_and_the_launch_ended_well(launch):
    assert launch("if role != 'chief': time.sleep(120)", workers=1, ps=1, evaluator=True, done_s=0.3).code == 0


# Signals


HEEDFUL = """
def save(number, frame):
    put(f"saved-{role}-{number}")
    print("saved", flush=True)
    sys.exit(128 + number)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, save)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)"
TOGETHER = """
put(f"up-{role}")
if role == "chief":
    wait_for("up-worker", "up-evaluator")
    put("asking")
time.sleep(120)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_passed_on_to_all_which_may_save_and_end_by_themselves(launch, tmp_path, number):
    asked = asked_when(tmp_path / "asking", numbers=[number])
    done = launch(HEEDFUL + TOGETHER, workers=1, evaluator=True, restarts=3, asked=asked)
    assert done.code == 128 + number
    assert done.notes == ["asked to end: saving first; again to end at once"]
    assert sorted(line[0] for line in done.lines) == ["chief", "evaluator", "worker 0"]
    assert all((tmp_path / f"saved-{role}-{int(number)}").exists() for role in ("chief", "worker", "evaluator"))


def test_what_outlives_the_chief_may_save_too_when_asked_to_end(launch, tmp_path):
    script = """
put(role)
wait_for("worker", "chief")
if role == "worker":
    wait_for_end("chief-0-0")
    put("asking")
    time.sleep(120)
"""
    done = launch(HEEDFUL + script, workers=1, asked=asked_when(tmp_path / "asking"), done_s=LONG)
    assert (done.code, done.lines) == (0, [("worker 0", "stdout", "saved")])


def test_a_chief_that_was_asked_and_has_its_own_exit_code_keeps_it(launch, tmp_path):
    script = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); put('asking'); time.sleep(120)"
    assert launch(script, asked=asked_when(tmp_path / "asking")).code == 0


def test_the_deaf_are_killed_after_the_deadline(launch, tmp_path):
    done = launch(DEAF + TOGETHER, workers=1, evaluator=True, asked=asked_when(tmp_path / "asking"), asked_s=0.3)
    assert done.code == 128 + 15


def test_a_second_signal_kills_at_once(launch, tmp_path):
    script = "signal.signal(signal.SIGINT, lambda *_: put(f'heard-{role}'))" + TOGETHER
    numbers = [signal.SIGINT, signal.SIGTERM]
    asked = asked_when(tmp_path / "asking", tmp_path / "heard-chief", numbers=numbers)
    assert launch(script, workers=1, evaluator=True, asked=asked, asked_s=LONG).code == 128 + 2


def test_a_signal_amid_a_restart_ends_the_launch_and_starts_nothing_again(launch, tmp_path):
    script = """
wait_for("started/chief-0-0", "started/worker-0-0")
die() if role == "worker" else wait_for_end("worker-0-0")
put("asking")
time.sleep(120)
"""
    done = launch(script, workers=1, restarts=3, asked=asked_when(tmp_path / "asking"), notice_s=LONG)
    assert (done.code, len(done.started)) == (128 + 15, 2)
    assert done.notes == ["worker 0 ended with signal 9", "asked to end: saving first; again to end at once"]


# Output


def test_each_line_of_both_streams_is_told_with_its_task(launch):
    script = """
print(f"out {role} {index}")
print(f"err {role} {index}", file=sys.stderr)
"""
    done = launch(script, workers=2, evaluator=True)
    names = {"chief": "chief 0", "worker 0": "worker 0", "worker 1": "worker 1", "evaluator": "evaluator 0"}
    lines = [(task, f"std{way}", f"{way} {name}") for task, name in names.items() for way in ("out", "err")]
    assert sorted(done.lines) == sorted(lines)


def test_no_line_is_lost_at_the_end_even_one_that_is_not_ended(launch):
    script = "print('\\n'.join(map(str, range(500))), end='')"
    done = launch(script, say=lambda *line: time.sleep(0.002))  # the chief has ended before all is told
    assert [line for _, _, line in done.lines] == [str(number) for number in range(500)]


def test_bytes_that_are_no_text_are_no_end(launch):
    done = launch("sys.stdout.buffer.write(b'a\\xff\\xfeb\\nnext\\n')")
    assert [line for _, _, line in done.lines] == ["a\ufffd\ufffdb", "next"]


def test_lines_are_told_one_at_a_time(launch):
    telling, overlaps = threading.Lock(), []

    def say(*line):
        if not telling.acquire(blocking=False):
            overlaps.append(line)
            return
        time.sleep(0)  # for others to come in, if they may
        telling.release()

    done = launch("for line in range(500): print(line, flush=True); print(line, file=sys.stderr)", workers=2, say=say)
    assert (done.code, overlaps) == (0, [])


def test_a_line_that_cannot_be_told_ends_the_launch_as_the_reader_went_away(launch, tmp_path):
    def say(*line):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        launch("print('line', flush=True)\ntime.sleep(120)", workers=1, say=say)
    assert started(tmp_path)
    assert not any(is_running(entry["pid"]) for entry in started(tmp_path).values())


# Nothing is left behind


@pytest.mark.parametrize("end", ["wait_for('child')", "wait_for('child'); die()", "time.sleep(120)"])
def test_the_children_of_a_process_end_with_it(launch, tmp_path, end):
    launch(f"if role == 'worker':\n    {CHILD}\n    {end}\nelse: wait_for('child')", workers=1, done_s=0.3)
    wait_until(lambda: not is_running(int((tmp_path / "child").read_text())))


LAUNCHER = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from trainer.processes import Supervisor
from trainer.roles import EVALUATOR, tasks_of, trainers
from trainer.settings import signals
tasks = tasks_of(workers=1, ps=0, evaluator=True)
say = lambda task, stream, line: print(task, line, flush=True)
programs = trainers(sys.argv[1:], os.environ)
supervisor = Supervisor(tasks, programs, alone=EVALUATOR, restarts=3, say=say, note=print)
sys.exit(supervisor.run(signals.received()).code)
"""


@pytest.fixture
def launcher(tmp_path):
    """Start a launcher in a process of its own, and wait until all of its tasks are up."""
    begun = []

    def start(script):
        words = [sys.executable, "-u", "-c", LAUNCHER, *command(script)]
        begun.append(
            subprocess.Popen(words, env={**os.environ, "FOLDER": str(tmp_path)}, stdout=subprocess.PIPE, text=True)
        )
        wait_until((tmp_path / "asking").exists)
        return begun[-1], [entry["pid"] for entry in started(tmp_path).values()]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def test_no_process_outlives_a_launcher_that_is_killed(launcher):
    process, pids = launcher(DEAF + TOGETHER)
    assert len(pids) == 3
    assert all(map(is_running, pids))
    process.kill()
    wait_until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_launcher_that_is_asked_to_end_lets_all_save_first(launcher, number):
    process, pids = launcher(HEEDFUL + TOGETHER)
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert sorted(output.splitlines()[1:]) == ["chief saved", "evaluator saved", "worker 0 saved"]
    assert not any(map(is_running, pids))


def test_a_launcher_that_is_asked_twice_ends_the_deaf_at_once(launcher):
    process, pids = launcher(DEAF + TOGETHER)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().startswith("asked to end")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 128 + 2  # Patience.asked_s is 30
    assert not any(map(is_running, pids))


def test_the_terminals_ctrl_c_reaches_the_launcher_alone(launcher):
    process, pids = launcher(TOGETHER)
    assert os.getsid(process.pid) not in {os.getsid(pid) for pid in pids}


def test_tasks_are_named_as_users_know_them():
    assert [str(task) for task in (CHIEF, EVALUATOR, WORKER, Task("ps", 3))] == [
        "chief",
        "evaluator",
        "worker 0",
        "ps 3",
    ]
