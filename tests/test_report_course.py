"""What a report knows of a run from its job dir: state, stops, sessions, exports."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import UsageError
from trainer.experiment import Evaluation
from trainer.reporting import comparison, course, curves, exports, job
from trainer.reporting.exports import Export
from trainer.reporting.job import Moment
from trainer.storage import commit, lease, paths
from trainer.training import ending


FACTS = {"experiment": "births", "flags": {"train_batch_size": 10}, "metric": "rmse", "goal": "min", "train_steps": 40}


def write(folder, *lines, facts=FACTS, name="metrics.jsonl", **more):
    """A job dir with these stops."""
    paths.make_directory(str(folder))
    paths.write_bytes(f"{folder}/run.json", json.dumps({**facts, **more}).encode())
    text = "".join(json.dumps(line) + "\n" for line in lines)
    paths.make_directory(paths.parent(f"{folder}/{name}"))
    paths.write_bytes(f"{folder}/{name}", text.encode())
    return str(folder)


def put(folder, **files):
    """A committed folder."""
    with commit.staged(str(folder)) as staged:
        for name, content in files.items():
            paths.make_directory(paths.parent(f"{staged}/{name}"))
            paths.write_bytes(f"{staged}/{name}", content)


def put_export(job_dir, strategy, time, step, **metrics):
    record = json.dumps({"global_step": step, "metrics": metrics}).encode()
    put(f"{job_dir}/export/{strategy}/{time}", **{"saved_model.pb": b"x", "assets.extra/evaluation.json": record})


# The state


def start(lease, step=0, time=100.0):
    return {"time": time, "step": step, "lease": lease}


def test_a_run_that_holds_the_lease_is_running(tmp_path):
    job_dir = write(tmp_path / "job", {"step": 10})
    held = lease.acquire(job_dir)
    try:
        assert job.read(job_dir).state == "running"
    finally:
        held.release()
    assert job.read(job_dir).state == "interrupted"


@pytest.mark.parametrize(
    ("starts", "ended", "state"),
    [
        ([start("a")], {"global_step": 40, "lease": "a"}, "ended"),
        ([start("a"), start("b", 40)], {"global_step": 40, "lease": "a"}, "interrupted"),  # the second was killed
        ([start("a"), start("b", 40)], {"global_step": 40, "lease": "b"}, "ended"),
        ([start("a")], {"global_step": 30, "lease": "a"}, "interrupted"),  # steps were trained since
        ([start("a")], None, "interrupted"),
        ([], {"global_step": 40, "lease": "a"}, "ended"),  # of a version that did not record starts
        ([], {"global_step": 30, "lease": "a"}, "interrupted"),
    ],
)
def test_a_run_has_ended_when_its_last_process_said_so(tmp_path, starts, ended, state):
    job_dir = write(tmp_path / "job", {"step": 40}, starts=starts)
    if ended:
        paths.write_bytes(f"{job_dir}/{ending.NAME}", json.dumps(ended).encode())
    assert job.read(job_dir).state == state


def test_a_checkpoint_beyond_the_last_line_is_the_newest_step(tmp_path):
    job_dir = write(tmp_path / "job", {"step": 40}, starts=[start("a")])
    put(f"{job_dir}/checkpoints/47", state=b"{}")
    paths.make_directory(f"{job_dir}/checkpoints/90")  # not committed
    paths.write_bytes(f"{job_dir}/{ending.NAME}", b'{"global_step": 40, "lease": "a"}')
    found = job.read(job_dir)
    assert (found.step, found.state) == (47, "interrupted")
    assert [each.step for each in found.checkpoints] == [47]


def test_checkpoints_are_looked_for_where_the_run_says(tmp_path, caplog):
    put(f"{tmp_path}/saved/30", state=b"{}")
    elsewhere = write(tmp_path / "job", {"step": 40}, checkpoints=f"{tmp_path}/saved")
    assert [each.step for each in job.read(elsewhere).checkpoints] == [30]
    unknown = write(tmp_path / "job", {"step": 40}, checkpoints="s3://other/saved")
    assert job.read(unknown).checkpoints == ()
    assert "the report lacks the checkpoints: s3://other/saved: is neither" in caplog.text


# Damage


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no run.json; expected the job dir of a run of trainer.task"),
        (b"{", "run.json: not JSON"),
        (b"[1]", "run.json: names no experiment"),
        (b"{}", "run.json: names no experiment"),
    ],
)
def test_a_job_dir_without_facts_is_one_line(tmp_path, content, expected):
    if content is not None:
        paths.write_bytes(f"{tmp_path}/run.json", content)
    with pytest.raises(UsageError, match=expected) as raised:
        job.read(str(tmp_path))
    assert str(tmp_path) in str(raised.value)


def test_no_directory_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="nothing: no such directory"):
        job.read(f"{tmp_path}/nothing")


def test_half_a_line_is_a_stop_that_is_not_there_yet(tmp_path):
    job_dir = write(tmp_path / "job", {"step": 10, "rmse": 1.0}, {"step": 20, "rmse": None, "note": "x"})
    content = paths.read_bytes(f"{job_dir}/metrics.jsonl")
    paths.write_bytes(f"{job_dir}/metrics.jsonl", content + b'{"step": 30, "rm')
    first, second = job.read(job_dir).lines
    assert first == {"step": 10, "rmse": 1.0}
    assert second["step"] == 20
    assert math.isnan(second["rmse"])
    assert "note" not in second


@pytest.mark.parametrize("starts", [7, [7], [{"step": 1}], [{"time": "noon", "step": 0}]], ids=str)
def test_a_start_that_is_none_is_passed_over(tmp_path, starts):
    assert job.read(write(tmp_path / "job", starts=starts)).starts == ()


def test_the_evaluations_of_an_evaluator_are_the_runs_too(tmp_path):
    job_dir = write(tmp_path / "job", {"step": 10, "train_rmse": 2.0, "time": 5.0}, {"step": 20, "train_rmse": 1.5})
    write(job_dir, {"step": 10, "rmse": 1.9, "time": 6.0}, {"step": 15, "rmse": 1.7}, name="eval/metrics.jsonl")
    write(job_dir, {"step": 10, "train_rmse": 2.0, "time": 5.0}, {"step": 20, "train_rmse": 1.5})
    assert job.read(job_dir).lines == (
        {"step": 10, "rmse": 1.9, "train_rmse": 2.0, "time": 5.0},
        {"step": 15, "rmse": 1.7},
        {"step": 20, "train_rmse": 1.5},
    )


# The time at work


def test_the_time_between_two_processes_is_no_work():
    starts = [Moment(0, 100.0), Moment(20, 1000.0), Moment(20, 2000.0)]
    lines = [{"step": step, "time": time} for step, time in ((10, 110.0), (20, 125.0), (30, 2007.0))]
    known = curves.sessions(lines, starts, 10)
    assert [(each.step, each.last_step, each.seconds, each.last_seconds) for each in known] == [
        (0, 20, 0.0, 25.0),
        (20, 20, 25.0, 25.0),  # was killed before its first stop
        (20, 30, 25.0, 32.0),
    ]
    assert curves.at_work(lines, known).tolist() == [10.0, 25.0, 32.0]
    assert curves.seconds_at(500.0, known) == 25.0  # between the first two
    assert curves.seconds_at(9.0, known) == 0.0


def test_without_starts_a_run_began_as_long_before_its_first_stop_as_that_ones_speed_says():
    lines = [{"step": 20, "time": 50.0, "examples_per_second": 100.0}, {"step": 40, "time": 60.0}]
    (known,) = curves.sessions(lines, [], 10)
    assert (known.time, known.last_seconds) == (48.0, 12.0)
    assert curves.at_work(lines, [known]).tolist() == [2.0, 12.0]
    assert curves.sessions([], [], 10) == []
    (unknown,) = curves.sessions([{"step": 20, "time": 50.0, "examples_per_second": math.nan}], [], 10)
    assert (unknown.time, unknown.last_seconds) == (50.0, 0.0)


def test_a_line_without_a_time_has_none():
    lines = [{"step": 10, "time": 5.0}, {"step": 20}]
    assert np.isnan(curves.at_work(lines, curves.sessions(lines, [], 1))[1])


# Curves


@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_an_envelope_has_few_points_and_every_extreme(size, seed, missing):
    random = np.random.default_rng(seed)
    array = np.where(random.uniform(size=size) < missing, math.nan, random.normal(size=size))
    steps = np.arange(size, dtype=float)
    found = curves.envelope(curves.Curve(steps, steps * 2, array), 30)
    assert len(found.least) == min(30, size)
    finite = array[np.isfinite(array)]
    if len(finite):
        assert (np.nanmin(found.least), np.nanmax(found.greatest)) == (finite.min(), finite.max())
    else:
        assert np.isnan(found.least).all()
    known = np.isfinite(found.least)
    assert (found.least[known] <= found.middle.values[known]).all()
    assert (found.middle.values[known] <= found.greatest[known]).all()
    assert (found.middle.seconds == 2 * found.middle.steps).all()


def test_the_best_is_the_first_of_the_best_values():
    lines = [
        {"step": 1, "a": 3.0},
        {"step": 2, "a": 1.0},
        {"step": 3, "a": math.nan},
        {"step": 4, "a": 1.0},
        {"step": 5},
    ]
    assert curves.best(lines, "a", "min")["step"] == 2
    assert curves.best(lines, "a", "max")["step"] == 1
    assert curves.best(lines, "b", "max") is None


# The course


def stop(step, rmse, time):
    return {"step": step, "mae": rmse, "rmse": rmse, "train_rmse": rmse / 2, "loss": rmse**2, "time": time}


def test_a_course_has_the_metric_first_and_its_best(tmp_path):
    job_dir = write(
        tmp_path / "job", stop(10, 3.0, 110.0), stop(20, 1.0, 120.0), stop(30, 2.0, 130.0), starts=[start("a")]
    )
    found = course.of(job.read(job_dir), [])
    assert found.metrics == ("rmse", "mae", "loss")
    assert found.best["step"] == 20
    assert found.seconds_at_work == 30.0
    assert found.curve("train_rmse").values.tolist() == [1.5, 0.5, 1.0]


def test_without_a_metric_the_best_export_says_which_evaluation_was_best(tmp_path):
    job_dir = write(tmp_path / "job", stop(10, 3.0, 110.0), stop(20, 1.0, 120.0), facts={"experiment": "births"})
    put_export(job_dir, "best", 1500000001, 10, rmse=3.0)
    put_export(job_dir, "final", 1500000002, 20, rmse=1.0)
    found = course.of(job.read(job_dir), exports.find(job_dir))
    assert (found.metric, found.best["step"]) == (None, 10)


def test_lanes_say_what_happened_when(tmp_path):
    job_dir = write(
        tmp_path / "job",
        *(stop(10, 3.0, 110.0), stop(20, 1.0, 120.0), stop(30, 2.0, 220.0)),
        starts=[start("a"), start("b", 20, 200.0)],
    )
    put(f"{job_dir}/checkpoints/20", state=b"{}")
    put_export(job_dir, "best", 1500000001, 20, rmse=1.0)
    lanes = {lane.name: lane.events for lane in course.lanes(course.of(job.read(job_dir), exports.find(job_dir)))}
    assert [(e.place, e.until, e.words) for e in lanes["runs"]] == [
        (0.0, 50.0, "start at step 0, works until step 20"),
        (50.0, 100.0, "restart at step 20, works until step 30"),
    ]
    assert [e.place for e in lanes["stops"]] == [25.0, 50.0, 100.0]
    assert [(e.place, e.words) for e in lanes["checkpoints kept"]] == [(50.0, "checkpoint of step 20")]
    assert [(e.place, e.words) for e in lanes["exports, best"]] == [(50.0, "export of step 20")]


def test_many_stops_are_few_marks(tmp_path):
    job_dir = write(tmp_path / "job", *(stop(i, 1.0, 100.0 + i) for i in range(1, 1001)), starts=[start("a")])
    lanes = {lane.name: lane.events for lane in course.lanes(course.of(job.read(job_dir), []))}
    assert len(lanes["stops"]) == course.STOPS_DRAWN


def test_a_run_without_a_stop_has_no_lanes(tmp_path):
    found = course.of(job.read(write(tmp_path / "job", starts=[start("a")])), [])
    assert (course.lanes(found), course.drawn(found), found.best) == ([], [], None)


# Exports


def test_exports_are_found_with_what_they_were_worth(tmp_path):
    job_dir = write(tmp_path / "job")
    put_export(job_dir, "final", 1500000009, 30, rmse=2.0)
    put_export(job_dir, "best", 1500000005, 20, rmse=None)
    found = exports.find(job_dir)
    assert [(e.strategy, e.time) for e in found] == [("final", 1500000009), ("best", 1500000005)]
    assert found[0].evaluation == Evaluation(30, {"rmse": 2.0})
    assert math.isnan(found[1].evaluation.metrics["rmse"])
    assert found[0].size > 0


def test_the_best_is_chosen_before_a_newer_one_and_a_damaged_one_not_at_all(tmp_path, caplog):
    job_dir = write(tmp_path / "job")
    for strategy, time in (("best", 1500000001), ("best", 1500000002), ("final", 1500000003)):
        put_export(job_dir, strategy, time, 10)
    assert exports.choose(exports.find(job_dir)).path.endswith("best/1500000002")
    paths.write_bytes(f"{job_dir}/export/best/1500000002/saved_model.pb", b"y")
    assert exports.choose(exports.find(job_dir)).path.endswith("best/1500000001")
    assert "best/1500000002" in caplog.text
    found = exports.find(job_dir)
    for export in found:
        paths.remove(export.path)  # as a run does that goes on
    assert exports.choose(found) is None
    assert exports.choose([]) is None


# Comparison


def compared(tmp_path, ours=FACTS, theirs=FACTS):
    first = write(tmp_path / "a", stop(10, 3.0, 110.0), stop(20, 1.0, 120.0), facts=ours, starts=[start("a")])
    second = write(tmp_path / "b", stop(10, 4.0, 110.0), stop(30, 0.5, 130.0), facts=theirs, starts=[start("a")])
    return comparison.of(*(course.of(job.read(each), []) for each in (first, second)))


def test_a_comparison_says_where_each_came_to(tmp_path):
    found = compared(tmp_path)
    assert found.names == ("a", "b")
    results = {each.name: (each.ours, each.theirs) for each in found.results}
    assert results["best rmse"] == (1.0, 0.5)
    assert results["last loss"] == (1.0, 0.25)
    assert results["step of the best evaluation"] == (20, 30)
    assert results["seconds at work"] == (20.0, 30.0)
    assert found.settings == ()
    assert found.same_examples
    assert [chart.title for chart in found.charts] == [
        f"{name} of both by {scale}" for scale in ("step", "time") for name in ("rmse", "mae", "loss")
    ]


def test_a_comparison_says_what_was_set_otherwise(tmp_path):
    flags = {"train_batch_size": 20, "seed": 1, "job_dir": "elsewhere"}
    theirs = {**FACTS, "experiment": "digits", "flags": flags, "eval_files": ["x"], "versions": {"keras": "4"}}
    found = compared(tmp_path, theirs=theirs)
    assert [(each.name, each.ours, each.theirs) for each in found.settings] == [
        ("experiment", "births", "digits"),
        ("evaluation files", [], ["x"]),
        ("train_batch_size", 10, 20),
        ("seed", None, 1),
        ("version of keras", None, "4"),
    ]
    assert not found.same_examples


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    ours, theirs = (course.of(job.read(write(tmp_path / name / "job")), []) for name in ("a", "b"))
    assert comparison.of(ours, theirs).names == ("a/job", "b/job")


def test_an_export_equals_itself_whatever_its_size():
    assert Export("a", "best", 1, None, 5) == Export("a", "best", 1, None, 6)
