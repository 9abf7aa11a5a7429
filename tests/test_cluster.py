"""The same Experiment on a cluster: what is trained, by whom, and how it ends. Real processes, real kills."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.clusters import cluster, variables, wait_for
from tests.counting_experiment import SPEC
from trainer.inputs.batches import TrainBatches
from trainer.inputs.source import open_source
from trainer.storage import commit, lease


ROWS = 96
COUNTING = ["--experiment", "tests.counting_experiment", "--rows", str(ROWS)]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A CSV file of numbered rows."""
    path = tmp_path_factory.mktemp("numbered") / "rows.csv"
    path.write_text("".join(f"{row},{row / ROWS}\n" for row in range(ROWS)))
    return str(path)


def counting(numbered, job_dir, *flags):
    return [*COUNTING, "--train-files", numbered, "--eval-files", numbered, "--job-dir", str(job_dir), *flags]


def lines(job_dir):
    return [json.loads(line) for line in (job_dir / "metrics.jsonl").read_text().splitlines()]


def ended_well(tasks):
    for task in tasks.values():
        assert task.ended() == 0, f"{task.name}: {task.out}{task.err}"


def only(named, ending):
    (found,) = (value for name, value in named.items() if name.endswith(ending))
    return found


@pytest.mark.parametrize(
    ("sizes", "flags", "times"),
    [
        pytest.param({"chief": 1, "worker": 2}, ["--train-batch-size", "12"], 1, id="mirrored workers"),
        pytest.param({"worker": 2}, ["--input", "dataset", "--num-epochs", "2"], 2, id="tf.data, no chief"),
        pytest.param({"chief": 1, "worker": 2, "ps": 1}, ["--num-epochs", "2"], 2, id="parameter server"),
        pytest.param(
            {"master": 1, "worker": 4, "ps": 3}, ["--train-batch-size", "4"], 1, id="STANDARD_1 of Cloud ML Engine"
        ),
    ],
)
def test_all_workers_together_see_each_example_once_an_epoch_and_end_at_the_last_step(
    sizes, flags, times, numbered, tmp_path
):
    with cluster(tmp_path, sizes, counting(numbered, tmp_path / "job", *flags)) as tasks:
        ended_well(tasks)
    (folder,) = commit.committed(str(tmp_path / "job/checkpoints"))[-1:]
    step = int(folder.rpartition("/")[2])
    size = int(flags[flags.index("--train-batch-size") + 1]) if "--train-batch-size" in flags else 8
    assert step == times * ROWS // size
    saved = variables(tmp_path / "job", step)
    assert only(saved, "/counts").tolist() == [times] * ROWS
    assert only(saved, "/iteration") == step, "the optimizer's own count, which a learning rate may follow"
    last = next(iter(tasks.values())).lines("done")[-1]
    assert (last["global_step"], len(last["exports"])) == (step, 1)
    assert json.loads((tmp_path / "job/ENDED").read_text())["global_step"] == step


@pytest.mark.parametrize("of", ["babyweight", pytest.param("mnist", marks=pytest.mark.slow)])
def test_two_workers_train_what_one_process_does(of, births, digits, tmp_path):
    """Dropout off; in double precision, for the reason that tests/float64_experiments.py gives."""
    flags = ["--experiment", "tests.float64_experiments", "--of", of, "--train-steps", "200", "--eval-every", "50"]
    flags += ["--data-dir", births if of == "babyweight" else digits, "--train-batch-size", "10"]
    jobs = [tmp_path / "alone", tmp_path / "together"]
    for job, sizes in zip(jobs, ({"chief": 1}, {"chief": 1, "worker": 1}), strict=True):
        with cluster(job / "logs", sizes, [*flags, "--job-dir", str(job)]) as tasks:
            ended_well(tasks)
    alone, together = (variables(job, 200) for job in jobs)
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        assert value.dtype == together[name].dtype
        scale = np.abs(value).max(initial=1e-30)
        assert np.abs(together[name] - value).max(initial=0) <= 1e-9 * scale, name
    ours, theirs = map(lines, jobs)
    for one, other in zip(ours, theirs, strict=True):
        shared = [name for name in one if name not in ("time", "examples_per_second")]
        assert [one[name] for name in shared] == pytest.approx([other[name] for name in shared], rel=1e-6)


