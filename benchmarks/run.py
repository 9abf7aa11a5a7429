"""Every figure that the README states, measured in one run.

    python -m benchmarks.run                 # all of it, about an hour on two cores, and 20 GB of disk
    python -m benchmarks.run speed rmse      # some of it

Sides are measured in turns (A B A B), each in a process of its own; medians and ratios are printed as a table and
written to benchmarks/results/ as JSON, with the machine and the versions. Nothing here passes or fails: a row says
whether the figure meets what we state. TRAINER_DATA names the folder with the real natality and MNIST files.
"""

import datetime
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks import around, cluster, gcs, training
from benchmarks import serving as servers
from benchmarks.rows import BATCH, DATA, ROOT, ROUNDS, Row, csv, done, output, ratio, verdict
from trainer.roles import Task


LATENCY_S = 0.05  # about that of a bucket in the same continent


def main(names: list[str]) -> int:
    """Measure what is named, or all."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in names or list(MEASUREMENTS):
            print(f"{name} ...", flush=True)
            rows += MEASUREMENTS[name](Path(folder))
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.what.ljust(width)}  {row.measured:34s}  {row.stated:22s}  {verdict(row)}")
    write(rows, names)
    return 0


def rmse(folder: Path) -> list[Row]:
    """The quality of babyweight with default flags on real births, and the seconds that the command takes."""
    values, seconds = [], []
    for seed in (1, 2, 3):
        began = time.monotonic()
        line = done(folder / f"rmse-{seed}", "babyweight", DATA / "natality", "--seed", str(seed))
        seconds.append(time.monotonic() - began)
        values.append(line["metrics"]["rmse"])
    mean = statistics.mean(values)
    shown = " ".join(f"{value:.4f}" for value in values)
    return [
        Row("babyweight RMSE, real births, seeds 1 to 3", f"{mean:.4f} ({shown})", "at most 1.042", mean <= 1.042),
        Row("  the whole command, s", f"{max(seconds):.1f}", "at most 60", max(seconds) <= 60),
    ]


def accuracy(folder: Path) -> list[Row]:
    """The quality of MNIST with default flags, three epochs of the real files, and the seconds that it takes."""
    values, took = [], []
    for seed in (1, 2, 3):
        began = time.monotonic()
        line = done(folder / f"mnist-{seed}", "mnist", DATA / "mnist", "--seed", str(seed), "--eval-every", "900")
        took.append(time.monotonic() - began - training.importing())
        values.append(line["metrics"]["accuracy"])
    shown = " ".join(f"{value:.4f}" for value in values)
    mean, seconds = statistics.mean(values), statistics.median(took)
    meets = mean >= 0.9931
    return [
        Row("MNIST accuracy, seeds 1 to 3", f"{mean:.4f} ({shown})", "at least 0.9931", meets),
        Row("  the whole command but for the import, s", f"{seconds:.0f}", "at most 70", meets and seconds <= 70),
    ]


def memory(folder: Path) -> list[Row]:
    """Resident memory and speed at ten and a hundred million rows, none kept in memory, beside one million."""
    small, large = csv(folder, 1_250_000), csv(folder, 12_500_000)
    huge = copied(folder, large, times=10)
    speeds: dict[str, list[float]] = {"small": [], "large": []}
    peaks = []
    for i in range(ROUNDS):
        one = streamed(folder / f"memory-1m-{i}", small, 1_000_000, epochs=2)
        ten = streamed(folder / f"memory-10m-{i}", large, 10_000_000)
        speeds["small"].append(statistics.median(one["examples_per_second"]))
        speeds["large"].append(statistics.median(ten["examples_per_second"]))
        peaks.append(ten["peak_gb"])
    hundred = streamed(folder / "memory-100m", huge, 100_000_000)
    peaks.append(hundred["peak_gb"])
    value = hundred["examples_per_second"][0] / statistics.median(speeds["small"])
    shown = f"{value:.2f}x (one run; {hundred['examples_per_second'][0]:,.0f}/s)"
    return [
        Row("babyweight, 100M rows streamed: resident GB", f"{max(peaks):.2f}", "at most 2", max(peaks) <= 2),
        ratio("  examples/s at 10M rows / 1M, streamed", speeds["large"], speeds["small"], at_least=0.9),
        Row("  examples/s at 100M rows / 1M, streamed", shown, "at least 0.9x", value >= 0.9),
    ]


def start(folder: Path) -> list[Row]:
    """Seconds from the start of the process to the first train step, without those of importing TensorFlow."""
    whole, importing = [], []
    for i in range(ROUNDS):
        began = time.monotonic()
        done(folder / f"start-{i}", "babyweight", DATA / "natality", "--train-steps", "1", "--schedule", "train")
        whole.append(time.monotonic() - began)
        importing.append(training.importing())
    seconds = statistics.median(whole) - statistics.median(importing)
    shown = f"{seconds:.1f} s ({statistics.median(whole):.1f} with the import)"
    helping = statistics.median(training.seconds([sys.executable, "-m", "trainer.task", "--help"]) for _ in range(5))
    return [
        Row("python -m trainer.task --help", f"{helping:.2f} s", "at most 0.5", helping <= 0.5),
        Row("process start to the end of one step and its save", shown, "at most 3", seconds <= 3),
    ]


def publishing(folder: Path) -> list[Row]:
    """A set of many files, committed to a bucket, beside uploading its files one after the other."""
    del folder
    ours, theirs = [], []
    with gcs.bucket(LATENCY_S) as endpoint:
        for _ in range(ROUNDS):
            found = json.loads(output([sys.executable, "-m", "benchmarks.gcs", "publish"], endpoint))
            ours.append(found["together"])
            theirs.append(found["one_by_one"])
    value = statistics.median(theirs) / statistics.median(ours)
    each = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    shown = f"{value:.1f}x ({each[0]:.1f} to {each[-1]:.1f}; {statistics.median(ours):.2f} s)"
    return [Row("40 files, 100 MB, to gs:// (50 ms a request): one by one / commit", shown, "at least 4x", value >= 4)]


def remote_job(folder: Path) -> list[Row]:
    """The time of a whole command whose job dir is a bucket, beside one whose job dir is on this disk."""
    files = csv(folder, 1_250_000)
    flags = ("--train-steps", str(60_000), "--eval-every-secs", "2", "--eval-steps", "20")
    seconds: dict[str, list[float]] = {"local": [], "gs": []}
    with gcs.bucket(LATENCY_S) as endpoint:
        for i in range(ROUNDS):
            for where, job_dir in (("local", folder / f"remote-{i}"), ("gs", f"gs://{gcs.NAME}/remote-{i}")):
                began = time.monotonic()
                line = done(job_dir, "babyweight", files, *flags, endpoint=endpoint)
                seconds[where].append(time.monotonic() - began)
    value = statistics.median(seconds["gs"]) / statistics.median(seconds["local"])
    each = sorted(a / b for a, b in zip(seconds["gs"], seconds["local"], strict=True))
    shown = f"{value:.2f}x ({each[0]:.2f} to {each[-1]:.2f}; {statistics.median(seconds['gs']):.1f} s)"
    made = line["gcs_operations"]
    a_stop = f"{made['writes_a_stop']} writes, {made['reads_a_stop']} reads, {made['lists_a_stop']} lists"
    return [
        Row("job dir on gs:// (50 ms a request), a stop every 2 s / on disk", shown, "at most 1.10x", value <= 1.1),
        Row("  requests a stop", a_stop, "counted", meets=True),
    ]


def remote_input(folder: Path) -> list[Row]:
    """The speed of training from files in a bucket, none kept in memory, beside files on this disk."""
    files = csv(folder, 1_250_000)
    speeds: dict[str, list[float]] = {"local": [], "gs": []}
    with gcs.bucket(latency_s=0) as endpoint:
        output([sys.executable, "-m", "benchmarks.gcs", "fill", f"gs://{gcs.NAME}/births", str(files)], endpoint)
        for i in range(ROUNDS):
            for where, source in (("local", str(files)), ("gs", f"gs://{gcs.NAME}/births")):
                found = streamed(folder / f"input-{where}-{i}", source, 1_000_000, epochs=2, endpoint=endpoint)
                speeds[where].append(statistics.median(found["examples_per_second"]))
    what = "babyweight, 1M rows streamed from gs:// / from disk"
    return [ratio(what, speeds["gs"], speeds["local"], at_least=0.7)]


def mirrored(folder: Path) -> list[Row]:
    """Two mirrored workers with a core each, beside one process with both."""
    chief, worker = Task("chief"), Task("worker")
    births = csv(folder, 1_250_000)
    cases = (
        ("MNIST, batch 400", ["mnist", "--data-dir", str(DATA / "mnist")], 400, 150, 0.7),
        ("babyweight, batch 16384", ["babyweight", "--data-dir", str(births)], 16384, 300, 0.4),
    )
    rows = []
    for what, words, batch, steps, at_least in cases:
        flags = ["--experiment", *words, "--train-batch-size", str(batch), "--schedule", "train"]
        flags += ["--train-steps", str(steps), "--eval-every", str(steps // 5)]
        together, alone = [], []
        for i in range(ROUNDS):
            together.append(cluster.speed(folder / f"{words[0]}-two-{i}", [chief, worker], flags))
            alone.append(cluster.speed(folder / f"{words[0]}-one-{i}", [chief], flags))
        rows.append(ratio(f"two mirrored workers / one process, {what}", together, alone, at_least=at_least))
    return rows


def serving(folder: Path) -> list[Row]:
    """The prediction server under load, beside the better of KServe's and MLServer's Python servers."""
    found = servers.beside_peers(folder, babyweight_export(folder))
    rows = []
    many = str(servers.CLIENTS)
    rate = {name: servers.median(loads[many], "requests_per_second") for name, loads in found.items()}
    better = max((peer.name for peer in servers.PEERS), key=lambda name: rate[name])
    ours, theirs = ([load.requests_per_second for load in found[name][many]] for name in ("trainer", better))
    rows.append(ratio(f"{many} clients, one instance a request, requests/s / {better}", ours, theirs, at_least=3))
    rows.append(Row("  requests/s", f"{rate['trainer']:,.0f}", "at least 4,000", rate["trainer"] >= 4000))
    for peer in servers.PEERS:
        latency = f"p50 {servers.median(found[peer.name]['1'], 'p50_ms'):.1f} ms, p99 "
        latency += f"{servers.median(found[peer.name]['1'], 'p99_ms'):.1f} ms with one client"
        rows.append(Row(f"  {peer.name}", f"{rate[peer.name]:,.0f}/s; {latency}", "peer", meets=True))
    p50, p99 = (servers.median(found["trainer"]["1"], name) for name in ("p50_ms", "p99_ms"))
    rows.append(Row("one client: p50 / p99", f"{p50:.2f} ms / {p99:.2f} ms", "at most 2 / 6 ms", p50 <= 2 and p99 <= 6))
    failed = sum(load.failed for loads in found["trainer"].values() for load in loads)
    rows.append(Row("  failed requests", f"{failed}", "none", not failed))
    return rows


def soak(folder: Path) -> list[Row]:
    """A minute of full load on the prediction server while newer exports come."""
    found = servers.soak(folder, babyweight_export(folder))
    what = f"{servers.SOAK_S} s at full load, {found['reloads']:.0f} reloads: failed requests"
    growth = found["growth"]
    return [
        Row(what, f"{found['failed']:.0f} ({found['requests_per_second']:,.0f}/s)", "none", not found["failed"]),
        Row("  growth of memory", f"{growth:.1%}", "at most 5%", growth <= 0.05),
    ]


def prediction(folder: Path) -> list[Row]:
    """Batch prediction from a CSV file of two million rows, beside pandas and a signature."""
    files, export = f"{csv(folder, 2_500_000)}/train.csv*", babyweight_export(folder)
    ours, theirs = [], []
    for i in range(ROUNDS):
        for peer, speeds in ((False, ours), (True, theirs)):
            words = [*(["--peer"] if peer else []), export, files, str(folder / f"predictions-{i}-{peer}")]
            found = json.loads(output([sys.executable, "-m", "benchmarks.predict", *words]).splitlines()[-1])
            speeds.append(found["rows_per_second"])
    rows = statistics.median(ours)
    return [
        Row("batch prediction from CSV, rows/s", f"{rows:,.0f}", "at least 400,000", rows >= 400_000),
        ratio("  over pandas and a signature", ours, theirs, at_least=1),
    ]


MEASUREMENTS: dict[str, Callable[[Path], list[Row]]] = {
    "start": start,
    "rmse": rmse,
    **training.MEASUREMENTS,
    "memory": memory,
    "accuracy": accuracy,
    "publishing": publishing,
    "remote_job": remote_job,
    "remote_input": remote_input,
    "mirrored": mirrored,
    "serving": serving,
    "soak": soak,
    "prediction": prediction,
    **around.MEASUREMENTS,
}


def babyweight_export(folder: Path) -> str:
    """An export of babyweight, trained for a moment; made once."""
    job_dir = folder / "served"
    if not job_dir.exists():
        done(job_dir, "babyweight", csv(folder, 1_250_000), "--train-steps", "200", "--export-strategy", "final")
    return servers.newest_export(job_dir)


def copied(folder: Path, files: Path, *, times: int) -> Path:
    """A folder with each training file several times; made once."""
    target = folder / f"{files.name}-{times}-times"
    if not target.exists():
        target.mkdir()
        for number in range(times):
            for file in files.glob("train.csv*"):
                shutil.copyfile(file, target / f"{file.name}-{number}")
        for file in files.glob("eval.csv*"):
            shutil.copyfile(file, target / file.name)
    return target


def streamed(job_dir: Path, files: Path | str, rows: int, *, epochs: int = 1, endpoint: str = "") -> dict:
    """The speeds and the memory of some epochs from files."""
    words = [str(files), str(job_dir), str(rows // BATCH), str(epochs)]
    return json.loads(output([sys.executable, "-m", "benchmarks.streamed", *words], endpoint).splitlines()[-1])


def write(rows: list[Row], names: list[str]) -> None:
    """The results as JSON, with what they were measured on; those of a part of the run in a file named for it."""
    folder = ROOT / "benchmarks/results"
    folder.mkdir(exist_ok=True)
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        processor = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")
    facts = {
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "processor": processor,
        "system": platform.platform(),
        "versions": {name: version(name) for name in ("keras", "numpy", "pyarrow", "google-cloud-storage")}
        | {"tensorflow": output([sys.executable, "-c", "import tensorflow; print(tensorflow.__version__)"]).strip()}
        | {"python": platform.python_version()},
        "rows": [asdict(row) | {"verdict": verdict(row)} for row in rows],
    }
    path = folder / f"{'-'.join([facts['date'], *names])}.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
