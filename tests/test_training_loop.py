"""The run of an experiment: stops, resume, callbacks, and what it leaves on disk. One small model, in process."""

import dataclasses
import json
import math
import time
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import linear_experiment
from tests.linear_experiment import events, linear, lines, make, steps_saved
from trainer.errors import ConflictError, RunError, UsageError
from trainer.inputs.serving import ServingInput
from trainer.storage import commit, lease
from trainer.training import ending, journal
from trainer.training.loop import Trainer
from trainer.training.outcome import Interrupted


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return linear_experiment.write_rows(tmp_path_factory.mktemp("csv") / "rows.csv")


def test_a_run_stops_evaluates_and_exports_and_learns(tmp_path, csv):
    outcome = make(tmp_path, csv).train_and_evaluate()
    assert outcome.global_step == 40
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30, 40]
    assert outcome.metrics["loss"] < 0.1 < lines(tmp_path)[0]["loss"]
    assert outcome.metrics == {"loss": lines(tmp_path)[-1]["loss"], "mae": lines(tmp_path)[-1]["mae"]}
    assert list(outcome.exports) == [str(path) for path in (tmp_path / "export/final").iterdir()]


def test_a_finished_job_trains_no_step_and_ends_the_same(tmp_path, csv):
    first = make(tmp_path, csv).train_and_evaluate()
    before = (tmp_path / "metrics.jsonl").read_bytes()
    again = make(tmp_path, csv).train_and_evaluate()
    assert (first.stops, again.stops) == (4, 0)
    assert dataclasses.replace(again, stops=4) == first
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert len(list((tmp_path / "export/final").iterdir())) == 1


def test_a_finished_job_that_lost_its_export_and_evaluation_makes_them_again(tmp_path, csv):
    first = make(tmp_path, csv).train_and_evaluate()
    commit.remove(first.exports[0])
    (tmp_path / "metrics.jsonl").unlink()
    again = make(tmp_path, csv).train_and_evaluate()
    assert again.metrics == first.metrics
    assert commit.is_committed(again.exports[0])


def test_a_job_dir_that_another_run_writes_to_is_refused_and_left_alone(tmp_path, csv):
    held = lease.acquire(str(tmp_path))
    for schedule in ("train_and_evaluate", "train", "evaluate"):
        with pytest.raises(ConflictError, match=r"; expected one run a job dir$"):
            getattr(make(tmp_path, csv), schedule)()
    assert [path.name for path in tmp_path.iterdir()] == ["LEASE"]
    held.release()
    assert make(tmp_path, csv, train_steps=10).train_and_evaluate().global_step == 10


def test_a_run_that_failed_gives_its_job_dir_back(tmp_path, csv):
    with pytest.raises(UsageError):
        make(tmp_path, csv, metric="none").train_and_evaluate()
    lease.acquire(str(tmp_path)).release()


def test_one_callback_in_place_of_a_list_is_refused(tmp_path, csv):
    with pytest.raises(UsageError, match=r"^callbacks: returned a TerminateOnNaN; expected a list of Keras callbacks$"):
        make(tmp_path, csv, callbacks=keras.callbacks.TerminateOnNaN).train_and_evaluate()


def test_more_steps_go_on_from_the_last_one(tmp_path, csv):
    make(tmp_path / "split", csv, train_steps=20).train_and_evaluate()
    split = make(tmp_path / "split", csv, train_steps=40).train_and_evaluate()
    whole = make(tmp_path / "whole", csv, train_steps=40).train_and_evaluate()
    assert split.metrics == whole.metrics
    assert [line["step"] for line in lines(tmp_path / "split")] == [10, 20, 30, 40]


def test_no_steps_at_all_still_evaluates_and_exports(tmp_path, csv):
    outcome = make(tmp_path, csv, train_steps=0).train_and_evaluate()
    assert outcome.global_step == 0
    assert math.isfinite(outcome.metrics["loss"])
    assert len(outcome.exports) == 1


def test_evaluation_counts_every_example_once(tmp_path, csv):
    trainer = make(tmp_path, csv, train_steps=0)
    outcome = trainer.train_and_evaluate()
    x, y = np.loadtxt(csv, delimiter=",").T
    predicted = trainer.model.predict({"x": x[:, None]}, verbose=0)[:, 0]
    np.testing.assert_allclose(outcome.metrics["mae"], np.abs(predicted - y).mean(), rtol=1e-5)
    np.testing.assert_allclose(outcome.metrics["loss"], np.square(predicted - y).mean(), rtol=1e-5)


