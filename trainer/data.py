"""Make the sample data of an experiment, or check the data of one.

python -m trainer.data babyweight --output data/babyweight --rows 37500
python -m trainer.data natality --output data/natality --rows 50000
python -m trainer.data mnist --output data/mnist --from downloads/mnist
python -m trainer.data check --experiment babyweight --train-files 'births/train*' --eval-files 'births/eval*'
"""

import argparse
import logging
import sys

from trainer.quality import options
from trainer.settings import command, logs
from trainer.settings.flags import whole_number


PROG = "trainer.data"
SAYS = __doc__.splitlines()[0]
log = logging.getLogger(PROG)


def parser() -> command.Parser:
    """A subcommand for each kind of sample data, and `check`."""
    top = command.Parser(prog=f"python -m {PROG}", description=SAYS)
    commands = top.add_subparsers(dest="command", required=True, metavar="{babyweight,natality,mnist,check}")

    babyweight = commands.add_parser("babyweight", help="simulated US births, as CSV")
    babyweight.set_defaults(make=make_babyweight)
    babyweight.add_argument("--output", metavar="DIR", default="data/babyweight", help="folder (default %(default)s)")
    babyweight.add_argument(
        "--rows", metavar="N", type=whole_number, help="births, 80 %% of them to train on (default 37500)"
    )
    babyweight.add_argument(
        "--seed", metavar="N", type=whole_number, help="the same seed gives the same bytes (default 1)"
    )
    babyweight.add_argument("--train-shards", metavar="N", type=whole_number, help="training files (default 4)")
    babyweight.add_argument("--eval-shards", metavar="N", type=whole_number, help="evaluation files (default 2)")

    natality = commands.add_parser("natality", help="simulated raw rows, for trainer.preprocess, as CSV")
    natality.set_defaults(make=make_natality)
    natality.add_argument("--output", metavar="DIR", default="data/natality", help="folder (default %(default)s)")
    natality.add_argument("--rows", metavar="N", type=whole_number, help="births (default 50000)")
    natality.add_argument(
        "--seed", metavar="N", type=whole_number, help="the same seed gives the same bytes (default 1)"
    )
    natality.add_argument("--shards", metavar="N", type=whole_number, help="files (default 4)")

    mnist = commands.add_parser("mnist", help="handwritten digits, as IDX")
    mnist.set_defaults(make=make_mnist)
    mnist.add_argument("--output", metavar="DIR", default="data/mnist", help="folder (default %(default)s)")
    mnist.add_argument("--from", metavar="DIR", dest="source", help="IDX files to use (default: download them)")

    check = commands.add_parser("check", help="what is wrong with files before they are trained on, or odd about them")
    options.add_arguments(check)

    for one in (babyweight, natality, mnist, check):
        command.add_arguments(one)
    return top


def make_babyweight(args: argparse.Namespace) -> dict[str, int]:
    from trainer.samples import babyweight  # numpy, which `--help` does without

    given = {name: getattr(args, name) for name in ("rows", "seed", "train_shards", "eval_shards")}
    return babyweight.write(args.output, **{name: value for name, value in given.items() if value is not None})


def make_natality(args: argparse.Namespace) -> dict[str, int]:
    from trainer.samples import natality_table  # as above

    given = {name: getattr(args, name) for name in ("rows", "seed", "shards")}
    return natality_table.write(args.output, **{name: value for name, value in given.items() if value is not None})


def make_mnist(args: argparse.Namespace) -> dict[str, int]:
    from trainer.samples import mnist  # as above

    return mnist.write(args.output, source=args.source)


def perform_check(args: argparse.Namespace) -> int:
    """Say what is wrong; 1 where training would stop at it, or it cannot be meant."""
    from trainer.quality import check, output  # as above
    from trainer.samples import folder

    logs.start_on_stderr(args.verbosity)  # stdout is for what was found
    spec, run = options.data_of(args, sample_data=lambda: folder.made(args.experiment))
    report = check.perform(spec, run.train_files, run.eval_files)
    if (args.format or ("table" if sys.stdout.isatty() else "json")) == "table":
        output.show(args.experiment, report)
    else:
        print(output.json_line(args.experiment, report))
    return 1 if report.count("ERROR") else 0


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.command == "check":
        return perform_check(args)
    logs.start(args.verbosity)
    counts = args.make(args)
    log.info("wrote %s: %s", args.output, ", ".join(f"{count:,} {part}" for part, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
