"""What a run leaves for people and programs to read: run.json, and a line a stop."""

import json

import pytest

from trainer.storage import commit
from trainer.training.journal import Journal, read_lines, write_facts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def opened(job_dir, submit=commit.at_once):
    journal = Journal(str(job_dir), submit)
    journal.open()
    return journal


def added(job_dir, *steps):
    journal = opened(job_dir)
    for step in steps:
        journal.add({"step": step, "loss": step / 10})
    return journal


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_lines_are_in_the_order_in_which_they_came(tmp_path, path):
    journal = added(tmp_path, 10, 20)
    assert path.read_text() == '{"step": 10, "loss": 1.0}\n{"step": 20, "loss": 2.0}\n'
    assert read_lines(str(path.parent)) == journal.lines == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}]
    assert journal.last() == {"step": 20, "loss": 2.0}


def test_a_later_process_adds_to_the_lines_of_an_earlier_one(tmp_path, path):
    added(tmp_path, 10, 20)
    assert opened(tmp_path).last() == {"step": 20, "loss": 2.0}
    added(tmp_path, 30)
    assert steps(path) == [10, 20, 30]


@pytest.mark.parametrize(("step", "left"), [(9, []), (10, [10]), (15, [10]), (29, [10, 20]), (30, [10, 20, 30])])
def test_the_lines_of_steps_that_are_trained_again_are_forgotten(step, left, tmp_path, path):
    journal = added(tmp_path, 10, 20, 30)
    journal.forget_after(step)
    assert [line["step"] for line in journal.lines] == steps(path) == left
    assert journal.last() == (read_lines(str(path.parent)) or [None])[-1]


def test_all_lines_are_reported_when_they_are_read_and_whenever_they_change(tmp_path):
    reports = []
    for _ in range(2):
        journal = Journal(str(tmp_path), commit.at_once, lambda lines: reports.append([dict(line) for line in lines]))
        journal.open()
        journal.forget_after(15)
        journal.add({"step": 20})
        journal.fill([{"step": 20, "rmse": 1.0}])
        journal.fill([{"step": 20, "rmse": 1.0}])
    of_one = [[], [{"step": 20}], [{"step": 20, "rmse": 1.0}]]
    assert reports == [*of_one, of_one[2], *of_one]


def test_forgetting_nothing_writes_nothing(tmp_path):
    jobs = []
    journal = opened(tmp_path, jobs.append)
    journal.forget_after(0)
    assert jobs == []


@pytest.mark.parametrize("damaged", ['{"step": 20, "lo', "\0\0\0", "", '{"step": 20}}'])
def test_a_damaged_line_ends_the_reading_and_is_gone_with_the_next_line(damaged, tmp_path, path):
    added(tmp_path, 10)
    path.write_text(f'{path.read_text()}{damaged}\n{{"step": 30}}\n')
    assert read_lines(str(path.parent)) == [{"step": 10, "loss": 1.0}]
    added(tmp_path, 40)
    assert steps(path) == [10, 40]


def test_a_job_dir_without_lines_has_none(tmp_path, path):
    assert read_lines(str(path.parent)) == []
    assert opened(tmp_path).last() is None


def test_run_json_is_the_facts_of_the_newest_process(tmp_path):
    write_facts(str(tmp_path), {"seed": 1, "experiment": "first"})
    write_facts(str(tmp_path), {"seed": 2})
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 2}


def test_lines_take_over_what_another_journal_knows_of_the_same_steps(tmp_path, path):
    journal = added(tmp_path, 10, 20, 30)
    journal.fill([{"step": 20, "loss": 9.0, "rmse": 3.0}, {"step": 25, "rmse": 4.0}])
    assert opened(tmp_path).lines == journal.lines
    assert journal.lines == [
        {"step": 10, "loss": 1.0},
        {"step": 20, "loss": 2.0, "rmse": 3.0},
        {"step": 30, "loss": 3.0},
    ]


def test_nothing_to_take_over_writes_nothing(tmp_path):
    added(tmp_path, 10)
    jobs = []
    opened(tmp_path, jobs.append).fill([{"step": 11, "rmse": 1.0}])
    assert jobs == []


def test_a_number_that_is_none_is_strict_json(tmp_path, path):
    opened(tmp_path).add({"step": 10, "loss": float("nan")})
    assert path.read_text() == '{"step": 10, "loss": null}\n'


def test_a_job_writes_the_lines_of_when_it_was_submitted(tmp_path, path):
    jobs = []
    journal = opened(tmp_path, jobs.append)
    for step in (10, 20):
        journal.add({"step": step})
    seen = []
    for job in jobs:
        job()
        seen.append(steps(path))
    assert seen == [[10], [10, 20]]
