"""Tuning jobs of both services in a real emulator, with a tiny module that writes the metric file."""

import json

import pytest

from tests import emulator
from tests.emulator import LOCATION, PROJECT, pool, training, wait_until


BUCKET = "emulated-tuning"
TASK = """
import json, os, signal, sys, time
flags = dict(word[2:].split("=") for word in sys.argv[1:] if "=" in word)
x, trial = float(flags["x"]), os.environ["CLOUD_ML_TRIAL_ID"]
config = json.loads(os.environ["TF_CONFIG"])
role = config["task"]["type"]
path = os.environ["CLOUD_ML_HP_METRIC_FILE"]
os.makedirs(os.path.dirname(path), exist_ok=True)
def report(*values):
    with open(path + ".tmp", "w") as file:
        for step, value in enumerate(values, 1):
            line = {"checkpoint_path": "", "global_step": str(step), "loss": str(value), "timestamp": 1.0}
            file.write(json.dumps(line) + "\\n")
    os.rename(path + ".tmp", path)
print(json.dumps({"message": "told", "argv": sys.argv[1:], "trial": config["task"]["trial"], "id": trial, "role": role,
                  "model_dir": os.environ.get("AIP_MODEL_DIR", "")}))
mode = flags.get("mode", "")
if mode == "fail":
    sys.exit(2)
if mode == "wait":
    report(x)
    open(os.environ["FOLDER"] + "/up-" + trial, "w").close()
    time.sleep(600)
if mode == "behind" and trial == "3":
    report(100.0)
    time.sleep(600)
report(*([x + 1] * 4 if mode == "behind" else [(x - 3) ** 2 + 1, (x - 3) ** 2]))
"""
PARAM = {"parameterName": "x", "type": "INTEGER", "minValue": 1, "maxValue": 8, "scaleType": "UNIT_LINEAR_SCALE"}
BLOCK = {"goal": "MINIMIZE", "hyperparameterMetricTag": "loss", "maxTrials": 4, "maxParallelTrials": 2}
BLOCK |= {"algorithm": "GRID_SEARCH", "params": [PARAM]}


