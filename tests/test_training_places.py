"""A run on a platform that has places of its own for checkpoints, event files, the model and the metric."""

import json
import logging
from pathlib import Path

import pytest
import tensorflow as tf

from tests import linear_experiment
from tests.linear_experiment import ROWS, define, events, lines, make, steps_saved
from trainer import task
from trainer.errors import RunError, UsageError
from trainer.exporting import registration
from trainer.reporting import job
from trainer.serving.locate import locate
from trainer.settings.cluster import Cluster
from trainer.settings.places import Places
from trainer.storage import commit, paths
from trainer.training import ending
from trainer.training.evaluator import Evaluator
from trainer.training.outcome import Interrupted


CHIEF = Cluster({"chief": ("a:1",)}, "chief")
FLAGS = {"train_steps": 60, "eval_every": 20, "train_batch_size": 64}
EXPORTS = {"export_strategy": ("best", "final")}


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    return linear_experiment.write_rows(tmp_path_factory.mktemp("csv") / "rows.csv")


def vertex(base, metric_file):
    """What Vertex AI sets for a trial."""
    folders = {"AIP_MODEL_DIR": "model", "AIP_CHECKPOINT_DIR": "saved", "AIP_TENSORBOARD_LOG_DIR": "logs"}
    return {
        **{name: f"{base}/{folder}/" for name, folder in folders.items()},
        "CLOUD_ML_HP_METRIC_FILE": str(metric_file),
        "CLOUD_ML_TRIAL_ID": "7",
    }


def where(folder, **changed):
    """The places of a run whose job dir is `job` in a folder."""
    own = {"checkpoints": f"{folder}/job/checkpoints", "events": f"{folder}/job", "model": f"{folder}/model"}
    return Places(**{**own, "metric_file": f"{folder}/metrics", "trial": "3", **changed})


def measured(path):
    """Step and value of each line of a metric file."""
    found = [json.loads(line) for line in Path(path).read_text().splitlines()]
    (metric,) = {*found[0]} - {"checkpoint_path", "global_step", "timestamp", "trial"}
    return [(int(line["global_step"]), float(line[metric])) for line in found]


def evaluated(job_dir, metric="loss"):
    """The same of a journal."""
    found = [json.loads(line) for line in paths.read_bytes(f"{job_dir}/metrics.jsonl").splitlines()]
    return [(line["step"], line[metric]) for line in found if metric in line]


def newest(job_dir, strategy="best"):
    return commit.committed(f"{job_dir}/export/{strategy}")[-1]


@pytest.mark.parametrize("storage", ["disk", "bucket"])
def test_a_run_is_in_the_places_of_the_platform_and_resumes_there(storage, train, births, tmp_path, request):
    base = f"{tmp_path}/base" if storage == "disk" else f"{request.getfixturevalue('gcs')}/base"
    metric_file = tmp_path / "hypertune" / "output.metrics"
    environ = vertex(base, metric_file)

    last = train("babyweight", data_dir=births, environ=environ, **FLAGS)[-1]
    assert (last["job_dir"], last["global_step"]) == (base, 60)
    assert {"saved", "logs", "model", "export", "metrics.jsonl"} <= {*paths.list_names(base)}
    assert "checkpoints" not in paths.list_names(base)
    assert [paths.name(folder) for folder in commit.committed(f"{base}/saved")] == ["20", "40", "60"]
    files = paths.list_files(base)
    assert {paths.parent(name) for name in files if "tfevents" in name} == {"logs", "logs/eval"}
    assert measured(metric_file) == evaluated(base, "rmse")
    assert {json.loads(line)["trial"] for line in metric_file.read_text().splitlines()} == {"7"}
    assert registration.is_copy(f"{base}/model", newest(base))
    assert locate(f"{base}/model") == f"{base}/model"
    with commit.opened(f"{base}/model") as folder:
        assert "serving_default" in tf.saved_model.load(folder).signatures
    assert [each.step for each in job.read(base).checkpoints] == [20, 40, 60]

    metric_file.unlink()
    paths.remove(f"{base}/model/saved_model.pb")
    assert train("babyweight", data_dir=births, environ=environ, **FLAGS)[-1]["global_step"] == 60
    assert measured(metric_file) == evaluated(base, "rmse")
    assert registration.is_copy(f"{base}/model", newest(base))

    metric_file.write_text("of another run\n")
    logged = train("babyweight", data_dir=births, environ=environ, **{**FLAGS, "train_steps": 100})
    assert any(line["message"].startswith("resumed at step 60") for line in logged)
    assert measured(metric_file) == evaluated(base, "rmse")
    assert [step for step, _ in measured(metric_file)] == [20, 40, 60, 80, 100]
    assert registration.is_copy(f"{base}/model", newest(base))


