"""Answer predictions over HTTP, as Cloud ML Engine, Vertex AI and TensorFlow Serving do.

    python -m trainer.serve --model-dir jobs/babyweight
    python -m trainer.serve --model babyweight=jobs/babyweight --model mnist=gs://my-bucket/jobs/mnist

    curl -d '{"instances": [...]}' http://127.0.0.1:8501/v1/models/babyweight:predict

http://127.0.0.1:8501/ is a page to try the models with.
"""

import argparse
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping

from trainer.errors import UsageError, reason
from trainer.serving import options
from trainer.serving.locate import locate
from trainer.serving.options import Batching, Limits, Source
from trainer.settings import command, flags, logs
from trainer.storage import paths


PROG = "trainer.serve"
PORT = 8501  # TensorFlow Serving's for REST
log = logging.getLogger(PROG)


def main(argv: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check the arguments, find the exports, take the port; then import TensorFlow, and serve."""
    args = _parser(environ).parse_args(argv)
    limits, batching = flags.build(Limits, args), flags.build(Batching, args)
    for group in (limits, batching):
        options.check(group)
    if not 0 < args.poll_secs < float("inf"):
        raise UsageError(f"--poll-secs: {args.poll_secs}: expected more than 0")
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port: {args.port}: expected 0 to 65535")
    logs.start(args.verbosity)
    sources = _sources(args, environ)
    exports = [locate(source.directory) for source in sources]
    token = _token(args.auth_token_file) if args.auth_token_file else None
    with bound(args.host, args.port) as taken:
        with command.quiet_tensorflow():
            from trainer.serving import server  # takes seconds: only when what is cheap to check is right

        built = server.build(
            sources,
            exports,
            limits=limits,
            batching=batching,
            poll_seconds=args.poll_secs,
            token=token,
            predict_route=environ.get("AIP_PREDICT_ROUTE"),
            health_route=environ.get("AIP_HEALTH_ROUTE"),
        )
        fields = {"url": url_of(taken), "models": [source.name for source in sources]}
        log.info("listening on %s", url_of(taken), extra={"fields": fields})
        return server.run(built, taken)


def _parser(environ: Mapping[str, str]) -> command.Parser:
    parser = command.Parser(prog=f"python -m {PROG}", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model-dir",
        metavar="DIR",
        help="an export, a strategy's folder, or a job dir: its newest export, and each newer one that is committed "
        "(default AIP_STORAGE_URI)",
    )
    parser.add_argument("--model-name", metavar="NAME", help="its name (default the last word of DIR)")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME[/VERSION]=DIR",
        help="one of several models; VERSION is what Cloud ML Engine's URLs call it (default v1)",
    )
    host = "0.0.0.0" if "AIP_HTTP_PORT" in environ else "127.0.0.1"  # in a platform's container nobody else listens
    parser.add_argument("--host", default=host, metavar="H", help=f"where to listen (default {host})")
    parser.add_argument(
        "--port",
        type=flags.whole_number,
        default=environ.get("AIP_HTTP_PORT", PORT),
        metavar="N",
        help=f"default AIP_HTTP_PORT, else {PORT}; 0 takes any that is free",
    )
    parser.add_argument("--auth-token-file", metavar="F", help="ask for the token in F: Authorization: Bearer TOKEN")
    parser.add_argument(
        "--poll-secs",
        type=flags.number,
        default=5.0,
        metavar="X",
        help="seconds between looks for newer exports (default 5)",
    )
    flags.add(parser, Limits, title="what a request may be")
    flags.add(parser, Batching, title="how requests share calls of the model")
    command.add_arguments(parser)
    return parser


def _sources(args: argparse.Namespace, environ: Mapping[str, str]) -> list[Source]:
    """The models that the flags, or else the platform, name."""
    if args.model:
        if args.model_dir or args.model_name:
            raise UsageError("--model: unexpected beside --model-dir and --model-name")
        return options.sources(args.model)
    directory = args.model_dir or environ.get("AIP_STORAGE_URI")
    if not directory:
        raise UsageError("--model-dir: missing; expected a job dir, or several of --model NAME=DIR")
    return [options.only_source(directory, args.model_name)]


def _token(path: str) -> bytes:
    token = paths.read_bytes(path).strip()
    if not token:
        raise UsageError(f"--auth-token-file {path}: empty; expected a token")
    return token


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port, on which nobody listens yet."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as opened:
            taken = opened.enter_context(socket.socket(family, kind, protocol))
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(address)
            opened.pop_all()
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: {reason(error)}") from error
    return taken


def url_of(taken: socket.socket) -> str:
    """Where a browser finds what listens there."""
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


if __name__ == "__main__":
    sys.exit(command.run(main, prog=PROG))
