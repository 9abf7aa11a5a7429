"""Predict from an export: one instance, or files of any length.

    python -m trainer.predict --model-dir JOB_DIR --json-instances inputs.json
    python -m trainer.predict --model-dir JOB_DIR --csv 'eval.csv*' --output predictions.jsonl
    python -m trainer.predict --model-dir JOB_DIR --csv 'gs://bucket/births/*' --output gs://bucket/predictions/
    python -m trainer.predict ... --runner DataflowRunner -- --project P --region R --temp_location gs://bucket/temp

Where the output is a folder, the predictions are written there in shards, the same command goes on where another was
killed, and `COMMITTED` in it says that all is there. Everywhere else standard output has the predictions and nothing
else, and warnings go to standard error.
"""

import argparse
import contextlib
import dataclasses
import gc
import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from trainer import pipelines
from trainer.errors import UsageError
from trainer.prediction import recipe, requests, sharded
from trainer.prediction.parts import Part
from trainer.serving.locate import locate
from trainer.settings import command, logs, signals
from trainer.storage import paths


PROG = "trainer.predict"
INSTANCES_A_CALL = 1024
ROWS_A_CALL = 16_384  # a few values each
SHARD_BYTES = 64 << 20
log = logging.getLogger(PROG)


def main(argv: list[str]) -> int:
    """Check the arguments, then predict to a folder, or to a file or standard output."""
    ours, pipeline_flags = command.split(argv)
    args = _parser().parse_args(ours)
    into_folder = _is_folder(args)
    _check(args, pipeline_flags, into_folder)
    if into_folder:
        logs.start(args.verbosity)
        return _predict_into_folder(args, pipeline_flags)
    logs.start_on_stderr(args.verbosity)
    return _predict(args)


def _predict(args: argparse.Namespace) -> int:
    """Check the files, then load TensorFlow and the export, then predict part by part."""
    export = locate(args.model_dir)
    if args.output:
        paths.make_directory(paths.parent(args.output))
    if args.csv:
        files = [args.csv] if args.csv == requests.STDIN else paths.expand([args.csv])
    else:
        instances, name = _parts(args)
    with command.quiet_tensorflow():
        from trainer.prediction import batch
        from trainer.serving import model  # takes seconds: only when what is cheap to check is right
    gc.freeze()  # TensorFlow's objects are here to stay; Arrow on Python 3.10 goes through all others at every reading
    loaded = model.load(export)
    form = args.format or ("table" if not args.output and sys.stdout.isatty() else "json")
    with contextlib.ExitStack() as stack:
        if args.csv:
            parts = [Part(stack.enter_context(requests.readable(file)), requests.shown_name(file)) for file in files]
            plan = batch.plan(loaded, signature_name=args.signature_name, batch_size=args.batch_size or ROWS_A_CALL)
            predictions = batch.of_csv(loaded, plan, parts)
        else:
            predictions = batch.of_instances(loaded, instances, name)
        file = stack.enter_context(_output(args.output))
        for text in batch.encoded(predictions, form):
            file.write(text)
    return 0


