"""The job that `config.yaml` describes, in the form of Cloud ML Engine, and where each part of it was written.

    config = read("config.yaml")
    config = overridden(config, {("trainingInput", "region"): ("--region", "us-central1")})
    check(config)                  # raises UsageError: config.yaml:4: trainingInput.scaleTier: "BASI": expected ...
    config.job["trainingInput"]

The form is that of `gcloud ai-platform jobs submit training --config`: `trainingInput` and perhaps `labels`, as YAML or
JSON. One file serves both services: what Vertex AI is sent is translated from it (`cloud/translation.py`).
"""

import copy
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from trainer.cloud import rules, schema
from trainer.cloud.schema import Path, Problem, dotted
from trainer.errors import UsageError
from trainer.storage import paths


SCHEMA = "GoogleCloudMlV1__Job"
TRAINING = "trainingInput"
EXPONENTIAL = re.compile(r"-?\d+(\.\d+)?[eE][-+]?\d+")


@dataclass(frozen=True)
class Config:
    """A job as ml.v1's `Job`, and for each path in it where it is from: `config.yaml:7` or a flag."""

    job: Mapping[str, Any] = field(default_factory=lambda: {TRAINING: {}})
    origins: Mapping[Path, str] = field(default_factory=dict)

    @property
    def training(self) -> Mapping[str, Any]:
        """The `trainingInput`."""
        found: Mapping[str, Any] = self.job[TRAINING]
        return found

    def error(self, problem: Problem) -> UsageError:
        """The problem as an error that says where it was written."""
        places = (problem.path[:length] for length in range(len(problem.path), -1, -1))
        origin = next((self.origins[place] for place in places if place in self.origins), "")
        return UsageError(f"{origin}: {problem}" if origin else str(problem))


def read(path: str) -> Config:
    """The job in a file. Raises `UsageError` for what is no YAML, or not of the form of a job."""
    try:
        text = paths.read_bytes(path).decode()
        node = yaml.compose(text, yaml.SafeLoader)
        origins: dict[Path, str] = {}
        job = _value(node, (), path, origins) if node else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}{_line(error)}: is not YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply, or within itself") from error
    if not isinstance(job, dict) or not isinstance(job.get(TRAINING), dict):
        raise UsageError(f"{path}: expected the key {TRAINING}, with an object; see config.yaml of this package")
    config = Config(job, origins)
    for problem in schema.problems(job, api="ml", schema=SCHEMA):
        raise config.error(problem)
    return config


def overridden(config: Config, values: Mapping[Path, tuple[str, Any]]) -> Config:
    """The job with other values at some paths, each with the flag that it is from; a None changes nothing."""
    job, origins = copy.deepcopy(dict(config.job)), dict(config.origins)
    for path, (flag, value) in values.items():
        if value is None:
            continue
        inner: Any = job
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
        origins[path] = flag
    return Config(job, origins)


def check(config: Config) -> None:
    """Raise `UsageError`, saying where it was written, for the first thing that makes no job of it."""
    for problem in [*schema.problems(config.job, api="ml", schema=SCHEMA), *rules.problems(config.job)]:
        raise config.error(problem)


def _value(node: yaml.Node, path: Path, file: str, origins: dict[Path, str]) -> Any:
    """What a node of YAML says; `origins` gets the line of each path."""
    origins.setdefault(path, f"{file}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*path, index), file, origins) for index, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    found: dict[Hashable, Any] = {}
    for key, value in node.value:
        name = _scalar(key) if isinstance(key, yaml.ScalarNode) else str(key.value)
        line = f"{file}:{key.start_mark.line + 1}"
        if name in found:
            raise UsageError(f"{line}: {dotted((*path, str(name)))}: is there twice; expected it once")
        origins[(*path, name)] = line
        found[name] = _value(value, (*path, name), file, origins)
    return found


def _scalar(node: yaml.Node) -> Any:
    """A text, number, truth or nothing; a date, which JSON does not have, as the text that it is."""
    loader = yaml.SafeLoader("")
    value = loader.construct_object(node)
    if isinstance(value, str) and node.style is None and EXPONENTIAL.fullmatch(value):
        return float(value)  # 3e-4, a number since YAML 1.2, and text to this reader of 1.1
    return value if isinstance(value, (str, int, float, bool, type(None))) else node.value


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f":{mark.line + 1}" if mark else ""
