"""What a server is told: which models it has, what a request may be, how requests share calls.

source = options.source("babyweight/v2=gs://bucket/jobs/babyweight")
limits = flags.build(Limits, parser.parse_args())
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.errors import UsageError
from trainer.settings.flags import flag
from trainer.storage import paths


FIRST_VERSION = "v1"
NAME = "[A-Za-z][A-Za-z0-9_-]*"
LEAST = {"max_header_bytes": 256, "batch_timeout_micros": 0}  # of the rest, 1, or more than 0


@dataclass(frozen=True)
class Source:
    """A model to serve: the newest export of `directory`, whose version Cloud ML Engine's URLs call `label`."""

    name: str
    directory: str
    label: str = FIRST_VERSION


@dataclass(frozen=True)
class Limits:
    """What a request may be."""

    max_body_bytes: int = flag(10_000_000, "of a request; more is answered with 413")
    max_header_bytes: int = flag(32_768, "of a request's head; more is answered with 431")
    max_instances: int = flag(10_000, "of a request; more is answered with 400")
    timeout_secs: float = flag(60.0, "for a request to arrive (408), and again to be answered (504)")


@dataclass(frozen=True)
class Batching:
    """How requests share calls; the names are TensorFlow Serving's."""

    max_batch_size: int = flag(1000, "instances of several requests in one call")
    batch_timeout_micros: int = flag(0, "how long a request may wait for others to share its call")
    num_batch_threads: int = flag(2, "calls of a model at the same time: a slow one does not hold up the others")
    max_enqueued_batches: int = flag(10, "full batches that may wait; what comes then is answered with 503")


def check(options: Any) -> None:
    """Raise `UsageError` for a number that is too small."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        least = LEAST.get(field.name, 1 if isinstance(value, int) else math.ulp(0.0))
        if not least <= value < math.inf:
            expected = f"{least} or more" if isinstance(value, int) else "more than 0"
            raise UsageError(f"--{field.name.replace('_', '-')}: {value}: expected {expected}")


def source(text: str) -> Source:
    """The model in `NAME=DIR` or `NAME/VERSION=DIR`."""
    found = re.fullmatch(f"({NAME})(?:/({NAME}))?=(.+)", text)
    if not found:
        raise UsageError(f"--model {text!r}: expected NAME=DIR or NAME/VERSION=DIR, such as babyweight=jobs/babyweight")
    return Source(found[1], found[3], found[2] or FIRST_VERSION)


def sources(texts: Sequence[str]) -> list[Source]:
    """Several models, each under a name and version of its own."""
    found = [source(text) for text in texts]
    keys = [f"{one.name}/{one.label}" for one in found]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"--model {key}: given twice; expected another name or version")
    return found


def only_source(directory: str, name: str | None) -> Source:
    """One model, called as its directory unless it has a name."""
    if name is not None and not re.fullmatch(NAME, name):
        raise UsageError(f"--model-name {name!r}: expected letters, digits, - and _, a letter first")
    return Source(name or re.sub("[^A-Za-z0-9_-]", "_", paths.name(directory)), directory)