def _predict_into_folder(args: argparse.Namespace, pipeline_flags: Sequence[str]) -> int:
    """Compare what is there with what is asked for, then write the shards that are missing."""
    output = args.output.rstrip("/")
    asked = {
        "signature_name": args.signature_name,
        "form": args.format or "json",
        "shard_bytes": args.shard_mb or SHARD_BYTES,
    }
    made_of = recipe.of(locate(args.model_dir), paths.expand([args.csv]), **asked)
    recipe.check(output, made_of)
    if summary := sharded.finished(output):
        _say("nothing to do", output, summary)
        return 0
    if args.runner:
        from trainer.prediction import beam

        beam.check(output, made_of, args.runner)
    batch_size = args.batch_size or ROWS_A_CALL
    with sharded.begun(output, made_of) as lease:
        if args.runner:
            summary = beam.run(output, made_of, runner=args.runner, flags=pipeline_flags, batch_size=batch_size)
        else:
            interrupted = signals.remembered()
            with command.quiet_tensorflow():
                from trainer.prediction import writing
            gc.freeze()  # as above
            try:
                summary = writing.run(
                    output, made_of, batch_size=batch_size, check=lease.check, interrupted=interrupted
                )
            except writing.Interrupted as interruption:
                log.warning("%s; what is committed stays, the same command goes on", interruption)
                return interruption.exit_code
    _say("done", output, summary)
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
    parser.add_argument(
        "--output",
        metavar="F|DIR",
        help="where to write (default stdout): a file, whole or not at all; or with --csv a folder of shards, which is "
        "a path that ends in /, is a folder already, or has no extension. COMMITTED in a folder says that all is there",
    )
    parser.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        help="default table on a terminal, json (an object a line) elsewhere",
    )
    parser.add_argument(
        "--batch-size",
        type=_positive,
        metavar="N",
        help=f"instances a call (default {INSTANCES_A_CALL:,}; {ROWS_A_CALL:,} rows with --csv)",
    )
    folder = parser.add_argument_group("into a folder")
    folder.add_argument(
        "--shard-mb",
        type=_megabytes,
        metavar="MB",
        help=f"input of a shard (default {SHARD_BYTES >> 20}); a smaller file, or a compressed one, is one shard",
    )
    folder.add_argument(
        "--runner",
        metavar="NAME",
        help="predict in an Apache Beam pipeline: DirectRunner, DataflowRunner, FlinkRunner; its own flags after --",
    )
    command.add_arguments(parser)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def _megabytes(text: str) -> int:
    """Megabytes as bytes."""
    try:
        found = int(float(text) * (1 << 20))
    except (ValueError, OverflowError):
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number greater than 0")
    return found


def _is_folder(args: argparse.Namespace) -> bool:
    """Whether the output is a folder of shards."""
    if not args.csv or not args.output:
        return False
    if args.output.endswith("/") or paths.is_directory(args.output):
        return True
    return "." not in paths.name(args.output) and not paths.exists(args.output)


def _check(args: argparse.Namespace, pipeline_flags: Sequence[str], into_folder: bool) -> None:
    """Raise `UsageError` for flags that do not go together."""
    if into_folder:
        alone = {"--csv -": args.csv == requests.STDIN, "--format table": args.format == "table"}
        expected = f"only to a file or standard output; {args.output} is a folder"
    else:
        alone = {"--runner": args.runner, "--shard-mb": args.shard_mb}
        expected = "only with --csv and a folder as --output; see --help"
    for flag, given in alone.items():
        if given:
            raise UsageError(f"{flag}: {expected}")
    if pipeline_flags and not args.runner:
        raise UsageError(f"{pipeline_flags[0]}: unexpected; only with --runner are there flags after --")
    if args.runner:
        pipelines.check_installed("--runner")


def _parts(args: argparse.Namespace) -> tuple[Iterator[list[Any]], str | None]:
    """The instances of a JSON file in parts, the first of them read now, and the name of the signature to call."""
    if args.json_request:
        request = requests.json_request(args.json_request)
        return iter([request.instances]), args.signature_name or request.signature_name  # a request is one call
    instances, size = requests.json_instances(args.json_instances), args.batch_size or INSTANCES_A_CALL
    parts = iter(lambda: list(itertools.islice(instances, size)), [])
    return itertools.chain([next(parts)], parts), args.signature_name


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there only when everything was written."""
    if path:
        with paths.open_output(path) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()  # here, where a reader that went away is still handled


def _say(message: str, output: str, summary: sharded.Summary) -> None:
    """The last line: what the folder holds."""
    if sys.stdout.isatty():
        log.info("%s: %s has %s predictions in %s shards", message, output, f"{summary.rows:,}", f"{summary.shards:,}")
    else:
        log.info(message, extra={"fields": {"output": output, **dataclasses.asdict(summary)}})


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
