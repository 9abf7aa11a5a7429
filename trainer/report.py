"""Write the report of a run: one HTML file that loads nothing from elsewhere.

    python -m trainer.report --job-dir jobs/births
    python -m trainer.report --job-dir jobs/births --output births.html --compare jobs/before

Without --output it is `report.html` in the job dir. A run that goes on is reported as far as it has come.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Mapping

from trainer.errors import UsageError
from trainer.settings import command, logs
from trainer.storage import paths


PROG = "trainer.report"
NAME = "report.html"
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check the arguments, then write the report and say where it is."""
    args = _parser().parse_args(argv)
    logs.start(args.verbosity)
    job_dir = args.job_dir.rstrip("/") or "/"
    output = args.output or paths.join(job_dir, NAME)
    if args.output and (output.endswith("/") or paths.is_directory(output)):
        raise UsageError(f"--output: {output}: is a folder; expected a file, such as {paths.join(output, NAME)}")

    from trainer.reporting import writing  # matplotlib, which `--help` and a mistake do without

    html = writing.html(
        job_dir,
        compare=args.compare,
        eval_files=args.eval_files,
        evaluate=args.evaluation,
        environ=environ,
        now=time.time(),
    ).encode()
    paths.make_directory(paths.parent(output))
    paths.write_bytes(output, html)
    log.info("wrote %s", output, extra={"fields": {"output": output, "size": len(html)}})
    return 0


def _parser() -> command.Parser:
    parser = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    parser.add_argument("--job-dir", required=True, metavar="DIR", help="the job dir of a run, running or not")
    parser.add_argument("--output", metavar="F", help=f"the HTML file (default {NAME} in the job dir)")
    parser.add_argument("--compare", metavar="DIR", help="the job dir of another run, to be put beside it")
    parser.add_argument(
        "--eval-files", nargs="+", metavar="GLOB", help="what to evaluate the export on (default: the run's own files)"
    )
    parser.add_argument(
        "--evaluation",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="predict the evaluation files with the best export, or leave that section out (default: predict)",
    )
    command.add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
