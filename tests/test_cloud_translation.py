"""A job of Cloud ML Engine in the words of Vertex AI, by table."""

import pytest

from trainer.cloud import schema, translation


BASE = {
    "scaleTier": "BASIC",
    "region": "europe-west4",
    "runtimeVersion": "2.17",
    "pythonVersion": "3.10",
    "pythonModule": "trainer.task",
    "packageUris": ["gs://bucket/trainer-0.1.0.tar.gz"],
    "args": ["--experiment", "babyweight"],
}
CUSTOM = {"scaleTier": "CUSTOM", "masterType": "n1-standard-8"}
WORKERS = {"workerType": "n1-highcpu-8", "workerCount": "2"}
BLOCK = {
    "goal": "MINIMIZE",
    "hyperparameterMetricTag": "rmse",
    "maxTrials": 12,
    "maxParallelTrials": 3,
    "maxFailedTrials": 2,
    "enableTrialEarlyStopping": True,
    "algorithm": "RANDOM_SEARCH",
    "params": [
        {
            "parameterName": "learning-rate",
            "type": "DOUBLE",
            "minValue": 1e-4,
            "maxValue": 0.1,
            "scaleType": "UNIT_LOG_SCALE",
        },
        {"parameterName": "embedding-size", "type": "INTEGER", "minValue": 2, "maxValue": 8},
        {"parameterName": "features", "type": "CATEGORICAL", "categoricalValues": ["plain", "crossed"]},
        {"parameterName": "train-batch-size", "type": "DISCRETE", "discreteValues": [128, 512]},
    ],
}


def spec(**change):
    """The jobSpec of a job, proven to be of the published form."""
    found = translation.body({"jobId": "births_1", "trainingInput": {**BASE, **change}}, "vertex")
    assert schema.problems(found, api="aiplatform", schema="GoogleCloudAiplatformV1CustomJob") == []
    return found["jobSpec"]


def test_a_tier_becomes_one_pool_with_the_package():
    assert spec() == {
        "workerPoolSpecs": [
            {
                "machineSpec": {"machineType": "n1-standard-4"},
                "replicaCount": "1",
                "pythonPackageSpec": {
                    "executorImageUri": "europe-docker.pkg.dev/vertex-ai/training/tf-cpu.2-17.py310:latest",
                    "packageUris": ["gs://bucket/trainer-0.1.0.tar.gz"],
                    "pythonModule": "trainer.task",
                    "args": ["--experiment", "babyweight"],
                },
            }
        ]
    }


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"scaleTier": "STANDARD_1"}, ["1", "4", "3"]),
        ({"scaleTier": "PREMIUM_1"}, ["1", "19", "11"]),
        ({**CUSTOM, **WORKERS}, ["1", "2"]),
        ({**CUSTOM, **WORKERS, "evaluatorType": "n1-standard-4", "evaluatorCount": 1}, ["1", "2", None, "1"]),
        ({**CUSTOM, "parameterServerType": "standard", "parameterServerCount": 1}, ["1", None, "1"]),
    ],
)
def test_roles_go_by_position_and_a_missing_one_leaves_an_empty_pool(change, counts):
    found = spec(**change)
    assert [pool.get("replicaCount") for pool in found["workerPoolSpecs"]] == counts
    assert [pool for pool in found["workerPoolSpecs"] if not pool] == [{}] * counts.count(None)
    assert found["scheduling"] == {"restartJobOnWorkerRestart": True}


