"""Jobs of both services in a real emulator, asked through Google's own clients; tiny modules in place of a trainer."""

import http.client
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from googleapiclient.errors import HttpError

from tests import emulator
from tests.emulator import LOCATION, PROJECT, pool, state_of, training, wait_until


BUCKET = "emulated-jobs"
TASK = """
import json, os, signal, sys, time
def put(name, text=""):
    with open(os.path.join(os.environ["FOLDER"], name), "w") as file:
        file.write(str(text))
config = json.loads(os.environ["TF_CONFIG"])
role, index = config["task"]["type"], config["task"]["index"]
def deaf(number, frame):
    put(f"deaf-{role}-{index}")
def saving(number, frame):
    print("saved")
    put(f"saved-{role}-{index}")
    sys.exit(0)
exec(sys.argv[1])
"""
ENVIRON = """
names = ("TF_CONFIG", "CLUSTER_SPEC", "CLOUD_ML_JOB_ID", "CLOUD_ML_TRIAL_ID", "AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR",
         "AIP_TENSORBOARD_LOG_DIR", "CLOUD_ML_HP_METRIC_FILE", "COLOUR")
print(json.dumps({"message": "environ", "cwd": os.getcwd(), "argv": sys.argv[2:], "environ":
    {name: os.environ[name] for name in names if name in os.environ}}))
put(f"up-{role}-{index}")
while role in ("master", "chief") and sum(name[:3] == "up-" for name in os.listdir(os.environ["FOLDER"])) < COUNT:
    time.sleep(0.01)
if role == "ps":
    time.sleep(600)
"""
DEAF = "signal.signal(signal.SIGTERM, deaf); put(f'up-{role}-{index}'); time.sleep(600)"
SAVING = "signal.signal(signal.SIGTERM, saving); put(f'up-{role}-{index}'); time.sleep(600)"


