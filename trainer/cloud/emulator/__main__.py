"""Run jobs of Cloud ML Engine and Vertex AI on this machine, through their own APIs. For development and tests.

    python -m trainer.cloud.emulator --port 8600 --state .emulator --bucket births
    python -m trainer.submit train births_1 --api-endpoint http://127.0.0.1:8600 ...

It speaks ml.v1, aiplatform.v1 and logging.v2, and really runs what is submitted, as you. Buckets are those of
STORAGE_EMULATOR_HOST, or of a server that it starts for --bucket.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Mapping

from trainer.cloud.emulator import bucket, server
from trainer.cloud.emulator.server import Options
from trainer.errors import UsageError
from trainer.processes import Patience
from trainer.settings import command, flags, logs, signals


PROG = "trainer.cloud.emulator"
PORT = 8600
NOTICE_S = 0.5  # for the other replicas to say what they have to when one has failed
DONE_S = 2.0  # for them to end by themselves after the primary
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check the flags, start a server of buckets where that is asked for, and serve until a signal."""
    arguments = parser().parse_args(argv)
    if arguments.host not in server.LOOPBACK:
        raise UsageError(f"--host: {arguments.host}: expected {' or '.join(server.LOOPBACK)}: it runs what it is sent")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port: {arguments.port}: expected 0 to 65535")
    if arguments.jobs < 1:
        raise UsageError(f"--jobs: {arguments.jobs}: expected 1 or more")
    if not 0 <= arguments.grace_secs < float("inf"):
        raise UsageError(f"--grace-secs: {arguments.grace_secs}: expected 0 or more")
    if not arguments.bucket and not environ.get("STORAGE_EMULATOR_HOST"):
        raise UsageError("--bucket: not given, nor STORAGE_EMULATOR_HOST; expected the name of a bucket to make")
    logs.start(arguments.verbosity)
    asked = signals.received()
    state = os.path.abspath(arguments.state)
    with server.bound(arguments.host, arguments.port) as taken, contextlib.ExitStack() as started:
        url = server.url_of(taken)
        log.info("listening on %s", url, extra={"fields": {"url": url, "state": state}})
        log.warning("for development and tests: it asks for no credentials, and runs what is submitted as you")
        variables = dict(environ)
        if arguments.bucket:
            port = started.enter_context(bucket.serving(os.path.join(state, "buckets")))
            variables["STORAGE_EMULATOR_HOST"] = storage = f"http://127.0.0.1:{port}"
            os.environ["STORAGE_EMULATOR_HOST"] = storage  # where Google's client reads it
            for name in arguments.bucket:
                bucket.create(storage, name)
            fields = {"STORAGE_EMULATOR_HOST": storage, "buckets": arguments.bucket}
            log.info("export STORAGE_EMULATOR_HOST=%s", storage, extra={"fields": fields})
        options = Options(
            state=state,
            environ=variables,
            fresh=not arguments.reuse_env,
            at_once=arguments.jobs,
            patience=Patience(notice_s=NOTICE_S, asked_s=arguments.grace_secs, done_s=DONE_S),
        )
        return server.run(options, taken, asked)


def parser() -> command.Parser:
    """The flags of the emulator."""
    parser = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="where to listen: on this machine only")
    parser.add_argument(
        "--port", type=flags.whole_number, default=PORT, metavar="N", help=f"default {PORT}; 0 takes any that is free"
    )
    parser.add_argument(
        "--state", required=True, metavar="DIR", help="what is kept: jobs, models, logs, buckets, the folders of runs"
    )
    parser.add_argument(
        "--bucket",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="start a server of buckets too, with these in it (default: STORAGE_EMULATOR_HOST)",
    )
    parser.add_argument(
        "--reuse-env",
        action="store_true",
        help="run packages in this Python environment, unpacked, in place of installing each job's in a fresh one",
    )
    parser.add_argument(
        "--jobs", type=flags.whole_number, default=2, metavar="N", help="how many run at the same time (default 2)"
    )
    parser.add_argument(
        "--grace-secs",
        type=flags.number,
        default=30.0,
        metavar="X",
        help="seconds to save and end after SIGTERM, before SIGKILL (default 30)",
    )
    command.add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
