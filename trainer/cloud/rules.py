"""What the services ask of a training job beyond the types of its fields.

    for problem in rules.problems(job): ...    # trainingInput.workerType: not given, with workerCount 2; expected ...

They are those that Cloud ML Engine documents for `TrainingInput`
(https://cloud.google.com/ai-platform/training/docs/reference/rest/v1/projects.jobs#TrainingInput).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.cloud.schema import Path, Problem, shown
from trainer.storage import paths
from trainer.tuning import space


ROLES = ("master", "worker", "parameterServer", "evaluator")
JOB_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
BUCKET_PATH = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")
NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
REGION = re.compile(r"[a-z][a-z0-9-]*")
MOST_PACKAGES = 100
OURS = ("jobId", "labels", "trainingInput")


def problems(job: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a job whose fields have the right types."""
    for name in job:
        if name not in OURS:
            yield Problem((name,), f"is not for a training job; expected {' and '.join(OURS[1:])}")
    if "jobId" in job and not JOB_ID.fullmatch(job["jobId"]):
        yield Problem(
            ("jobId",), f"{shown(job['jobId'])}: expected letters, digits and _, a letter first, at most 128 of them"
        )
    for key, value in job.get("labels", {}).items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            words = f"{shown(key)}: {shown(value)}: expected small letters, digits, _ and -, a letter first in the key"
            yield Problem(("labels", key), words)
    training = job.get("trainingInput", {})
    for problem in (*_cluster(training), *_environment(training), *_places(training), *_scheduling(training)):
        yield Problem(("trainingInput", *problem.path), problem.text)
    if "hyperparameters" in training:
        for problem in space.problems(training["hyperparameters"]):
            yield Problem(("trainingInput", "hyperparameters", *problem.path), problem.text)


def count_of(training: Mapping[str, Any], role: str) -> int:
    """How many replicas a role of a CUSTOM tier has."""
    return 1 if role == "master" else int(training.get(f"{role}Count", 0))


def _cluster(training: Mapping[str, Any]) -> Iterator[Problem]:
    custom = training.get("scaleTier") == "CUSTOM"
    if not training.get("scaleTier"):
        yield Problem(
            ("scaleTier",), "not given; expected BASIC, STANDARD_1, PREMIUM_1, BASIC_GPU, BASIC_TPU or CUSTOM"
        )
    for role in ROLES:
        for name in (f"{role}Type", f"{role}Count"):
            if name in training and not custom:
                yield Problem((name,), f"{shown(training[name])}: is for scaleTier CUSTOM only")
        if not custom:
            continue
        count = count_of(training, role)
        if count < 0:
            yield Problem((f"{role}Count",), f"{count}: expected 0 or more")
        if count > 0 and not training.get(f"{role}Type"):
            why = "with scaleTier CUSTOM" if role == "master" else f"with {role}Count {count}"
            yield Problem((f"{role}Type",), f"not given, {why}; expected a machine type, such as n1-standard-8")


def _environment(training: Mapping[str, Any]) -> Iterator[Problem]:
    """A runtime with a package, or an image."""
    image = training.get("masterConfig", {}).get("imageUri")
    if image and training.get("runtimeVersion"):
        yield Problem(
            ("runtimeVersion",), f"{shown(training['runtimeVersion'])}: expected it or masterConfig.imageUri, not both"
        )
    if image:
        return
    for name, example in (("runtimeVersion", "2.21"), ("pythonVersion", "3.11")):
        if not training.get(name):
            yield Problem((name,), f'not given; expected a version, such as "{example}", or masterConfig.imageUri')
    if not training.get("pythonModule"):
        yield Problem(("pythonModule",), "not given; expected a module to run, such as trainer.task")
    names: dict[str, str] = {}
    for index, uri in enumerate(training.get("packageUris", ())):
        if not BUCKET_PATH.fullmatch(uri):
            yield Problem(("packageUris", index), f"{shown(uri)}: expected gs://BUCKET/PATH")
        before = names.setdefault(paths.name(uri), uri)
        if before != uri:
            yield Problem(("packageUris", index), f"{shown(uri)}: has the file name of {before}; expected another one")
    if len(training.get("packageUris", ())) > MOST_PACKAGES:
        yield Problem(("packageUris",), f"{len(training['packageUris'])} packages: expected {MOST_PACKAGES} at most")


def _places(training: Mapping[str, Any]) -> Iterator[Problem]:
    if not training.get("region"):
        yield Problem(("region",), "not given; expected a region, such as us-central1")
    elif not REGION.fullmatch(training["region"]):
        yield Problem(("region",), f"{shown(training['region'])}: expected a region, such as us-central1")
    if "jobDir" in training and not BUCKET_PATH.fullmatch(training["jobDir"]):
        yield Problem(("jobDir",), f"{shown(training['jobDir'])}: expected gs://BUCKET/PATH")
    if "network" in training and not NETWORK.fullmatch(training["network"]):
        text = f"{shown(training['network'])}: expected projects/NUMBER/global/networks/NAME"
        yield Problem(("network",), text)
    if "serviceAccount" in training and "@" not in training["serviceAccount"]:
        yield Problem(("serviceAccount",), f"{shown(training['serviceAccount'])}: expected an email address")


def _scheduling(training: Mapping[str, Any]) -> Iterator[Problem]:
    scheduling = training.get("scheduling", {})
    if not 0 <= int(scheduling.get("priority", 0)) <= 1000:
        yield Problem(("scheduling", "priority"), f"{scheduling['priority']}: expected 0 to 1000")
    for name in ("maxRunningTime", "maxWaitTime"):
        path: Path = ("scheduling", name)
        if float(scheduling.get(name, "1s")[:-1]) <= 0:
            yield Problem(path, f"{shown(scheduling[name])}: expected more than 0 s")