@pytest.fixture(scope="module")
def packages(storage):
    """The package whose module runs what its first argument says."""
    return [emulator.package(f"gs://{BUCKET}/packages", TASK)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the replicas leave what tests wait for."""
    return tmp_path_factory.mktemp("said")


@pytest.fixture(scope="module")
def cloud(storage, folder, tmp_path_factory):
    """An emulator for all of these tests."""
    state = str(tmp_path_factory.mktemp("cloud") / "state")
    environ = {"FOLDER": str(folder), "TF_CONFIG": "{}", "AIP_MODEL_DIR": "/elsewhere", "CLOUD_ML_TRIAL_ID": "7"}
    with emulator.running(state, "--grace-secs", "5", "--jobs", "3", storage=storage, environ=environ) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def ml(cloud):
    """Submit a job to Cloud ML Engine; returns its name."""

    def submit(job_id, training_input, **fields):
        body = {"jobId": job_id, "trainingInput": training_input, **fields}
        cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body).execute()
        return f"projects/{PROJECT}/jobs/{job_id}"

    return submit


@pytest.fixture
def vertex(cloud):
    """Submit a job to Vertex AI; returns its name."""

    def submit(name, pools, **fields):
        labels = fields.pop("labels", {})
        body = {"displayName": name, "labels": labels, "jobSpec": {"workerPoolSpecs": pools, **fields}}
        jobs = cloud.vertex.projects().locations().customJobs()
        return jobs.create(parent=LOCATION, body=body).execute()["name"]

    return submit


def environ_of(cloud, job, task):
    """What a replica printed of its environment."""
    (found,) = [line for line in cloud.printed(job, task) if isinstance(line, dict)]
    config = json.loads(found["environ"].pop("TF_CONFIG"))
    return found, config


def last(name):
    return name.rpartition("/")[2]


# What the replicas are told


def test_each_replica_of_cloud_ml_engine_has_its_environment_and_arguments(cloud, ml, packages):
    sizes = {"masterType": "n1-standard-4", "workerType": "n1-standard-4", "parameterServerType": "n1-standard-4"}
    sizes |= {"workerCount": "2", "parameterServerCount": 1, "scaleTier": "CUSTOM", "runtimeVersion": "1.15"}
    given = training(packages, ENVIRON.replace("COUNT", "4"), "--x", jobDir=f"gs://{BUCKET}/job", **sizes)
    job = cloud.ended(ml("environ_1", given))
    assert (job["state"], job.get("errorMessage")) == ("SUCCEEDED", None)
    tasks = ["master-replica-0", "ps-replica-0", "worker-replica-0", "worker-replica-1"]
    assert {entry["resource"]["labels"]["task_name"] for entry in cloud.log("environ_1")} == {"service", *tasks}
    clusters = []
    for task in tasks:
        found, config = environ_of(cloud, "environ_1", task)
        role, _, index = task.split("-")
        assert found["argv"] == ["--x", "--job-dir", f"gs://{BUCKET}/job"]
        assert (config["task"]["type"], config["task"]["index"]) == (role, int(index))
        assert "trial" not in config["task"]
        assert (config["environment"], config["job"]) == ("cloud", given)
        metric_file = found["environ"].pop("CLOUD_ML_HP_METRIC_FILE")
        assert found["environ"] == {"CLOUD_ML_JOB_ID": "environ_1"}
        assert metric_file.startswith(cloud.state)
        assert found["cwd"].startswith(cloud.state)
        clusters.append(config["cluster"])
    assert all(cluster == clusters[0] for cluster in clusters)
    assert {role: len(hosts) for role, hosts in clusters[0].items()} == {"master": 1, "worker": 2, "ps": 1}


def test_each_replica_of_vertex_ai_has_its_environment_by_the_position_of_its_pool(cloud, vertex, packages):
    script, output = ENVIRON.replace("COUNT", "3"), f"gs://{BUCKET}/out"
    pools = [pool(packages, script, "--a"), {}, pool(packages, script), pool(packages, script)]
    pools[0]["pythonPackageSpec"]["env"] = [{"name": "COLOUR", "value": "green"}]
    name = vertex("environ", pools, baseOutputDirectory={"outputUriPrefix": output})
    job = cloud.ended(name)
    assert (job["state"], job.get("error")) == ("JOB_STATE_SUCCEEDED", None)
    tasks = {"workerpool0-0": "chief", "workerpool2-0": "ps", "workerpool3-0": "evaluator"}
    for task, role in tasks.items():
        found, config = environ_of(cloud, last(name), task)
        environ = found["environ"]
        spec = json.loads(environ.pop("CLUSTER_SPEC"))
        assert (config["task"]["type"], config["task"]["index"]) == (role, 0)
        assert config["cluster"].keys() == {"chief", "ps"}
        assert spec["cluster"].keys() == {"workerpool0", "workerpool2", "workerpool3"}
        assert spec["cluster"]["workerpool0"] == config["cluster"]["chief"]
        assert spec["task"] == {"type": task[:-2], "index": 0}
        assert json.loads(spec["job"]) == job["jobSpec"]
        assert environ.pop("CLOUD_ML_HP_METRIC_FILE").startswith(cloud.state)
        expected = {
            "CLOUD_ML_JOB_ID": last(name),
            "AIP_MODEL_DIR": f"{output}/model/",
            "AIP_CHECKPOINT_DIR": f"{output}/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": f"{output}/logs/",
        }
        assert environ == expected | ({"COLOUR": "green"} if role == "chief" else {})
        assert found["argv"] == (["--a"] if role == "chief" else [])


@pytest.mark.parametrize(("version", "role"), [("1.15", "master"), ("2.0", "master"), ("2.1", "chief")])
def test_the_primary_is_a_chief_from_runtime_2_1_on(cloud, ml, packages, version, role):
    name = ml(f"primary_{role}_{version[2:]}", training(packages, "print(role)", runtimeVersion=version))
    cloud.ended(name)
    assert cloud.printed(last(name), f"{role}-replica-0") == [role]


# Logs


def test_lines_become_entries_in_order_with_their_severities(cloud, ml, packages, folder):
    """The two streams are read side by side: a line is printed when that of the other stream is in the log."""
    lines = """
def heard(name):
    while not os.path.exists(os.path.join(os.environ["FOLDER"], name)):
        time.sleep(0.01)
print("plain", flush=True)
heard("plain")
print("wrong", file=sys.stderr, flush=True)
heard("wrong")
print(json.dumps({"severity": "WARNING", "message": "slow", "step": 3}))
print(json.dumps({"message": "no severity"}))
print(json.dumps({"severity": "LOUD", "message": "unknown"}))
print(json.dumps({"no": "message"}))
for step in range(200):
    print(step)
"""
    name = ml("lines_1", training(packages, lines))
    for line in ("plain", "wrong"):
        wait_until(lambda line=line: line in cloud.printed("lines_1", "chief-replica-0"))
        (folder / line).touch()
    cloud.ended(name)
    entries = [entry for entry in cloud.log("lines_1") if "replica" in entry["resource"]["labels"]["task_name"]]
    shown = [(entry["severity"], entry.get("textPayload") or entry.get("jsonPayload")) for entry in entries]
    assert shown == [
        ("INFO", "plain"),
        ("ERROR", "wrong"),
        ("WARNING", {"message": "slow", "step": 3}),
        ("INFO", {"message": "no severity"}),
        ("INFO", {"message": "unknown"}),
        ("INFO", '{"no": "message"}'),
        *(("INFO", str(step)) for step in range(200)),
    ]
    assert len({entry["insertId"] for entry in entries}) == len(entries)
    times = [entry["timestamp"] for entry in entries]
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in times)
    labels = {"job_id": "lines_1", "project_id": PROJECT, "task_name": "chief-replica-0"}
    assert entries[0]["resource"] == {"type": "ml_job", "labels": labels}


def test_the_log_is_listed_by_severity_time_and_pages_from_both_ends(cloud, ml, packages):
    cloud.ended(ml("pages_1", training(packages, "for i in range(9): print(i, file=sys.stderr)")))
    errors = cloud.log("pages_1", "severity>=ERROR")
    assert [entry["textPayload"] for entry in errors] == list(map(str, range(9)))
    since = errors[4]["timestamp"]
    assert [e["textPayload"] for e in cloud.log("pages_1", f'severity>=ERROR timestamp>="{since}"')] == list("45678")
    assert [e["textPayload"] for e in cloud.log("pages_1", f'severity>=ERROR timestamp>"{since}"')] == list("5678")
    body = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": 'resource.labels.job_id="pages_1"\nseverity=ERROR',
        "orderBy": "timestamp desc",
        "pageSize": 4,
    }
    found, sizes = [], []
    while True:
        answer = cloud.logging.entries().list(body=body).execute()
        found += [entry["textPayload"] for entry in answer["entries"]]
        sizes.append(len(answer["entries"]))
        if "nextPageToken" not in answer:
            break
        body["pageToken"] = answer["nextPageToken"]
    assert ("".join(found), sizes) == ("876543210", [4, 4, 1])


# How jobs end


def test_a_failing_master_fails_its_job_in_the_words_of_cloud_ml_engine(cloud, ml, packages):
    job = cloud.ended(ml("failing_1", training(packages, "sys.exit(3)", runtimeVersion="1.15")))
    assert job["state"] == "FAILED"
    assert job["errorMessage"] == "The replica master 0 exited with a non-zero status of 3."
    assert job["createTime"] < job["startTime"] < job["endTime"]


def test_a_failing_worker_fails_its_job_soon_in_the_words_of_vertex_ai(cloud, vertex, packages, folder):
    worker = "put('failing'); sys.exit(1) if index else time.sleep(600)"
    pools = [pool(packages, "time.sleep(600)"), pool(packages, worker, count=2)]
    name = vertex("failing", pools)
    wait_until((folder / "failing").exists)
    job = cloud.ended(name)  # of which the others would run for longer
    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["message"] == "The replica workerpool1-1 exited with a non-zero status of 1."


def test_a_replica_that_is_killed_is_told_by_its_signal(cloud, vertex, packages):
    name = vertex("killed", [pool(packages, "os.kill(os.getpid(), signal.SIGKILL)")])
    message = "The replica workerpool0-0 exited with a non-zero status of 9(SIGKILL)."
    assert cloud.ended(name)["error"]["message"] == message


def test_a_package_that_is_not_there_fails_its_job(cloud, ml):
    job = cloud.ended(ml("missing_1", training([f"gs://{BUCKET}/none.tar.gz"])))
    assert job["state"] == "FAILED"
    assert job["errorMessage"].startswith(f"gs://{BUCKET}/none.tar.gz: no such object")
    assert cloud.log("missing_1", "severity>=ERROR")[-1]["textPayload"] == job["errorMessage"]


def test_a_cancelled_job_may_save_first(cloud, ml, packages, folder):
    name = ml("saving_1", training(packages, SAVING))
    wait_until((folder / "up-chief-0").exists)
    assert cloud.ml.projects().jobs().cancel(name=name, body={}).execute() == {}
    job = cloud.ended(name)
    assert job["state"] == "CANCELLED"
    assert (folder / "saved-chief-0").exists()
    assert cloud.printed("saving_1", "chief-replica-0") == ["saved"]


def test_a_cancelled_job_that_is_deaf_is_killed(cloud, vertex, packages, folder):
    name = vertex("deaf", [pool(packages, DEAF), pool(packages, DEAF)])
    wait_until(lambda: (folder / "up-chief-0").exists() and (folder / "up-worker-0").exists())
    cloud.vertex.projects().locations().customJobs().cancel(name=name, body={}).execute()
    assert state_of(cloud.get(name)) == "CANCELLING"
    assert state_of(cloud.ended(name)) == "CANCELLED"
    assert (folder / "deaf-chief-0").exists()
    assert (folder / "deaf-worker-0").exists()


def test_a_job_that_has_ended_cannot_be_cancelled(cloud, ml, packages):
    name = ml("ended_1", training(packages, "pass"))
    cloud.ended(name)
    error = refusal(cloud.ml.projects().jobs().cancel(name=name, body={}))
    assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
    assert state_of(cloud.get(name)) == "SUCCEEDED"


def test_a_job_that_outlives_its_time_is_ended(cloud, ml, vertex, packages):
    first = ml("late_1", training(packages, "time.sleep(600)", scheduling={"maxRunningTime": "1s"}))
    second = vertex("late", [pool(packages, "time.sleep(600)")], scheduling={"timeout": "1s"})
    assert cloud.ended(first)["errorMessage"] == "The job ran longer than the 1 s that it may."
    assert cloud.ended(second)["error"]["message"] == "The job ran longer than the 1 s that it may."
    assert state_of(cloud.get(first)) == state_of(cloud.get(second)) == "CANCELLED"


def test_the_others_end_with_the_primary(cloud, ml, packages, folder):
    sizes = {"masterType": "a", "workerType": "a", "workerCount": "1", "scaleTier": "CUSTOM"}
    script = f"""
put("pid-" + role, os.getpid())
while role == "chief" and not os.path.exists({str(folder / "pid-worker")!r}):
    time.sleep(0.01)
role == "worker" and time.sleep(600)
"""
    name = ml("primary_1", training(packages, script, **sizes))
    assert cloud.ended(name)["state"] == "SUCCEEDED"
    assert not os.path.exists(f"/proc/{(folder / 'pid-worker').read_text()}")


def test_a_job_beyond_those_that_may_run_is_queued_until_its_turn(cloud, ml, packages, folder):
    waiting = f"while not os.path.exists({str(folder / 'go')!r}): time.sleep(0.01)"
    names = [ml(f"turns_{number}", training(packages, waiting)) for number in range(5)]
    for name in names[:3]:
        cloud.wait_for(name, "RUNNING")
    assert [cloud.get(name)["state"] for name in names[3:]] == ["QUEUED", "QUEUED"]
    cloud.ml.projects().jobs().cancel(name=names[3], body={}).execute()
    assert cloud.ended(names[3])["state"] == "CANCELLED"
    (folder / "go").touch()
    assert [cloud.ended(name)["state"] for name in names] == ["SUCCEEDED"] * 3 + ["CANCELLED", "SUCCEEDED"]
    assert "startTime" not in cloud.get(names[3])


# What is refused


def refusal(request):
    """The error that a request is answered with."""
    with pytest.raises(HttpError) as found:
        request.execute()
    error = json.loads(found.value.content)["error"]
    assert error["code"] == found.value.resp.status
    return error


def asked(url, body=None, headers=None):
    """The status and body of an answer to plain HTTP."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_an_id_is_taken_for_ever(cloud, ml, packages):
    cloud.ended(ml("taken_1", training(packages, "pass")))
    body = {"jobId": "taken_1", "trainingInput": training(packages, "pass")}
    error = refusal(cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body))
    assert (error["code"], error["status"]) == (409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"args": ["a", 3]}, "trainingInput.args[1]"),
        ({"scaleTier": "HUGE"}, "trainingInput.scaleTier"),
        ({"workers": 2}, "trainingInput.workers"),
        ({"workerCount": "2"}, "trainingInput.workerCount"),
        ({"region": ""}, "trainingInput.region"),
        ({"packageUris": []}, "trainingInput.packageUris"),
        ({"jobDir": "jobs/1"}, "trainingInput.jobDir"),
        ({"scaleTier": "PREMIUM_1"}, "31 replicas"),
        ({"masterConfig": {"imageUri": "gcr.io/x/y"}}, "trainingInput.runtimeVersion"),
        ({"hyperparameters": {"goal": "MINIMIZE", "params": []}}, "trainingInput.hyperparameters"),
    ],
)
def test_a_body_is_refused_with_the_path_of_what_is_wrong(cloud, changed, place):
    body = {"jobId": "refused_1", "trainingInput": training([f"gs://{BUCKET}/a.tar.gz"]) | changed}
    status, answer = asked(f"{cloud.url}/v1/projects/{PROJECT}/jobs", body)
    assert (status, answer["error"]["code"], answer["error"]["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert place in answer["error"]["message"]
    assert asked(f"{cloud.url}/v1/projects/{PROJECT}/jobs/refused_1")[0] == 404


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({"workerPoolSpecs": []}, "jobSpec.workerPoolSpecs"),
        ({"workerPoolSpecs": [{}]}, "jobSpec.workerPoolSpecs"),
        ({"workerPoolSpecs": [pool(["gs://bucket/a"], count=2)]}, "jobSpec.workerPoolSpecs[0].replicaCount"),
        ({"workerPoolSpecs": [pool(["gs://bucket/a"], pythonModule="")]}, "pythonPackageSpec.pythonModule"),
        ({"workerPoolSpecs": [pool(["a.tar.gz"])]}, "pythonPackageSpec.packageUris[0]"),
        (
            {"workerPoolSpecs": [{"machineSpec": {"machineType": "a"}, "containerSpec": {"imageUri": "b"}}]},
            "containerSpec: this emulator runs no containers",
        ),
        ({"workerPoolSpecs": [pool(["gs://bucket/a"])], "retries": 3}, "jobSpec.retries"),
        ({"workerPoolSpecs": [pool(["gs://bucket/a"], count=1), pool(["gs://bucket/a"], count=40)]}, "41 replicas"),
        (
            {"workerPoolSpecs": [pool(["gs://bucket/a"])], "baseOutputDirectory": {"outputUriPrefix": "out"}},
            "jobSpec.baseOutputDirectory.outputUriPrefix",
        ),
    ],
)
def test_a_spec_is_refused_with_the_path_of_what_is_wrong(cloud, spec, place):
    body = {"displayName": "refused", "jobSpec": spec}
    status, answer = asked(f"{cloud.url}/v1/{LOCATION}/customJobs", body)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert place in answer["error"]["message"]


