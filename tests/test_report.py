"""`python -m trainer.report`: the page of real runs, of runs that go on, of damaged ones, of other people's words."""

import contextlib
import dataclasses
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests import reports
from tests.reports import Page, write
from trainer import report
from trainer.errors import UsageError
from trainer.inputs import records
from trainer.inputs.spec import integer, number, pixels
from trainer.reporting import evaluating, evaluation, predictions, requests
from trainer.reporting.predictions import Predicted, Question
from trainer.samples import mnist
from trainer.serving.protocol import Signature, TensorInfo
from trainer.settings import command
from trainer.storage import lease, paths
from trainer.training import journal


@pytest.fixture(scope="session")
def iris_job(train, flowers, tmp_path_factory):
    job_dir = str(tmp_path_factory.mktemp("iris_job"))
    files = {"train_files": f"{flowers}/train.csv", "eval_files": f"{flowers}/eval.csv"}
    train("tests.iris_experiment", **files, job_dir=job_dir, train_steps=60, eval_every=20)
    return job_dir


@pytest.fixture
def babyweight_page(babyweight_job, mnist_job):
    return reports.page_of(babyweight_job, mnist_job)


@pytest.fixture
def mnist_page(mnist_job):
    return reports.page_of(mnist_job)


@pytest.fixture
def iris_page(iris_job):
    return reports.page_of(iris_job)


@pytest.fixture(params=["babyweight_page", "mnist_page", "iris_page"])
def page(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def births_job(babyweight_job, tmp_path):
    """A copy of a job dir, to be changed."""
    return shutil.copytree(babyweight_job, tmp_path / "job")


def change(job_dir, **facts):
    path = job_dir / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


# The page itself


def test_a_page_is_well_formed(page):
    assert page.errors == []
    assert page.html.startswith("<!doctype html>")
    assert len(page.ids) == len(set(page.ids))


def test_a_page_loads_nothing_and_runs_nothing(page):
    assert page.loads
    assert [load for load in page.loads if not load.startswith(("#", "data:"))] == []
    assert {load[1:] for load in page.loads if load.startswith("#")} <= set(page.ids)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "foreignObject"}
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []


def test_a_page_says_in_words_what_its_drawings_show(page):
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label"), attributes
        if attributes.get("role") in ("img", "region", "group"):
            assert attributes["aria-label"]
        if tag == "img":
            assert attributes["alt"]
        if tag == "th":
            assert attributes["scope"] in ("col", "row", "rowgroup")
    assert len(page.all("figure")) == page.html.count("<figcaption>") == page.html.count("<svg viewBox")
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_the_colours_of_drawings_are_the_pages(page):
    drawings = "".join(re.findall(r"<svg.*?</svg>", page.html, re.S))
    assert re.findall(r"#[0-9a-f]{6}\b", drawings) == []
    assert set(re.findall(r"var\((--[\w-]+)\)", page.html)) <= set(re.findall(r"(--[\w-]+):", page.html))


def test_the_same_run_gives_the_same_bytes_but_for_the_time(babyweight_job, tmp_path):
    words = ("--job-dir", babyweight_job, "--no-evaluation")
    pages = [write(tmp_path / name, *words).html for name in ("a.html", "b.html")]
    first, second = (re.sub(r"Written by.*?UTC", "", each) for each in pages)
    assert first == second
    assert "matplotlib" not in first


# What it says


def test_a_page_says_what_ran(babyweight_page, births):
    text = babyweight_page.text
    assert "--train-steps 60 – train until this global step" in text
    assert "--train-batch-size 64 512 examples a step" in text
    assert "Training, 4 files 1,600" in text
    assert "Evaluation, 2 files 400" in text
    assert f"{births}/eval.csv-00001-of-00002" in text
    assert "newest step of 60" in text
    for words in ("babyweight ended", "tensorflow 2.", "seed 1", "the least rmse", "start at step 0", "one process"):
        assert words in text


