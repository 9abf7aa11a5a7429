"""The trials of a search as real processes: side by side, stopped early, failing, cut off and resumed."""

import os
import signal

import pytest

from tests.trials import Heard, block, starter, starts, study_in, words
from trainer.errors import RunError, UsageError
from trainer.tuning import runner, search


GRID = {"algorithm": "GRID_SEARCH"}
NEVER = tuple  # nothing is asked


def run(study, heard=None, asked=NEVER):
    return runner.run(study, starter(study), audience=heard or Heard(), asked=asked)


def states(study):
    return [trial.state for trial in study_in(study.folder, study.hyperparameters).trials]


def test_all_trials_run_and_their_last_measurements_count(tmp_path):
    study = study_in(tmp_path, block(words("x", "3", "1", "2"), **GRID))
    heard = Heard()
    assert run(study, heard) is None
    assert states(study) == ["SUCCEEDED"] * 3
    assert [event for event in heard.events if event[0] != "measured"] == [
        event for name in "123" for event in (("began", name), ("ended", name, "SUCCEEDED", ""))
    ]
    best = search.best_first(study.hyperparameters, study.trials)
    assert [trial.id for trial in best] == ["2", "3", "1"]
    assert best[0].final.value == pytest.approx(1 + 1 / 6)
    assert len(best[0].measurements) == 6


def test_each_trial_gets_its_values_and_its_job_dir_and_runs_once(tmp_path):
    study = study_in(tmp_path, block(words("x", "3", "1"), words("note", "a b"), **GRID))
    run(study)
    assert starts(tmp_path, "1") == [f"--x=3 --note=a b --job-dir {tmp_path}"]
    assert starts(tmp_path, "2") == [f"--x=1 --note=a b --job-dir {tmp_path}"]
    assert starts(tmp_path, "3") == []


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_as_many_run_side_by_side_as_the_block_says(tmp_path, parallel):
    sought = block(words("x", *"1234"), words("pause", "0.05"), maxTrials=4, maxParallelTrials=parallel, **GRID)
    now, most = set(), []

    def count(event):
        (now.add if event[0] == "began" else now.discard if event[0] == "ended" else len)(event[1])
        most.append(len(now))

    run(study_in(tmp_path, sought), Heard(count))
    assert max(most) == parallel


def test_a_finished_search_starts_nothing_again(tmp_path):
    study = study_in(tmp_path, block(words("x", "1", "2"), **GRID))
    run(study)
    heard = Heard()
    assert run(study_in(tmp_path, study.hyperparameters), heard) is None
    assert heard.events == []


def test_a_trial_that_is_behind_is_stopped_and_counts_with_what_it_has_shown(tmp_path):
    sought = block(
        words("x", "0.2", "0.1", "0", "9"), words("stuck", "9"), maxTrials=4, enableTrialEarlyStopping=True, **GRID
    )
    study = study_in(tmp_path, sought)
    run(study)
    assert states(study) == ["SUCCEEDED"] * 3 + ["STOPPED"]
    stopped = study.trials[3]
    assert 2 <= stopped.final.step < 6
    assert run(study_in(tmp_path, sought)) is None
    assert len(starts(tmp_path, "4")) == 1


@pytest.mark.parametrize(
    ("kind", "error"),
    [("fails", "ValueError: no luck"), ("silent", "reported no rmse"), ("killed", "ended by signal 9")],
)
def test_a_trial_that_fails_is_said_and_the_others_go_on(tmp_path, kind, error):
    study = study_in(tmp_path, block(words("kind", kind, "good"), maxTrials=2, **GRID))
    heard = Heard()
    assert run(study, heard) is None
    assert ("ended", "1", "FAILED", error) in heard.events
    assert states(study) == ["FAILED", "SUCCEEDED"]


def test_three_failures_at_the_beginning_end_the_search(tmp_path):
    study = study_in(tmp_path, block(words("kind", "fails"), words("x", *"12345"), maxTrials=5, **GRID))
    with pytest.raises(RunError, match=r"^the first 3 trials failed; the last: ValueError: no luck$"):
        run(study)
    assert states(study) == ["FAILED"] * 3


def test_later_failures_do_not(tmp_path):
    sought = block(words("kind", "good", "fails"), words("x", *"123"), maxTrials=6, **GRID)
    study = study_in(tmp_path, sought)
    assert run(study) is None
    assert states(study) == ["SUCCEEDED"] * 3 + ["FAILED"] * 3