@pytest.mark.parametrize(
    ("change", "path", "expected"),
    [
        ({"jobDir": "gs://b/j"}, ("baseOutputDirectory",), {"outputUriPrefix": "gs://b/j"}),
        ({"serviceAccount": "a@b"}, ("serviceAccount",), "a@b"),
        ({"network": "projects/1/global/networks/n"}, ("network",), "projects/1/global/networks/n"),
        ({"enableWebAccess": True}, ("enableWebAccess",), True),
        ({"scheduling": {"maxRunningTime": "60s"}}, ("scheduling",), {"timeout": "60s"}),
        ({"scheduling": {"maxWaitTime": "9s"}}, ("scheduling",), {"maxWaitDuration": "9s"}),
        (
            {"scaleTier": "BASIC_GPU"},
            ("workerPoolSpecs", 0, "machineSpec"),
            {"machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1},
        ),
        (
            {"scaleTier": "BASIC_GPU", "region": "asia-east1"},
            ("workerPoolSpecs", 0, "pythonPackageSpec", "executorImageUri"),
            "asia-docker.pkg.dev/vertex-ai/training/tf-gpu.2-17.py310:latest",
        ),
        (
            {"scaleTier": "BASIC_TPU", "region": "southamerica-east1", "runtimeVersion": "2.15"},
            ("workerPoolSpecs", 0, "pythonPackageSpec", "executorImageUri"),
            "us-docker.pkg.dev/vertex-ai/training/tf-tpu.2-15.cp310:latest",
        ),
        (
            {**CUSTOM, "masterConfig": {"diskConfig": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200}}},
            ("workerPoolSpecs", 0, "diskSpec"),
            {"bootDiskType": "pd-ssd", "bootDiskSizeGb": 200},
        ),
        (
            {**CUSTOM, "masterConfig": {"imageUri": "i", "containerCommand": ["python", "-m", "a"]}},
            ("workerPoolSpecs", 0, "containerSpec"),
            {"imageUri": "i", "command": ["python", "-m", "a"], "args": ["--experiment", "babyweight"]},
        ),
        (
            {**CUSTOM, **WORKERS, "masterConfig": {"imageUri": "i"}, "workerConfig": {"containerArgs": ["--x"]}},
            ("workerPoolSpecs", 1, "containerSpec"),
            {"imageUri": "i", "args": ["--x"]},
        ),
    ],
)
def test_each_field_has_its_word(change, path, expected):
    found = spec(**change)
    for part in path:
        found = found[part]
    assert found == expected


def test_labels_and_the_key_go_to_the_job():
    job = {"jobId": "a", "labels": {"x": "y"}, "trainingInput": {**BASE, "encryptionConfig": {"kmsKeyName": "k"}}}
    found = translation.body(job, "vertex")
    assert (found["displayName"], found["labels"], found["encryptionSpec"]) == ("a", {"x": "y"}, {"kmsKeyName": "k"})


def test_a_search_becomes_a_tuning_job():
    found = translation.body({"jobId": "a", "trainingInput": {**BASE, "hyperparameters": BLOCK}}, "vertex")
    assert {name: found[name] for name in found if name.endswith("Count")} == {
        "maxTrialCount": 12,
        "parallelTrialCount": 3,
        "maxFailedTrialCount": 2,
    }
    assert found["studySpec"] == {
        "metrics": [{"metricId": "rmse", "goal": "MINIMIZE"}],
        "parameters": [
            {
                "parameterId": "learning-rate",
                "doubleValueSpec": {"minValue": 1e-4, "maxValue": 0.1},
                "scaleType": "UNIT_LOG_SCALE",
            },
            {"parameterId": "embedding-size", "integerValueSpec": {"minValue": "2", "maxValue": "8"}},
            {"parameterId": "features", "categoricalValueSpec": {"values": ["plain", "crossed"]}},
            {"parameterId": "train-batch-size", "discreteValueSpec": {"values": [128, 512]}},
        ],
        "algorithm": "RANDOM_SEARCH",
        "medianAutomatedStoppingSpec": {"useElapsedDuration": False},
    }
    assert found["trialJobSpec"] == spec()


def test_a_search_comes_back_as_it_was():
    found = translation.body({"jobId": "a", "trainingInput": {**BASE, "hyperparameters": BLOCK}}, "vertex")
    assert translation.hyperparameters_of(found) == BLOCK


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"scheduling": {"priority": 3}}, "trainingInput.scheduling.priority: "),
        (
            {"hyperparameters": {**BLOCK, "resumePreviousJobId": "a"}},
            "trainingInput.hyperparameters.resumePreviousJobId: ",
        ),
        ({"masterConfig": {"tpuTfVersion": "2.1"}}, "trainingInput.masterConfig.tpuTfVersion: "),
        (
            {**CUSTOM, "masterConfig": {"acceleratorConfig": {"type": "TPU_V3_POD", "count": 32}}},
            'trainingInput.masterConfig.acceleratorConfig.type: "TPU_V3_POD"',
        ),
    ],
)
def test_what_vertex_ai_has_no_word_for_is_a_problem(change, path):
    (problem,) = translation.problems({"jobId": "a", "trainingInput": {**BASE, **change}})
    assert str(problem).startswith(path)


def test_cloud_ml_engine_gets_the_job_itself():
    job = {"jobId": "a", "trainingInput": {**BASE, "hyperparameters": BLOCK}}
    assert translation.body(job, "ml") == job