def test_the_flags_that_were_changed_come_first(babyweight_page):
    flags = re.findall(r"<code>(--[\w-]+)</code>", babyweight_page.html)
    given = ["--train-steps", "--num-epochs", "--train-batch-size", "--eval-every"]
    assert flags[: len(given)] == given
    assert "--learning-rate" in flags[len(given) :]
    assert "--job-dir" not in flags


def test_a_page_says_how_it_went(babyweight_page, babyweight_job):
    titles = re.findall(r"<h3>(.*?)</h3>", babyweight_page.html.partition('id="training"')[2])
    courses = [f"{name} by {scale}" for scale in ("step", "time") for name in ("rmse", "loss", "examples a second")]
    assert titles[:6] == courses
    lines = journal.read_lines(babyweight_job)
    best = min(lines, key=lambda line: line["rmse"])
    label = next(a["aria-label"] for a in babyweight_page.all("div") if "rmse by step" in a.get("aria-label", ""))
    assert f"evaluation from {lines[0]['rmse']:.4g} to {lines[-1]['rmse']:.4g}" in label
    assert f"the best {best['rmse']:.4g} at step {best['step']}" in label


def test_the_evaluation_has_every_example_once_and_finds_what_was_recorded(babyweight_page, babyweight_job):
    text = babyweight_page.text
    assert "for every example of the evaluation files, once: 400 examples" in text
    recorded = min(line["rmse"] for line in journal.read_lines(babyweight_job))
    found = float(re.search(r"RMSE (\d+\.\d+) ", text)[1])
    assert found == pytest.approx(recorded, abs=6e-5)
    assert f"recorded rmse {recorded:.4f}" in text


def test_slices_follow_from_the_input_spec(babyweight_page, iris_page):
    groups = re.findall(r'<th scope="rowgroup" colspan="\d">(\w+)', babyweight_page.html)
    assert groups[0] == "is_male"
    assert {"mother_age", "mother_race", "gestation_weeks"} <= set(groups)
    assert re.findall(r'<th scope="rowgroup" colspan="\d">(\w+)', iris_page.html) == [
        *("sepal_length", "sepal_width", "petal_length", "petal_width"),
    ]


def test_a_page_of_digits_has_a_matrix_and_pictures(mnist_page):
    text = mnist_page.text
    assert "once: 130 examples" in text
    assert len(re.findall(r'<td class="(?:right|wrong|none)"', mnist_page.html)) == 100
    counts = re.findall(r'<td class="(?:right|wrong)"[^>]*>([\d,]+)<', mnist_page.html)
    assert sum(int(count.replace(",", "")) for count in counts) == 130
    pictures = mnist_page.all("img")
    assert len(pictures) == 24
    assert all(each["src"].startswith("data:image/png;base64,iVBOR") for each in pictures)
    assert re.search(r"expected calibration error 0\.\d{4}", text)


def test_classes_have_their_words(iris_page):
    text = iris_page.text
    assert re.search(r"setosa \d+ [01]\.\d{3} ", text)
    assert "the output probabilities with the label species" in text
    assert "once: 90 examples" in text


def test_exports_are_listed_with_a_request_that_is_theirs(babyweight_page, babyweight_job):
    text = babyweight_page.text
    assert re.search(r"export/best/\d{10} \(the best\)", text)
    assert "serving_default takes alcohol_use string [?]" in text
    body = re.search(r"curl -d '(.*)' http://127.0.0.1:8501/v1/models/babyweight:predict", text)[1]
    (instance,) = json.loads(body)["instances"]
    schema = json.loads(paths.read_bytes(next_export(babyweight_job) + "/assets.extra/schema.json"))
    assert instance.keys() == schema["features"].keys()


def next_export(job_dir):
    return f"{job_dir}/export/final/{paths.list_names(f'{job_dir}/export/final')[0]}"


# Without, and when something is missing


def test_without_an_evaluation_the_rest_stands(babyweight_job, tmp_path):
    page = write(tmp_path / "a.html", "--job-dir", babyweight_job, "--no-evaluation")
    assert page.errors == []
    assert "No export was evaluated." in page.text
    assert "Training, 4 files 1,600" in page.text  # these take no TensorFlow
    assert "As the export's schema.json describes it" in page.text
    assert '"mother_race": "White"' in page.text