def test_eval_steps_takes_only_the_first_batches(tmp_path, csv):
    trainer = make(tmp_path, csv, train_steps=0, eval_steps=2)
    outcome = trainer.train_and_evaluate()
    x, y = np.loadtxt(csv, delimiter=",").T[:, : 2 * 24]
    predicted = trainer.model.predict({"x": x[:, None]}, verbose=0)[:, 0]
    np.testing.assert_allclose(outcome.metrics["mae"], np.abs(predicted - y).mean(), rtol=1e-5)


def test_training_metrics_are_of_the_steps_since_the_last_stop(tmp_path, csv):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, logs))

    make(tmp_path, csv, callbacks=lambda: [Watch()]).train_and_evaluate()
    assert [epoch for epoch, _ in seen] == [0, 1, 2, 3]
    losses = [logs["loss"] for _, logs in seen]
    assert losses == sorted(losses, reverse=True)
    assert [line["train_loss"] for line in lines(tmp_path)] == losses
    assert [line["loss"] for line in lines(tmp_path)] == [logs["val_loss"] for _, logs in seen]


def test_only_the_newest_checkpoints_are_kept_and_tensorflow_reads_them(tmp_path, csv):
    make(tmp_path, csv, keep_checkpoint_max=2).train_and_evaluate()
    assert steps_saved(tmp_path) == [30, 40]
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoints/40"))
    assert reader.get_tensor("model/out/kernel").shape == (1, 1)


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "file missing", "manifest cut"])
def test_a_damaged_newest_checkpoint_is_skipped_by_name(damage, tmp_path, csv, caplog):
    whole = make(tmp_path, csv).train_and_evaluate()
    newest = tmp_path / "checkpoints/40"
    data = newest / "variables.data-00000-of-00001"
    if damage == "truncated":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "bit flipped":
        content = bytearray(data.read_bytes())
        content[3] ^= 1
        data.write_bytes(content)
    elif damage == "file missing":
        data.unlink()
    else:
        (newest / "manifest.json").write_bytes((newest / "manifest.json").read_bytes()[:-3])
    again = make(tmp_path, csv).train_and_evaluate()
    assert str(newest) in caplog.text
    assert "damaged" in caplog.text
    assert again.metrics == whole.metrics
    assert steps_saved(tmp_path)[-1] == 40
    commit.verify(str(newest))


def test_another_architecture_in_the_same_job_dir_is_refused_naming_the_variables(tmp_path, csv):
    make(tmp_path, csv).train_and_evaluate()
    with pytest.raises(UsageError, match=r"model/hidden/kernel is not in the checkpoint.*--job-dir"):
        make(tmp_path, csv, model_fn=lambda: linear(units=3)).train_and_evaluate()
    make(tmp_path / "wide", csv, model_fn=lambda: linear(units=3)).train_and_evaluate()
    with pytest.raises(UsageError, match=r"model/hidden/kernel has shape \[1, 3\] in the checkpoint and \[1, 5\]"):
        make(tmp_path / "wide", csv, model_fn=lambda: linear(units=5)).train_and_evaluate()


def test_a_loss_that_is_not_finite_names_the_step_and_leaves_the_checkpoints(tmp_path, csv):
    make(tmp_path, csv, train_steps=20).train_and_evaluate()
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    # The checkpoint has the rate as a number of its own, so that only a schedule can change it.
    bad = keras.optimizers.schedules.PiecewiseConstantDecay([24], [0.05, 1e30])
    make(tmp_path / "bad", csv, train_steps=20, model_fn=lambda: linear(bad)).train_and_evaluate()
    kept = {path: path.read_bytes() for path in (tmp_path / "bad/checkpoints").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"step 2[5-7]: the loss is not a finite number"):
        make(tmp_path / "bad", csv, model_fn=lambda: linear(bad)).train_and_evaluate()
    assert {path: path.read_bytes() for path in kept} == kept
    assert {path: path.read_bytes() for path in before} == before


