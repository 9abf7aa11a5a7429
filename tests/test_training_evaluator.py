"""The evaluator of a job, and the chief beside it: who evaluates what, when each ends, and what each leaves.

Both in this process and without threads: what the other does meanwhile is done where `interrupted` is asked. An
evaluator asks once in each evaluation here, whose input is one batch, and once each time it waits.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests import linear_experiment
from tests.linear_experiment import ROWS, define, events, lines, make, steps_saved
from trainer.errors import ConflictError, RunError, UsageError
from trainer.settings.cluster import Cluster
from trainer.storage import commit, lease, paths
from trainer.training import checkpoint, ending, journal
from trainer.training.evaluator import Evaluator
from trainer.training.outcome import Interrupted


CHIEF = Cluster({"chief": ("a:1",)}, "chief")
WANTED = {"eval_batch_size": ROWS, "export_strategy": ()}
EXPORTS = {"export_strategy": ("best", "final")}


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return linear_experiment.write_rows(tmp_path_factory.mktemp("csv") / "rows.csv")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Who waits looks again at once."""
    monkeypatch.setattr(ending, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(lease, "AGAIN_S", 0.0)
    monkeypatch.setattr(lease, "LOOKED_AT_S", 0.0)


@pytest.fixture(scope="module")
def whole(csv, tmp_path_factory):
    """A job that one process has trained and evaluated."""
    job_dir = tmp_path_factory.mktemp("whole")
    outcome = make(job_dir, csv, **WANTED).train_and_evaluate()
    return outcome, {line["step"]: {"loss": line["loss"], "mae": line["mae"]} for line in lines(job_dir)}


def train(job_dir, csv, steps):
    """What a chief does that leaves the evaluation to others."""
    make(job_dir, csv, cluster=CHIEF, train_steps=steps, **WANTED).train()


def train_anew(job_dir, csv, steps):
    """The same in an empty job dir; a copy of what was trained once, since that takes a second."""
    before = Path(csv).parent / f"trained-{steps}"
    if not before.exists():
        train(before, csv, steps)
    shutil.copytree(before, job_dir, dirs_exist_ok=True)


def evaluator(job_dir, csv, *acts, **wanted):
    """One that is asked at most so many times, when the acts are done; an act may return a signal's number."""
    left = list(acts)

    def interrupted():
        assert left, "the evaluator goes on"
        act = left.pop(0)
        return act() if act else None

    return Evaluator(*define(job_dir, csv, **{**WANTED, **wanted}), interrupted=interrupted)


def evaluation_dir(job_dir):
    (job_dir / "eval").mkdir(exist_ok=True)
    return str(job_dir / "eval")


def metrics_by_step(directory):
    return {line["step"]: {"loss": line["loss"], "mae": line["mae"]} for line in lines(directory)}


def steps_exported(job_dir, strategy):
    folders = commit.committed(str(job_dir / "export" / strategy))
    return [json.loads(Path(folder, "assets.extra/evaluation.json").read_text())["global_step"] for folder in folders]


def damage(job_dir, step):
    data = job_dir / f"checkpoints/{step}/variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])


def test_of_a_finished_job_the_newest_checkpoint_is_evaluated_and_exported_once(tmp_path, csv, whole):
    train_anew(tmp_path, csv, 40)
    first = evaluator(tmp_path, csv, None, **EXPORTS).continuous_eval()
    assert (first.global_step, first.stops) == (40, 1)
    assert first.metrics == whole[0].metrics
    assert metrics_by_step(tmp_path / "eval") == {40: whole[1][40]}
    assert [steps_exported(tmp_path, strategy) for strategy in ("best", "final")] == [[40], [40]]
    before = (tmp_path / "eval/metrics.jsonl").read_bytes()
    again = evaluator(tmp_path, csv, **EXPORTS).continuous_eval()
    assert (again.global_step, again.stops) == (40, 0)
    assert (again.metrics, again.exports) == (first.metrics, first.exports)
    assert (tmp_path / "eval/metrics.jsonl").read_bytes() == before
    assert [steps_exported(tmp_path, strategy) for strategy in ("best", "final")] == [[40], [40]]


def test_an_evaluator_works_in_a_bucket_too(gcs, csv, whole):
    job = f"{gcs}/job"
    train(job, csv, 40)
    outcome = evaluator(job, csv, None, **EXPORTS).continuous_eval()
    assert outcome.metrics == whole[0].metrics
    assert [paths.name(paths.parent(folder)) for folder in outcome.exports] == ["best", "final"]
    (line,) = paths.read_bytes(f"{job}/eval/metrics.jsonl").splitlines()
    assert json.loads(line)["step"] == 40
    assert any("tfevents" in name for name in paths.list_files(f"{job}/eval"))
    assert lease.holder(f"{job}/eval") is None


def test_checkpoints_that_come_while_it_works_come_in_order_and_it_skips_to_the_newest(tmp_path, csv, whole):
    train_anew(tmp_path, csv, 10)

    def two_come():
        train(tmp_path, csv, 20)
        train(tmp_path, csv, 30)

    outcome = evaluator(
        tmp_path, csv, two_come, None, None, lambda: train(tmp_path, csv, 40), None, **EXPORTS
    ).continuous_eval()
    assert (outcome.global_step, outcome.stops) == (40, 3)
    assert list(metrics_by_step(tmp_path / "eval")) == [10, 30, 40]
    assert metrics_by_step(tmp_path / "eval") == {step: whole[1][step] for step in (10, 30, 40)}
    assert steps_exported(tmp_path, "best") == [10, 30, 40]
    assert steps_exported(tmp_path, "final") == [40]


def test_an_evaluator_that_comes_first_waits_for_the_first_checkpoint(tmp_path, csv):
    outcome = evaluator(tmp_path, csv, None, None, lambda: train(tmp_path, csv, 40), None).continuous_eval()
    assert (outcome.global_step, outcome.stops) == (40, 1)


def test_an_evaluator_that_was_ended_goes_on_where_it_was(tmp_path, csv, whole):
    train_anew(tmp_path, csv, 20)
    with pytest.raises(Interrupted):
        evaluator(tmp_path, csv, None, lambda: 15).continuous_eval()
    train(tmp_path, csv, 40)
    assert evaluator(tmp_path, csv, None).continuous_eval().stops == 1
    assert metrics_by_step(tmp_path / "eval") == {step: whole[1][step] for step in (20, 40)}


def test_a_job_that_ends_before_its_last_step_ends_its_evaluator(tmp_path, csv):
    """As early stopping ends it: by what the chief says, not by the step."""
    train_anew(tmp_path, csv, 20)
    held = lease.acquire(str(tmp_path))

    def end():
        ending.write(str(tmp_path), held, global_step=20)
        held.release()

    outcome = evaluator(tmp_path, csv, None, None, end, **EXPORTS).continuous_eval()
    assert (outcome.global_step, outcome.stops) == (20, 1)
    assert steps_exported(tmp_path, "final") == [20]


def test_a_checkpoint_that_was_committed_just_before_the_end_is_evaluated(tmp_path, csv):
    train_anew(tmp_path, csv, 20)
    newest = tmp_path / "checkpoints/20"
    newest.rename(tmp_path / "later")
    held = lease.acquire(str(tmp_path))

    def end():
        (tmp_path / "later").rename(newest)
        ending.write(str(tmp_path), held, global_step=20)
        held.release()

    assert evaluator(tmp_path, csv, None, end, None).continuous_eval().global_step == 20
    assert list(metrics_by_step(tmp_path / "eval")) == [10, 20]


def test_an_evaluator_whose_chief_is_gone_fails_with_what_it_has_evaluated_kept(tmp_path, csv, monkeypatch):
    monkeypatch.setattr(ending, "GONE_AFTER_S", 0.0)
    train_anew(tmp_path, csv, 10)
    held = lease.acquire(str(tmp_path))
    with pytest.raises(RunError) as error:
        evaluator(tmp_path, csv, None, None, held.release, **EXPORTS).continuous_eval()
    assert str(error.value) == f"{tmp_path}/LEASE: nobody holds it: the chief is gone, or never came"
    assert list(metrics_by_step(tmp_path / "eval")) == [10]
    assert not (tmp_path / "export/final").exists()
    lease.acquire(str(tmp_path / "eval")).release()


def test_the_last_checkpoint_of_a_chief_that_is_gone_is_evaluated_first(tmp_path, csv, monkeypatch):
    monkeypatch.setattr(ending, "START_S", 0.0)
    train_anew(tmp_path, csv, 10)
    (tmp_path / "ENDED").unlink()
    with pytest.raises(RunError, match="the chief is gone"):
        evaluator(tmp_path, csv, None).continuous_eval()
    assert list(metrics_by_step(tmp_path / "eval")) == [10]


def test_a_damaged_newest_checkpoint_is_waited_out_while_the_run_goes_on(tmp_path, csv, whole, caplog):
    train_anew(tmp_path, csv, 20)
    damage(tmp_path, 20)
    caplog.set_level("INFO")
    asked = evaluator(
        tmp_path, csv, None, None, lambda: train(tmp_path, csv, 30), None, lambda: train(tmp_path, csv, 40), None
    )
    assert asked.continuous_eval().global_step == 40
    assert metrics_by_step(tmp_path / "eval") == {step: whole[1][step] for step in (30, 40)}
    assert f"checkpoint not evaluated: {tmp_path}/checkpoints/20/variables.data-00000-of-00001: " in caplog.text
    commit.verify(str(tmp_path / "checkpoints/30"))


def test_a_damaged_newest_checkpoint_at_the_end_is_an_error_that_names_the_file(tmp_path, csv):
    train_anew(tmp_path, csv, 40)
    damage(tmp_path, 40)
    with pytest.raises(commit.DamagedError, match=rf"^{tmp_path}/checkpoints/40/variables.data-00000-of-00001: "):
        evaluator(tmp_path, csv).continuous_eval()
    assert not (tmp_path / "eval/metrics.jsonl").exists()
    assert commit.is_committed(str(tmp_path / "checkpoints/40"))  # only its writer may say that it is not


def test_a_damaged_newest_checkpoint_of_a_chief_that_is_gone_is_not_waited_for(tmp_path, csv, monkeypatch):
    monkeypatch.setattr(ending, "START_S", 0.0)
    train_anew(tmp_path, csv, 20)
    (tmp_path / "ENDED").unlink()
    damage(tmp_path, 20)
    with pytest.raises(commit.DamagedError, match=rf"^{tmp_path}/checkpoints/20/"):
        evaluator(tmp_path, csv).continuous_eval()


@pytest.mark.parametrize("left", [(), ("checkpoint",)])
def test_a_checkpoint_that_is_removed_while_it_is_read_counts_as_damaged(left, tmp_path):
    with commit.staged(str(tmp_path / "10")) as folder:
        for name in left:
            paths.write_bytes(f"{folder}/{name}", b'model_checkpoint_path: "variables"\n')
    with pytest.raises(commit.DamagedError) as error:
        checkpoint.restore_variables(str(tmp_path), 10, {})
    assert str(error.value) == f"{tmp_path}/10: was removed while it was being read"
    with pytest.raises(commit.DamagedError):
        checkpoint.restore_variables(str(tmp_path), 20, {})


def test_a_checkpoint_of_another_model_is_refused(tmp_path, csv):
    train_anew(tmp_path, csv, 10)
    with pytest.raises(UsageError, match="the checkpoint is of another model: model/hidden/kernel is not in the "):
        evaluator(tmp_path, csv, model_fn=lambda: linear_experiment.linear(units=3)).continuous_eval()


@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_ends_an_evaluator_in_an_evaluation_or_in_a_wait(asked, tmp_path, csv):
    train_anew(tmp_path, csv, 10)
    with pytest.raises(Interrupted) as interruption:
        evaluator(tmp_path, csv, *[None] * asked, lambda: 15).continuous_eval()
    assert interruption.value.exit_code == 143
    assert (tmp_path / "eval/metrics.jsonl").exists() == bool(asked)  # a half evaluation is none
    lease.acquire(str(tmp_path / "eval")).release()


def test_an_evaluator_waits_while_a_run_without_a_cluster_holds_the_right_to_evaluate(tmp_path, csv, whole):
    waited = []

    def interrupted():
        if not waited and steps_saved(tmp_path):
            with pytest.raises(Interrupted):
                evaluator(tmp_path, csv, None, None, lambda: waited.append(True) or 15, **EXPORTS).continuous_eval()
            assert not (tmp_path / "eval/metrics.jsonl").exists()

    make(tmp_path, csv, interrupted=interrupted, **{**WANTED, **EXPORTS}).train_and_evaluate()
    assert waited
    assert metrics_by_step(tmp_path) == whole[1]
    exported = steps_exported(tmp_path, "best"), steps_exported(tmp_path, "final")
    assert evaluator(tmp_path, csv, None, **EXPORTS).continuous_eval().metrics == whole[0].metrics
    assert (steps_exported(tmp_path, "best"), steps_exported(tmp_path, "final")) == exported


def test_a_run_without_a_cluster_is_refused_while_an_evaluator_is_at_work(tmp_path, csv):
    held = lease.acquire(evaluation_dir(tmp_path))
    for schedule in ("train_and_evaluate", "evaluate"):
        with pytest.raises(ConflictError, match=rf"^{tmp_path}/eval: .*; expected one run a job dir$"):
            getattr(make(tmp_path, csv), schedule)()
    held.release()


def test_what_an_evaluator_leaves_for_people_is_in_eval_only(tmp_path, csv, whole):
    train_anew(tmp_path, csv, 40)
    of_the_chief = sorted(path.name for path in tmp_path.iterdir())
    journal = (tmp_path / "metrics.jsonl").read_bytes()
    evaluator(tmp_path, csv, None, **EXPORTS).continuous_eval()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*of_the_chief, "export"])
    assert (tmp_path / "metrics.jsonl").read_bytes() == journal
    assert sorted(events(tmp_path)) == ["examples_per_second", "loss", "mae"]  # of training
    assert [step for step, _ in events(tmp_path)["loss"]] == [10, 20, 30, 40]
    assert events(tmp_path / "eval")["loss"] == [(40, pytest.approx(whole[1][40]["loss"]))]
    assert set(lines(tmp_path / "eval")[0]) == {"step", "loss", "mae", "time"}