def test_evaluation_files_that_are_gone_are_said_and_the_rest_stands(births_job, tmp_path, caplog):
    change(births_job, eval_files=[f"{tmp_path}/gone.csv"])
    page = write(tmp_path / "a.html", "--job-dir", str(births_job))
    assert f"The evaluation could not be made: {tmp_path}/gone.csv: no such file" in page.text
    assert "rmse by step" in page.text
    assert page.errors == []


def test_other_evaluation_files_may_be_named_and_training_files_be_gone(births_job, births, tmp_path):
    change(births_job, train_files=[f"{tmp_path}/gone.csv"], eval_files=[f"{tmp_path}/gone.csv"])
    one = f"{births}/eval.csv-00000*"
    page = write(tmp_path / "a.html", "--job-dir", str(births_job), "--eval-files", one, "--no-evaluation")
    assert "Evaluation, 1 file 200" in page.text
    assert f"Not all is known of them: {tmp_path}/gone.csv" in page.text
    assert f"{births}/eval.csv-00000-of-00002" in page.text


def test_an_experiment_that_is_gone_is_said(births_job, tmp_path):
    change(births_job, experiment="long_gone")
    page = write(tmp_path / "a.html", "--job-dir", str(births_job))
    assert "The experiment cannot be loaded: --experiment: 'long_gone' cannot be imported" in page.text
    assert "Flags; the experiment's defaults are not known" in page.text


def test_an_older_job_dir_is_reported(births_job, tmp_path):
    path = births_job / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({name: facts[name] for name in ("experiment", "flags", "train_files", "eval_files")}))
    page = write(tmp_path / "a.html", "--job-dir", str(births_job), "--no-evaluation")
    assert "when they began is not recorded" in page.text
    assert "best rmse, at step" in page.text  # by its best export, and the experiment's word


def test_a_process_that_dies_is_said():
    question = Question("babyweight", {}, (), (), "x")
    with predictions.asked(question, {"PYTHONMALLOC": "nonsense"}) as answer:
        found = answer(lambda rows: None)
    assert "the process that predicts ended with exit code 1: " in found.problems["evaluation"]


def test_an_export_that_cannot_be_loaded_is_said(births, tmp_path):
    paths.write_bytes(f"{tmp_path}/saved_model.pb", b"no model")
    files = tuple(paths.expand([f"{births}/eval*"]))
    found = evaluating.answer(Question("babyweight", {}, files, files, str(tmp_path)), lambda rows: None)
    assert str(tmp_path) in found.problems["evaluation"]
    assert found.metric == "rmse"
    assert found.predicted is None
    assert sum(each.rows for each in found.files.values()) == 400


def test_the_export_is_asked_what_the_files_say(babyweight_job, births):
    files = tuple(paths.expand([f"{births}/eval*"]))
    flags = json.loads(paths.read_bytes(f"{babyweight_job}/run.json"))["flags"]
    said = []
    question = Question("babyweight", {**flags, "eval_batch_size": 150}, files, files, next_export(babyweight_job))
    found = evaluating.answer(question, said.append)
    assert found.problems == {}
    assert said[-1] == len(found.predicted) == 400
    assert len(said) == 4  # batches of each of two files
    assert found.files[files[0]].rows == 200
    assert found.predicted.outputs["outputs"].shape == (400,)


def test_a_picture_is_of_the_example_that_it_is_said_to_be(mnist_job, digits, tmp_path):
    images, labels = (records.read_idx(f"{digits}/{name}") for name in mnist.TEST)
    for name, part in (("a", slice(0, 65)), ("b", slice(65, None))):
        records.write_tfrecord(f"{tmp_path}/{name}.tfrecords", images[part], labels[part])
    question = Question("mnist", {}, (), (f"{tmp_path}/*.tfrecords",), next_export(mnist_job))
    found = evaluating.answer(question, lambda rows: None).predicted
    assert (found.labels == labels).all()
    assert min(found.pixels) < 65 <= max(found.pixels)
    for place, shown in found.pixels.items():
        assert (shown == images[place].reshape(-1)).all()