def test_a_loss_that_only_a_worker_sees_ends_the_run_at_its_step(numbered, tmp_path):
    inputs = TrainBatches(open_source((numbered,), SPEC), batch_size=8, seed=1)
    (batches,) = inputs.take(3)
    poisoned = int(batches.data[0]["row"][2, 5, 0])  # of the third step, in the worker's half
    path = tmp_path / "rows.csv"
    lines = Path(numbered).read_text().splitlines()
    lines[poisoned] = f"{poisoned},1e38"
    path.write_text("\n".join([*lines, ""]))
    with cluster(
        tmp_path, {"chief": 1, "worker": 1}, counting(str(path), tmp_path / "job", "--eval-every", "12")
    ) as tasks:
        assert [task.ended() for task in tasks.values()] == [1, 1]
    assert "step 3: the loss is not a finite number" in tasks["chief 0"].err


def test_a_peer_that_is_killed_is_named_by_the_others_which_end_and_all_resume(numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "100000000", "--eval-every-secs", "1")
    for victim, other, called in (("worker 0", "chief 0", "worker 0"), ("chief 0", "worker 0", "chief")):
        with cluster(tmp_path / victim, {"chief": 1, "worker": 1}, flags) as tasks:
            wait_for(lambda tasks=tasks: tasks["chief 0"].lines("stop"))
            tasks[victim].send(signal.SIGKILL)
            assert tasks[other].ended(60) == 1
            said = [line for line in tasks[other].err.splitlines() if line.startswith("trainer.task: error: ")]
            assert len(said) == 1  # a line of gRPC's own may come after it
            assert said[0].startswith(f"trainer.task: error: {called} (127.0.0.1:")
            assert said[0].endswith(
                "is gone; this process ends too, and the same command resumes from the newest checkpoint"
            )
    saved = [int(folder.rpartition("/")[2]) for folder in commit.committed(str(tmp_path / "job/checkpoints"))]
    flags[flags.index("100000000")] = str(saved[-1] + 12)
    with cluster(tmp_path / "again", {"chief": 1, "worker": 1}, flags) as tasks:
        ended_well(tasks)
        assert tasks["chief 0"].lines("resumed")[0]["global_step"] == saved[-1]
        assert tasks["worker 0"].lines("done")[-1]["global_step"] == saved[-1] + 12


@pytest.mark.slow
def test_dropout_on_two_workers_goes_on_as_if_nothing_had_been_killed(digits, tmp_path):
    flags = ["--experiment", "mnist", "--data-dir", digits, "--train-steps", "40", "--eval-every", "10"]
    flags += ["--train-batch-size", "20", "--dtype-policy", "float32", "--deterministic"]
    jobs = [tmp_path / "undisturbed", tmp_path / "killed"]
    with cluster(tmp_path, {"chief": 1, "worker": 1}, [*flags, "--job-dir", str(jobs[1])]) as tasks:
        wait_for(lambda: tasks["chief 0"].lines("stop"))
        for task in tasks.values():
            task.send(signal.SIGKILL)
    for job in jobs:
        with cluster(tmp_path, {"chief": 1, "worker": 1}, [*flags, "--job-dir", str(job)]) as tasks:
            ended_well(tasks)
    assert 10 <= tasks["chief 0"].lines("resumed")[0]["global_step"] < 40
    undisturbed, killed = (variables(job, 40) for job in jobs)
    assert all(np.array_equal(killed[name], value) for name, value in undisturbed.items())


@pytest.mark.parametrize("asked", ["chief 0", "worker 0"])
def test_one_process_that_is_asked_to_end_ends_all_saved(asked, numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "100000000", "--eval-every-secs", "1")
    with cluster(tmp_path, {"chief": 1, "worker": 1}, flags) as tasks:
        chief, worker = tasks.values()
        wait_for(lambda: chief.lines("stop"))
        tasks[asked].send(signal.SIGTERM)
        assert chief.ended(60) == 143
        assert chief.lines("interrupted by signal 15; saved")
        assert worker.ended(60) == (143 if asked == "worker 0" else 1)
        assert asked == "worker 0" or "the run was asked to end before its last step, and has saved" in worker.err
    newest = commit.committed(str(tmp_path / "job/checkpoints"))[-1]
    assert int(newest.rpartition("/")[2]) >= chief.lines("stop")[-1]["global_step"]
    assert not (tmp_path / "job/ENDED").exists()