def test_terminate_on_nan_ends_the_run_at_the_newest_checkpoint(tmp_path, csv, caplog):
    bad = keras.optimizers.schedules.PiecewiseConstantDecay([24], [0.05, 1e30])
    outcome = make(
        tmp_path, csv, model_fn=lambda: linear(bad), callbacks=lambda: [keras.callbacks.TerminateOnNaN()]
    ).train_and_evaluate()
    assert outcome.global_step == 20
    assert "not a finite number" in caplog.text
    assert len(outcome.exports) == 1


def test_a_run_goes_back_to_a_checkpoint_that_is_still_being_written(tmp_path, csv):
    class HoldsUp(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            trainer.held.uploads._check = partial(time.sleep, 0.5)  # before whatever is written

        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate.assign(float("inf"))

    trainer = make(tmp_path, csv, callbacks=lambda: [HoldsUp(), keras.callbacks.TerminateOnNaN()])
    assert trainer.train_and_evaluate().global_step == 10
    assert [line["step"] for line in lines(tmp_path)] == [10]


def test_early_stopping_ends_the_run_and_a_second_run_keeps_to_it(tmp_path, csv):
    def callbacks():
        return [keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=100.0)]

    first = make(tmp_path, csv, callbacks=callbacks).train_and_evaluate()
    assert first.global_step == 30
    assert len(first.exports) == 1
    again = make(tmp_path, csv, callbacks=callbacks).train_and_evaluate()
    assert dataclasses.replace(again, stops=first.stops) == first


def test_the_patience_of_early_stopping_survives_a_restart(tmp_path, csv):
    def callbacks():
        return [keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=100.0)]

    assert make(tmp_path, csv, callbacks=callbacks, train_steps=20).train_and_evaluate().global_step == 20
    assert make(tmp_path, csv, callbacks=callbacks).train_and_evaluate().global_step == 30


def test_early_stopping_gives_back_the_best_weights_even_after_a_restart(tmp_path, csv):
    def callbacks():
        return [keras.callbacks.EarlyStopping("val_loss", patience=9, restore_best_weights=True)]

    worse = keras.optimizers.schedules.PiecewiseConstantDecay([20], [0.05, -0.05])
    best = make(tmp_path, csv, train_steps=20, model_fn=lambda: linear(worse)).train_and_evaluate()
    make(
        tmp_path / "cut", csv, train_steps=30, model_fn=lambda: linear(worse), callbacks=callbacks
    ).train_and_evaluate()
    cut = make(tmp_path / "cut", csv, model_fn=lambda: linear(worse), callbacks=callbacks).train_and_evaluate()
    assert lines(tmp_path / "cut")[-1]["loss"] > best.metrics["loss"]
    assert cut.metrics == best.metrics


def test_reduce_lr_on_plateau_changes_the_rate_and_a_restart_keeps_it(tmp_path, csv):
    def callbacks():
        return [keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=100.0)]

    whole = make(tmp_path / "whole", csv, callbacks=callbacks)
    outcome = whole.train_and_evaluate()
    assert float(whole.model.optimizer.learning_rate) == pytest.approx(0.05 / 8)
    make(tmp_path / "split", csv, callbacks=callbacks, train_steps=20).train_and_evaluate()
    split = make(tmp_path / "split", csv, callbacks=callbacks)
    assert split.train_and_evaluate().metrics == outcome.metrics
    assert float(split.model.optimizer.learning_rate) == pytest.approx(0.05 / 8)


def test_the_tensorboard_callback_writes_its_scalars(tmp_path, csv):
    board = tmp_path / "board"
    make(tmp_path, csv, callbacks=lambda: [keras.callbacks.TensorBoard(str(board))]).train_and_evaluate()
    assert len(events(board / "train")["epoch_loss"]) == 4
    assert len(events(board / "validation")["epoch_loss"]) == 4


def test_event_files_of_training_and_evaluation_are_apart(tmp_path, csv):
    make(tmp_path, csv).train_and_evaluate()
    stops = lines(tmp_path)
    assert [step for step, _ in events(tmp_path)["loss"]] == [10, 20, 30, 40]
    assert events(tmp_path)["loss"][0][1] == pytest.approx(stops[0]["train_loss"])
    assert events(tmp_path / "eval")["loss"][0][1] == pytest.approx(stops[0]["loss"])
    assert "examples_per_second" in events(tmp_path)