def test_of_a_dataset_all_but_its_evaluation_is_known_and_that_is_said(babyweight_job, flowers):
    file, export = f"{flowers}/eval.csv", next_export(babyweight_job)
    question = Question("tests.dropout_dataset_experiment", {}, (), (file,), export)
    found = evaluating.answer(question, lambda rows: None)
    assert found.problems["evaluation"].startswith("the evaluation input is a tf.data.Dataset, whose elements are")
    assert (found.files[file].size, found.files[file].rows) == (paths.stat(file).size, None)
    assert found.signatures.keys() == {"serving_default", "serving_examples"}
    unasked = evaluating.answer(dataclasses.replace(question, export=None), lambda rows: None)
    assert unasked.problems == {}


# Requests


def signature(**inputs):
    return Signature("serving_default", {n: TensorInfo(d, (None,)) for n, d in inputs.items()}, {})


def test_encoded_rows_become_the_request_that_they_were():
    from trainer.experiments.babyweight import SPEC

    rows = {"is_male": np.array([1, 2]), "mother_age": np.array([27.0, 31.0], np.float32)}
    found = requests.of(signature(is_male="string", mother_age="float32", key="string"), SPEC.features, rows)
    assert found["is_male"].tolist() == [b"False", b""]
    assert found["mother_age"].tolist() == [27.0, 31.0]
    assert found["key"].tolist() == [b"", b""]


def test_a_single_input_may_have_the_name_of_2017():
    rows = {"pixels": np.array([[0, 255]], np.uint8)}
    found = requests.of(signature(inputs="float32"), (pixels("pixels", 2),), rows)
    assert found["inputs"].tolist() == [[0.0, 1.0]]


def test_an_input_that_no_file_has_is_said():
    from trainer.experiments.babyweight import SPEC

    with pytest.raises(Exception, match="takes height, which the evaluation files do not have"):
        requests.of(signature(height="float32"), SPEC.features, {"is_male": np.array([0])})


def test_a_schema_gives_an_instance():
    schema = {
        "features": {
            "word": {"dtype": "string", "shape": [], "vocabulary": ["a", "b"], "default": None},
            "age": {"dtype": "float32", "shape": [], "vocabulary": [], "default": 27.0},
            "count": {"dtype": "int64", "shape": [], "vocabulary": [], "default": None},
            "grid": {"dtype": "float32", "shape": [2, 3], "vocabulary": [], "default": None},
        }
    }
    instance = {"word": "a", "age": 27.0, "count": 0, "grid": [[0.0] * 3] * 2}
    assert requests.example(schema) == instance
    takes = signature(word="string", age="float32", count="int64", grid="float32", key="string")
    assert requests.example(schema, takes) == {"key": "1", **instance}


