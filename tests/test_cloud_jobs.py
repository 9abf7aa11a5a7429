"""A job from config.yaml to predictions, on both services: submitted, followed, failed, cancelled, resumed, served."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import emulator, gcs_server
from trainer.storage import commit, paths


ROOT = Path(__file__).parent.parent
DEADLINE_S = 400
CONFIG = """\
trainingInput:
  scaleTier: CUSTOM
  masterType: n1-standard-8
  workerType: n1-standard-8
  workerCount: 2
  region: us-central1
  runtimeVersion: "2.17"
  pythonVersion: "3.10"
  args: [--experiment, babyweight, --train-batch-size, "66", --eval-every, "20"]
"""
PS = ["--parameter-server-count", "1", "--parameter-server-machine-type", "n1-standard-4"]
EVENTS_S = 60.0  # a trainer's line is read long before, but a machine may be busy


@pytest.fixture(scope="module")
def bucket(gcs_port, births):
    """A bucket with births to train on, which this process and its children use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{gcs_port}")
        patch.setenv("GOOGLE_CLOUD_PROJECT", emulator.PROJECT)
        patch.setenv("GOOGLE_CLOUD_REGION", emulator.REGION)
        gcs_server.create_bucket(os.environ["STORAGE_EMULATOR_HOST"], "cloud-jobs")
        for name, entry in paths.list_files(births).items():
            del entry
            paths.write_bytes(f"gs://cloud-jobs/births/{name}", paths.read_bytes(f"{births}/{name}"))
        yield "gs://cloud-jobs"


@pytest.fixture(scope="module")
def cloud(bucket, gcs_port, tmp_path_factory):
    """The services on this machine."""
    state = str(tmp_path_factory.mktemp("cloud") / "state")
    with emulator.running(state, storage=f"http://127.0.0.1:{gcs_port}") as running:
        yield running


