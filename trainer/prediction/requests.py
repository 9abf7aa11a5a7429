"""Instances from a file or from standard input, as gcloud reads them.

for instance in requests.json_instances("inputs.json"): ...     # one JSON value a line
request = requests.json_request("-")                            # {"instances": [...]}, from standard input
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from trainer.errors import RunError
from trainer.serving import protocol, values
from trainer.storage import paths


STDIN = "-"


def json_instances(path: str) -> Iterator[Any]:
    """The JSON value on each line. Raises `RunError` at a line that is empty or not JSON, and when there is none."""
    line = 0
    with open_binary(path) as file:
        for line, content in enumerate(file, start=1):
            place = f"{shown_name(path)}: line {line}"
            if not content.strip():
                raise RunError(f"{place}: empty; expected one instance, as JSON, on every line")
            yield _parsed(content, place)
    if not line:
        raise RunError(f"{shown_name(path)}: no instances; expected one, as JSON, on every line")


def json_request(path: str) -> protocol.Request:
    """The request in a file. Raises `RunError` when it is not JSON or has no list of instances."""
    with open_binary(path) as file:
        return protocol.request(_parsed(file.read(), shown_name(path)))


def open_binary(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The bytes of a file, or of standard input for `-`."""
    return contextlib.nullcontext(sys.stdin.buffer) if path == STDIN else paths.open_input(path)


@contextlib.contextmanager
def readable(path: str) -> Iterator[str]:
    """The path itself, or that of a copy on disk of standard input, which can be read more than once."""
    if path != STDIN:
        yield path
        return
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield copy.name


def shown_name(path: str) -> str:
    """What errors call the file."""
    return "standard input" if path == STDIN else path


def _parsed(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        found = values.shown(content.decode(errors="replace").strip())
        raise RunError(f"{place}: {found}: expected JSON: {error}") from error
