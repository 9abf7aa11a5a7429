"""A whole job in a bucket: data in, checkpoints and exports out, killed and resumed, predicted from."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests import gcs_server
from tests.fault_proxy import FaultProxy
from trainer import predict, task
from trainer.errors import RunError
from trainer.storage import client, commit, fsck, operations, paths


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400.0
FLAGS = ["--train-steps", "90", "--eval-every", "9", "--train-batch-size", "64", "--deterministic", "--seed", "3"]


def copy(folder, destination):
    """Put the files of a local folder into a bucket."""
    for name in os.listdir(folder):
        paths.write_bytes(f"{destination}/{name}", Path(folder, name).read_bytes())


def start(job_dir, data, *more, log):
    command = [sys.executable, "-m", "trainer.task", "--experiment", "babyweight", "--job-dir", str(job_dir)]
    command += ["--train-files", f"{data}/train*", "--eval-files", f"{data}/eval*", *FLAGS, *more]
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)


def steps(job_dir):
    return [int(paths.name(folder)) for folder in commit.committed(f"{job_dir}/checkpoints")]


def wait_for_step(process, job_dir, step):
    deadline = time.monotonic() + DEADLINE_S
    while max(steps(job_dir), default=0) < step:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def variables(job_dir):
    with commit.opened(commit.committed(f"{job_dir}/checkpoints")[-1]) as folder:
        reader = tf.train.load_checkpoint(folder)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_a_job_is_killed_and_resumed_and_ends_as_one_on_a_disk(gcs, births, tmp_path):
    data, job_dir, log = f"{gcs}/births", f"{gcs}/job", tmp_path / "log.txt"
    copy(births, data)
    assert start(tmp_path / "job", births, log=log).wait(DEADLINE_S) == 0, log.read_text()

    killed = start(job_dir, data, log=log)
    wait_for_step(killed, job_dir, 9)
    killed.send_signal(signal.SIGSTOP)
    second = start(job_dir, data, log=tmp_path / "second.txt")
    assert second.wait(DEADLINE_S) == 1
    assert f"process {killed.pid} holds the lease to write here" in (tmp_path / "second.txt").read_text()
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    stopped = start(job_dir, data, log=log)
    wait_for_step(stopped, job_dir, max(steps(job_dir)) + 9)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(DEADLINE_S) == 143
    assert not paths.exists(f"{job_dir}/LEASE")

    assert start(job_dir, data, log=log).wait(DEADLINE_S) == 0, log.read_text()
    ours, theirs = variables(job_dir), variables(tmp_path / "job")
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    assert {each.state for each in fsck.sets(job_dir)} <= {"committed", "uncommitted"}
    files = paths.list_files(job_dir)
    lines = [json.loads(line) for line in paths.read_bytes(f"{job_dir}/metrics.jsonl").splitlines()]
    assert [line["step"] for line in lines] == list(range(9, 91, 9))
    assert json.loads(paths.read_bytes(f"{job_dir}/run.json"))["flags"]["job_dir"] == job_dir
    assert any("tfevents" in name for name in files)
    assert any(name.startswith("eval/") and "tfevents" in name for name in files)


@pytest.fixture(scope="module")
def job(gcs_port, train, births):
    """A job dir in a bucket, trained in this process, and the lines that it logged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{gcs_port}")

        gcs_server.create_bucket(os.environ["STORAGE_EMULATOR_HOST"], "one-job")
        copy(births, "gs://one-job/births")
        before = operations.so_far()
        files = {"train_files": "gs://one-job/births/train*", "eval_files": "gs://one-job/births/eval*"}
        flags = {"train_steps": 60, "eval_every": 10, "train_batch_size": 64, "keep_checkpoint_max": 2}
        lines = train("babyweight", job_dir="gs://one-job/job", **files, **flags)
        yield lines, operations.so_far() - before


def test_the_last_line_counts_the_requests(job):
    lines, made = job
    said = lines[-1]["gcs_operations"]
    assert lines[-1]["message"] == "done"
    assert said["writes"] >= made.writes > 0
    assert said["reads"] >= made.reads > 0
    assert said["writes_a_stop"] == round(said["writes"] / 6, 1)


def test_the_requests_of_a_stop_are_bounded(job):
    """A checkpoint of 4 files, metrics.jsonl, and at most one export of 8 files, each with manifest and marker."""
    made, stops, start = job[1], 6, 12
    exports = 1 + stops  # final, and every stop the best so far at most
    assert made.writes <= start + stops * (6 + 1) + exports * 10
    assert made.lists <= start + stops * 3 + exports * 2
    assert made.deletes <= start + stops * 6 + exports * 10


