"""What this machine can do at most: arithmetic, memory, reading lines.

    python -m benchmarks.limits CSV

Prints a JSON object: floating-point operations per second of products of square matrices in float32 and bfloat16 (the
best of some sizes), bytes per second that NumPy copies (read and written), and rows per second of `wc -l` and of
pyarrow's reader of CSV, the latter with all its threads and without encoding anything.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv
import tensorflow as tf


SIZES = (1024, 2048, 3072)
ROUNDS = 5


def best(seconds_of: Callable[[], float]) -> float:
    """The least seconds of some rounds."""
    return min(seconds_of() for _ in range(ROUNDS))


def timed(work: Callable[[], object]) -> float:
    """The seconds that something takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def flops(dtype: str) -> float:
    """Of the product of two square matrices."""
    found = 0.0
    for size in SIZES:
        matrix = tf.cast(tf.random.normal((size, size)), dtype)
        product = tf.function(lambda a: tf.reduce_sum(a @ a))
        product(matrix)
        found = max(found, 2 * size**3 / best(lambda p=product, m=matrix: timed(lambda: p(m).numpy())))
    return found


def main(csv: str) -> None:
    """Measure and print."""
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    copied = 2 * source.nbytes / best(lambda: timed(lambda: np.copyto(target, source)))
    lines = int(subprocess.run(["wc", "-l", csv], capture_output=True, text=True, check=True).stdout.split()[0])
    counting = best(lambda: timed(lambda: subprocess.run(["wc", "-l", csv], capture_output=True, check=True)))
    options = pa.csv.ReadOptions(autogenerate_column_names=True)
    reading = best(lambda: timed(lambda: pa.csv.read_csv(csv, read_options=options)))
    found = {
        "float32_flops": flops("float32"),
        "bfloat16_flops": flops("bfloat16"),
        "memory_bytes_per_second": copied,
        "wc_rows_per_second": lines / counting,
        "pyarrow_rows_per_second": lines / reading,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