@pytest.fixture
def config(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    return str(tmp_path / "config.yaml")


def begun(cloud, *words):
    """`trainer.submit` as users call it, in a process of its own."""
    command = [sys.executable, "-m", "trainer.submit", words[0], *words[1:]]
    at = command.index("--") if "--" in command else len(command)
    command[at:at] = ["--api-endpoint", cloud.url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def submit(cloud, *words):
    """Run it to its end: exit code, lines, stderr."""
    process = begun(cloud, *words)
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize(
    ("api", "extra", "roles"), [("ml", PS, {"ps": 1}), pytest.param("vertex", [], {}, marks=pytest.mark.slow)]
)
def test_one_config_trains_on_a_cluster_exports_deploys_and_predicts(api, extra, roles, cloud, bucket, config):
    job, job_dir, model = f"births_{api}", f"{bucket}/births_{api}", f"babyweight_{api}"
    trainer = ["--data-dir", f"{bucket}/births", "--train-steps", "40"]
    words = ["--api", api, "--config", config, "--job-dir", job_dir, *extra, "--stream-logs"]
    code, lines, err = submit(cloud, "train", job, *words, "--", *trainer)
    assert code == 0, err
    facts = json.loads(paths.read_bytes(f"{job_dir}/run.json"))["cluster"]
    assert {role: len(hosts) for role, hosts in facts["cluster"].items()} == {"chief": 1, "worker": 2, **roles}
    chief = "chief-replica-0" if api == "ml" else "workerpool0-0"
    done = [line for line in lines if line["message"] == "done" and line.get("task") == chief]
    assert done[0]["global_step"] == 40
    assert done[0]["job_dir"] == job_dir
    assert lines[-1]["message"] == f"{job}: succeeded"
    times = [line["timestamp"] for line in lines if "timestamp" in line]
    assert times == sorted(times)

    code, lines, err = submit(cloud, "deploy", model, "--api", api, "--version", "v1", "--model-dir", job_dir)
    assert code == 0, err
    assert lines[-1]["export"] in done[0]["exports"]
    predict = ["predict", model, "--api", api, "--json-instances", "docs/examples/babyweight.json"]
    code, predictions, err = submit(cloud, *predict)
    assert code == 0, err
    ours = [sys.executable, "-m", "trainer.predict", "--model-dir", lines[-1]["export"], *predict[-2:]]
    answered = subprocess.run(ours, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert predictions == [json.loads(line) for line in answered.splitlines()]

    code, _, err = submit(cloud, "deploy", model, "--api", api, "--version", "v1", "--model-dir", job_dir)
    assert (code, err.count("\n")) == (2, 1)
    assert f"--version: v1: {model} has it already; expected another one" in err
    request = bucket + "/wrong.json"
    paths.write_bytes(request, b'{"mother_age": 26}')
    code, _, err = submit(cloud, "predict", model, "--api", api, "--json-instances", request)
    assert (code, err.count("\n")) == (1, 1)
    assert "Invalid inputs: Input alcohol_use was missing in at least one input instance. (Error code: 1)" in err


@pytest.mark.parametrize("api", ["ml", "vertex"])
def test_a_trainer_that_fails_is_quoted_at_once(api, cloud, bucket, config):
    wrong = f"{bucket}/births/nothing*"
    words = ["--api", api, "--config", config, "--worker-count", "0", "--job-dir", f"{bucket}/failed_{api}"]
    process = begun(
        cloud, "train", f"failed_{api}", *words, "--stream-logs", "--", "--train-files", wrong, "--eval-files", wrong
    )
    said = f"trainer.task: error: {wrong}: no such file; expected a path or a glob that matches at least one file"
    for line in process.stdout:
        fields = json.loads(line)
        if fields["message"] == said:
            logged = time.mktime(time.strptime(fields["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            assert time.time() - logged < EVENTS_S + 1, "the time of an entry was cut to its second"
            assert fields["severity"] == "ERROR"
            break
    else:
        pytest.fail("the trainer's own line is not there")
    assert process.wait(DEADLINE_S) == 1
    err = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert err.startswith(f"trainer.submit: error: failed_{api}: FAILED: The replica ")
    assert err.endswith(f": {said}\n")
    code, (status,), _ = submit(cloud, "status", f"failed_{api}", "--api", api)
    assert (code, status["state"]) == (0, "FAILED")
    assert status["errors"][-1].endswith(said)


@pytest.mark.parametrize("api", ["ml", pytest.param("vertex", marks=pytest.mark.slow)])
def test_a_job_that_is_cancelled_leaves_a_checkpoint_from_which_the_next_one_resumes(api, cloud, bucket, config):
    job_dir = f"{bucket}/cancelled_{api}"
    words = ["--api", api, "--config", config, "--worker-count", "0", "--job-dir", job_dir]
    trainer = ["--data-dir", f"{bucket}/births", "--train-steps"]
    assert submit(cloud, "train", f"first_{api}", *words, "--", *trainer, "1000000")[0] == 0
    emulator.wait_until(lambda: commit.committed(f"{job_dir}/checkpoints"))
    watcher = begun(cloud, "logs", f"first_{api}", "--api", api, "--follow")
    first = watcher.stdout.readline()
    watcher.send_signal(signal.SIGINT)
    out, err = watcher.communicate(timeout=DEADLINE_S)
    assert first
    assert (watcher.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1])["message"].startswith(f"first_{api}: goes on; ")
    follower = begun(cloud, "logs", f"first_{api}", "--api", api, "--follow")
    assert submit(cloud, "cancel", f"first_{api}", "--api", api)[0] == 0
    out, err = follower.communicate(timeout=DEADLINE_S)
    assert follower.returncode == 1
    assert err == f"trainer.submit: error: first_{api}: CANCELLED\n" or ": CANCELLED: " in err
    assert "interrupted by signal 15; saved, the same command resumes" in out
    saved = max(int(paths.name(folder)) for folder in commit.committed(f"{job_dir}/checkpoints"))
    wanted = str(saved + 20)
    code, lines, err = submit(cloud, "train", f"second_{api}", *words, "--stream-logs", "--", *trainer, wanted)
    assert code == 0, err
    (resumed,) = (line for line in lines if line["message"].startswith("resumed at step"))
    assert resumed["global_step"] == saved
    code, _, err = submit(cloud, "cancel", f"second_{api}", "--api", api)
    assert (code, err) == (
        2,
        f"trainer.submit: error: second_{api}: has ended already: SUCCEEDED; expected a job that runs\n",
    )
    code, _, err = submit(cloud, "train", f"second_{api}", *words, "--", *trainer, "1")
    assert code == 2
    assert f"second_{api}: this job id is taken" in err


def test_a_log_can_be_read_without_following_it(cloud, bucket, config):
    words = ["--config", config, "--worker-count", "0", "--job-dir", f"{bucket}/read"]
    submit(cloud, "train", "read", *words, "--stream-logs", "--", "--train-steps", "-3")
    code, lines, _ = submit(cloud, "logs", "read")
    assert code == 0
    assert any("--train-steps: -3: expected 0 or more" in line["message"] for line in lines)
