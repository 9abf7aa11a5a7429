"""The flags of `trainer.submit`.

arguments = options.parser(PROG, "Send a training job").parse_args(argv)
config = config.overridden(config, options.overrides(arguments))
"""

import argparse
import re
from collections.abc import Callable
from typing import Any

from trainer.cloud.schema import Path
from trainer.settings import command, flags


TIERS = ("basic", "standard-1", "premium-1", "basic-gpu", "basic-tpu", "custom")


def _labels(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not pairs or not all(equals for _, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE,...")
    return {key: value for key, _, value in pairs}


def _name(text: str) -> str:
    """What a resource may be called: no `/`, no quotes."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected letters, digits, _ and -")
    return text


def _tier(text: str) -> str:
    if text.lower().replace("_", "-") not in TIERS:
        raise argparse.ArgumentTypeError(f"{text!r}: expected one of {', '.join(TIERS)}")
    return text.upper().replace("-", "_")


OVERRIDES: tuple[tuple[str, Path, Callable[[str], Any], str, str], ...] = (
    ("--job-dir", ("jobDir",), str, "gs://B/J", "where the job writes; Vertex AI's base output directory"),
    ("--scale-tier", ("scaleTier",), _tier, "T", f"machines: {', '.join(TIERS)}"),
    ("--module-name", ("pythonModule",), str, "M", "what runs (default trainer.task)"),
    ("--runtime-version", ("runtimeVersion",), str, "V", "of TensorFlow; Vertex AI's prebuilt container by that"),
    ("--python-version", ("pythonVersion",), str, "V", "of Python, such as 3.11"),
    ("--master-machine-type", ("masterType",), str, "T", "with --scale-tier custom: the chief's machine"),
    ("--worker-machine-type", ("workerType",), str, "T", "the workers'"),
    ("--worker-count", ("workerCount",), flags.whole_number, "N", "how many workers"),
    ("--parameter-server-machine-type", ("parameterServerType",), str, "T", "the parameter servers'"),
    ("--parameter-server-count", ("parameterServerCount",), flags.whole_number, "N", "how many parameter servers"),
    ("--master-image-uri", ("masterConfig", "imageUri"), str, "URI", "a container in place of package and runtime"),
    ("--service-account", ("serviceAccount",), str, "EMAIL", "whom the job runs as"),
    ("--network", ("network",), str, "NAME", "projects/NUMBER/global/networks/NAME"),
)
"""gcloud's flags that replace a part of `trainingInput`: flag, path, type, metavar, help."""


def parser(prog: str, description: str) -> command.Parser:
    """All commands and their flags."""
    top = command.Parser(prog=f"python -m {prog}", description=description)
    actions = top.add_subparsers(dest="action", metavar="COMMAND", required=True, parser_class=command.Parser)
    _add_train(
        _action(actions, "train", "package the trainer and send a job: train JOB [flags] -- FLAGS OF trainer.task")
    )
    status, log = _action(actions, "status", "how a job is"), _action(actions, "logs", "what a job printed")
    for each in (status, log, _action(actions, "cancel", "ask a job to save and end")):
        each.add_argument("job", type=_name, metavar="JOB", help="the id that it was sent with")
    log.add_argument("--follow", action="store_true", help="until the job ends; exit code 1 unless it succeeded")
    _add_deploy(_action(actions, "deploy", "serve an export as a version of a model"))
    _add_predict(_action(actions, "predict", "ask a deployed model"))
    return top


def overrides(arguments: argparse.Namespace) -> dict[Path, tuple[str, Any]]:
    """The parts of a job that flags of `train` name, with the flag of each."""
    found: dict[Path, tuple[str, Any]] = {("jobId",): ("JOB", arguments.job)}
    found[("trainingInput", "region")] = ("--region", arguments.region)
    for flag, path, _, _, _ in OVERRIDES:
        found[("trainingInput", *path)] = (flag, getattr(arguments, flag[2:].replace("-", "_")))
    for key, value in (arguments.labels or {}).items():
        found[("labels", key)] = ("--labels", value)
    return found


def _action(actions: Any, name: str, help: str) -> command.Parser:
    found: command.Parser = actions.add_parser(name, help=help, description=help)
    service = found.add_argument_group("the service")
    service.add_argument(
        "--api", choices=("vertex", "ml"), default="vertex", help="Vertex AI or Cloud ML Engine (default vertex)"
    )
    service.add_argument("--project", metavar="P", help="its project (default GOOGLE_CLOUD_PROJECT)")
    service.add_argument("--region", metavar="R", help="its region (default that of the config or GOOGLE_CLOUD_REGION)")
    service.add_argument("--api-endpoint", metavar="URL", help="another address, such as an emulator's")
    command.add_arguments(found)
    return found


def _add_train(parser: command.Parser) -> None:
    parser.usage = "%(prog)s JOB [--config F] [flags] -- FLAGS OF trainer.task"
    parser.add_argument("job", metavar="JOB", help="a new id: letters, digits and _")
    parser.add_argument("--config", metavar="F", help="the job, as config.yaml; flags are stronger than it")
    parser.add_argument(
        "--package-path", metavar="DIR", help="the package to send, with its setup.py beside it (default trainer)"
    )
    parser.add_argument("--staging-bucket", metavar="gs://B", help="where packages go (default the job dir)")
    parser.add_argument("--labels", type=_labels, metavar="K=V,...", help="added to those of the config")
    parser.add_argument("--stream-logs", action="store_true", help="as logs --follow, at once")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the request and the same as a gcloud command; send nothing"
    )
    config = parser.add_argument_group("in place of what the config says")
    for flag, _, convert, metavar, help in OVERRIDES:
        config.add_argument(flag, type=convert, metavar=metavar, help=help)


def _add_deploy(parser: command.Parser) -> None:
    parser.add_argument("model", type=_name, metavar="MODEL", help="its name; made where there is none")
    parser.add_argument("--version", required=True, metavar="V", help="a new version of it")
    parser.add_argument(
        "--model-dir", required=True, metavar="gs://DIR", help="an export, or a job dir: its newest committed export"
    )
    parser.add_argument("--machine-type", metavar="T", help="what it is served on")
    parser.add_argument("--image-uri", metavar="URI", help="the serving container, of Vertex AI")
    parser.add_argument("--runtime-version", default="2.21", metavar="V", help="of Cloud ML Engine (default 2.21)")
    parser.add_argument("--python-version", default="3.11", metavar="V", help="of Cloud ML Engine (default 3.11)")


def _add_predict(parser: command.Parser) -> None:
    parser.add_argument("model", type=_name, metavar="MODEL", help="a model that was deployed")
    parser.add_argument(
        "--version", type=_name, metavar="V", help="one version of it (default the one that requests are sent to)"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--json-instances", metavar="F", help="a file with one instance, as JSON, a line; - is stdin")
    source.add_argument("--json-request", metavar="F", help='a file with {"instances": [...]}; - is stdin')
    parser.add_argument("--signature-name", metavar="S", help="which signature (default the model's own choice)")
    parser.add_argument(
        "--format", choices=("table", "json"), help="default table on a terminal, json (an object a line) elsewhere"
    )