def test_lines_of_steps_after_the_newest_checkpoint_are_forgotten(tmp_path, csv):
    """A run may go back: to a checkpoint before one that is damaged."""
    train_anew(tmp_path, csv, 40)
    evaluation_dir(tmp_path)
    stale = [{"step": step, "loss": 9.0, "mae": 9.0, "time": 0.0} for step in (20, 50)]
    (tmp_path / "eval/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in stale))
    evaluator(tmp_path, csv, None).continuous_eval()
    assert [line["step"] for line in lines(tmp_path / "eval")] == [20, 40]


# The chief beside an evaluator.


def at_the_end(job_dir, act):
    """A chief's `interrupted` that does an act, once, when the chief has said that all steps are trained."""
    left = [act]

    def interrupted():
        if left and (job_dir / "ENDED").exists():
            return left.pop()()
        return None

    return interrupted


def test_a_chief_in_a_cluster_without_an_evaluator_evaluates(tmp_path, csv, whole):
    outcome = make(tmp_path, csv, cluster=CHIEF, **{**WANTED, **EXPORTS}).train_and_evaluate()
    assert outcome.metrics == whole[0].metrics
    assert metrics_by_step(tmp_path) == whole[1]
    assert steps_exported(tmp_path, "final") == [40]
    assert lease.holder(str(tmp_path / "eval")) is None


def test_a_chief_leaves_the_evaluation_to_an_evaluator_and_takes_over_what_it_says(tmp_path, csv, whole):
    held = lease.acquire(evaluation_dir(tmp_path))
    seen = []

    def evaluate():
        seen.extend(lines(tmp_path))
        held.release()
        evaluator(tmp_path, csv, None, **EXPORTS).continuous_eval()

    chief = make(tmp_path, csv, cluster=CHIEF, interrupted=at_the_end(tmp_path, evaluate), **{**WANTED, **EXPORTS})
    outcome = chief.train_and_evaluate()
    assert [line["step"] for line in seen] == [10, 20, 30, 40]
    assert all("loss" not in line and "train_loss" in line for line in seen)
    assert outcome.metrics == whole[0].metrics
    assert [steps_exported(tmp_path, strategy) for strategy in ("best", "final")] == [[40], [40]]
    assert sorted(outcome.exports) == sorted(
        commit.committed(str(tmp_path / "export/best")) + commit.committed(str(tmp_path / "export/final"))
    )
    assert lines(tmp_path)[-1]["loss"] == whole[1][40]["loss"]
    assert [step for step, _ in events(tmp_path / "eval")["loss"]] == [40]  # the evaluator's, once


def test_what_an_evaluator_found_is_in_the_chiefs_journal_at_a_later_stop(tmp_path, csv):
    held = lease.acquire(evaluation_dir(tmp_path))
    found = []

    def interrupted():
        first = next(iter(journal.read_lines(str(tmp_path))), {})  # written while training goes on
        if first and not found:
            line = {"step": 10, "loss": 0.5, "mae": 0.25, "time": 7.0}
            (tmp_path / "eval/metrics.jsonl").write_text(json.dumps(line) + "\n")
            found.append(line)
        if "loss" in first:
            found.append(first)
            return 15
        return None

    with pytest.raises(Interrupted):
        make(tmp_path, csv, cluster=CHIEF, interrupted=interrupted, **{**WANTED, **EXPORTS}).train_and_evaluate()
    assert (found[-1]["step"], found[-1]["loss"], found[-1]["mae"]) == (10, 0.5, 0.25)
    assert found[-1]["time"] != 7.0  # of the chief's stop
    assert "train_loss" in found[-1]
    assert not (tmp_path / "export").exists()
    held.release()


def test_what_an_evaluator_that_is_gone_has_not_done_the_chief_does_at_the_end(tmp_path, csv, whole):
    held = lease.acquire(evaluation_dir(tmp_path))
    chief = make(tmp_path, csv, cluster=CHIEF, interrupted=at_the_end(tmp_path, held.release), **{**WANTED, **EXPORTS})
    outcome = chief.train_and_evaluate()
    assert outcome.metrics == whole[0].metrics
    assert [steps_exported(tmp_path, strategy) for strategy in ("best", "final")] == [[40], [40]]
    assert ["loss" in line for line in lines(tmp_path)] == [False, False, False, True]
    assert [step for step, _ in events(tmp_path / "eval")["loss"]] == [40]


def test_a_signal_ends_a_chief_that_waits_for_the_evaluator_and_it_comes_back_to_what_is_left(tmp_path, csv, whole):
    held = lease.acquire(evaluation_dir(tmp_path))
    with pytest.raises(Interrupted):
        make(
            tmp_path, csv, cluster=CHIEF, interrupted=at_the_end(tmp_path, lambda: 15), **{**WANTED, **EXPORTS}
        ).train_and_evaluate()
    held.release()
    outcome = make(tmp_path, csv, cluster=CHIEF, **{**WANTED, **EXPORTS}).train_and_evaluate()
    assert (outcome.global_step, outcome.metrics) == (40, whole[0].metrics)
    assert steps_exported(tmp_path, "final") == [40]


def test_the_schedule_evaluate_is_refused_beside_an_evaluator(tmp_path, csv):
    train_anew(tmp_path, csv, 10)
    held = lease.acquire(evaluation_dir(tmp_path))
    with pytest.raises(
        ConflictError, match=rf"^{tmp_path}: an evaluator is at work; expected one evaluation at a time"
    ):
        make(tmp_path, csv, cluster=CHIEF).evaluate()
    held.release()
    assert make(tmp_path, csv, cluster=CHIEF).evaluate().global_step == 10


def test_a_chief_waits_for_the_lease_of_the_one_before(tmp_path, csv):
    """A platform may start another before the lease of the one that it killed is void."""
    held = lease.acquire(str(tmp_path))
    outcome = make(tmp_path, csv, cluster=CHIEF, interrupted=held.release, train_steps=10).train()
    assert outcome.global_step == 10
