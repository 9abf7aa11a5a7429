"""The gcloud command that sends the same job, for people who have gcloud and want to see what is sent.

    print(gcloud.equivalent(body, project="my-project", region="us-central1"))

gcloud's flags cannot say all that a body can, so the body is its configuration file, read from standard input.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any


def equivalent(body: Mapping[str, Any], *, project: str | None, region: str) -> str:
    """The command for a body of either service; of no project in particular where none is given."""
    place = {"project": project or "", "region": region, "labels": _pairs(body.get("labels", {}))}
    return _of_ml_engine(body, place) if "trainingInput" in body else _of_vertex(body, place)


def _of_ml_engine(body: Mapping[str, Any], place: Mapping[str, str]) -> str:
    training, flags = body["trainingInput"], dict(place)
    words = ["gcloud", "ai-platform", "jobs", "submit", "training", body["jobId"]]
    if "pythonModule" in training:
        flags["module-name"] = training["pythonModule"]
    if "jobDir" in training:
        flags["job-dir"] = training["jobDir"]
    return _command(words, flags, {"trainingInput": training})


def _of_vertex(body: Mapping[str, Any], place: Mapping[str, str]) -> str:
    key = body.get("encryptionSpec", {}).get("kmsKeyName", "")
    flags = {**place, "display-name": body["displayName"], "kms-key": key}
    if "jobSpec" in body:
        return _command(["gcloud", "ai", "custom-jobs", "create"], flags, body["jobSpec"])
    flags["max-trial-count"] = str(body["maxTrialCount"])
    flags["parallel-trial-count"] = str(body["parallelTrialCount"])
    config = {name: body[name] for name in ("studySpec", "trialJobSpec", "maxFailedTrialCount") if name in body}
    return _command(["gcloud", "ai", "hp-tuning-jobs", "create"], flags, config)


def _command(words: list[str], flags: Mapping[str, str], config: Mapping[str, Any]) -> str:
    given = [f"--{name}={value}" for name, value in flags.items() if value]
    text = json.dumps(config, indent=2, ensure_ascii=False)
    return f"{shlex.join([*words, *given, '--config=/dev/stdin'])} <<'END'\n{text}\nEND"


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
