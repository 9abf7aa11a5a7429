"""Send a training job to Vertex AI or Cloud ML Engine, watch it, deploy what it made, and call that.

    python -m trainer.submit train births_1 --config config.yaml --job-dir gs://B/births_1 -- --train-steps 2000
    python -m trainer.submit status births_1
    python -m trainer.submit logs births_1 --follow
    python -m trainer.submit deploy babyweight --version v1 --model-dir gs://B/births_1
    python -m trainer.submit predict babyweight --json-instances docs/examples/babyweight.json

What follows `--` are flags of the trainer. `--api-endpoint` sends all of it elsewhere, such as to an emulator.
"""

import argparse
import itertools
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.cloud import config as configs
from trainer.cloud import gcloud, jobs, options, package, translation
from trainer.cloud.config import Config
from trainer.cloud.service import Service, Serving
from trainer.cloud.target import Target, target_of
from trainer.errors import UsageError
from trainer.settings import command, logs
from trainer.storage import paths


PROG = "trainer.submit"
PACKAGE = "trainer"
INSTANCES_A_CALL = 100  # as many as gcloud sends
VERSION = {
    "ml": re.compile(r"[A-Za-z]\w{0,127}", re.ASCII),
    "vertex": re.compile(r"[a-z]([A-Za-z0-9-]{0,126}[a-z0-9])?"),
}
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Parse, and do what the first word says."""
    ours, flags = command.split(argv)
    arguments = options.parser(PROG, __doc__.splitlines()[0]).parse_args(ours)
    if flags and arguments.action != "train":
        raise UsageError(f"{flags[0]}: unexpected; only train takes flags of the trainer, after --")
    logs.start(arguments.verbosity)
    if arguments.action == "train":
        train(arguments, flags, environ)
        return 0
    target = _target(arguments, environ)
    if arguments.action == "deploy":
        deploy(target, arguments)
    elif arguments.action == "predict":
        predict(connected(target), arguments)
    else:
        watch(target, arguments)
    return 0


def train(arguments: argparse.Namespace, flags: list[str], environ: Mapping[str, str]) -> None:
    """Make the job of the config and the flags, package the trainer, and send both."""
    config = configs.read(arguments.config) if arguments.config else Config()
    config = jobs.completed(configs.overridden(config, options.overrides(arguments)), flags)
    jobs.check(config, arguments.api)  # before what takes longer
    archive = None
    if arguments.package_path or jobs.needs_package(config):
        archive = package.build(arguments.package_path or PACKAGE)
        config = jobs.packaged(config, archive, staging=arguments.staging_bucket)
        jobs.check(config, arguments.api)
    body = translation.body(config.job, arguments.api)
    if arguments.dry_run:
        print(json.dumps(body, indent=2, ensure_ascii=False))
        print(gcloud.equivalent(body, project=arguments.project, region=config.training["region"]))
        return
    target = _target(arguments, environ, config.training["region"])
    service = connected(target)
    if archive:
        package.upload(archive, config.training["packageUris"][-1])
    job = service.submit(body, submission=secrets.token_hex(16))
    log.info("%s: submitted", job.job, extra={"fields": {"job": job.job, "id": job.id, "state": job.state}})
    if arguments.stream_logs:
        from trainer.cloud import watching  # with Google's client, as below

        watching.follow(service, target, job)


def watch(target: Target, arguments: argparse.Namespace) -> None:
    """Show a job, print its log, or ask it to end."""
    from trainer.cloud import watching

    service = connected(target)
    if arguments.action == "cancel":
        service.cancel(arguments.job)
        log.info("%s: is asked to save and end", arguments.job, extra={"fields": {"job": arguments.job}})
        return
    job = service.status(arguments.job)
    if arguments.action == "status":
        watching.show(target, job)
    elif arguments.follow:
        watching.follow(service, target, job)
    else:
        watching.read(target, job)


def deploy(target: Target, arguments: argparse.Namespace) -> None:
    """Serve the newest export of a folder as a new version."""
    from trainer.serving.locate import locate

    model, version = arguments.model, arguments.version
    if not VERSION[target.api].fullmatch(version):
        raise UsageError(f"--version: {version}: expected letters and digits, a small letter first, such as v1")
    if not paths.is_remote(arguments.model_dir):
        raise UsageError(f"--model-dir: {arguments.model_dir}: expected gs://BUCKET/PATH, which the service can read")
    export = locate(arguments.model_dir)
    serving = Serving(
        region=target.region,
        machine_type=arguments.machine_type or "",
        image=arguments.image_uri or "",
        runtime_version=arguments.runtime_version,
        python_version=arguments.python_version,
    )
    service = connected(target)
    log.info("deploying %s", export, extra={"fields": {"export": export}})
    name = service.deploy(model, version, export, serving=serving, submission=secrets.token_hex(16))
    fields = {"model": model, "version": version, "name": name, "export": export}
    log.info("%s %s: is served", model, version, extra={"fields": fields})


def predict(service: Service, arguments: argparse.Namespace) -> None:
    """Print one prediction an instance, in order."""
    from trainer.prediction.table import Table

    table, form = Table(), arguments.format or ("table" if sys.stdout.isatty() else "json")
    for request in _requests(arguments):
        predictions = service.predict(arguments.model, arguments.version, request)
        for line in table.lines(predictions) if form == "table" else map(json.dumps, predictions):
            print(line)


def connected(target: Target) -> Service:
    """The service, ready to be asked."""
    from trainer.cloud import mlengine, vertex  # Google's client takes a while to import

    return mlengine.MlEngine(target) if target.api == "ml" else vertex.Vertex(target)


def _target(arguments: argparse.Namespace, environ: Mapping[str, str], region: str | None = None) -> Target:
    return target_of(
        api=arguments.api,
        endpoint=arguments.api_endpoint,
        project=arguments.project,
        region=arguments.region or region,
        environ=environ,
    )


def _requests(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The bodies of as many requests as the instances need."""
    from trainer.prediction import requests

    named = arguments.signature_name
    if arguments.json_request:
        request = requests.json_request(arguments.json_request)
        named, parts = named or request.signature_name, iter([request.instances])
    else:
        instances = requests.json_instances(arguments.json_instances)
        parts = iter(lambda: list(itertools.islice(instances, INSTANCES_A_CALL)), [])
    for part in parts:
        yield {"instances": part} | ({"signature_name": named} if named else {})


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
