"""When an export is due, the folder it gets, and what of the old ones stays."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from trainer.errors import RunError, UsageError
from trainer.experiment import Evaluation, Experiment, ExportStrategy
from trainer.exporting import strategies
from trainer.inputs.serving import ServingInput
from trainer.storage import commit


NAN = float("nan")
NOW = 1538119270.5
BEST = ExportStrategy("best", "best")
LATEST = ExportStrategy("latest", "every_stop")
FINAL = ExportStrategy("final", "final")
NO_ROWS = ServingInput({}, dict)


@pytest.fixture
def job_dir(tmp_path):
    return str(tmp_path / "job")


def experiment(*export_strategies, goal="min", serving=NO_ROWS):
    return Experiment(
        model_fn=lambda: None,
        train_input_fn=lambda shard: None,
        eval_input_fn=lambda shard: None,
        serving_input_fn=lambda: serving,
        train_steps=100,
        predictions_fn=lambda outputs: {"y": outputs},
        metric="rmse",
        goal=goal,
        export_strategies=export_strategies,
    )


def opened(job_dir, strategy, *, goal="min"):
    """The exports of a job dir as a new process finds them: nothing is remembered but what is on disk."""
    exports = strategies.Exports(job_dir, experiment(strategy, goal=goal))
    exports.open()
    return exports


def offer(job_dir, strategy, step, rmse, *, goal="min", final=False, now=NOW):
    """Offer an evaluation as a new process would; the names exported to."""
    return offer_to(opened(job_dir, strategy, goal=goal), step, rmse, final=final, now=now)


def offer_to(exports, step, rmse, *, final=False, now=NOW):
    """Offer an evaluation; the names exported to."""

    def write(folder, strategy):
        os.makedirs(os.path.join(folder, "assets.extra"))
        with open(os.path.join(folder, "assets.extra", "evaluation.json"), "w") as file:
            json.dump({"global_step": step, "metrics": {"rmse": None if rmse != rmse else rmse}}, file)

    done = exports.export_due(Evaluation(step, {"rmse": rmse}), final=final, now=now, write=write)
    return [os.path.basename(folder) for folder in done]


def names(job_dir, strategy):
    return sorted(os.listdir(strategies.folder_of(job_dir, strategy)))


def newest_evaluation(job_dir, strategy):
    return strategies.newest_evaluation(strategies.exports_in(strategies.folder_of(job_dir, strategy)))


def test_an_export_goes_to_a_folder_named_by_the_unix_time_and_is_committed(job_dir):
    assert offer(job_dir, LATEST, 10, 1.0) == ["1538119270"]
    (folder,) = strategies.exports_in(strategies.folder_of(job_dir, LATEST))
    assert folder == f"{job_dir}/export/latest/1538119270"
    commit.verify(folder)


@pytest.mark.parametrize(
    ("goal", "worse", "better"), [("min", (1.5, 1.0, NAN), (0.9, 0.0)), ("max", (0.5, 1.0, NAN), (1.1, 5.0))]
)
def test_best_exports_only_what_beats_the_record_after_any_restart(job_dir, goal, worse, better):
    assert offer(job_dir, BEST, 10, 1.0, goal=goal)
    for step, rmse in enumerate(worse, start=11):
        assert offer(job_dir, BEST, step, rmse, goal=goal) == []
    for step, rmse in enumerate(better, start=21):
        assert len(offer(job_dir, BEST, step, rmse, goal=goal)) == 1
    assert newest_evaluation(job_dir, BEST) == Evaluation(22, {"rmse": better[-1]})


def test_a_metric_that_is_no_number_is_never_the_best(job_dir):
    assert offer(job_dir, BEST, 10, NAN) == []
    assert offer(job_dir, BEST, 11, 9.0) == ["1538119270"]


def test_any_number_beats_a_record_that_is_none(job_dir):
    assert offer(job_dir, LATEST, 10, NAN)
    same_folder = ExportStrategy("latest", "best")
    assert offer(job_dir, same_folder, 11, 9.0) == ["1538119271"]


def test_a_record_that_cannot_be_read_is_passed_over_for_the_one_before(job_dir):
    offer(job_dir, BEST, 10, 2.0)
    offer(job_dir, BEST, 20, 1.0)
    with open(f"{job_dir}/export/best/1538119271/assets.extra/evaluation.json", "w") as file:
        file.write("[]")
    assert newest_evaluation(job_dir, BEST) == Evaluation(10, {"rmse": 2.0})


def test_the_best_export_is_served_before_the_final_and_that_before_the_newest(job_dir):
    exports = strategies.Exports(job_dir, experiment(LATEST, FINAL, BEST))
    exports.open()
    assert exports.by_preference() == []
    for step, rmse in ((10, 2.0), (20, 1.0), (30, 3.0)):
        offer_to(exports, step, rmse, final=step == 30, now=NOW + step)
    found = [folder.removeprefix(f"{job_dir}/export/") for folder in exports.by_preference()]
    first, second, third = (str(int(NOW) + step) for step in (10, 20, 30))
    assert found[:3] == [f"best/{second}", f"best/{first}", f"final/{third}"]
    assert found[3:] == [f"latest/{third}", f"latest/{second}", f"latest/{first}"]


def test_latest_exports_every_stop_and_final_only_the_last(job_dir):
    for step in (10, 20):
        assert len(offer(job_dir, LATEST, step, 1.0)) == 1
        assert offer(job_dir, FINAL, step, 1.0) == []
    assert offer(job_dir, FINAL, 30, 1.0, final=True) == ["1538119270"]


@pytest.mark.parametrize("strategy", [BEST, LATEST, FINAL], ids=lambda strategy: strategy.name)
def test_the_same_step_is_exported_once(job_dir, strategy):
    assert offer(job_dir, strategy, 10, 1.0, final=True) == ["1538119270"]
    assert offer(job_dir, strategy, 10, 0.5, final=True) == []
    assert names(job_dir, strategy) == ["1538119270"]


def test_exports_of_one_second_or_of_a_clock_that_went_back_get_increasing_names(job_dir):
    times = [NOW, NOW, NOW + 0.4, NOW - 3600, NOW + 7]
    stamps = [offer(job_dir, LATEST, step, 1.0, now=now)[0] for step, now in enumerate(times)]
    assert stamps == ["1538119270", "1538119271", "1538119272", "1538119273", "1538119277"]


@pytest.mark.parametrize(("keep", "left"), [(1, [5]), (2, [4, 5]), (5, [1, 2, 3, 4, 5]), (None, [0, 1, 2, 3, 4, 5])])
def test_exactly_the_newest_are_kept(job_dir, keep, left):
    strategy = ExportStrategy("latest", "every_stop", exports_to_keep=keep)
    for step in range(6):
        offer(job_dir, strategy, step, 1.0)
    assert names(job_dir, strategy) == [str(1538119270 + i) for i in left]


@pytest.mark.parametrize("when", ["best", "every_stop", "final"])
def test_a_process_that_goes_on_exports_what_processes_that_restart_would(job_dir, when):
    strategy = ExportStrategy("own", when, exports_to_keep=2)
    evaluations = [(10, 3.0), (20, NAN), (20, NAN), (30, 2.0), (40, 2.5), (50, 1.0), (50, 0.5)]
    exports = opened(f"{job_dir}/one", strategy)
    for step, rmse in evaluations:
        final = step == 50
        restarted = offer(f"{job_dir}/many", strategy, step, rmse, final=final)
        assert offer_to(exports, step, rmse, final=final) == restarted
        assert exports.newest() == opened(f"{job_dir}/one", strategy).newest()
    assert names(f"{job_dir}/one", strategy) == names(f"{job_dir}/many", strategy)


def test_the_way_of_an_export_to_the_job_dir_is_submitted_in_order(job_dir):
    jobs = []
    strategy = ExportStrategy("latest", "every_stop", exports_to_keep=1)
    exports = strategies.Exports(job_dir, experiment(strategy), jobs.append)
    exports.open()
    assert offer_to(exports, 10, 1.0) + offer_to(exports, 20, 1.0) == ["1538119270", "1538119271"]
    seen = []
    for job in jobs:
        job()
        seen.append([os.path.basename(name) for name in commit.committed(strategies.folder_of(job_dir, strategy))])
    assert seen == [["1538119270"], ["1538119270", "1538119271"], ["1538119271"]]
    assert names(job_dir, strategy) == ["1538119271"]


def test_only_committed_names_of_ten_digits_are_collected(job_dir):
    folder = strategies.folder_of(job_dir, LATEST)
    for name in ("1492051542987", "1538119053", "1538119270"):
        with commit.staged(f"{folder}/{name}"):
            pass
    for name in ("temp-1538119270", "1400000000", "153811905"):  # no marker, so not ours to remove
        os.makedirs(f"{folder}/{name}")
    strategy = ExportStrategy("latest", "every_stop", exports_to_keep=2)
    assert offer(job_dir, strategy, 10, 1.0) == ["1538119271"]
    assert names(job_dir, strategy) == [
        "1400000000", "1492051542987", "153811905", "1538119270", "1538119271", "temp-1538119270",
    ]  # fmt: skip


def test_a_failed_export_leaves_nothing_and_burns_no_record(job_dir):
    exports = opened(job_dir, BEST)
    offer_to(exports, 10, 2.0)

    def write(folder, strategy):
        with open(os.path.join(folder, "saved_model.pb"), "w") as file:
            file.write("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        exports.export_due(Evaluation(20, {"rmse": 1.0}), final=False, now=NOW, write=write)
    assert names(job_dir, BEST) == ["1538119270"]
    assert exports.newest() == (f"{job_dir}/export/best/1538119270",)
    assert offer_to(exports, 20, 1.0) == ["1538119271"]


def test_what_is_refused_is_named_by_where_it_would_have_gone_and_what_was_there_stays(job_dir):
    exports = opened(job_dir, LATEST)
    offer_to(exports, 10, 2.0)

    def write(folder, strategy):
        with open(os.path.join(folder, "saved_model.pb"), "w") as file:
            file.write("other")
        raise strategies.RefusedError("is another model")

    with pytest.raises(RunError) as error:
        exports.export_due(Evaluation(20, {"rmse": 1.0}), final=False, now=NOW, write=write)
    assert str(error.value) == f"{job_dir}/export/latest/1538119271: is another model"
    assert error.value.exit_code == 1
    assert names(job_dir, LATEST) == ["1538119270"]


GOLDEN = {"age": np.array([26.0, np.nan], np.float32), "sex": np.array(["True", "?"], object)}


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        (GOLDEN, None),
        ({"age": [26, 30], "sex": ["True", "False"]}, None),
        ({}, None),
        ({"age": GOLDEN["age"]}, "golden rows: have age; expected age, sex, as the request has"),
        ({**GOLDEN, "key": GOLDEN["sex"]}, "golden rows: have age, key, sex; expected age, sex, as the request has"),
        (
            {**GOLDEN, "age": GOLDEN["age"][:1]},
            "golden rows: {'age': (1,), 'sex': (2,)}; expected a row or more, of each",
        ),
        ({"age": [], "sex": []}, "golden rows: {'age': (0,), 'sex': (0,)}; expected a row or more, of each"),
        ({"age": 26.0, "sex": "True"}, "golden rows: {'age': (), 'sex': ()}; expected a row or more, of each"),
        ({**GOLDEN, "age": ["old", "new"]}, "golden rows: age: could not convert string to float"),
        ({**GOLDEN, "age": [[26.0], [30.0]]}, "golden rows: age: shape (2, 1); expected (None,)"),
    ],
)
def test_golden_rows_are_found_wrong_before_any_training(golden, said):
    request = {"age": tf.TensorSpec([None]), "sex": tf.TensorSpec([None], tf.string)}
    given = experiment(BEST, serving=ServingInput(request, dict, golden=golden))
    if said is None:
        strategies.check(given)
        return
    with pytest.raises(UsageError) as error:
        strategies.check(given)
    assert str(error.value).startswith(said)


def test_an_asset_that_went_away_is_said_before_anything_is_written(job_dir, tmp_path):
    source = tmp_path / "words.txt"
    source.write_text("True\n")
    strategy = ExportStrategy("latest", "every_stop", assets_extra={"vocabulary/words.txt": str(source)})
    strategies.check(experiment(strategy))
    source.unlink()
    with pytest.raises(UsageError, match=f"latest: assets_extra 'vocabulary/words.txt': {source}: no such file"):
        offer(job_dir, strategy, 10, 1.0)
    assert not os.path.exists(strategies.folder_of(job_dir, strategy))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../words.txt", "expected a path below assets.extra/, without .."),
        ("a/../../words.txt", "expected a path below assets.extra/, without .."),
        ("/etc/words.txt", "expected a path below assets.extra/, without .."),
        ("a//words.txt", "expected a path below assets.extra/, without .."),
        ("words/", "expected a path below assets.extra/, without .."),
        ("", "expected a path below assets.extra/, without .."),
        ("evaluation.json", "every export has its own; expected another name"),
        ("schema.json", "every export has its own; expected another name"),
    ],
)
def test_an_asset_goes_below_the_export_and_over_nothing_of_ours(name, said):
    strategy = ExportStrategy("best", "best", assets_extra={name: __file__})
    with pytest.raises(UsageError) as error:
        strategies.check(experiment(strategy))
    assert str(error.value) == f"export strategy best: assets_extra {name!r}: {said}"


@pytest.mark.parametrize("source", ["/no/such/file", os.path.dirname(__file__)])
def test_an_asset_must_be_a_file(source):
    strategy = ExportStrategy("best", "best", assets_extra={"words.txt": source})
    with pytest.raises(UsageError, match=f"assets_extra 'words.txt': {source}: no such file"):
        strategies.check(experiment(strategy))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", ".tmp-a"])
def test_a_strategy_is_named_like_a_folder(name):
    with pytest.raises(UsageError, match="expected the name of a folder"):
        strategies.check(experiment(ExportStrategy(name, "best")))


def test_strategies_must_not_share_a_name_or_keep_nothing():
    with pytest.raises(UsageError, match="export strategy 'best': expected a name that no other strategy has"):
        strategies.check(experiment(BEST, ExportStrategy("best", "final")))
    with pytest.raises(UsageError, match="export strategy best: exports_to_keep 0: expected 1 or more"):
        strategies.check(experiment(ExportStrategy("best", "best", exports_to_keep=0)))
