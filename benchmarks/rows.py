"""What all measurements share: the lines of the table, the commands whose speed is measured, the data."""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trainer.samples import babyweight


ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("TRAINER_DATA", ROOT / "../shared/data"))
ROUNDS = 3
BATCH = 512


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    measured: str
    stated: str
    meets: bool


def verdict(row: Row) -> str:
    """In words, since a noisy machine may miss what another reaches."""
    return "meets" if row.meets else "falls short"


def csv(folder: Path, rows: int) -> Path:
    """A folder of simulated births, four fifths of them to train on; made once."""
    files = folder / f"births-{rows}"
    if not files.exists():
        babyweight.write(str(files), rows=rows, train_shards=max(4, rows // 1_250_000 * 4))
    return files


def done(job_dir: Path | str, experiment: str, files: Path, *flags: str, endpoint: str = "") -> dict:
    """The last line of a job on the real files."""
    command = [sys.executable, "-m", "trainer.task", "--experiment", experiment, "--data-dir", str(files), *flags]
    return json.loads(output([*command, "--job-dir", str(job_dir)], endpoint).splitlines()[-1])


def output(command: list[str], endpoint: str = "") -> str:
    """What a process prints; its failure is ours. `endpoint` is where its buckets are."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | ({"STORAGE_EMULATOR_HOST": endpoint} if endpoint else {})
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{ended.stderr}")
    return ended.stdout


def ratio(what: str, ours: list[float], theirs: list[float], *, at_least: float | None = None) -> Row:
    """The ratio of the medians, with the spread over the rounds. Without a least value it is only told."""
    each = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    value = statistics.median(ours) / statistics.median(theirs)
    digits = 2 if at_least and at_least <= 1 else 1
    shown = f"{value:.{digits}f}x ({each[0]:.{digits}f} to {each[-1]:.{digits}f}; {statistics.median(ours):,.0f}/s)"
    return Row(what, shown, f"at least {at_least}x" if at_least else "", at_least is None or value >= at_least)
