"""A training job of Cloud ML Engine in the words of Vertex AI: pure functions from one body to the other.

    body = translation.body(config.job, "vertex")           # {"displayName": ..., "jobSpec": {...}}

What has no word there is refused rather than dropped. Roles go by position: pool 0 is the chief, 1 the workers, 2 the
parameter servers, 3 the evaluators (https://cloud.google.com/vertex-ai/docs/training/distributed-training).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from trainer.cloud import machines, schema
from trainer.cloud.machines import Pool, Role
from trainer.cloud.schema import Problem, shown


Kind = Literal["customJobs", "hyperparameterTuningJobs"]
SCHEMAS: Mapping[str, str] = {
    "ml": "GoogleCloudMlV1__Job",
    "customJobs": "GoogleCloudAiplatformV1CustomJob",
    "hyperparameterTuningJobs": "GoogleCloudAiplatformV1HyperparameterTuningJob",
}
POSITIONS: tuple[Role, ...] = ("master", "worker", "parameterServer", "evaluator")
IMAGES = "docker.pkg.dev/vertex-ai/training"
SPECS: Mapping[str, tuple[str, Callable[[float], Any]]] = {
    "DOUBLE": ("doubleValueSpec", float),
    "INTEGER": ("integerValueSpec", lambda value: str(int(value))),
}


def problems(job: Mapping[str, Any]) -> Iterator[Problem]:
    """What of a job Vertex AI has no word for."""
    training = job["trainingInput"]
    if "priority" in training.get("scheduling", {}):
        yield Problem(("trainingInput", "scheduling", "priority"), "Vertex AI has no priorities; expected it left out")
    if "resumePreviousJobId" in training.get("hyperparameters", {}):
        path = ("trainingInput", "hyperparameters", "resumePreviousJobId")
        yield Problem(path, "Vertex AI cannot go on with another job's trials; expected it left out")
    for role in POSITIONS:
        if "tpuTfVersion" in training.get(f"{role}Config", {}):
            path = ("trainingInput", f"{role}Config", "tpuTfVersion")
            yield Problem(path, "Vertex AI takes the version from the image; expected it left out")
    for pool in machines.pools(training):
        if pool.machine.accelerator_type.endswith("_POD") and pool.machine.accelerator_type != "TPU_V4_POD":
            name = f"{pool.role}Config"
            text = f"{shown(pool.machine.accelerator_type)}: Vertex AI does not have it; expected another accelerator"
            yield Problem(("trainingInput", name, "acceleratorConfig", "type"), text)


def body(job: Mapping[str, Any], api: Literal["vertex", "ml"]) -> dict[str, Any]:
    """What is sent for a job without `problems`, checked once more by the published schema."""
    if api == "ml":
        schema.check(job, api="ml", schema=SCHEMAS["ml"])
        return dict(job)
    kind, found = of_job(job)
    schema.check(found, api="aiplatform", schema=SCHEMAS[kind])
    return found


def of_job(job: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]]:
    """The collection that the job belongs to at Vertex AI, and its body there."""
    training = job["trainingInput"]
    body: dict[str, Any] = {"displayName": job["jobId"]}
    if job.get("labels"):
        body["labels"] = dict(job["labels"])
    if "encryptionConfig" in training:
        body["encryptionSpec"] = {"kmsKeyName": training["encryptionConfig"]["kmsKeyName"]}
    if "hyperparameters" not in training:
        return "customJobs", body | {"jobSpec": job_spec(training)}
    block = training["hyperparameters"]
    counts = {"maxTrialCount": block.get("maxTrials", 1), "parallelTrialCount": block.get("maxParallelTrials", 1)}
    if "maxFailedTrials" in block:
        counts["maxFailedTrialCount"] = block["maxFailedTrials"]
    tuning = {"studySpec": study_spec(block), **counts, "trialJobSpec": job_spec(training)}
    return "hyperparameterTuningJobs", body | tuning


def job_spec(training: Mapping[str, Any]) -> dict[str, Any]:
    """The `CustomJobSpec` of a `trainingInput`."""
    pools = machines.pools(training)
    last = max(POSITIONS.index(pool.role) for pool in pools)
    by_role = {pool.role: _worker_pool(pool, training) for pool in pools}
    spec: dict[str, Any] = {"workerPoolSpecs": [by_role.get(role, {}) for role in POSITIONS[: last + 1]]}
    if "jobDir" in training:
        spec["baseOutputDirectory"] = {"outputUriPrefix": training["jobDir"]}
    for name in ("serviceAccount", "network", "enableWebAccess"):
        if name in training:
            spec[name] = training[name]
    asked = training.get("scheduling", {})
    words = {"maxRunningTime": "timeout", "maxWaitTime": "maxWaitDuration"}
    scheduling: dict[str, Any] = {word: asked[name] for name, word in words.items() if name in asked}
    if sum(pool.count for pool in pools) > 1:
        scheduling["restartJobOnWorkerRestart"] = True  # mirrored workers cannot go on without one of them
    return spec | ({"scheduling": scheduling} if scheduling else {})


def study_spec(block: Mapping[str, Any]) -> dict[str, Any]:
    """The `StudySpec` of a `hyperparameters` block, whose tag and goal are given."""
    spec: dict[str, Any] = {
        "metrics": [{"metricId": block["hyperparameterMetricTag"], "goal": block["goal"]}],
        "parameters": [_parameter(each) for each in block["params"]],
    }
    if block.get("algorithm", "").endswith("_SEARCH"):
        spec["algorithm"] = block["algorithm"]
    if block.get("enableTrialEarlyStopping"):
        spec["medianAutomatedStoppingSpec"] = {"useElapsedDuration": False}
    return spec


def hyperparameters_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """A `hyperparameters` block from a `HyperparameterTuningJob`: the way back from `of_job`."""
    study, metric = body["studySpec"], body["studySpec"]["metrics"][0]
    block: dict[str, Any] = {
        "hyperparameterMetricTag": metric["metricId"],
        "goal": metric["goal"],
        "maxTrials": body["maxTrialCount"],
        "maxParallelTrials": body["parallelTrialCount"],
        "enableTrialEarlyStopping": any(name.endswith("StoppingSpec") for name in study),
        "params": [_param(each) for each in study["parameters"]],
    }
    if "algorithm" in study:
        block["algorithm"] = study["algorithm"]
    if body.get("maxFailedTrialCount"):
        block["maxFailedTrials"] = body["maxFailedTrialCount"]
    return block


def image_of(training: Mapping[str, Any], pool: Pool) -> str:
    """The prebuilt container of a runtime version, from the registry nearest to the region.

    Named as https://cloud.google.com/vertex-ai/docs/training/pre-built-containers lists them. The newest there has
    TensorFlow 2.17; a package that wants another version has pip install it, as this one does.
    """
    region = training["region"].partition("-")[0]
    near = region if region in ("us", "europe", "asia") else "us"
    vendor = pool.machine.accelerator_type.partition("_")[0]
    kind, prefix = {"NVIDIA": ("gpu", "py"), "TPU": ("tpu", "cp")}.get(vendor, ("cpu", "py"))
    tensorflow, python = training["runtimeVersion"].replace(".", "-"), training["pythonVersion"].replace(".", "")
    return f"{near}-{IMAGES}/tf-{kind}.{tensorflow}.{prefix}{python}:latest"


def _worker_pool(pool: Pool, training: Mapping[str, Any]) -> dict[str, Any]:
    machine: dict[str, Any] = {"machineType": pool.machine.type}
    if pool.machine.accelerator_type:
        accelerator = {"acceleratorType": pool.machine.accelerator_type}
        machine |= {**accelerator, "acceleratorCount": pool.machine.accelerator_count}
    spec: dict[str, Any] = {"machineSpec": machine, "replicaCount": str(pool.count)}
    if "diskConfig" in pool.config:
        spec["diskSpec"] = dict(pool.config["diskConfig"])
    args, master = list(training.get("args", ())), training.get("masterConfig", {})
    image = pool.config.get("imageUri") or master.get("imageUri")
    if image:
        container: dict[str, Any] = {"imageUri": image}
        if command := pool.config.get("containerCommand"):
            container["command"] = list(command)
        container["args"] = list(pool.config.get("containerArgs", ())) or args
        return spec | {"containerSpec": container}
    package = {
        "executorImageUri": image_of(training, pool),
        "packageUris": list(training.get("packageUris", ())),
        "pythonModule": training["pythonModule"],
        "args": args,
    }
    return spec | {"pythonPackageSpec": package}


def _parameter(param: Mapping[str, Any]) -> dict[str, Any]:
    """A `ParameterSpec` of Vertex AI."""
    kind, found = param["type"], {"parameterId": param["parameterName"]}
    if kind in SPECS:
        name, number = SPECS[kind]
        found[name] = {"minValue": number(param["minValue"]), "maxValue": number(param["maxValue"])}
    elif kind == "DISCRETE":
        found["discreteValueSpec"] = {"values": list(param["discreteValues"])}
    else:
        found["categoricalValueSpec"] = {"values": list(param["categoricalValues"])}
    if param.get("scaleType", "NONE") != "NONE" and kind != "CATEGORICAL":
        found["scaleType"] = param["scaleType"]
    return found


def _param(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """A `ParameterSpec` of Cloud ML Engine."""
    found: dict[str, Any] = {"parameterName": parameter["parameterId"]}
    if "scaleType" in parameter:
        found["scaleType"] = parameter["scaleType"]
    for kind, (name, _) in SPECS.items():
        if name in parameter:
            bounds = parameter[name]
            return found | {"type": kind, "minValue": float(bounds["minValue"]), "maxValue": float(bounds["maxValue"])}
    if "discreteValueSpec" in parameter:
        return found | {"type": "DISCRETE", "discreteValues": list(parameter["discreteValueSpec"]["values"])}
    return found | {"type": "CATEGORICAL", "categoricalValues": list(parameter["categoricalValueSpec"]["values"])}
