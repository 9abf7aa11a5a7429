"""All that can be said of the data of an experiment before it is trained on.

report = check.perform(spec, train_files, eval_files)
report.findings
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

from trainer.inputs.spec import InputSpec
from trainer.quality import checks, duplicates, examples, findings, reading
from trainer.quality.duplicates import Seen
from trainer.quality.findings import Finding, Severity
from trainer.quality.reading import Files, Part
from trainer.quality.statistics import Statistics


@dataclass(frozen=True)
class Report:
    """What was read, and what is wrong with it, the worst first."""

    spec: InputSpec
    files: dict[str, Files]  # by train and eval, as are the statistics
    statistics: dict[str, Statistics]
    findings: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)


def perform(spec: InputSpec, train_files: Sequence[str], eval_files: Sequence[str]) -> Report:
    """Read all rows once, and judge them. A glob without a file raises `UsageError`."""
    train, evaluation = reading.opened("train", train_files, spec), reading.opened("eval", eval_files, spec)
    key = _common_key(spec, [train, evaluation])
    identity = (key,) if key else tuple(feature.name for feature in spec.read)
    with TemporaryFile() as first, TemporaryFile() as second:
        seen = Seen(first), Seen(second)
        parts = [
            reading.read(files, one, identity=identity) for files, one in zip((train, evaluation), seen, strict=True)
        ]
        overlap = duplicates.overlap(*seen)
    found = [
        *findings.same_once([*_of_part(train, parts[0])], [*_of_part(evaluation, parts[1])]),
        *examples.of_overlap(overlap, by=key),
        *_of_both(spec, parts[0], parts[1]),
    ]
    return Report(
        spec,
        {"train": train, "eval": evaluation},
        {"train": parts[0].statistics, "eval": parts[1].statistics},
        tuple(findings.in_order(found)),
    )


def _common_key(spec: InputSpec, sides: Sequence[Files]) -> str | None:
    """The column that says which examples are the same, where all files have it."""
    everywhere = all(spec.key in names for files in sides for names in files.columns.values())
    return spec.key if spec.key and everywhere else None


def _of_part(files: Files, part: Part) -> Iterator[Finding]:
    yield from examples.of_part(files, part)
    yield from checks.of_columns(files.data, files.spec, part.statistics)
    yield from checks.of_labels(files.data, files.spec, part.statistics)


def _of_both(spec: InputSpec, train: Part, evaluation: Part) -> Iterator[Finding]:
    yield from examples.of_same_files({"train": train, "eval": evaluation})
    yield from checks.of_classes(spec, train.statistics, evaluation.statistics)
    yield from checks.of_drift("train, eval", spec, train.statistics, evaluation.statistics)