def test_a_learning_rate_schedule_is_followed_across_a_restart(tmp_path, csv):
    def model():
        return linear(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.05, 40)))

    make(tmp_path, csv, model_fn=model, train_steps=20).train_and_evaluate()
    trainer = make(tmp_path, csv, model_fn=model)
    trainer.train_and_evaluate()
    assert int(trainer.model.optimizer.iterations) == 40
    assert float(trainer.model.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-9)


def test_a_model_with_its_own_train_step_is_trained_by_it(tmp_path, csv):
    class Halved(keras.Model):
        def train_step(self, data):
            x, y = data
            return super().train_step((x, y / 2))

    trainer = make(tmp_path, csv, model_fn=lambda: linear(0.1, cls=Halved), train_steps=200)
    trainer.train_and_evaluate()
    kernel, bias = trainer.model.layers[-1].get_weights()
    assert float(kernel[0, 0]) == pytest.approx(1.0, abs=0.01)
    assert float(bias[0]) == pytest.approx(0.5, abs=0.01)


def test_a_line_cut_short_by_a_kill_is_written_anew(tmp_path, csv):
    whole = make(tmp_path, csv).train_and_evaluate()
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert make(tmp_path, csv).train_and_evaluate().metrics == whole.metrics
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30, 40]


@pytest.mark.parametrize("asks", [1, 2, 3, 4, 5])
def test_an_interrupted_run_saves_wherever_it_is_and_resumes_to_the_same_end(asks, tmp_path, csv):
    asked = iter([*[None] * asks, 15])
    with pytest.raises(Interrupted) as interruption:
        make(tmp_path / "cut", csv, interrupted=lambda: next(asked)).train_and_evaluate()
    assert interruption.value.exit_code == 143
    assert 0 < steps_saved(tmp_path / "cut")[-1] < 40
    resumed = make(tmp_path / "cut", csv).train_and_evaluate()
    assert resumed.metrics == make(tmp_path / "whole", csv).train_and_evaluate().metrics
    cut, whole = ([line["train_loss"] for line in lines(tmp_path / name)] for name in ("cut", "whole"))
    assert cut == whole


def test_the_schedule_train_saves_but_does_not_evaluate_or_export(tmp_path, csv):
    outcome = make(tmp_path, csv).train()
    assert outcome.global_step == 40
    assert outcome.metrics == {}
    assert outcome.exports == ()
    assert steps_saved(tmp_path) == [10, 20, 30, 40]


def test_a_job_that_was_only_trained_can_be_evaluated_and_exported_later(tmp_path, csv):
    make(tmp_path / "later", csv).train()
    later = make(tmp_path / "later", csv).train_and_evaluate()
    assert later.metrics == make(tmp_path / "at once", csv).train_and_evaluate().metrics
    assert len(later.exports) == 1
    assert [line["step"] for line in lines(tmp_path / "later")] == [10, 20, 30, 40]


def test_the_schedule_evaluate_needs_a_checkpoint_and_uses_the_newest(tmp_path, csv):
    with pytest.raises(UsageError, match="no checkpoint to evaluate"):
        make(tmp_path, csv).evaluate()
    trained = make(tmp_path, csv).train_and_evaluate()
    assert make(tmp_path, csv).evaluate().metrics == trained.metrics


def test_a_metric_that_the_evaluation_lacks_is_named_before_the_first_step(tmp_path, csv):
    with pytest.raises(UsageError, match="metric 'auc' is not among the evaluation's: loss, mae"):
        make(tmp_path, csv, metric="auc").train_and_evaluate()
    assert steps_saved(tmp_path) == []


def test_a_dataset_of_texts_is_trained_on_and_resumed(tmp_path, csv):
    def words(shard=None):
        return tf.data.Dataset.from_tensor_slices((["short", "long"] * 20, [1.0, 9.0] * 20)).batch(8)

    def model():
        inputs = keras.Input((), dtype="string")
        one_hot = keras.layers.StringLookup(vocabulary=["short", "long"], output_mode="one_hot")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1)(one_hot))
        model.compile(keras.optimizers.Adam(0.3), loss="mse")
        return model

    def trained(steps):
        experiment, run = linear_experiment.define(tmp_path, csv, model_fn=model, train_steps=steps)
        serving = ServingInput({"word": tf.TensorSpec([None], tf.string)}, lambda request: request["word"])
        experiment = dataclasses.replace(
            experiment, train_input_fn=words, eval_input_fn=words, serving_input_fn=lambda: serving
        )
        return Trainer(experiment, run, facts={}).train_and_evaluate()

    assert trained(40).metrics["loss"] > trained(120).metrics["loss"]
    assert trained(120).metrics["loss"] < 0.1


