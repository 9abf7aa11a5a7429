"""Predict from an export: one instance, or a file of millions.

    python -m trainer.predict --model-dir JOB_DIR --json-instances inputs.json
    python -m trainer.predict --model-dir JOB_DIR --csv 'eval.csv*' --output predictions.json

Standard output has the predictions and nothing else; warnings go to standard error.
"""

import argparse
import contextlib
import io
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from trainer.serving import requests
from trainer.serving.locate import locate
from trainer.serving.table import Table
from trainer.settings import command, logs
from trainer.storage import paths


PROG = "trainer.predict"


def main(argv: list[str]) -> int:
    """Check the arguments and the files, then load TensorFlow and the export, then predict part by part."""
    args = _parser().parse_args(argv)
    logs.start_on_stderr(args.verbosity)
    export = locate(args.model_dir)
    if args.output:
        paths.make_directory(paths.parent(args.output))
    if args.csv:
        files = [args.csv] if args.csv == requests.STDIN else paths.expand([args.csv])
    else:
        instances, name = _parts(args)
    with command.quiet_tensorflow():
        from trainer.serving import batch, model  # takes seconds: only when what is cheap to check is right
    loaded = model.load(export)
    parts = (
        batch.of_csv(loaded, files, signature_name=args.signature_name, batch_size=args.batch_size)
        if args.csv
        else batch.of_instances(loaded, instances, name)
    )
    form = args.format or ("table" if not args.output and sys.stdout.isatty() else "json")
    with _output(args.output) as file:
        for lines in _lines(parts, form):
            file.writelines(line + "\n" for line in lines)
    return 0


def _parser() -> command.Parser:
    parser = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model-dir",
        required=True,
        metavar="DIR",
        help="an export, a strategy's folder, or a job dir: its newest export",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--json-instances", metavar="F", help="a file with one instance, as JSON, a line; - is stdin")
    source.add_argument("--json-request", metavar="F", help='a file with {"instances": [...]}; - is stdin')
    source.add_argument("--csv", metavar="GLOB", help="CSV files with a header, or in the training file's columns")
    parser.add_argument(
        "--signature-name", metavar="S", help="which signature (default the only one, or serving_default)"
    )
    parser.add_argument("--output", metavar="F", help="where to write, whole or not at all (default stdout)")
    parser.add_argument("--format", choices=("table", "json"), help="default table on a terminal, json elsewhere")
    parser.add_argument("--batch-size", type=_positive, default=1024, metavar="N", help="rows a call (default 1024)")
    command.add_arguments(parser)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def _parts(args: argparse.Namespace) -> tuple[Iterator[list[Any]], str | None]:
    """The instances of a JSON file in parts, the first of them read now, and the name of the signature to call."""
    if args.json_request:
        request = requests.json_request(args.json_request)
        return iter([request.instances]), args.signature_name or request.signature_name  # a request is one call
    instances = requests.json_instances(args.json_instances)
    parts = iter(lambda: list(itertools.islice(instances, args.batch_size)), [])
    return itertools.chain([next(parts)], parts), args.signature_name


def _lines(parts: Iterator[list[Any]], form: str) -> Iterator[list[str]]:
    table = Table()
    for part in parts:
        yield table.lines(part) if form == "table" else [json.dumps(prediction) for prediction in part]


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there only when everything was written."""
    if not path:
        yield sys.stdout
        sys.stdout.flush()  # here, where a reader that went away is still handled
        return
    with paths.open_output(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        yield text
        text.detach()


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