def test_an_experiment_is_found_where_this_process_finds_it(iris_job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = write(tmp_path / "a.html", "--job-dir", iris_job, "--no-evaluation")
    assert "cannot be loaded" not in page.text
    assert "best is the greatest accuracy" in page.text


def test_examples_that_stand_out_have_their_own_values():
    weeks = np.arange(30, 42, dtype=np.float32)
    off = np.where(weeks == 33, 5.0, 0.1)
    weeks_of = number("gestation_weeks", unit="weeks")
    found = evaluation.of(
        Predicted(number("pounds"), (weeks_of,), weeks / 5, {"gestation_weeks": weeks}, {"out": weeks / 5 + off})
    )
    assert (found.farthest[0].values, found.farthest[0].size) == (("33",), pytest.approx(5.0))
    assert max(found.sliced.parts[0].rows, key=lambda row: row.figure.value).name.startswith("33")


def test_a_picture_is_shown_with_its_own_label():
    images = np.arange(12, dtype=np.uint8)[:, None].repeat(9, axis=1)
    right = np.linspace(0.95, 0.4, 12)
    predicted = Predicted(
        integer("digit"),
        (pixels("inputs", 9),),
        np.array([2, *[0] * 11]),  # the first is of no class that there is
        {},
        {"p": np.stack([right, 1 - right], axis=1)},
        {place: images[place] for place in range(12)},
    )
    found = evaluation.of(predicted)
    assert (found.count, found.left_out, found.wrong) == (11, 1, 2)
    assert found.worst[0].image == evaluation.picture(images[11])
    assert [each.prediction for each in found.worst[:3]] == ["1", "1", "0"]
    assert found.least_certain[0].image == evaluation.picture(images[int(np.argmin(abs(right - 0.5)))])


def test_pixels_that_make_no_square_are_no_picture():
    assert evaluation.picture(np.zeros(12, np.uint8)) == ""
    assert evaluation.picture(np.zeros(9, np.uint8)).startswith("data:image/png;base64,")


# A run that goes on, and buckets


def test_a_run_that_goes_on_is_reported_as_far_as_it_is(births_job, tmp_path):
    with open(births_job / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 90, "loss": 1.')
    held = lease.acquire(str(births_job))
    try:
        page = write(tmp_path / "a.html", "--job-dir", str(births_job), "--no-evaluation")
    finally:
        held.release()
    assert "babyweight running" in page.text
    assert "newest step of 60 60" in page.text
    assert page.errors == []


def test_a_run_without_a_stop_has_a_page(births_job, tmp_path):
    for name in ("metrics.jsonl", "checkpoints", "export", "ENDED"):
        paths.remove(str(births_job / name))
    page = write(tmp_path / "a.html", "--job-dir", str(births_job))
    for words in ("There has been no stop yet", "No export was evaluated: there is none yet", "There is none yet."):
        assert words in page.text
    assert page.errors == []


def test_a_report_may_be_of_a_bucket_and_in_one(gcs, babyweight_job, births):
    for name in paths.list_files(babyweight_job):
        if not name.startswith("checkpoints/") and name != lease.NAME:
            paths.write_bytes(f"{gcs}/job/{name}", paths.read_bytes(f"{babyweight_job}/{name}"))
    paths.write_bytes(f"{gcs}/eval.csv", paths.read_bytes(f"{births}/eval.csv-00000-of-00002"))
    words = ["--job-dir", f"{gcs}/job/", "--eval-files", f"{gcs}/eval*", "--no-evaluation"]
    assert command.run(report.main, prog=report.PROG, argv=words) == 0
    page = Page(paths.read_bytes(f"{gcs}/job/report.html").decode())
    assert f"babyweight ended {gcs}/job" in page.text
    assert f"{gcs}/eval.csv 200" in page.text
    assert page.text.count("export/best/") >= 1

    question = Question("babyweight", {}, (), (f"{gcs}/eval*",), next_export(f"{gcs}/job"))
    found = evaluating.answer(question, lambda rows: None)
    assert len(found.predicted) == 200


# Words of others


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>$x^2$"


def test_words_of_others_stay_words(births_job, tmp_path):
    lines = [json.loads(line) for line in (births_job / "metrics.jsonl").read_text().splitlines()]
    lines = [{**line, EVIL: 1.0 + i, f"train_{EVIL}": 2.0} for i, line in enumerate(lines)]
    (births_job / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = json.loads((births_job / "run.json").read_text())
    facts["flags"][EVIL] = EVIL
    change(births_job, flags=facts["flags"], cluster={EVIL: EVIL}, versions={EVIL: EVIL}, train_files=[EVIL])
    for export in paths.list_names(str(births_job / "export" / "best")):
        path = births_job / "export" / "best" / export / "assets.extra" / "schema.json"
        schema = json.loads(path.read_text())
        schema["features"]["is_male"]["vocabulary"][0] = EVIL
        path.write_text(json.dumps(schema))
    page = write(tmp_path / "a.html", "--job-dir", str(births_job), "--compare", str(births_job), "--no-evaluation")
    assert page.errors == []
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img"}
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert page.text.count(EVIL) >= 6
    assert len(page.ids) == len(set(page.ids))


def test_words_of_the_data_stay_words(iris_page):
    from trainer.inputs.spec import category

    label = category("kind", (EVIL, "b"))
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = evaluation.of(
        Predicted(label, (label,), np.array([0, 1, 1]), {"kind": np.array([0, 1, 1])}, {EVIL: probabilities})
    )
    assert found.names[0] == EVIL
    assert found.sliced.parts[0].rows[0].name == EVIL


# Comparison


def test_two_runs_are_compared(babyweight_job, births_job, tmp_path):
    facts = json.loads((births_job / "run.json").read_text())
    change(births_job, flags={**facts["flags"], "learning_rate": 0.5})
    words = ("--job-dir", babyweight_job, "--compare", str(births_job), "--no-evaluation")
    page = write(tmp_path / "a.html", *words)
    assert page.errors == []
    assert "learning_rate 0.002 0.5" in page.text
    assert re.search(r"best rmse (\S+) \1 0 ", page.text)
    assert "rmse of both by time" in page.text
    assert "different files" not in page.text
    assert len(page.ids) == len(set(page.ids))


def test_runs_of_different_experiments_are_compared_where_they_can_be(babyweight_job, mnist_job, tmp_path):
    words = ("--job-dir", babyweight_job, "--compare", mnist_job, "--no-evaluation")
    page = write(tmp_path / "a.html", *words)
    assert "experiment babyweight mnist" in page.text
    assert "The two were evaluated on different files" in page.text
    assert "loss of both by step" in page.text
    assert "rmse of both" not in page.text


def test_a_run_of_a_million_steps_is_a_small_page(births_job, tmp_path):
    with open(births_job / "metrics.jsonl", "w") as file:
        for i in range(1, 10_001):
            rmse = 1.04 + 1 / i + (i * 7919 % 101) / 5000
            line = {"step": 100 * i, "rmse": rmse, "loss": rmse**2, "train_rmse": rmse, "examples_per_second": 8e5}
            file.write(json.dumps({**line, "time": 1.8e9 + i}) + "\n")
    page = write(tmp_path / "a.html", "--job-dir", str(births_job), "--no-evaluation")
    assert "newest step of 60 1,000,000" in page.text
    assert "the best 1.04" in page.text
    assert "The stops as a table (41 of 10,000)" in page.text
    assert len(page.html) < 400_000


# The command


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--job-dir"),
        (["--job-dir", "nowhere"], "nowhere: no such directory"),
        (["--job-dir", ".", "--output", "."], "--output: .: is a folder; expected a file, such as ./report.html"),
        (["--job-dir", ".", "--output", "new/"], "--output: new/: is a folder"),
        (["--job-dir", "."], "no run.json"),
        (["--job-dri", "x"], "--job-dir"),
        (["--job-dir", "s3://x/y"], "s3://x/y: is neither a local path nor gs://BUCKET/PATH"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.run(report.main, prog=report.PROG, argv=words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_evaluation_files_that_are_named_have_to_be_there(babyweight_job, tmp_path):
    words = ["--job-dir", babyweight_job, "--eval-files", f"{tmp_path}/*.csv", "--output", f"{tmp_path}/a.html"]
    with pytest.raises(UsageError, match=r"\*\.csv: no such file"):
        report.main(words)
    assert list(tmp_path.iterdir()) == []


def test_no_process_is_left_when_a_report_is_broken_off(babyweight_job):
    before = children()

    def broken_off():
        with predictions.asked(Question("babyweight", {}, (), (), next_export(babyweight_job)), {}):
            assert len(children() - before) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert children() == before


def children():
    """The processes that this one has started, and that are still there."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_a_job_dir_to_compare_with_is_checked_too(babyweight_job, tmp_path):
    with pytest.raises(UsageError, match="no such directory"):
        report.main(["--job-dir", babyweight_job, "--compare", f"{tmp_path}/no", "--output", f"{tmp_path}/a.html"])
    assert list(tmp_path.iterdir()) == []


def test_without_an_output_the_report_is_in_the_job_dir(births_job, capsys):
    with contextlib.suppress(SystemExit):
        command.run(report.main, prog=report.PROG, argv=["--job-dir", f"{births_job}/", "--no-evaluation"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["output"] == f"{births_job}/report.html"
    assert said["size"] == len((births_job / "report.html").read_bytes())
    assert said["message"] == f"wrote {births_job}/report.html"
