"""`python -m trainer.submit`: what is sent, what is refused before that, and how it is said."""

import functools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.scripted import answering
from tests.test_cloud_schema import places, replaced, second_opinion
from trainer import submit
from trainer.cloud import client, vertex
from trainer.cloud.service import Serving
from trainer.cloud.target import Target
from trainer.errors import RunError, UsageError
from trainer.settings import command


ROOT = Path(__file__).parent.parent
TRAINING = {
    "scaleTier": "CUSTOM",
    "masterType": "n1-standard-8",
    "workerType": "n1-standard-8",
    "workerCount": 2,
    "region": "us-central1",
    "runtimeVersion": "2.17",
    "pythonVersion": "3.10",
    "pythonModule": "trainer.task",
    "packageUris": ["gs://my-bucket/trainer-0.1.0.tar.gz"],
    "jobDir": "gs://my-bucket/job",
    "args": ["--experiment", "babyweight"],
    "scheduling": {"maxRunningTime": "3600s"},
    "hyperparameters": {
        "goal": "MINIMIZE",
        "hyperparameterMetricTag": "rmse",
        "maxTrials": 4,
        "params": [
            {
                "parameterName": "learning-rate",
                "type": "DOUBLE",
                "minValue": 1e-4,
                "maxValue": 0.1,
                "scaleType": "UNIT_LOG_SCALE",
            },
            {"parameterName": "features", "type": "CATEGORICAL", "categoricalValues": ["plain", "crossed"]},
        ],
    },
}
GIVEN = "--scale-tier basic --region r --runtime-version 2.17 --python-version 3.10"
BLOCK = TRAINING["hyperparameters"]
SCHEMAS = {"jobs": ("ml", "GoogleCloudMlV1__Job")} | {
    kind: ("aiplatform", f"GoogleCloudAiplatformV1{kind[0].upper()}{kind[1:-1]}")
    for kind in ("customJobs", "hyperparameterTuningJobs")
}


@pytest.fixture
def file(tmp_path):
    """A function that writes a config.yaml."""

    def write(job):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(job, sort_keys=False))
        return str(tmp_path / "config.yaml")

    return write


def call(*words, **environ):
    return submit.main(command.normalized(words), environ)


# What is sent.


@pytest.mark.parametrize("api", ["vertex", "ml"])
def test_a_dry_run_prints_the_body_and_the_same_as_a_gcloud_command_and_sends_nothing(api, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = ["--config", "config.yaml", "--staging-bucket", "gs://my-bucket", "--api", api, "--dry-run"]
    assert call("train", "births_1", *words, "--", "--train_steps", "20") == 0
    body, end = json.JSONDecoder().raw_decode(out := capsys.readouterr().out)
    assert second_opinion(*SCHEMAS["jobs" if api == "ml" else "customJobs"]).is_valid(body)
    assert out[end:].startswith("\ngcloud ai")
    sent = body["trainingInput"] if api == "ml" else body["jobSpec"]["workerPoolSpecs"][0]["pythonPackageSpec"]
    assert sent["args"] == ["--experiment", "babyweight", "--train_steps", "20"]
    assert re.fullmatch(r"gs://my-bucket/packages/[0-9a-f]{64}/trainer-0.1.0.tar.gz", sent["packageUris"][0])


def test_flags_win_over_the_config(file, capsys):
    words = ["--region", "asia-east1", "--worker-count", "5", "--labels", "a=b,c=d", "--service_account", "me@p"]
    assert call("train", "a", "--config", file({"trainingInput": TRAINING}), *words, "--api", "ml", "--dry-run") == 0
    body, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert (body["trainingInput"]["region"], body["trainingInput"]["workerCount"]) == ("asia-east1", 5)
    assert body["trainingInput"]["serviceAccount"] == "me@p"
    assert body["labels"] == {"a": "b", "c": "d"}
    assert call("train", "a", "--config", file({"trainingInput": TRAINING}), *words, "--dry-run") == 0
    body, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    assert [pool["replicaCount"] for pool in body["trialJobSpec"]["workerPoolSpecs"]] == ["1", "5"]


def test_a_job_that_names_its_packages_gets_no_other(file, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where there is no folder trainer
    assert call("train", "a", "--config", file({"trainingInput": TRAINING}), "--api", "ml", "--dry-run") == 0
    assert TRAINING["packageUris"][0] in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "births_1", "--config", "config.yaml",
    "--staging-bucket", "gs://my-bucket", "--dry-run"], ["train", "1", "--config", "config.yaml"]])  # fmt: skip
