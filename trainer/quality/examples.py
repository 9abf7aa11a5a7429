"""What is wrong with files, rows and images, and which of them come twice.

findings = [*examples.of_part(files, part), *examples.of_overlap(overlap, by=None)]
"""

import math
import re
from collections.abc import Iterator

from trainer.quality import recorded
from trainer.quality.checks import share, thing
from trainer.quality.duplicates import Overlap
from trainer.quality.findings import Finding, Severity
from trainer.quality.reading import Files, Part


TWINS = 0.5
LEAK = 0.1
"""Of the examples to evaluate on, how many may be among those to train on beyond what chance explains: with more, the
evaluation says what the model remembers. A round number, from no study."""
SIGMAS = 3  # standard deviations of what chance explains


def of_part(files: Files, part: Part) -> Iterator[Finding]:
    """Files that cannot be read, rows that training stops at, and images of one colour."""
    for name, problem in {**files.refused, **part.unread}.items():
        value, expected = _parted(problem, name, "a file that can be trained on")
        yield Finding("ERROR", "files", files.data, name, value, expected)
    every = part.statistics.rows + part.bad.total()
    if not every and not files.refused and not part.unread:
        yield Finding("ERROR", "files", files.data, ", ".join(files.names), "no rows", "at least one row")
    known = recorded.beside(files.names[0]).get(files.data)
    if known and known.rows != every:
        value = f"{every:,} rows"
        yield Finding("WARNING", "files", files.data, "files", value, f"{known.rows:,}, as {recorded.NAME} has it")
    for name, path in _unread_columns(files).items():
        yield Finding(
            "INFO", "files", files.data, f"column {name}", f"is in {path}, and not read", "only known columns"
        )
    for kind, count in part.bad.items():
        value = f"{share(count, every)} rows cannot be trained on; the first: {part.first_bad[kind]}"
        yield Finding("ERROR", "rows", files.data, kind, value, "rows that fit (--on-bad-row skip leaves others out)")
    for name, problem in part.strange.items():
        value, expected = _parted(problem.partition(f"column {name}: ")[2], "", "words of the vocabulary")
        yield Finding("ERROR", "vocabulary", files.data, f"column {name}", value, expected)
    for name, count in part.blank.items():
        value = f"{share(count, part.statistics.rows)} images have one colour in all of their pixels"
        feature = next(feature for feature in files.spec.read if feature.name == name)
        yield Finding("WARNING", "images", files.data, thing(files.spec, feature), value, "images that show something")


def of_same_files(parts: dict[str, Part]) -> Iterator[Finding]:
    """Files with the same rows in whatever order, by `train` and `eval`."""
    seen: dict[tuple[int, int], tuple[str, str]] = {}
    for data, part in parts.items():
        for path, content in part.prints.items():
            if not content[0]:
                continue
            known, other = seen.setdefault(content, (data, path))
            if (known, other) != (data, path):
                both = data if known == data else f"{known}, {data}"
                value = f"has the same {content[0]:,} rows as {other}"
                yield Finding("ERROR", "duplicates", both, path, value, "each file once")


def of_overlap(overlap: Overlap, *, by: str | None) -> Iterator[Finding]:
    """Examples that come twice among those to train on, and those to evaluate on that are also trained on.

    `by` is the column that says which examples are the same, where it is not all that is read.

    Where examples have few columns of few values, many are equal by chance. How many of those to evaluate on would be
    equal to one to train on, without any being copied, is known from those to train on: as many as have a twin among
    the others (the share that are no singletons: Good, Biometrika 40, 1953).
    """
    severity: Severity
    compared = f"examples by column {by}" if by else "examples"
    if overlap.twins_in_train:
        severity = "WARNING" if overlap.twins_in_train > TWINS * overlap.train else "INFO"
        value = f"{share(overlap.twins_in_train, overlap.train)} are equal to another one"
        expected = f"at most {TWINS:.0%}, and that where columns have few values"
        yield Finding(severity, "duplicates", "train", compared, value, expected)
    if overlap.in_train:
        by_chance = overlap.twins_in_train / overlap.train
        likely = (overlap.twins_in_train + 1) / (overlap.train + 1)
        noise = SIGMAS * math.sqrt(likely * (1 - likely) * (1 / overlap.evaluation + 1 / overlap.train))
        excess = overlap.in_train / overlap.evaluation - by_chance - noise
        severity = "ERROR" if excess > LEAK else "WARNING" if excess > 0 else "INFO"
        value = f"{share(overlap.in_train, overlap.evaluation)} are also among those to train on"
        expected = f"about {by_chance:.1%}, the share of examples to train on that are equal to another one"
        yield Finding(severity, "duplicates", "train, eval", compared, value, expected)


def _unread_columns(files: Files) -> dict[str, str]:
    """Columns that the spec does not know, each with the first file that has it."""
    known = {*files.spec.columns, *(feature.name for feature in files.spec.read), files.spec.key}
    found: dict[str, str] = {}
    for path, names in files.columns.items():
        for name in names:
            if name not in known:
                found.setdefault(name, path)
    return found


def _parted(problem: str, thing: str, otherwise: str) -> tuple[str, str]:
    """The value and the expectation of an error line."""
    value, *expected = re.split("[;,] expected ", problem.removeprefix(f"{thing}: "), maxsplit=1)
    return value, expected[0] if expected else otherwise
