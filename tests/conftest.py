"""What many tests share, built once a run: small data, and a job trained on each."""

import contextlib
import gc
import io
import itertools
import json
import logging
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests import gcs_server
from trainer import task
from trainer.samples import babyweight, mnist
from trainer.storage import paths


# The same examples in every run, and no clock: how long one takes, or takes to be drawn, is the machine's affair.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_collection_finish(session):
    """As `trainer.task` does it: on Python 3.10, Arrow looks through all that is not frozen at every reading."""
    gc.freeze()


BUCKETS = itertools.count(1)
SPECIES = ("setosa", "versicolor", "virginica")


@pytest.fixture(scope="session")
def gcs_port():
    """The port of a Google Cloud Storage server."""
    with gcs_server.serving() as port:
        yield port


@pytest.fixture
def gcs(gcs_port, monkeypatch):
    """`gs://` and the name of a new bucket, on a server that this process and its children use."""
    url, bucket = f"http://127.0.0.1:{gcs_port}", f"bucket-{next(BUCKETS)}"
    gcs_server.create_bucket(url, bucket)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    return f"gs://{bucket}"


@pytest.fixture(scope="module")
def storage(gcs_port, request):
    """The address of a server with the test module's `BUCKET`, which this process and its children use."""
    with pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{gcs_port}"
        patch.setenv("STORAGE_EMULATOR_HOST", url)
        gcs_server.create_bucket(url, request.module.BUCKET)
        yield url


@pytest.fixture(scope="session")
def births(tmp_path_factory):
    """A folder with 1,600 births to train on and 400 to evaluate."""
    folder = str(tmp_path_factory.mktemp("births"))
    babyweight.write(folder, rows=2000)
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with 300 and 130 noisy images as IDX, in which the label is a bright row."""
    folder = str(tmp_path_factory.mktemp("digits"))
    random = np.random.default_rng(0)
    for names, rows in ((mnist.TRAIN, 300), (mnist.TEST, 130)):
        labels = random.integers(0, 10, rows).astype(np.uint8)
        images = random.integers(0, 64, (rows, 28, 28)).astype(np.uint8)
        images[np.arange(rows), 4 + 2 * labels] = 255
        for name, array in zip(names, (images, labels), strict=True):
            paths.write_bytes(paths.join(folder, name), mnist.encode(array))
    return folder


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    """A folder with made-up irises as CSV under a header, `train.csv` with 240 and `eval.csv` with 90."""
    folder = str(tmp_path_factory.mktemp("flowers"))
    random = np.random.default_rng(0)
    middles = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])  # cm, of each species
    for name, rows in (("train.csv", 240), ("eval.csv", 90)):
        lines = ["sepal_length,sepal_width,petal_length,petal_width,species"]
        for kind in random.integers(0, 3, rows):
            sizes = random.normal(middles[kind], [0.4, 0.3, 0.3, 0.2])
            lines.append(",".join([*(f"{abs(size):.1f}" for size in sizes), SPECIES[kind]]))
        paths.write_bytes(paths.join(folder, name), "\n".join([*lines, ""]).encode())
    return folder


@pytest.fixture(scope="session")
def train():
    """Run `trainer.task` in this process; returns the lines it logged, the last of which says where it ended.

    `environ` has the variables that the platform sets.
    """
    log = logging.getLogger("trainer")

    def run(experiment, *, environ=None, **flags):
        words = ["--experiment", experiment]
        for name, value in flags.items():
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
        handlers, level, propagate = log.handlers, log.level, log.propagate
        signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with contextlib.redirect_stdout(io.StringIO()) as stdout:
                assert task.main(words, environ=environ or {}) == 0
        finally:
            log.handlers, log.level, log.propagate = handlers, level, propagate
            for number, handler in signals.items():
                signal.signal(number, handler)
        return [json.loads(line) for line in stdout.getvalue().splitlines()]

    return run


@pytest.fixture(scope="session")
def babyweight_job(train, births, tmp_path_factory):
    """A job dir with 60 steps of babyweight, stopped at 30 and 60."""
    job_dir = str(tmp_path_factory.mktemp("babyweight_job"))
    flags = {"train_steps": 60, "eval_every": 30, "train_batch_size": 64}
    train("babyweight", data_dir=births, job_dir=job_dir, **flags)
    return job_dir


@pytest.fixture(scope="session")
def mnist_job(train, digits, tmp_path_factory):
    """A job dir with 20 steps of mnist in mixed_bfloat16, stopped at 10 and 20."""
    job_dir = str(tmp_path_factory.mktemp("mnist_job"))
    flags = {"train_steps": 20, "eval_every": 10, "train_batch_size": 20, "dtype_policy": "mixed_bfloat16"}
    train("mnist", data_dir=digits, job_dir=job_dir, **flags)
    return job_dir


@pytest.fixture(scope="module")
def job_dir(tmp_path_factory):
    """A job dir with one committed export, of the model whose answers are easy to compute."""
    from test_serving_model import place, write_model

    folder = tmp_path_factory.mktemp("job")
    write_model(str(folder / "model"))
    place(str(folder / "model"), folder / "export" / "best" / "1500000000")
    return str(folder)