def test_parameter_servers_that_are_asked_to_end_let_the_chief_save_first(numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "100000000", "--eval-every-secs", "1")
    with cluster(tmp_path, {"chief": 1, "worker": 1, "ps": 1}, flags) as tasks:
        chief = tasks["chief 0"]
        wait_for(lambda: chief.lines("stop"))
        for name in ("ps 0", "worker 0", "chief 0"):
            tasks[name].send(signal.SIGTERM)
        assert [task.ended(60) for task in tasks.values()] == [143] * 3
    newest = commit.committed(str(tmp_path / "job/checkpoints"))[-1]
    assert int(newest.rpartition("/")[2]) >= chief.lines("stop")[-1]["global_step"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "number", "said"),
    [
        ("chief 0", signal.SIGKILL, {"ps 0": "the chief is gone", "worker 0": "the chief is gone"}),
        ("ps 0", signal.SIGKILL, {"chief 0": "ps 0 (127.0.0.1:", "worker 0": "the chief is gone"}),
        ("worker 0", signal.SIGKILL, {"chief 0": "worker 0 (127.0.0.1:", "ps 0": "the chief is gone"}),
    ],
)
def test_nobody_waits_for_a_parameter_server_job_that_has_lost_a_process(victim, number, said, numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "100000000", "--eval-every-secs", "1")
    with cluster(tmp_path, {"chief": 1, "worker": 1, "ps": 1}, flags) as tasks:
        wait_for(lambda: tasks["chief 0"].lines("stop"))
        tasks[victim].send(number)
        for name, words in said.items():
            assert tasks[name].ended(60) == 1, name
            assert words in tasks[name].err.splitlines()[-1]


@pytest.mark.slow
def test_a_peer_that_stands_still_is_noticed_too(numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "100000000", "--eval-every-secs", "1")
    with cluster(tmp_path, {"chief": 1, "worker": 1}, flags) as tasks:
        wait_for(lambda: tasks["chief 0"].lines("stop"))
        tasks["worker 0"].send(signal.SIGSTOP)
        assert tasks["chief 0"].ended(60) == 1
        assert "worker 0 (127.0.0.1:" in tasks["chief 0"].err.splitlines()[-1]


def test_an_evaluator_of_a_chief_alone_that_is_killed_is_replaced_by_the_chief(numbered, tmp_path):
    flags = counting(numbered, tmp_path / "job", "--train-steps", "400", "--eval-every", "100")
    with cluster(tmp_path / "first", {}, flags, evaluator=True) as tasks:
        evaluator = tasks["evaluator 0"]
        wait_for(lambda: f"process {evaluator.process.pid}" in (lease.holder(f"{tmp_path}/job/eval") or ""))
        evaluator.send(signal.SIGSTOP)
        with cluster(tmp_path / "then", {"chief": 1}, flags) as tasks:
            chief = tasks["chief 0"]
            wait_for(lambda: chief.lines("waiting for the evaluator"), 60)  # which may only be slow
            assert (tmp_path / "job/ENDED").exists()
            evaluator.send(signal.SIGKILL)
            assert chief.ended() == 0
    assert chief.lines("done")[-1]["metrics"].keys() == {"loss"}
    assert [line["step"] for line in lines(tmp_path / "job") if "loss" in line][-1] == 400


def test_a_cluster_works_in_a_bucket_as_it_does_on_a_disk(gcs, numbered, tmp_path):
    job = f"{gcs}/job"
    flags = counting(numbered, job, "--num-epochs", "2", "--eval-every", "12")
    with cluster(tmp_path, {"chief": 1, "worker": 1}, flags, evaluator=True) as tasks:
        ended_well(tasks)
    done = [tasks[name].lines("done")[-1] for name in ("chief 0", "evaluator 0")]
    assert done[0]["metrics"] == done[1]["metrics"]
    assert done[0]["exports"] == done[1]["exports"]
    (export,) = done[0]["exports"]
    commit.verify(export)
    assert tasks["worker 0"].lines("done")[-1]["global_step"] == 24
