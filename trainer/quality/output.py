"""What a check found, as one JSON object or, for people, as a table of columns and a list of findings.

print(output.json_line("babyweight", report))
output.show("babyweight", report)
"""

from dataclasses import asdict
from typing import Any

from trainer import strictjson
from trainer.quality import checks, drift, statistics
from trainer.quality.check import Report
from trainer.quality.findings import SEVERITIES
from trainer.quality.statistics import Column, Statistics
from trainer.quality.words import Words


STYLES = {"ERROR": "red", "WARNING": "yellow", "INFO": "dim"}
FOR_MERGING = ("counts", "counts_of", "sum", "sum_of_squares")
WORDS_SHOWN = 3


def json_line(experiment: str, report: Report) -> str:
    """One JSON object: how severe it is, the findings, and the statistics of each column."""
    severity = next((severity for severity in SEVERITIES if report.count(severity)), "INFO")
    content = {
        "severity": severity,
        "message": summary(report),
        "experiment": experiment,
        "errors": report.count("ERROR"),
        "warnings": report.count("WARNING"),
        "findings": [asdict(finding) for finding in report.findings],
        **{data: _json(report, data) for data in report.files},
        "drift": {name: found.index for name, found in _drifts(report).items()},
    }
    return strictjson.dumps(content)


def show(experiment: str, report: Report) -> None:
    """Print it on the terminal."""
    from rich import box, table  # only a terminal needs it
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{experiment}: {summary(report)}"))
    shown = table.Table(box=box.SIMPLE_HEAD)
    for title in ("column", "train", "eval", "missing", "drift"):
        shown.add_column(title, justify="right" if title in ("missing", "drift") else "left")
    drifts = _drifts(report)
    for feature in report.spec.read:
        columns = [part.columns.get(feature.name) for part in report.statistics.values()]
        missing = [_missing(column, part) for column, part in zip(columns, report.statistics.values(), strict=True)]
        index = f"{drifts[feature.name].index:.3f}" if feature.name in drifts else ""
        cells = (feature.name, *map(_described, columns), " / ".join(missing), index)
        shown.add_row(*map(Text, cells))
    console.print(shown)
    listed = table.Table.grid(padding=(0, 2))
    for finding in report.findings:
        text = Text(f"{finding.data}: {finding.thing}: {finding.value}\n")
        listed.add_row(
            Text(finding.severity, STYLES[finding.severity]), text.append(f"expected {finding.expected}", "dim")
        )
    if report.findings:
        console.print(listed)


def summary(report: Report) -> str:
    """How many rows, and how many findings of a kind that matters."""
    rows = [f"{part.rows:,} rows of {data}" for data, part in report.statistics.items()]
    counts = [
        f"{count:,} {word}{'' if count == 1 else 's'}"
        for count, word in ((report.count("ERROR"), "error"), (report.count("WARNING"), "warning"))
    ]
    return f"{' and '.join(rows)}: {', '.join(counts)}"


def _json(report: Report, data: str) -> dict[str, Any]:
    part = report.statistics[data]
    content = statistics.to_json(part)
    columns = {
        name: {key: value for key, value in column.items() if key not in FOR_MERGING}
        for name, column in content["columns"].items()
    }
    labels = checks.classes(report.spec, part)
    return {
        "files": list(report.files[data].names),
        "rows": part.rows,
        **({"labels": labels} if labels else {}),
        "columns": columns,
    }


def _drifts(report: Report) -> dict[str, drift.Drift]:
    first, second = report.statistics.values()
    found = {
        name: drift.between(column, second.columns[name])
        for name, column in first.columns.items()
        if name in second.columns
    }
    return {name: value for name, value in found.items() if value}


def _described(column: Column | None) -> str:
    """A column in a few words: mean and deviation and range, or its most frequent words."""
    if column is None or not column.count:
        return ""
    if isinstance(column, Words):
        often = sorted(column.counts.items(), key=lambda pair: -pair[1])[:WORDS_SHOWN]
        words = ", ".join(f"{word} {count / column.count:.1%}" for word, count in often)
        return words + (", ..." if column.distinct > len(often) else "")
    return f"{column.mean:.4g} ± {column.deviation:.3g}, {column.minimum:.4g} to {column.maximum:.4g}"


def _missing(column: Column | None, part: Statistics) -> str:
    return f"{column.missing / part.rows:.1%}" if column and part.rows else ""