def test_what_needs_no_service_is_answered_without_tensorflow_and_googles_client(words):
    code = "\n".join(
        [
            "import sys",
            "from trainer import submit",
            "from trainer.settings import command",
            f"try: code = command.run(submit.main, prog='x', argv={words!r})",
            "except SystemExit as error: code = error.code",
            "heavy = {'tensorflow', 'keras', 'googleapiclient.discovery', 'google.cloud.storage'} & sys.modules.keys()",
            "sys.exit(f'imports {heavy}' if heavy else 0)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# What is refused, in one line, before anything is sent.


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (f"train 1births {GIVEN}", {}, 'JOB: jobId: "1births": expected letters, digits and _, a letter first'),
        (f"train a-b {GIVEN}", {}, 'JOB: jobId: "a-b"'),
        (f"train a {GIVEN}", {}, "--staging-bucket: not given, and no --job-dir; expected gs://BUCKET"),
        (f"train a {GIVEN} --staging-bucket my-bucket", {}, "--staging-bucket: my-bucket: expected gs://BUCKET"),
        ("train a --staging-bucket gs://my-bucket", {}, "trainingInput.scaleTier: not given; expected BASIC"),
        ("train a --scale-tier huge", {}, "--scale-tier: 'huge': expected one of basic, standard-1"),
        (
            f"train a {GIVEN} --job-dir jobs/a --staging-bucket gs://my-bucket",
            {},
            '--job-dir: trainingInput.jobDir: "jobs/a"',
        ),
        ("train a --labels team", {}, "--labels: 'team': expected KEY=VALUE,..."),
        ("train a --worker-count two", {}, "--worker-count: 'two': expected a whole number"),
        (
            f"train a {GIVEN} --package-path nowhere --staging-bucket gs://my-bucket",
            {},
            "--package-path: nowhere: no such folder",
        ),
        (
            f"train a {GIVEN} --package-path docs --staging-bucket gs://my-bucket",
            {},
            "--package-path: docs: has no __init__.py",
        ),
        ("train a --config nowhere.yaml", {}, "nowhere.yaml: no such file or directory"),
        ("status a -- --x", {}, "--x: unexpected; only train takes flags of the trainer"),
        ("status a", {}, "--project: not given; expected the id of a project, here or in GOOGLE_CLOUD_PROJECT"),
        ("status a --project p", {}, "--region: not given; expected a region, such as us-central1"),
        ("status a --region r", {"CLOUDSDK_CORE_PROJECT": "p"}, "no Google credentials"),
        ("status a --region r --project p --api-endpoint ftp://x", {}, "--api-endpoint: ftp://x: expected a URL"),
        ("status a --region r/s --project p", {}, "--region: 'r/s': expected a region"),
        ("status a --region r --project p/q", {}, "--project: 'p/q': expected the id of a project"),
        ("status a/b --region r --project p", {}, "JOB: 'a/b': expected letters, digits, _ and -"),
        ('predict "m" --json-instances f', {}, "MODEL: '\"m\"': expected letters, digits, _ and -"),
        (f"train a {GIVEN} --region r/s", {}, '--region: trainingInput.region: "r/s": expected a region'),
        ("status a --api azure", {}, "--api: invalid choice: 'azure'"),
        ("stat a", {}, "invalid choice: 'stat'"),
        ("", {}, "the following arguments are required: COMMAND"),
        (
            "deploy m --version V_1 --model-dir gs://b --region r --project p",
            {},
            "--version: V_1: expected letters and digits",
        ),
        (
            "deploy m --version v1 --model-dir jobs/a --region r --project p",
            {},
            "--model-dir: jobs/a: expected gs://BUCKET/PATH",
        ),
        ("predict m", {}, "one of the arguments --json-instances --json-request is required"),
    ],
)
def test_bad_usage_is_one_line(words, environ, said, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    code = command.run(lambda argv: submit.main(argv, environ), prog="trainer.submit", argv=words.split())
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("trainer.submit: error: ")
    assert err.count("\n") == 1
    assert code == (1 if "credentials" in said or "nowhere.yaml" in said else 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masterType": None}, "trainingInput.masterType: not given, with scaleTier CUSTOM"),
        ({"workerType": None}, "trainingInput.workerType: not given, with workerCount 2"),
        ({"masterConfig": {"imageUri": "i"}}, "trainingInput.runtimeVersion"),
        ({"region": None}, "trainingInput.region: not given"),
        ({"hyperparameters": {**BLOCK, "hyperparameterMetricTag": ""}}, "hyperparameterMetricTag: not given; expected"),
        ({"hyperparameters": {**BLOCK, "goal": "GOAL_TYPE_UNSPECIFIED"}}, "goal: not given; expected MINIMIZE"),
        ({"scheduling": {"priority": 3}}, "trainingInput.scheduling.priority: Vertex AI has no priorities"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_config_is_said_with_its_line_and_nothing_is_sent(change, said, file):
    training = {name: value for name, value in {**TRAINING, **change}.items() if value is not None}
    with answering(lambda request: (200, {})) as server, pytest.raises(UsageError) as raised:
        call(
            "train", "a", "--config", file({"trainingInput": training}), "--api-endpoint", server.url, "--project", "p"
        )
    assert re.match(r".*/config\.yaml:\d+: ", str(raised.value))
    assert said in str(raised.value)
    assert server.requests == []


# Mutations.

KEPT = (("trainingInput",), ("trainingInput", "packageUris"))  # without packages one would be built and stored


def mutated(job, seed):
    """A job with up to two mistakes, some of which do not matter."""
    dice = random.Random(seed)
    for _ in range(dice.randint(0, 2)):
        path = dice.choice([place for place in places(job) if place and place not in KEPT])
        values = [
            None,
            True,
            0,
            -1,
            3,
            2.5,
            10**20,
            "",
            "x",
            "BASIC",
            "gs://other/a.tar.gz",
            "5s",
            [],
            {},
            ["a"],
            {"a": 1},
        ]
        kind = dice.random()
        if kind < 0.6:
            job = replaced(job, path, dice.choice(values))
        elif isinstance(path[-1], str):
            inner = functools.reduce(lambda body, part: body[part], path[:-1], job)
            changed = {name: value for name, value in inner.items() if name != path[-1]}
            changed |= {} if kind < 0.8 else {path[-1] + "s": inner[path[-1]]}
            job = replaced(job, path[:-1], changed)
    return job


def tried(seed, file, server):
    """Send a mutated job; whether it was sent. What was refused has a path; what was sent is of the published form."""
    del server.requests[:]
    api = "ml" if seed % 2 else "vertex"
    path = file(mutated({"labels": {"team": "births"}, "trainingInput": TRAINING}, seed))
    words = ["--config", path, "--api", api, "--api-endpoint", server.url, "--project", "p"]
    try:
        assert call("train", "births_1", *words) == 0
    except RunError as error:
        said = str(error).replace(path, "config.yaml")
        assert re.match(r"(config\.yaml(:\d+)?: |JOB: |--[a-z-]+: )", said), said
        assert re.search(r"(trainingInput|labels|jobId|is there twice)", said) or "--staging-bucket" in said, said
        assert not any(request.method == "POST" for request in server.requests), said
        return False
    (sent,) = (request for request in server.requests if request.method == "POST")
    kind = sent.path.partition("?")[0].rpartition("/")[2]
    assert second_opinion(*SCHEMAS[kind]).is_valid(sent.body)
    return True


def created(request):
    """What a service says of a new job, or of a list of them."""
    if request.method == "GET":
        return 200, {}
    return 200, {"name": "projects/p/locations/r/customJobs/1", **request.body}


def test_500_mutated_jobs_are_of_the_published_form_or_refused_with_a_path(file):
    with answering(created) as server:
        sent = [tried(seed, file, server) for seed in range(500)]
    assert 50 < sum(sent) < 450, "of both kinds"


# What a service that is not well does.


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(client, "RETRY", client.RETRY.with_delay(initial=0.01, maximum=0.02).with_timeout(0.5))


def failing(status, body=None):
    content = body or {"error": {"code": status, "message": "Quota exceeded", "status": "X"}}
    return lambda request: (200, {}) if request.method == "GET" else (status, content)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (failing(429), r"a quota is used up \(429\): Quota exceeded; tried for 0\.5 s$"),
        (failing(503), r"the service is not available \(503\): Quota exceeded; tried for 0\.5 s$"),
        (failing(403), r"permission denied \(403\): Quota exceeded; expected a role"),
        (failing(200, b"<html>"), "the answer is no JSON object; expected the address of a service"),
    ],
)
@pytest.mark.parametrize("api", ["ml", "vertex"])
def test_a_service_that_fails_is_one_line(api, answer, said, file, impatient):
    words = ["--config", file({"trainingInput": TRAINING}), "--api", api, "--project", "p"]
    with answering(answer) as server, pytest.raises(RunError, match=said):
        call("train", "a", *words, "--api-endpoint", server.url)


@pytest.mark.parametrize("api", ["ml", "vertex"])
def test_a_job_whose_answer_was_lost_is_found_again_and_not_sent_twice(api, file, impatient, capsys):
    """The service makes the job and then fails to say so."""
    made = []

    def answer(request):
        if request.method == "POST":
            made.append(
                {"name": "projects/p/locations/r/hyperparameterTuningJobs/7", "createTime": "1", **request.body}
            )
            return 503, {"error": {"message": "later"}}
        if api == "ml":
            return (200, made[0]) if made else (404, {"error": {"message": "no"}})
        label = re.search(r"trainer-submission%3D%22(\w+)%22", request.path)
        found = [job for job in made if label and job["labels"]["trainer-submission"] == label[1]]
        return 200, {"hyperparameterTuningJobs": found} if "hyperparameterTuningJobs" in request.path else {}

    with answering(answer) as server:
        words = ["--config", file({"trainingInput": TRAINING}), "--api", api, "--project", "p"]
        assert call("train", "births_1", *words, "--api-endpoint", server.url) == 0
    assert len(made) == 1
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if "submitted" in line)
    assert line["job"] == "births_1"