def test_a_job_dir_that_the_user_names_keeps_its_layout_and_the_model_is_registered_all_the_same(
    train, births, tmp_path
):
    environ = vertex(tmp_path / "base", tmp_path / "metrics")
    job_dir = tmp_path / "job"
    train("babyweight", data_dir=births, job_dir=job_dir, environ=environ, **{**FLAGS, "train_steps": 20})
    assert steps_saved(job_dir) == [20]
    assert events(job_dir).keys() >= {"loss", "rmse"}
    assert paths.list_names(str(tmp_path / "base")) == ["model"]
    assert registration.is_copy(f"{tmp_path}/base/model", newest(job_dir))


def test_the_model_is_the_best_although_another_is_final(tmp_path, csv):
    worse = {"model_fn": lambda: linear_experiment.linear(-0.05), "train_steps": 20}
    make(tmp_path / "job", csv, places=where(tmp_path), **worse, **EXPORTS).train_and_evaluate()
    record = json.loads((tmp_path / "model/assets.extra/evaluation.json").read_text())
    assert record["global_step"] == 10
    assert registration.is_copy(f"{tmp_path}/model", newest(tmp_path / "job"))
    assert not registration.is_copy(f"{tmp_path}/model", newest(tmp_path / "job", "final"))


def test_without_a_best_one_the_final_is_the_model(tmp_path, csv):
    wanted = {"train_steps": 20, "export_strategy": ("latest", "servo")}
    make(tmp_path / "job", csv, places=where(tmp_path), **wanted).train_and_evaluate()
    assert registration.is_copy(f"{tmp_path}/model", newest(tmp_path / "job", "Servo"))


def test_a_newer_best_export_replaces_the_model_at_the_end_of_a_resumed_run(tmp_path, csv):
    for steps in (10, 40):
        make(tmp_path / "job", csv, places=where(tmp_path), train_steps=steps, **EXPORTS).train_and_evaluate()
        record = json.loads((tmp_path / "model/assets.extra/evaluation.json").read_text())
        assert record["global_step"] == steps


def test_a_run_that_exports_nothing_says_that_there_is_no_model(tmp_path, csv, caplog):
    with caplog.at_level(logging.WARNING):
        make(tmp_path / "job", csv, places=where(tmp_path), export_strategy=()).train_and_evaluate()
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/model: nothing is exported that could be copied there"
    ]
    assert not (tmp_path / "model").exists()


def test_a_folder_with_more_than_a_model_is_refused_before_any_training(tmp_path, csv):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=f"^AIP_MODEL_DIR: {tmp_path}/model: has notes.txt"):
        make(tmp_path / "job", csv, places=where(tmp_path), **EXPORTS).train_and_evaluate()
    assert steps_saved(tmp_path / "job") == []


