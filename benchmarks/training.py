"""Training, beside every peer in turns (A B A B), and beside what the machine can do at most.

Each side is a process of its own on the same files and says its examples per second: compilation is left out on all
sides, and ours parses and encodes in the first epoch. The whole processes are measured too, from start to end with
imports, compilation and evaluation, and for ours with checkpoints and an export that is checked.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import environments
from benchmarks.rows import BATCH, DATA, ROUNDS, Row, csv, done, output, ratio


ROWS = 1_000_000
STEPS = ROWS // BATCH
EPOCHS = 3
MNIST_BATCH = 100
MNIST_STEPS = 300
MNIST_FLOP = 83.4e6  # an example, forward and backward, of the network of experiments/mnist.py
PEERS = Path(__file__).parent / "peers"


def speed(folder: Path) -> list[Row]:
    """Examples per second of babyweight from a CSV file of a million rows, some epochs, and the RMSE at the end."""
    files = csv(folder, ROWS * 5 // 4)
    train, held, encoded = f"{files}/train.csv*", f"{files}/eval.csv*", folder / "births.npz"
    output([sys.executable, "-m", "benchmarks.encoded", train, held, str(encoded)])
    peers: dict[str, list[str]] = {
        "tf.estimator 2.15": [
            environments.python("estimator"),
            f"{PEERS}/estimator_babyweight.py",
            train,
            held,
            str(EPOCHS * STEPS),
        ],
        "Keras fit": [sys.executable, "-m", "benchmarks.keras_fit", train, held, str(EPOCHS), str(STEPS)],
        "Keras fit by an expert": [sys.executable, "-m", "benchmarks.keras_expert", train, held, str(EPOCHS)],
        "PyTorch in memory": [environments.python("torch"), f"{PEERS}/torch_babyweight.py", str(encoded), str(EPOCHS)],
    }
    flags = ("--train-steps", str(EPOCHS * STEPS), "--eval-every", str(STEPS), "--export-strategy", "final")
    first, later, whole, errors = list[float](), list[float](), list[float](), list[float]()
    theirs: dict[str, list[dict[str, Any]]] = {name: [] for name in peers}
    for i in range(ROUNDS):
        job_dir = folder / f"speed-{i}"
        began = time.monotonic()
        errors.append(done(job_dir, "babyweight", files, *flags)["metrics"]["rmse"])
        whole.append(EPOCHS * ROWS / (time.monotonic() - began))
        ours = stops(job_dir)
        first.append(ours[0])
        later.append(statistics.median(ours[1:]))
        for name, command in peers.items():
            began = time.monotonic()
            found = said(command)
            theirs[name].append(found | {"whole": EPOCHS * ROWS / (time.monotonic() - began)})
    stated = {
        "tf.estimator 2.15": (6, 10),
        "Keras fit": (4, 6),
        "Keras fit by an expert": (None, 1.4),
        "PyTorch in memory": (None, 5),
    }
    rows = [Row("babyweight, 1M rows, RMSE at the end", _median(errors, ".4f"), "counted", meets=True)]
    for name, found in theirs.items():
        pairs = [_first_and_later(each) for each in found]
        for which, ours, others, at_least in (
            ("first epoch", first, [pair[0] for pair in pairs], stated[name][0]),
            ("later epochs", later, [pair[1] for pair in pairs], stated[name][1]),
        ):
            if at_least:
                rows.append(ratio(f"babyweight, 1M rows, {which} / {name}", ours, others, at_least=at_least))
        rows.append(ratio(f"  whole process, {EPOCHS} epochs / {name}", whole, [each["whole"] for each in found]))
        rmse = _median([each["rmse"] for each in found], ".4f")
        rows.append(
            Row(f"  {name}", f"{_median([pair[1] for pair in pairs], ',.0f')}/s, RMSE {rmse}", "peer", meets=True)
        )
    return rows


def mnist(folder: Path) -> list[Row]:
    """Examples per second of MNIST in batches of a hundred."""
    data = str(DATA / "mnist")
    flags = (
        "--train-batch-size",
        str(MNIST_BATCH),
        "--train-steps",
        str(MNIST_STEPS),
        "--eval-every",
        str(MNIST_STEPS // 3),
    )
    flags += ("--eval-steps", "1", "--export-strategy", "final")
    peers = {
        "tf.estimator 2.15": [environments.python("estimator"), f"{PEERS}/estimator_mnist.py", data, str(MNIST_STEPS)],
        "Keras fit, float32": [sys.executable, "-m", "benchmarks.keras_mnist", data, str(MNIST_STEPS)],
        "PyTorch, bfloat16": [environments.python("torch"), f"{PEERS}/torch_mnist.py", data, str(MNIST_STEPS)],
    }
    ours, whole = list[float](), list[float]()
    theirs: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    for i in range(ROUNDS):
        job_dir = folder / f"mnist-speed-{i}"
        began = time.monotonic()
        done(job_dir, "mnist", DATA / "mnist", *flags)
        whole.append(MNIST_STEPS * MNIST_BATCH / (time.monotonic() - began))
        ours.append(statistics.median(stops(job_dir)[1:]))
        for name, command in peers.items():
            began = time.monotonic()
            found = said(command)
            theirs[name].append(found | {"whole": MNIST_STEPS * MNIST_BATCH / (time.monotonic() - began)})
    rows = []
    for name, at_least in zip(peers, (1.9, 1.9, 1.15), strict=True):
        speeds = [each["examples_per_second"] for each in theirs[name]]
        rows.append(ratio(f"MNIST, batch {MNIST_BATCH} / {name}", ours, speeds, at_least=at_least))
        processes = [each["whole"] for each in theirs[name]]
        rows.append(ratio(f"  whole process, {MNIST_STEPS} steps / {name}", whole, processes))
        rows.append(Row(f"  {name}", f"{_median(speeds, ',.0f')}/s", "peer", meets=True))
    found = limit(folder)["bfloat16_flops"]
    share = statistics.median(ours) * MNIST_FLOP / found
    return [*rows, Row("  share of the bfloat16 matrix-product rate", f"{share:.0%}", "at least 55%", share >= 0.55)]


def limits(folder: Path) -> list[Row]:
    """What the machine can do at most."""
    found = limit(folder)
    return [
        Row("matrix products, float32", f"{found['float32_flops'] / 1e9:.0f} GFLOP/s", "limit", meets=True),
        Row("matrix products, bfloat16", f"{found['bfloat16_flops'] / 1e9:.0f} GFLOP/s", "limit", meets=True),
        Row("memory, copied", f"{found['memory_bytes_per_second'] / 1e9:.1f} GB/s", "limit", meets=True),
        Row("wc -l", f"{found['wc_rows_per_second']:,.0f} rows/s", "limit", meets=True),
        Row("pyarrow's reader of CSV", f"{found['pyarrow_rows_per_second']:,.0f} rows/s", "limit", meets=True),
    ]


def lightgbm(folder: Path) -> list[Row]:
    """Seconds of the whole command, to an export, at LightGBM's RMSE or better, TensorFlow's import left out.

    The RMSE is the mean of seeds, compared to the four digits that are shown; LightGBM without sampling has no seed.
    """
    words = [f"{DATA}/natality/{name}.csv*" for name in ("train", "eval")]
    peers = said([environments.python("lightgbm"), f"{PEERS}/lightgbm_babyweight.py", *words])
    took, values = [], []
    for seed in range(1, ROUNDS + 1):
        flags = ("--seed", str(seed), "--export-strategy", "final")
        began = time.monotonic()
        line = done(folder / f"lightgbm-{seed}", "babyweight", DATA / "natality", *flags)
        took.append(time.monotonic() - began - importing())
        values.append(line["metrics"]["rmse"])
    taken, rmse = statistics.median(took), round(statistics.mean(values), 4)
    shown = f"{taken:.1f} s to {rmse:.4f}"
    rows = []
    for name, peer in peers.items():
        meets = taken <= 10 and rmse <= round(peer["rmse"], 4)
        beside = f"{shown} ({peer['seconds']:.1f} s to {peer['rmse']:.4f})"
        rows.append(
            Row(f"babyweight, real births, export at the RMSE of LightGBM, {name}", beside, "at most 10 s", meets)
        )
    return rows


def saving(folder: Path) -> list[Row]:
    """The speed of a job that saves every second, beside one that does not, and what its profile says of that."""
    files = csv(folder, ROWS * 5 // 4)
    words = ("--train-steps", str(20 * STEPS), "--schedule", "train", "--profile")
    speeds: dict[str, list[float]] = {"often": [], "never": []}
    shares = []
    for i in range(ROUNDS):
        for name, flags in (("often", ("--eval-every-secs", "1")), ("never", ("--eval-every", str(20 * STEPS)))):
            command = ("babyweight", "--data-dir", str(files), "--job-dir", str(folder / f"saving-{name}-{i}"))
            lines = output(
                [sys.executable, "-m", "trainer.task", "--experiment", *command, *words, *flags]
            ).splitlines()
            profile = next(found for line in lines if (found := json.loads(line))["message"] == "profile")
            parts = profile["seconds"]
            going = profile["elapsed"] - parts["start"] - parts["compile"]
            speeds[name].append(20 * STEPS * BATCH / going)
            if name == "often":
                shares.append((parts["checkpoint"] + parts["metrics"] + parts["idle"]) / going)
    share = statistics.median(shares)
    return [
        ratio("babyweight, a checkpoint every second / none", speeds["often"], speeds["never"], at_least=0.95),
        Row("  share of the time that its profile gives to them", f"{share:.1%}", "at most 5%", share <= 0.05),
    ]


def importing() -> float:
    """The seconds in which TensorFlow is imported."""
    return seconds([sys.executable, "-c", "import tensorflow"])


def seconds(command: list[str]) -> float:
    """Those that a process takes."""
    began = time.monotonic()
    output(command)
    return time.monotonic() - began


def stops(job_dir: Path) -> list[float]:
    """The examples per second of each stop of a job."""
    return [json.loads(line)["examples_per_second"] for line in (job_dir / "metrics.jsonl").read_text().splitlines()]


def limit(folder: Path) -> dict[str, float]:
    """As `limits` prints them."""
    file = next((csv(folder, ROWS * 5 // 4)).glob("train.csv*"))
    return said([sys.executable, "-m", "benchmarks.limits", str(file)])


def said(command: list[str]) -> dict:
    """The JSON object that a command prints last."""
    return json.loads(output(command).splitlines()[-1])


def _median(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}}"


def _first_and_later(found: dict) -> tuple[float, float]:
    speeds = found["examples_per_second"]
    return (speeds[0], statistics.median(speeds[1:])) if isinstance(speeds, list) else (speeds, speeds)


MEASUREMENTS: dict[str, Callable[[Path], list[Row]]] = {
    "limits": limits,
    "speed": speed,
    "mnist": mnist,
    "lightgbm": lightgbm,
    "saving": saving,
}