@pytest.mark.parametrize("has_versions", [False, True])
def test_a_model_whose_answer_was_lost_is_found_again_and_not_uploaded_twice(
    has_versions, file, impatient, monkeypatch
):
    """The registry makes the version and then fails to say so."""
    monkeypatch.setattr("trainer.serving.locate.locate", lambda directory: directory)
    parent, posted = "projects/p/locations/r", []
    versions = [{"name": f"{parent}/models/5", "versionId": "1", "labels": {}}] if has_versions else []

    def answer(request):
        path = request.path.partition("?")[0]
        if path.endswith("/models:upload"):
            posted.append(path)
            versions.append(
                {"name": f"{parent}/models/5", "versionId": str(len(versions) + 1), **request.body["model"]}
            )
            return 503, {"error": {"message": "later"}}
        if path.endswith("/models/5@v2"):
            found = [each for each in versions if each.get("versionAliases") == ["v2"]]
            return (200, found[0]) if found else (404, {"error": {"message": "no"}})
        if path.endswith("/models"):
            return 200, {"models": versions[:1]} if has_versions or "labels" in request.path else {}
        if path.endswith("/endpoints") and request.method == "GET":
            return 200, {"endpoints": [{"name": f"{parent}/endpoints/9", "deployedModels": []}]}
        assert request.body["deployedModel"]["model"] == f"{parent}/models/5@{len(versions)}"
        return 200, {"name": f"{parent}/endpoints/9/operations/1", "done": True, "response": {}}

    with answering(answer) as server:
        service = vertex.Vertex(Target("vertex", "p", "r", server.url))
        name = service.deploy("babyweight", "v2", "gs://my-bucket/x", serving=Serving(region="r"), submission="x")
    assert name == f"{parent}/endpoints/9"
    assert len(posted) == 1