@pytest.fixture(scope="module")
def packages(storage):
    """The package whose module measures."""
    return [emulator.package(f"gs://{BUCKET}/packages", TASK)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where trials say that they run."""
    return tmp_path_factory.mktemp("said")


@pytest.fixture(scope="module")
def cloud(storage, folder, tmp_path_factory):
    """An emulator for all of these tests."""
    state = str(tmp_path_factory.mktemp("cloud") / "state")
    with emulator.running(state, "--grace-secs", "1", storage=storage, environ={"FOLDER": str(folder)}) as running:
        yield running


def submitted(cloud, job_id, packages, block, *args, **fields):
    """Submit a tuning job to Cloud ML Engine; returns its name."""
    given = training(packages, *args, hyperparameters=block, **fields)
    jobs = cloud.ml.projects().jobs()
    jobs.create(parent=f"projects/{PROJECT}", body={"jobId": job_id, "trainingInput": given}).execute()
    return f"projects/{PROJECT}/jobs/{job_id}"


def told(cloud, job):
    """What the primaries printed, by the trial that the entry is of."""
    entries = [entry for entry in cloud.log(job) if "jsonPayload" in entry]
    return {entry["labels"]["ml.googleapis.com/trial_id"]: entry["jsonPayload"] for entry in entries}


def test_a_tuning_job_of_cloud_ml_engine_lists_its_trials_best_first(cloud, packages):
    job = cloud.ended(submitted(cloud, "tuning_1", packages, BLOCK, "--y=1", jobDir=f"gs://{BUCKET}/job"))
    assert (job["state"], job.get("errorMessage")) == ("SUCCEEDED", None)
    output = job["trainingOutput"]
    assert output["isHyperparameterTuningJob"] is True
    assert (output["hyperparameterMetricTag"], output["completedTrialCount"]) == ("loss", "4")
    shown = [(trial["trialId"], trial["hyperparameters"], trial["finalMetric"]) for trial in output["trials"]]
    assert shown == [
        ("3", {"x": "3"}, {"trainingStep": "2", "objectiveValue": 0}),
        ("2", {"x": "2"}, {"trainingStep": "2", "objectiveValue": 1}),
        ("4", {"x": "4"}, {"trainingStep": "2", "objectiveValue": 1}),
        ("1", {"x": "1"}, {"trainingStep": "2", "objectiveValue": 4}),
    ]
    assert all(trial["state"] == "SUCCEEDED" and "endTime" in trial for trial in output["trials"])
    said = told(cloud, "tuning_1")
    assert said.keys() == {"1", "2", "3", "4"}
    for trial, line in said.items():
        assert line["argv"] == ["--y=1", f"--x={trial}", "--job-dir", f"gs://{BUCKET}/job/{trial}"]
        assert (line["trial"], line["id"]) == (trial, trial)


def test_a_tuning_job_of_vertex_ai_has_a_cluster_a_trial(cloud, packages):
    jobs = cloud.vertex.projects().locations().hyperparameterTuningJobs()
    bounds = {"minValue": "1", "maxValue": "8"}
    parameter = {"parameterId": "x", "integerValueSpec": bounds, "scaleType": "UNIT_LINEAR_SCALE"}
    body = {
        "displayName": "tuning",
        "studySpec": {
            "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
            "parameters": [parameter],
            "algorithm": "GRID_SEARCH",
        },
        "maxTrialCount": 3,
        "parallelTrialCount": 3,
        "trialJobSpec": {
            "workerPoolSpecs": [pool(packages), pool(packages)],
            "baseOutputDirectory": {"outputUriPrefix": f"gs://{BUCKET}/out"},
        },
    }
    made = jobs.create(parent=LOCATION, body=body).execute()
    job = cloud.ended(made["name"])
    assert (job["state"], job.get("error")) == ("JOB_STATE_SUCCEEDED", None)
    shown = [(trial["id"], trial["state"], trial["parameters"], trial["finalMeasurement"]) for trial in job["trials"]]
    assert shown == [
        (
            number,
            "SUCCEEDED",
            [{"parameterId": "x", "value": int(number)}],
            {"stepCount": "2", "metrics": [{"metricId": "loss", "value": value}]},
        )
        for number, value in (("1", 4.0), ("2", 1.0), ("3", 0.0))
    ]
    lines = [entry["jsonPayload"] for entry in cloud.log(made["name"].rpartition("/")[2]) if "jsonPayload" in entry]
    tasks = sorted((line["trial"], line["role"], line["model_dir"]) for line in lines)
    assert tasks == [(n, role, f"gs://{BUCKET}/out/{n}/model/") for n in "123" for role in ("chief", "worker")]
    assert [each["name"] for each in jobs.list(parent=LOCATION).execute()["hyperparameterTuningJobs"]] == [job["name"]]


def test_a_trial_that_is_behind_is_stopped_early(cloud, packages):
    block = BLOCK | {"maxTrials": 3, "maxParallelTrials": 1, "enableTrialEarlyStopping": True}
    job = cloud.ended(submitted(cloud, "behind_1", packages, block, "--mode=behind"))
    assert job["state"] == "SUCCEEDED"
    trials = {trial["trialId"]: trial for trial in job["trainingOutput"]["trials"]}
    assert trials["3"]["isTrialStoppedEarly"] is True
    assert "isTrialStoppedEarly" not in trials["1"]


def test_a_tuning_job_whose_trials_fail_fails(cloud, packages):
    block = BLOCK | {"maxFailedTrials": 2, "maxParallelTrials": 1}
    job = cloud.ended(submitted(cloud, "failing_1", packages, block, "--mode=fail"))
    assert job["state"] == "FAILED"
    assert "The replica chief 0 exited with a non-zero status of 2." in job["errorMessage"]
    assert [trial["state"] for trial in job["trainingOutput"]["trials"]] == ["FAILED", "FAILED"]


def test_a_cancelled_tuning_job_ends_its_trials(cloud, packages, folder):
    name = submitted(cloud, "cancelled_1", packages, BLOCK, "--mode=wait")
    wait_until(lambda: len(list(folder.glob("up-*"))) == 2)
    wait_until(lambda: all("finalMetric" in trial for trial in cloud.get(name)["trainingOutput"].get("trials", [{}])))
    cloud.ml.projects().jobs().cancel(name=name, body={}).execute()
    job = cloud.ended(name)
    assert job["state"] == "CANCELLED"
    assert [trial["state"] for trial in job["trainingOutput"]["trials"]] == ["CANCELLED", "CANCELLED"]
    assert json.dumps(job["trainingOutput"]["trials"][0]["finalMetric"])
