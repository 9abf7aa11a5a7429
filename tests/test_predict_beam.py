"""Batch prediction in an Apache Beam pipeline: the same folder as without one."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.prediction import recipe, sharded, writing
from trainer.storage import commit, paths


pytest.importorskip("apache_beam", reason="the extra beam is not installed")

ROOT = Path(__file__).parent.parent
SHARD = 0.5  # KB


@pytest.fixture
def births(tmp_path):
    """A CSV file of 120 rows, which are five shards of half a KB."""
    file = tmp_path / "births.csv"
    file.write_text("".join(f"7.5,{('True', 'False', 'é')[n % 3]},{n % 50 / 2},key {n}\n" for n in range(120)))
    return file


def run(job_dir, *arguments):
    """The command in a process of its own: Beam changes the one that it is in."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    words = [sys.executable, "-m", "trainer.predict", "--model-dir", job_dir, "--shard-mb", SHARD / 1024, *arguments]
    return subprocess.run(
        list(map(str, words)), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def made(job_dir, births, form):
    export = f"{job_dir}/export/best/1500000000"
    return recipe.of(export, [str(births)], signature_name=None, form=form, shard_bytes=512)


def alone(job_dir, births, output, form):
    """The same without a pipeline."""
    made_of = made(job_dir, births, form)
    with sharded.begun(str(output), made_of) as held:
        return writing.run(str(output), made_of, batch_size=16, check=held.check, interrupted=lambda: None)


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_pipeline_writes_the_folder_that_a_run_without_it_writes(job_dir, births, tmp_path, form):
    summary = alone(job_dir, births, tmp_path / "alone", form)
    command = ("--csv", births, "--format", form, "--output", tmp_path / "out")
    done = run(job_dir, *command, "--runner", "DirectRunner")
    assert (done.returncode, done.stderr) == (0, "")
    last = {"severity": "INFO", "message": "done", "output": str(tmp_path / "out"), **dataclasses.asdict(summary)}
    assert json.loads(done.stdout.splitlines()[-1]) == last
    assert (summary.rows, summary.shards) == (120, 5)
    assert files(tmp_path / "out") == files(tmp_path / "alone")
    commit.verify(str(tmp_path / "out"))


def test_a_pipeline_goes_on_where_a_run_without_it_was_killed(job_dir, births, tmp_path):
    output = str(tmp_path / "out")
    made_of = made(job_dir, births, "json")
    with sharded.begun(output, made_of) as held:
        kept = sharded.missing(output, made_of)[2]
        sharded.write(output, kept, [(20, b'{"kept": true}\n' * 20)], before_commit=held.check)
    done = run(job_dir, "--csv", births, "--output", output, "--runner", "DirectRunner")
    assert (done.returncode, done.stderr) == (0, "")
    assert sum("committed" in line for line in done.stdout.splitlines()) == 4
    assert files(output)[kept.name] == b'{"kept": true}\n' * 20
    commit.verify(output)


@pytest.mark.slow
def test_workers_in_other_processes_write_the_folder_to_a_bucket(job_dir, births, gcs, tmp_path):
    for path in Path(job_dir, "export").rglob("*"):
        if path.is_file():
            paths.write_bytes(f"{gcs}/job/export/{path.relative_to(Path(job_dir, 'export'))}", path.read_bytes())
    paths.write_bytes(f"{gcs}/in/births.csv", births.read_bytes())
    runner = ("--runner", "DirectRunner", "--", "--direct_num_workers=2", "--direct_running_mode=multi_processing")
    done = run(f"{gcs}/job", "--csv", f"{gcs}/in/*", "--output", f"{gcs}/out", *runner)
    assert done.returncode == 0, done.stderr
    alone(job_dir, births, tmp_path / "alone", "json")
    for name, content in files(tmp_path / "alone").items():
        if name.startswith("predictions-"):
            assert paths.read_bytes(f"{gcs}/out/{name}") == content
    commit.verify(f"{gcs}/out")


def test_what_goes_wrong_in_a_worker_is_one_line(job_dir, births, tmp_path):
    births.write_text(births.read_text() + "0,True,old,k\n")
    done = run(job_dir, "--csv", births, "--output", tmp_path / "out", "--runner", "DirectRunner")
    expected = f'DirectRunner: {births}: row 121: column mother_age: "old": expected a number'
    assert (done.returncode, done.stderr) == (1, f"trainer.predict: error: {expected}\n")
    assert not commit.is_committed(str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        ("NoRunner", "error: NoRunner: Unexpected pipeline runner"),
        ("DataflowRunner", "out: the workers of DataflowRunner cannot see it; expected gs://BUCKET/PATH"),
    ],
)
def test_a_runner_that_cannot_run_this_is_refused_in_one_line(job_dir, births, tmp_path, runner, words):
    done = run(job_dir, "--csv", births, "--output", tmp_path / "out", "--runner", runner)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