def test_a_model_that_is_not_compiled_is_refused(tmp_path, csv):
    with pytest.raises(UsageError, match=r"not compiled; call model\.compile"):
        make(tmp_path, csv, model_fn=lambda: keras.Sequential([keras.layers.Dense(1)])).train_and_evaluate()


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(tmp_path, csv):
    runs = [make(tmp_path / str(i), csv, seed=seed).train_and_evaluate().metrics for i, seed in enumerate((1, 1, 2))]
    assert runs[0] == runs[1] != runs[2]


def test_stops_by_time_come_at_the_end_of_a_call(tmp_path, csv):
    make(tmp_path, csv, eval_every=None, eval_every_secs=1e-6, train_steps=30).train_and_evaluate()
    steps = [line["step"] for line in lines(tmp_path)]
    assert steps[-1] == 30
    assert len(steps) > 1


def test_without_a_cadence_there_are_ten_stops(tmp_path, csv):
    make(tmp_path, csv, eval_every=None, train_steps=95).train_and_evaluate()
    assert [line["step"] for line in lines(tmp_path)] == [*range(10, 100, 10), 95]


def test_the_facts_of_a_run_are_in_run_json(tmp_path, csv):
    trainer = make(tmp_path, csv, train_steps=0)
    trainer.facts = {"seed": 1, "flags": dataclasses.asdict(trainer.run)}
    trainer.train_and_evaluate()
    assert json.loads((tmp_path / "run.json").read_text())["flags"]["train_steps"] == 0


def test_run_json_keeps_when_and_where_every_run_began(tmp_path, csv):
    for steps in (20, 30, 30):
        make(tmp_path, csv, train_steps=steps).train_and_evaluate()
    facts = json.loads((tmp_path / "run.json").read_text())
    assert [start["step"] for start in facts["starts"]] == [0, 20, 30]
    times = [start["time"] for start in facts["starts"]]
    assert times == sorted(times)
    assert (facts["metric"], facts["goal"], facts["train_steps"]) == ("loss", "min", 30)
    assert ending.read(str(tmp_path)).lease == facts["starts"][-1]["lease"]


def test_an_evaluation_alone_leaves_what_is_said_of_the_run(tmp_path, csv):
    make(tmp_path, csv).train_and_evaluate()
    before = (tmp_path / "run.json").read_bytes()
    evaluation = make(tmp_path, csv)
    evaluation.facts = {"seed": 2}
    evaluation.evaluate()
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"starts": 7}', b'{"starts": [7]}'], ids=bytes.decode)
def test_a_run_json_without_starts_has_none(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    assert journal.starts(journal.read_facts(str(tmp_path))) == []


def test_a_resumed_run_says_which_flags_shape_it_otherwise_than_before(tmp_path, csv, caplog):
    for steps, batch, rate in ((10, 24, 0.1), (20, 24, 0.1), (30, 12, 0.5)):
        trainer = make(tmp_path, csv, train_steps=steps)
        flags = {**dataclasses.asdict(trainer.run), "train_batch_size": batch, "rate": rate, "units": (8, 4)}
        trainer.facts = {"flags": {**flags, "eval_every": steps}}
        trainer.train_and_evaluate()
    said = [record.message for record in caplog.records if " was " in record.message]
    assert [line.partition("; what a checkpoint")[0] for line in said] == [
        "--train-batch-size was 24, is 12 now; --rate was 0.1, is 0.5 now"
    ]


@pytest.mark.parametrize("before", [{}, {"flags": None}, {"flags": []}, {"flags": {"other": 1}}], ids=str)
def test_flags_that_nobody_wrote_down_have_not_changed(before):
    assert journal.changed_flags(before, {"flags": {"rate": 0.1}}) == {}
