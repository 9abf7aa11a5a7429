"""What is around the training: raw data made ready before it, beside pandas, and the report after it."""

import json
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import training
from benchmarks.rows import DATA, ROUNDS, Row, done, output, ratio
from trainer.samples import natality_table


SPANS = ("seconds", "whole_seconds")  # of the work alone, and since the process began


def preprocessing(folder: Path) -> list[Row]:
    """A million raw births to training files in a pipeline on DirectRunner, beside pandas; the lines are compared."""
    raw = folder / "natality"
    natality_table.write(str(raw), rows=1_000_000)
    speeds: dict[str, list[float]] = {f"{side} {what}": [] for side in ("ours", "theirs") for what in SPANS}
    digests = set()
    for i in range(ROUNDS):
        for side, flags in (("ours", []), ("theirs", ["--peer"])):
            words = [*flags, f"{raw}/*.csv", str(folder / f"preprocessed-{i}-{side}")]
            found = json.loads(output([sys.executable, "-m", "benchmarks.preprocess", *words]).splitlines()[-1])
            for what in SPANS:
                speeds[f"{side} {what}"].append(found["births"] / found[what])
            digests.add(found["digest"])
    if len(digests) != 1:
        raise SystemExit("preprocessing: ours and pandas did not write the same lines")
    titles = ("preprocessing, 1M raw births, births/s / pandas", "  whole process")
    return [
        ratio(title, speeds[f"ours {what}"], speeds[f"theirs {what}"], at_least=0.33)
        for title, what in zip(titles, SPANS, strict=True)
    ]


def report(folder: Path) -> list[Row]:
    """The whole command that writes the report of a million steps, with the export's predictions of the real births.

    The stops are one run's last, said again: ten thousand of them, with some noise.
    """
    job_dir = folder / "reported"
    done(job_dir, "babyweight", DATA / "natality", "--train-steps", "500")
    journal = job_dir / "metrics.jsonl"
    last = json.loads(journal.read_text().splitlines()[-1])
    noise = random.Random(1)
    stops = (
        last | {"step": 100 * i, "time": last["time"] + i, "rmse": last["rmse"] + noise.gauss(0, 0.01)}
        for i in range(1, 10_001)
    )
    journal.write_text("".join(json.dumps(stop) + "\n" for stop in stops))
    page = folder / "report.html"
    command = [sys.executable, "-m", "trainer.report", "--job-dir", str(job_dir), "--output", str(page)]
    rows = []
    for what, flags in (("with the evaluation", []), ("without", ["--no-evaluation"])):
        took = statistics.median(training.seconds([*command, *flags]) for _ in range(ROUNDS))
        size = page.stat().st_size / 1e6
        meets = took <= 5 and size <= 3
        rows.append(Row(f"report of 1M steps, {what}", f"{took:.1f} s, {size:.2f} MB", "at most 5 s, 3 MB", meets))
    return rows


MEASUREMENTS: dict[str, Callable[[Path], list[Row]]] = {"preprocessing": preprocessing, "report": report}