@pytest.mark.parametrize(("most", "ended"), [(1, 2), (2, 3), (3, 4), (4, 4)])
def test_as_many_failures_as_the_block_says_end_the_search(tmp_path, most, ended):
    kinds = words("kind", "good", "fails", "silent", "killed")
    study = study_in(tmp_path, block(kinds, maxTrials=4, maxFailedTrials=most, **GRID))
    if most < 4:
        with pytest.raises(RunError, match=f"{most} of the trials failed, and maxFailedTrials is {most}; the last: "):
            run(study)
    else:
        assert run(study) is None
    assert len(states(study)) == ended


def test_a_search_of_which_no_trial_reports_anything_fails(tmp_path):
    study = study_in(tmp_path, block(words("kind", "silent"), maxTrials=1, **GRID))
    with pytest.raises(RunError, match=r"^no trial has reported rmse; the last: reported no rmse$"):
        run(study)


def test_a_usage_error_ends_the_search_at_once_with_the_trials_own_line(tmp_path):
    sought = block(words("kind", "waits", "usage", "good"), maxTrials=3, maxParallelTrials=2, **GRID)
    study = study_in(tmp_path, sought)
    with pytest.raises(UsageError, match=r"^trial 2: --kind: usage: expected another$"):
        run(study)
    assert states(study) == ["RUNNING", "RUNNING"]  # which may be resumed when it is mended


def test_a_signal_has_the_trials_save_and_the_search_resumes_them_with_their_values(tmp_path):
    sought = block(words("kind", "once", "good"), words("x", "1", "2"), maxTrials=3, maxParallelTrials=2, **GRID)
    asked = []
    both = {("measured", "1", 1), ("measured", "2", 1)}
    heard = Heard(lambda event: asked.append(signal.SIGTERM) if both <= {*heard.events} else None)
    study = study_in(tmp_path, sought)
    assert run(study, heard, lambda: asked) == signal.SIGTERM
    assert states(study) == ["RUNNING", "RUNNING"]
    again = Heard()
    assert run(study_in(tmp_path, sought), again, NEVER) is None
    assert [event[1] for event in again.events if event[0] == "began"][:2] == ["1", "2"]
    for name in "12":
        first, second = starts(tmp_path, name)
        assert first == second
    assert states(study)[:2] == ["SUCCEEDED"] * 2
    assert len(states(study)) == 3


def test_a_second_signal_ends_trials_that_do_not_hear(tmp_path):
    study = study_in(tmp_path, block(words("kind", "deaf"), maxTrials=1, **GRID))
    asked = []

    def ask(event):
        if event[0] == "measured":
            asked.extend([signal.SIGINT, signal.SIGINT])

    assert run(study, Heard(ask), lambda: asked) == signal.SIGINT
    assert states(study) == ["RUNNING"]


def test_when_the_audience_fails_no_trial_is_left(tmp_path):
    pids = []
    study = study_in(tmp_path, block(words("kind", "deaf"), maxTrials=1, **GRID))
    start = starter(study)

    def remembered(trial):
        started = start(trial)
        pids.append(started.pid)
        return started

    def fail(event):
        if event[0] == "measured":
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        runner.run(study, remembered, audience=Heard(fail), asked=NEVER)
    assert not os.path.exists(f"/proc/{pids[0]}")


def test_with_one_trial_at_a_time_a_resumed_search_is_the_uninterrupted_one(tmp_path):
    param = {"parameterName": "x", "type": "DOUBLE", "minValue": 0.0, "maxValue": 1.0}
    sought = block(param, maxTrials=6)
    whole = study_in(tmp_path / "whole", sought)
    run(whole)
    asked = []
    heard = Heard(lambda event: asked.append(signal.SIGTERM) if event[:2] == ("ended", "3") else None)
    assert run(study_in(tmp_path / "cut", sought), heard, lambda: asked) == signal.SIGTERM
    resumed = study_in(tmp_path / "cut", sought)
    run(resumed)
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in whole.trials]
    assert [len(starts(tmp_path / "cut", name)) for name in "123456"] == [1] * 6


def test_what_is_written_beside_a_job_dir_in_a_bucket_goes_to_a_local_folder_and_the_log_is_kept(tmp_path):
    study = study_in(tmp_path, block(words("x", "1"), **GRID))
    os.makedirs(tmp_path / "work")
    started = starter(study, tmp_path / "work", CLUSTER_SPEC="{}", AIP_MODEL_DIR="/nowhere")
    (tmp_path / "1").mkdir()
    assert runner.run(study, started, audience=Heard(), asked=NEVER) is None
    assert (tmp_path / "work/1/output.metrics").exists()
    assert (tmp_path / "1/trial.log").read_text() == '{"severity": "INFO", "message": "began"}\n'