def test_what_is_no_json_and_what_is_not_there_is_said_in_googles_form(cloud):
    status, answer = asked(f"{cloud.url}/v1/projects/{PROJECT}/jobs", b"{")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    for path in ("jobs/none", "nothing"):
        status, answer = asked(f"{cloud.url}/v1/projects/{PROJECT}/{path}")
        assert (status, answer["error"]["code"], answer["error"]["status"]) == (404, 404, "NOT_FOUND")
    error = refusal(cloud.vertex.projects().locations().customJobs().get(name=f"{LOCATION}/customJobs/12"))
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")


def test_a_connection_on_which_nobody_asks_for_a_while_is_kept(cloud):
    connection = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=60)
    for pause_s in (0, 6):  # uvicorn's own patience is 5 s
        time.sleep(pause_s)
        connection.request("GET", f"/v1/projects/{PROJECT}/jobs")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
        assert connection.sock is not None
    connection.close()


@pytest.mark.parametrize("headers", [{"Origin": "https://example.com"}, {"Host": "example.com:8600"}])
def test_a_web_page_cannot_run_code_here(cloud, packages, headers):
    body = {"jobId": "page_1", "trainingInput": training(packages, "put('page')")}
    status, answer = asked(f"{cloud.url}/v1/projects/{PROJECT}/jobs", body, headers)
    assert (status, answer["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_what_the_service_says_is_not_taken_from_a_client(cloud, ml, packages):
    name = ml("output_1", training(packages, "pass"), state="FAILED", errorMessage="no", endTime="2001-01-01T00:00:00Z")
    job = cloud.ended(name)
    assert (job["state"], job.get("errorMessage"), job["endTime"] > "2002") == ("SUCCEEDED", None, True)


# Lists


def test_jobs_of_cloud_ml_engine_are_listed_newest_first_in_pages_and_by_state(cloud, ml, packages):
    names = [last(ml(f"list_{number}", training(packages, f"sys.exit({number % 2})"))) for number in range(4)]
    for name in names:
        cloud.ended(f"projects/{PROJECT}/jobs/{name}")
    jobs, parent = cloud.ml.projects().jobs(), f"projects/{PROJECT}"
    found, request = [], jobs.list(parent=parent, filter="jobId:list_*", pageSize=3)
    sizes = []
    while request is not None:
        answer = request.execute()
        found += [job["jobId"] for job in answer["jobs"]]
        sizes.append(len(answer["jobs"]))
        request = jobs.list_next(request, answer)
    assert (found, sizes) == (names[::-1], [3, 1])
    answer = jobs.list(parent=parent, filter="jobId:list_* AND state=FAILED").execute()
    assert [job["jobId"] for job in answer["jobs"]] == ["list_3", "list_1"]
    assert jobs.list(parent="projects/another").execute() == {}


def test_jobs_of_vertex_ai_are_listed_by_name_and_labels(cloud, vertex, packages):
    pools = [pool(packages, "pass")]
    made = [vertex("twin", pools, labels={"side": side}) for side in ("left", "right")] + [vertex("other", pools)]
    for name in made:
        cloud.ended(name)
    jobs = cloud.vertex.projects().locations().customJobs()

    def listed(wanted):
        answer = jobs.list(parent=LOCATION, filter=wanted).execute()
        return [job["name"] for job in answer.get("customJobs", [])]

    assert listed('displayName="twin"') == [made[1], made[0]]
    assert listed('display_name="twin" AND labels.side="left"') == [made[0]]
    assert listed('labels.side="left" AND displayName="other"') == []
    assert listed('state="JOB_STATE_SUCCEEDED" AND displayName="other"') == [made[2]]
    error = refusal(jobs.list(parent=LOCATION, filter='displayName="twin" OR displayName="other"'))
    assert error["status"] == "INVALID_ARGUMENT"


# The end of the emulator, and its next beginning


def test_what_ran_has_failed_when_the_emulator_comes_back_and_no_process_is_left(storage, packages, folder, tmp_path):
    state, environ = str(tmp_path / "state"), {"FOLDER": str(folder)}
    body = training(packages, "put('pid', os.getpid()); print('line'); time.sleep(600)")
    with emulator.running(state, storage=storage, environ=environ) as cloud:
        jobs = cloud.ml.projects().jobs()
        for number in (1, 2, 3):  # two run, one waits
            jobs.create(parent=f"projects/{PROJECT}", body={"jobId": f"lost_{number}", "trainingInput": body}).execute()
        wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
        wait_until(lambda: "line" in cloud.printed("lost_1", "chief-replica-0"))
        pid = int((folder / "pid").read_text())
        cloud.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
    with emulator.running(state, storage=storage, environ=environ) as cloud:
        for number in (1, 2, 3):
            job = cloud.get(f"projects/{PROJECT}/jobs/lost_{number}")
            assert job["state"] == "FAILED"
            assert job["errorMessage"].startswith("The emulator was ended while the job was")
            assert job["endTime"] > job["createTime"]
        lines = [entry.get("textPayload") for entry in cloud.log("lost_1")]
        assert "line" in lines


def test_an_emulator_that_is_asked_to_end_lets_jobs_save_and_says_what_became_of_them(
    storage, packages, folder, tmp_path
):
    state, environ = str(tmp_path / "state"), {"FOLDER": str(folder)}
    with emulator.running(state, storage=storage, environ=environ) as cloud:
        body = {"jobId": "asked_1", "trainingInput": training(packages, SAVING)}
        cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body).execute()
        wait_until((folder / "up-chief-0").exists)
        assert cloud.end() == 0
        assert (folder / "saved-chief-0").exists()
    with emulator.running(state, storage=storage, environ=environ) as cloud:
        job = cloud.get(f"projects/{PROJECT}/jobs/asked_1")
        assert job["state"] == "FAILED"
        assert "The emulator was ended" in job["errorMessage"]


def test_a_second_signal_ends_the_emulator_and_the_deaf_at_once(storage, packages, folder, tmp_path):
    environ = {"FOLDER": str(folder)}
    with emulator.running(str(tmp_path / "state"), storage=storage, environ=environ) as cloud:
        body = {"jobId": "deaf_1", "trainingInput": training(packages, f"put('pid', os.getpid()); {DEAF}")}
        cloud.ml.projects().jobs().create(parent=f"projects/{PROJECT}", body=body).execute()
        wait_until((folder / "up-chief-0").exists)
        cloud.process.send_signal(signal.SIGINT)
        wait_until((folder / "deaf-chief-0").exists)
        cloud.process.send_signal(signal.SIGINT)
        assert cloud.process.wait(4) == 0  # it would give jobs 5 s to save
        assert not Path(f"/proc/{(folder / 'pid').read_text()}").exists()