def test_a_run_that_is_asked_to_end_has_told_its_measurements_and_tells_them_again_when_it_resumes(tmp_path, csv):
    asked = iter([None] * 8)

    def interrupted():
        return next(asked, 15)

    with pytest.raises(Interrupted):
        make(tmp_path / "job", csv, places=where(tmp_path), interrupted=interrupted).train_and_evaluate()
    before = measured(tmp_path / "metrics")
    assert before == evaluated(tmp_path / "job")
    assert 0 < len(before) < 4
    (tmp_path / "metrics").unlink()
    make(tmp_path / "job", csv, places=where(tmp_path)).train_and_evaluate()
    assert measured(tmp_path / "metrics") == evaluated(tmp_path / "job")
    assert measured(tmp_path / "metrics")[: len(before)] == before
    assert [step for step, _ in measured(tmp_path / "metrics")] == [10, 20, 30, 40]


def test_every_stop_is_told_before_the_next_step(tmp_path, csv):
    told = []

    class Looking(linear_experiment.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            told.append([step for step, _ in measured(tmp_path / "metrics")])

    make(tmp_path / "job", csv, places=where(tmp_path), callbacks=lambda: (Looking(),)).train_and_evaluate()
    assert told == [[10], [10, 20], [10, 20, 30], [10, 20, 30, 40]]


def test_a_run_that_does_not_evaluate_leaves_a_file_without_measurements(tmp_path, csv):
    make(tmp_path / "job", csv, places=where(tmp_path)).train()
    assert (tmp_path / "metrics").read_text() == ""


def test_evaluate_registers_the_model_of_what_was_only_trained(tmp_path, csv):
    make(tmp_path / "job", csv, places=where(tmp_path), **EXPORTS).train()
    assert not (tmp_path / "model").exists()
    make(tmp_path / "job", csv, places=where(tmp_path), **EXPORTS).evaluate()
    assert registration.is_copy(f"{tmp_path}/model", newest(tmp_path / "job"))


def test_an_evaluator_reads_and_writes_there_and_the_chief_tells_what_it_found(tmp_path, csv, monkeypatch):
    monkeypatch.setattr(ending, "LOOK_EVERY_S", 0.0)
    places = where(tmp_path, checkpoints=f"{tmp_path}/saved", events=f"{tmp_path}/logs")
    wanted = {"eval_batch_size": ROWS, **EXPORTS}
    make(tmp_path / "job", csv, places=places, cluster=CHIEF, **wanted).train()
    assert (tmp_path / "metrics").read_text() == ""
    Evaluator(*define(tmp_path / "job", csv, **wanted), places=places).continuous_eval()
    assert (tmp_path / "metrics").read_text() == ""  # that is the chief's
    assert events(tmp_path / "logs/eval")["loss"][0][0] == 40
    assert registration.is_copy(f"{tmp_path}/model", newest(tmp_path / "job"))
    make(tmp_path / "job", csv, places=places, cluster=CHIEF, **wanted).train_and_evaluate()
    (line,) = lines(tmp_path / "job/eval")
    assert measured(tmp_path / "metrics")[-1] == (40, line["loss"])
    assert not (tmp_path / "job/checkpoints").exists()


@pytest.mark.parametrize("below", ["", "/deep"])
def test_a_metric_file_that_cannot_be_written_is_said_before_anything_is_trained(below, tmp_path, births):
    (tmp_path / "file").write_text("")
    environ = {"CLOUD_ML_HP_METRIC_FILE": f"{tmp_path}/file{below}/metrics"}
    words = ["--experiment", "babyweight", "--data-dir", births, "--job-dir", f"{tmp_path}/job"]
    with pytest.raises(UsageError, match=f"^CLOUD_ML_HP_METRIC_FILE: {tmp_path}/file{below}: .*; expected a folder"):
        task.main(words, environ)


def test_a_metric_file_that_is_a_folder_is_an_error_of_one_line(tmp_path, csv):
    (tmp_path / "metrics").mkdir()
    with pytest.raises(RunError, match=f"^CLOUD_ML_HP_METRIC_FILE: {tmp_path}/metrics: is a directory$"):
        make(tmp_path / "job", csv, places=where(tmp_path)).train_and_evaluate()
    assert steps_saved(tmp_path / "job") == []
