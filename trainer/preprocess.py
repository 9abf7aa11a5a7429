"""Make the files that an experiment trains on from raw data.

    python -m trainer.preprocess babyweight --input 'raw/natality*.csv' --output data/births
    python -m trainer.preprocess babyweight --input bigquery:publicdata.samples.natality --output gs://bucket/births \\
        --runner DataflowRunner -- --project P --region R --temp_location gs://bucket/temp --setup_file ./setup.py
    python -m trainer.preprocess mnist --input downloads/mnist --output data/mnist-records

`stats.json` is written last, and says that all is there: the same command then does nothing.
"""

import argparse
import logging
import sys
from typing import Any

from trainer import pipelines
from trainer.errors import UsageError
from trainer.settings import command, logs
from trainer.settings.flags import whole_number
from trainer.storage import paths


PROG = "trainer.preprocess"
log = logging.getLogger(PROG)


def main(argv: list[str]) -> int:
    """Parse, then make the files of an experiment."""
    ours, flags = command.split(argv)
    args = parser().parse_args(ours)
    if flags and args.make is not make_babyweight:
        raise UsageError(f"{flags[0]}: unexpected; only babyweight has a pipeline with flags after --")
    logs.start(args.verbosity)
    args.make(args, flags)
    return 0


def make_babyweight(args: argparse.Namespace, flags: list[str]) -> None:
    """Check what is asked for, then run the pipeline, unless it ran here before."""
    pipelines.check_installed("babyweight")
    from trainer.preprocessing import bigquery, folder, plan  # numpy and Arrow, which `--help` does without

    output, table = args.output.rstrip("/"), bigquery.table(args.input, flags)
    files = [] if table else paths.expand(args.input)
    pipelines.check_visible(args.runner, [output, *files])
    made_of = folder.described(files)
    size = None if table else sum(file["size"] for file in made_of)
    wanted = plan.of(args.format, size=size, train=args.train_shards, evaluation=args.eval_shards)
    layout = "ultrasound" if args.ultrasound else "babyweight"
    recipe: dict[str, Any] = {"input": table or made_of, "columns": layout, "format": wanted.form}
    recipe |= {"train_shards": wanted.train, "eval_shards": wanted.eval}
    if stats := folder.finished(output, recipe):
        say("nothing to do", output, stats)
        return
    if table:
        bigquery.check_credentials(table)
    from trainer.preprocessing import blocks, pipeline  # Beam, which takes a while to import

    source = pipeline.of_table(table) if table else pipeline.of_blocks(blocks.cut(files))
    log.info("reading %s", table or f"{size or 0:,} bytes in {len(files):,} files")
    with folder.begun(output, wanted.names):
        stats = pipeline.run(output, recipe, source, wanted, layout=layout, runner=args.runner, flags=flags)
    say("done", output, stats)


def make_mnist(args: argparse.Namespace, flags: list[str]) -> None:
    """Write the TFRecords, unless they are there."""
    del flags
    from trainer.preprocessing import digits, folder

    output = args.output.rstrip("/")
    recipe = digits.recipe(args.input, args.validation_size)
    if stats := folder.finished(output, recipe):
        say("nothing to do", output, stats)
        return
    parts = digits.split(args.input, args.validation_size)
    with folder.begun(output, digits.NAMES), command.quiet_tensorflow():
        stats = digits.write(output, recipe, parts)
    say("done", output, stats)


def say(message: str, output: str, stats: dict[str, Any]) -> None:
    """The last line, or on a terminal a small table: how many rows are where, and why others are not."""
    rows = {part: found["rows"] for part, found in stats.items() if isinstance(found, dict) and "rows" in found}
    if not sys.stdout.isatty():
        fields = {"output": output, "rows": rows} | {
            name: stats[name] for name in ("births", "dropped") if name in stats
        }
        log.info(message, extra={"fields": fields})
        return
    lines = {"births": stats["births"]} if "births" in stats else {}
    lines |= {f"dropped, {reason}": count for reason, count in stats.get("dropped", {}).items() if count}
    lines |= {f"rows, {part}": count for part, count in rows.items()}
    width, digits = max(map(len, lines)), max(len(f"{count:,}") for count in lines.values())
    log.info("%s: %s", message, output)
    for title, count in lines.items():
        log.info("  %s  %s", title.ljust(width), f"{count:,}".rjust(digits))


def parser() -> command.Parser:
    """A subcommand for each experiment that has raw data."""
    top = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    experiments = top.add_subparsers(dest="experiment", required=True, metavar="{babyweight,mnist}")

    babyweight = experiments.add_parser("babyweight", help="births of BigQuery's natality table, as CSV or Parquet")
    babyweight.set_defaults(make=make_babyweight)
    babyweight.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="GLOB",
        help="raw births: CSV files with a header, Parquet files, or bigquery:PROJECT.DATASET.TABLE",
    )
    babyweight.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of the files (default csv)")
    babyweight.add_argument(
        "--ultrasound",
        action="store_true",
        help="two rows a birth, with and without an ultrasound, in the columns of 2018",
    )
    babyweight.add_argument("--train-shards", metavar="N", type=whole_number, help="training files (default by size)")
    babyweight.add_argument("--eval-shards", metavar="N", type=whole_number, help="evaluation files (default by size)")
    babyweight.add_argument(
        "--runner",
        metavar="NAME",
        default=pipelines.LOCAL,
        help="of the Apache Beam pipeline (default %(default)s; DataflowRunner, FlinkRunner); its own flags after --",
    )

    mnist = experiments.add_parser("mnist", help="IDX files as TFRecords: train, validation and test")
    mnist.set_defaults(make=make_mnist)
    mnist.add_argument("--input", required=True, metavar="DIR", help="the four IDX files, compressed or not")
    mnist.add_argument(
        "--validation-size",
        metavar="N",
        type=whole_number,
        default=5000,
        help="the first training images, for validation (default %(default)s)",
    )
    for experiment in (babyweight, mnist):
        experiment.add_argument("--output", required=True, metavar="DIR", help="a folder, local or gs://")
        command.add_arguments(experiment)
    return top


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
