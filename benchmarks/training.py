"""Training, beside every peer in turns (A B A B), and beside what the machine can do at most.

Each side is a process of its own on the same files. Ours is the whole command `trainer.task`, measured by itself from
one stop to the next, parsing and encoding included in the first epoch. Compilation is left out on both sides.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import environments
from benchmarks.rows import BATCH, DATA, ROUNDS, Row, csv, done, output, ratio, task


ROWS = 1_000_000
STEPS = ROWS // BATCH
MNIST_BATCH = 100
MNIST_STEPS = 300
MNIST_FLOP = 83.4e6  # an example, forward and backward, of the network of experiments/mnist.py
PEERS = Path(__file__).parent / "peers"


def speed(folder: Path) -> list[Row]:
    """Examples per second of babyweight from a CSV file of a million rows."""
    files = csv(folder, ROWS * 5 // 4)
    train, held, encoded = f"{files}/train.csv*", f"{files}/eval.csv*", folder / "births.npz"
    output([sys.executable, "-m", "benchmarks.encoded", train, held, str(encoded)])
    peers: dict[str, list[str]] = {
        "tf.estimator 2.15": [
            environments.python("estimator"),
            f"{PEERS}/estimator_babyweight.py",
            train,
            held,
            str(STEPS),
        ],
        "Keras fit": [sys.executable, "-m", "benchmarks.keras_fit", train, "2", str(STEPS)],
        "Keras fit by an expert": [sys.executable, "-m", "benchmarks.keras_expert", train, held, "3"],
        "PyTorch in memory": [environments.python("torch"), f"{PEERS}/torch_babyweight.py", str(encoded), "2"],
    }
    first, later = list[float](), list[float]()
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for i in range(ROUNDS):
        ours = task(folder / f"speed-{i}", files, "--train-steps", str(6 * STEPS), "--eval-every", str(STEPS))
        first.append(ours[0])
        later.append(statistics.median(ours[1:]))
        for name, command in peers.items():
            theirs[name].append(_first_and_later(said(command)))
    stated = {
        "tf.estimator 2.15": (6, 10),
        "Keras fit": (4, 6),
        "Keras fit by an expert": (None, 1.4),
        "PyTorch in memory": (None, 5),
    }
    rows = []
    for name, pairs in theirs.items():
        for which, ours, others, at_least in (
            ("first epoch", first, [pair[0] for pair in pairs], stated[name][0]),
            ("later epochs", later, [pair[1] for pair in pairs], stated[name][1]),
        ):
            if at_least:
                rows.append(ratio(f"babyweight, 1M rows, {which} / {name}", ours, others, at_least=at_least))
        rows.append(Row(f"  {name}", f"{statistics.median(pair[1] for pair in pairs):,.0f}/s", "peer", meets=True))
    return rows


def mnist(folder: Path) -> list[Row]:
    """Examples per second of MNIST in batches of a hundred."""
    data = str(DATA / "mnist")
    flags = (
        "--train-batch-size",
        str(MNIST_BATCH),
        "--train-steps",
        str(3 * MNIST_STEPS),
        "--eval-every",
        str(MNIST_STEPS),
    )
    flags += ("--eval-steps", "1", "--export-strategy", "final")
    peers = {
        "tf.estimator 2.15": [environments.python("estimator"), f"{PEERS}/estimator_mnist.py", data, str(MNIST_STEPS)],
        "Keras fit, float32": [sys.executable, "-m", "benchmarks.keras_mnist", data, str(MNIST_STEPS)],
        "PyTorch, bfloat16": [environments.python("torch"), f"{PEERS}/torch_mnist.py", data, str(MNIST_STEPS)],
    }
    ours = list[float]()
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for i in range(ROUNDS):
        done(folder / f"mnist-speed-{i}", "mnist", DATA / "mnist", *flags)
        lines = (folder / f"mnist-speed-{i}" / "metrics.jsonl").read_text().splitlines()
        ours.append(statistics.median(json.loads(line)["examples_per_second"] for line in lines[1:]))
        for name, command in peers.items():
            theirs[name].append(said(command)["examples_per_second"])
    stated = dict(zip(peers, (1.9, 1.9, 1.15), strict=True))
    rows = [ratio(f"MNIST, batch 100 / {name}", ours, theirs[name], at_least=stated[name]) for name in peers]
    rows += [Row(f"  {name}", f"{statistics.median(theirs[name]):,.0f}/s", "peer", meets=True) for name in peers]
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
    """Seconds of the whole command, to an export, at LightGBM's RMSE or better, TensorFlow's import left out."""
    words = [f"{DATA}/natality/{name}.csv*" for name in ("train", "eval")]
    peer = said([environments.python("lightgbm"), f"{PEERS}/lightgbm_babyweight.py", *words])
    seconds, values = [], []
    for i in range(ROUNDS):
        began = time.monotonic()
        line = done(folder / f"lightgbm-{i}", "babyweight", DATA / "natality", "--export-strategy", "final")
        seconds.append(time.monotonic() - began - importing())
        values.append(line["metrics"]["rmse"])
    took, rmse = statistics.median(seconds), statistics.median(values)
    meets = took <= 10 and rmse <= peer["rmse"]
    shown = f"{took:.1f} s to {rmse:.4f} (LightGBM {peer['seconds']:.1f} s to {peer['rmse']:.4f})"
    return [Row("babyweight, real births, to an export at LightGBM's RMSE", shown, "at most 10 s", meets)]


def saving(folder: Path) -> list[Row]:
    """The speed of a job that saves every second, beside one that does not."""
    files = csv(folder, ROWS * 5 // 4)
    words = ("--train-steps", str(20 * STEPS), "--schedule", "train")
    often, never = [], []
    for i in range(ROUNDS):
        for kept, name, flags in (
            (often, "often", ("--eval-every-secs", "1")),
            (never, "never", ("--eval-every", str(20 * STEPS))),
        ):
            job_dir = folder / f"saving-{name}-{i}"
            began = time.monotonic()
            done(job_dir, "babyweight", files, *words, *flags)
            kept.append(20 * STEPS * BATCH / (time.monotonic() - began - importing()))
    return [ratio("babyweight, a checkpoint every second / none", often, never, at_least=0.95)]


def importing() -> float:
    """The seconds in which TensorFlow is imported."""
    began = time.monotonic()
    output([sys.executable, "-c", "import tensorflow"])
    return time.monotonic() - began


def limit(folder: Path) -> dict[str, float]:
    """As `limits` prints them."""
    file = next((csv(folder, ROWS * 5 // 4)).glob("train.csv*"))
    return said([sys.executable, "-m", "benchmarks.limits", str(file)])


def said(command: list[str]) -> dict:
    """The JSON object that a command prints last."""
    return json.loads(output(command).splitlines()[-1])


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
