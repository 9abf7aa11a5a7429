"""The job to send: what the config says, what flags change in it, and the package of its sources.

config = jobs.completed(config, args=["--train-steps", "2000"])
config = jobs.packaged(config, archive, staging="gs://my-bucket")
body = jobs.body(config, "vertex")              # raises UsageError, saying where the mistake was written
"""

from collections.abc import Iterator, Sequence
from typing import Any

from trainer.cloud import config as configs
from trainer.cloud import package, translation
from trainer.cloud.config import TRAINING, Config, overridden
from trainer.cloud.package import Archive
from trainer.cloud.rules import BUCKET_PATH
from trainer.cloud.schema import Path, Problem
from trainer.cloud.target import Api
from trainer.errors import UsageError


MODULE = "trainer.task"
UNSPECIFIED = "GOAL_TYPE_UNSPECIFIED"


def completed(config: Config, args: Sequence[str]) -> Config:
    """The job with more arguments of the trainer, which win over those before them, and with a module to run."""
    changes: dict[Path, tuple[str, Any]] = {}
    if not config.training.get("pythonModule") and not image_of(config):
        changes[(TRAINING, "pythonModule")] = ("--module-name", MODULE)
    if args:
        changes[(TRAINING, "args")] = ("after --", [*config.training.get("args", ()), *args])
    return overridden(config, changes)


def needs_package(config: Config) -> bool:
    """Whether there is nothing to run yet: neither an image nor packages that are stored already."""
    return not image_of(config) and not config.training.get("packageUris")


def packaged(config: Config, archive: Archive, *, staging: str | None) -> Config:
    """The job with a package, which is to be stored below `staging`, else below the job dir."""
    place = staging or config.training.get("jobDir")
    if not place:
        raise UsageError("--staging-bucket: not given, and no --job-dir; expected gs://BUCKET, where the package goes")
    if staging and not BUCKET_PATH.fullmatch(staging):
        raise UsageError(f"--staging-bucket: {staging}: expected gs://BUCKET, or a folder in one")
    uris = [*config.training.get("packageUris", ()), package.location(archive, place)]
    flag = "--staging-bucket" if staging else "--job-dir"
    return overridden(config, {(TRAINING, "packageUris"): (flag, uris)})


def check(config: Config, api: Api) -> None:
    """Raise `UsageError` for the first mistake in a job, and for what the service has no word for."""
    configs.check(config)
    for problem in (*_unmeasured(config), *(translation.problems(config.job) if api == "vertex" else ())):
        raise config.error(problem)


def image_of(config: Config) -> str:
    """The container that the job runs in place of a package."""
    found = config.training.get("masterConfig", {})
    return str(found.get("imageUri", "")) if isinstance(found, dict) else ""


def _unmeasured(config: Config) -> Iterator[Problem]:
    """A search without its metric: the services would look for another one, and for the greatest value of it."""
    block = config.training.get("hyperparameters", {})
    wanted = {"hyperparameterMetricTag": "the experiment's metric, such as rmse", "goal": "MINIMIZE or MAXIMIZE"}
    for name, expected in wanted.items():
        if block and block.get(name, UNSPECIFIED) in ("", UNSPECIFIED):
            yield Problem((TRAINING, "hyperparameters", name), f"not given; expected {expected}")
