"""What the services ask of a job beyond the types of its fields."""

import pytest

from trainer.cloud import rules


TRAINING = {
    "scaleTier": "CUSTOM",
    "masterType": "n1-standard-8",
    "region": "us-central1",
    "runtimeVersion": "2.17",
    "pythonVersion": "3.10",
    "pythonModule": "trainer.task",
    "packageUris": ["gs://bucket/a.tar.gz"],
}


def said(change, **job):
    training = {name: value for name, value in {**TRAINING, **change}.items() if value is not None}
    return [str(problem) for problem in rules.problems({"jobId": "births_1", "trainingInput": training, **job})]


def test_a_job_that_keeps_them_has_no_problems():
    assert said({}) == []
    assert said({"workerCount": 2, "workerType": "standard", "parameterServerCount": 0}) == []
    assert said({"masterConfig": {"imageUri": "i"}, "runtimeVersion": None, "pythonVersion": None}) == []
    assert said({}, labels={"a": "b-1", "c_d": ""}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"masterType": None}, "trainingInput.masterType: not given, with scaleTier CUSTOM; expected a machine type"),
        ({"workerCount": 2}, "trainingInput.workerType: not given, with workerCount 2; expected a machine type"),
        ({"parameterServerCount": "1"}, "trainingInput.parameterServerType: not given, with parameterServerCount 1"),
        ({"evaluatorCount": 1}, "trainingInput.evaluatorType: not given, with evaluatorCount 1"),
        ({"workerCount": -1}, "trainingInput.workerCount: -1: expected 0 or more"),
        ({"scaleTier": "BASIC"}, 'trainingInput.masterType: "n1-standard-8": is for scaleTier CUSTOM only'),
        ({"scaleTier": None}, "trainingInput.scaleTier: not given; expected BASIC, "),
        (
            {"masterConfig": {"imageUri": "i"}},
            'trainingInput.runtimeVersion: "2.17": expected it or masterConfig.imageUri',
        ),
        ({"runtimeVersion": None}, "trainingInput.runtimeVersion: not given; expected a version"),
        ({"pythonVersion": None}, "trainingInput.pythonVersion: not given; expected a version"),
        ({"pythonModule": None}, "trainingInput.pythonModule: not given; expected a module"),
        ({"region": None}, "trainingInput.region: not given; expected a region"),
        ({"jobDir": "jobs/1"}, 'trainingInput.jobDir: "jobs/1": expected gs://BUCKET/PATH'),
        ({"jobDir": "gs://B/1"}, 'trainingInput.jobDir: "gs://B/1": expected gs://BUCKET/PATH'),
        ({"packageUris": ["a.tar.gz"]}, 'trainingInput.packageUris[0]: "a.tar.gz": expected gs://BUCKET/PATH'),
        (
            {"packageUris": ["gs://bucket/a.tar.gz", "gs://other/a.tar.gz"]},
            'trainingInput.packageUris[1]: "gs://other/a.tar.gz": has the file name of gs://bucket/a.tar.gz',
        ),
        ({"packageUris": [f"gs://bucket/{i}.tar.gz" for i in range(101)]}, "packageUris: 101 packages: expected 100"),
        ({"network": "default"}, 'trainingInput.network: "default": expected projects/NUMBER/global/networks/NAME'),
        ({"serviceAccount": "me"}, 'trainingInput.serviceAccount: "me": expected an email address'),
        ({"scheduling": {"priority": 1001}}, "trainingInput.scheduling.priority: 1001: expected 0 to 1000"),
        (
            {"scheduling": {"maxRunningTime": "0s"}},
            'trainingInput.scheduling.maxRunningTime: "0s": expected more than 0',
        ),
        ({"hyperparameters": {"params": []}}, "trainingInput.hyperparameters.params"),
    ],
)
def test_a_rule_that_is_broken_is_said_with_its_path(change, expected):
    assert expected in said(change)[0]


@pytest.mark.parametrize("job_id", ["1births", "births-1", "b" * 129, "", "häuser", "a b"])
def test_an_ill_formed_job_id_is_refused(job_id):
    (found,) = said({}, jobId=job_id)
    assert found.startswith("jobId: ")
    assert "expected letters, digits and _, a letter first" in found


@pytest.mark.parametrize("labels", [{"Team": "a"}, {"team": "A"}, {"1": "a"}, {"a": "b" * 64}])
def test_ill_formed_labels_are_refused(labels):
    (found,) = said({}, labels=labels)
    assert found.startswith("labels.")


def test_what_is_the_services_to_say_is_refused():
    assert said({}, state="RUNNING") == ["state: is not for a training job; expected labels and trainingInput"]