def test_predictions_come_from_a_bucket_and_go_to_one(job, gcs_port, capsys, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{gcs_port}")
    request = "docs/examples/babyweight.json"
    paths.write_bytes("gs://one-job/request.json", Path(ROOT, request).read_bytes())
    assert predict.main(["--model-dir", "gs://one-job/job", "--json-instances", "gs://one-job/request.json"]) == 0
    answers = [json.loads(line)["outputs"] for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 2
    assert all(0 < answer < 12 for answer in answers)
    words = ["--csv", "gs://one-job/births/eval*", "--output", "gs://one-job/predictions.json"]
    assert predict.main(["--model-dir", "gs://one-job/job/export/final", *words]) == 0
    written = paths.read_bytes("gs://one-job/predictions.json").splitlines()
    assert len(written) == 400


def test_a_bucket_that_refuses_stops_the_run_before_a_third_interval(gcs, gcs_port, births, capsys, monkeypatch):
    monkeypatch.setattr(client, "RETRY", client.RETRY.with_delay(initial=0.01, maximum=0.02).with_timeout(1.0))
    words = ["--experiment", "babyweight", "--data-dir", births, "--job-dir", f"{gcs}/job", "--train-batch-size", "64"]
    words += ["--train-steps", "100", "--eval-every", "10", "--export-strategy", "final"]
    listed = []  # the checkpoints: at the start, and after each new one

    def choose(request):
        if "prefix=job%2Fcheckpoints%2F&" in request.target:
            listed.append(request)
        return "503" if len(listed) > 2 and request.method == "POST" else None

    with FaultProxy(gcs_port, choose=choose) as proxy, monkeypatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        with pytest.raises(RunError, match=r"^gs://.*/job/.*: .*503.*; tried for 1 s$"):
            task.main(words)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    said = [line["message"] for line in lines if line["severity"] == "WARNING"]
    assert any(message.startswith("not written, it is tried again at the next stop: gs://") for message in said)
    assert max(line["global_step"] for line in lines if line["message"] == "stop") <= 30
    assert steps(f"{gcs}/job") == [10, 20]
    assert task.main(words) == 0
    assert "resumed at step 20: 80 steps to train" in capsys.readouterr().out


def test_two_may_clean_up_at_once(gcs):
    directory = f"{gcs}/checkpoints"
    for step in range(8):
        with commit.staged(f"{directory}/{step}") as folder:
            for name in ("a", "b", "checkpoint"):
                paths.write_bytes(f"{folder}/{name}", f"{name} {step}".encode())
    with ThreadPoolExecutor(2) as cleaners:
        list(cleaners.map(lambda _: commit.prune(directory, 2), range(2)))
    assert commit.committed(directory) == [f"{directory}/6", f"{directory}/7"]
    assert {name.split("/")[0] for name in paths.list_files(directory)} == {"6", "7"}


def test_a_set_is_removed_marker_first_manifest_last_and_each_object_by_itself(gcs, gcs_port, monkeypatch):
    with commit.staged(f"{gcs}/checkpoints/1") as folder:
        for name in ("a", "b"):
            paths.write_bytes(f"{folder}/{name}", name.encode())
    with FaultProxy(gcs_port) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        commit.remove(f"{gcs}/checkpoints/1")
    removed = [
        request.target.split("?")[0].split("%2F")[-1] for request in proxy.requests if request.method == "DELETE"
    ]
    assert [removed[0], removed[-1]] == ["COMMITTED", "manifest.json"]
    assert sorted(removed[1:-1]) == ["a", "b"]


def committed(gcs):
    with commit.staged(f"{gcs}/checkpoints/1") as folder:
        for name in ("a", "b"):
            paths.write_bytes(f"{folder}/{name}", name.encode())
    return f"{gcs}/checkpoints/1"


@pytest.mark.parametrize("gone", [["a"], ["COMMITTED"], ["COMMITTED", "a"], ["COMMITTED", "a", "b"], ["manifest.json"]])
def test_what_is_being_removed_is_not_opened(gone, gcs):
    folder = committed(gcs)
    commit.verify(folder)  # a moment before
    for name in gone:
        paths.remove(f"{folder}/{name}")
    with pytest.raises(commit.DamagedError, match=f"^{folder}"), commit.opened(folder):
        pytest.fail("a part was taken for the whole")


def test_another_user_s_folder_is_not_used_on_the_way(gcs, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)  # to whom nothing here belongs
    with pytest.raises(
        RunError, match=f"^{tmp_path}/trainer-.*: belongs to another user; expected a folder of your own"
    ):
        committed(gcs)


def test_an_export_of_another_s_is_opened_as_it_is(gcs):
    paths.write_bytes(f"{gcs}/model/saved_model.pb", b"x")
    with commit.opened(f"{gcs}/model") as folder:
        assert paths.read_bytes(f"{folder}/saved_model.pb") == b"x"
